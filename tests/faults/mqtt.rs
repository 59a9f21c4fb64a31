//! As much of MQTT 5 as the proxy and the watcher need. It is written out here and not taken from the
//! daemon's MQTT crate, so that what is tested does not examine itself.
//!
//! Bound: a packet has at most [`MAX_BYTES`].

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The largest packet: well above the largest that the daemon sends or takes.
const MAX_BYTES: usize = 1024 * 1024;
/// The DUP flag of a PUBLISH.
const DUP: u8 = 0x08;

/// What a packet is. Those that are only passed on have no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    ConnAck,
    Publish,
    PubAck,
    SubAck,
    Other,
}

/// One whole packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    bytes: Vec<u8>,
    /// Where what follows the fixed header begins.
    body: usize,
}

/// What a PUBLISH says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    pub(crate) topic: &'a str,
    /// 0 for QoS 0.
    pub(crate) id: u16,
    pub(crate) payload: &'a [u8],
}

/// Cuts what is read into packets. Nothing is lost when a future of [`Splitter::read`] is dropped.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    waiting: Vec<u8>,
}

impl Splitter {
    /// The next packet of a stream; none at its end.
    pub(crate) async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.take()? {
                return Ok(Some(packet));
            }
            if stream.read_buf(&mut self.waiting).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn take(&mut self) -> Result<Option<Packet>> {
        let Some((length, body)) = variable(self.waiting.get(1..).unwrap_or_default())? else {
            return Ok(None);
        };
        let whole = 1 + body + length;
        ensure!(whole <= MAX_BYTES, "a packet has {whole} bytes");
        if self.waiting.len() < whole {
            return Ok(None);
        }
        let rest = self.waiting.split_off(whole);
        let bytes = std::mem::replace(&mut self.waiting, rest);
        Ok(Some(Packet { bytes, body: 1 + body }))
    }
}

/// A number of one to four bytes, and how many it took; none where some of them are still to come.
fn variable(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    ensure!(bytes.len() < 4, "a length has more than four bytes");
    Ok(None)
}

impl Packet {
    fn new(first: u8, body: &[u8]) -> Self {
        let mut bytes = vec![first];
        let mut left = body.len();
        loop {
            let more = if left > 0x7f { 0x80 } else { 0 };
            bytes.push((left & 0x7f) as u8 | more);
            left >>= 7;
            if more == 0 {
                break;
            }
        }
        let start = bytes.len();
        bytes.extend_from_slice(body);
        Self { bytes, body: start }
    }

    /// The bytes on the wire.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.bytes[0] >> 4 {
            1 => Kind::Connect,
            2 => Kind::ConnAck,
            3 => Kind::Publish,
            4 => Kind::PubAck,
            9 => Kind::SubAck,
            _ => Kind::Other,
        }
    }

    /// What it says, where it is a PUBLISH.
    pub(crate) fn publish(&self) -> Option<Publish<'_>> {
        if self.kind() != Kind::Publish {
            return None;
        }
        let (topic, rest) = prefixed(self.body())?;
        let has_id = self.bytes[0] & 0x06 != 0;
        let (id, rest) = if has_id { word(rest)? } else { (0, rest) };
        let (length, taken) = variable(rest).ok()??;
        let payload = rest.get(taken + length..)?;
        Some(Publish { topic: std::str::from_utf8(topic).ok()?, id, payload })
    }

    /// The packet id and the reason code, where it is a PUBACK.
    pub(crate) fn puback(&self) -> Option<(u16, u8)> {
        if self.kind() != Kind::PubAck {
            return None;
        }
        let (id, rest) = word(self.body())?;
        Some((id, rest.first().copied().unwrap_or(0)))
    }

    /// Session Present and the reason code, where it is a CONNACK.
    pub(crate) fn connack(&self) -> Option<(bool, u8)> {
        match (self.kind(), self.body()) {
            (Kind::ConnAck, [flags, code, ..]) => Some((flags & 1 == 1, *code)),
            _ => None,
        }
    }

    /// The same PUBLISH, as it is sent again.
    pub(crate) fn again(&self) -> Self {
        let mut again = self.clone();
        again.bytes[0] |= DUP;
        again
    }

    pub(crate) fn connect(client_id: &str, session_seconds: u32) -> Self {
        let mut body = vec![0, 4];
        body.extend_from_slice(b"MQTT");
        // Version 5; no clean start; no keep-alive: the connection is within this machine.
        body.extend_from_slice(&[5, 0, 0, 0]);
        body.extend_from_slice(&[5, 0x11]);
        body.extend_from_slice(&session_seconds.to_be_bytes());
        put(&mut body, client_id.as_bytes());
        Self::new(0x10, &body)
    }

    /// A CONNACK of a new session that fails with this code.
    pub(crate) fn refused(code: u8) -> Self {
        Self::new(0x20, &[0, code, 0])
    }

    /// A subscription with QoS 1.
    pub(crate) fn subscribe(id: u16, filters: &[String]) -> Self {
        let mut body = id.to_be_bytes().to_vec();
        body.push(0);
        for filter in filters {
            put(&mut body, filter.as_bytes());
            body.push(1);
        }
        Self::new(0x82, &body)
    }

    /// A PUBLISH with QoS 1.
    pub(crate) fn publish_of(id: u16, topic: &str, payload: &[u8]) -> Self {
        let mut body = Vec::new();
        put(&mut body, topic.as_bytes());
        body.extend_from_slice(&id.to_be_bytes());
        body.push(0);
        body.extend_from_slice(payload);
        Self::new(0x32, &body)
    }

    pub(crate) fn puback_of(id: u16, code: u8) -> Self {
        let [high, low] = id.to_be_bytes();
        Self::new(0x40, &[high, low, code])
    }
}

fn put(body: &mut Vec<u8>, bytes: &[u8]) {
    // No name or topic here comes near 64 KiB.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&bytes[..length.into()]);
}

fn word(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*head), rest))
}

fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = word(bytes)?;
    rest.split_at_checked(length.into())
}

/// Reads the packet that must come next.
pub(crate) async fn expect(
    splitter: &mut Splitter,
    stream: &mut (impl AsyncRead + Unpin),
    kind: Kind,
) -> Result<Packet> {
    match splitter.read(stream).await? {
        Some(packet) if packet.kind() == kind => Ok(packet),
        Some(packet) => bail!("a {:?} came where a {kind:?} was due", packet.kind()),
        None => bail!("the connection ended where a {kind:?} was due"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_read_back_as_they_were_made() {
        let publish = Packet::publish_of(7, "agentd/a/command", b"mark 1");
        let parsed = publish.publish().expect("a PUBLISH");
        assert_eq!((parsed.topic, parsed.id), ("agentd/a/command", 7));
        assert_eq!(parsed.payload, b"mark 1");
        assert_eq!(publish.again().publish(), Some(parsed));
        assert_eq!(publish.again().bytes()[0], 0x3a);
        assert_eq!(Packet::puback_of(258, 0x97).puback(), Some((258, 0x97)));
        assert_eq!(Packet::refused(0x88).connack(), Some((false, 0x88)));
        // The short form that a broker sends for success, and a PUBLISH with a property.
        assert_eq!(Packet::new(0x40, &[0, 9]).puback(), Some((9, 0)));
        let with_property = Packet::new(0x32, &[0, 1, b't', 0, 3, 2, 0x01, 1, b'x']);
        assert_eq!(with_property.publish().expect("a PUBLISH").payload, b"x");
    }

    #[tokio::test]
    async fn a_stream_is_cut_into_the_same_packets_wherever_it_is_torn() {
        let long = vec![b'x'; 20_000];
        let packets = [
            Packet::connect("a", 60),
            Packet::publish_of(1, "t", &long),
            Packet::puback_of(1, 0),
            Packet::publish_of(2, "t", b""),
        ];
        let stream: Vec<u8> = packets.iter().flat_map(|packet| packet.bytes().to_vec()).collect();
        for size in [1, 2, 3, 127, 4096, stream.len()] {
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            for chunk in stream.chunks(size) {
                splitter.waiting.extend_from_slice(chunk);
                while let Some(packet) = splitter.take().expect("well-formed") {
                    found.push(packet);
                }
            }
            assert_eq!(found, packets, "torn every {size} bytes");
        }
    }

    #[test]
    fn what_is_no_packet_is_an_error_and_not_a_wait_for_ever() {
        let mut splitter = Splitter { waiting: vec![0x30, 0xff, 0xff, 0xff, 0xff, 1] };
        assert!(splitter.take().is_err());
        let mut splitter = Splitter { waiting: vec![0x30, 0xff, 0xff, 0xff, 0x7f] };
        assert!(splitter.take().is_err());
    }
}
