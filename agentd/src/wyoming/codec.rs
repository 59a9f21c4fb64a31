//! The frames of the Wyoming protocol. Bytes in, events out; no I/O.
//!
//! ```text
//!  {"type": "transcript", "data_length": 24, "payload_length": 0, "data": {...}}\n
//!  <data_length bytes: a JSON object, merged over "data"> <payload_length bytes>
//! ```
//!
//! Bounds: a line has [`MAX_LINE_BYTES`], data [`MAX_DATA_BYTES`], a payload [`MAX_PAYLOAD_BYTES`]. A
//! payload is audio, which this service has no use for: it is passed over as it arrives, never kept.

use bytes::{Buf as _, BytesMut};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_util::codec::{Decoder, Encoder};

/// The longest header, with its line feed.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// The most bytes of data after the header.
pub const MAX_DATA_BYTES: usize = 64 * 1024;
/// The largest payload.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

/// One event of the protocol.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    /// Its `type`.
    pub kind: String,
    /// Its data.
    pub data: Map<String, Value>,
}

impl Event {
    /// An event whose data is this object; anything else than an object is no data.
    pub fn new(kind: &str, data: Value) -> Self {
        let data = if let Value::Object(data) = data { data } else { Map::new() };
        Self { kind: kind.to_owned(), data }
    }
}

/// What cannot be read. The stream has no marks to find the next event by, so it ends here.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// No line feed in sight.
    #[error("an event's header has more than {MAX_LINE_BYTES} bytes")]
    LineTooLong,
    /// The announced data is too large.
    #[error("an event announces {0} bytes of data; at most {MAX_DATA_BYTES} are taken")]
    DataTooLarge(u64),
    /// The announced payload is too large.
    #[error("an event announces a payload of {0} bytes; at most {MAX_PAYLOAD_BYTES} are taken")]
    PayloadTooLarge(u64),
    /// The header is not the JSON object that it should be.
    #[error("an event's header cannot be read: {0}")]
    Header(serde_json::Error),
    /// The data is not a JSON object.
    #[error("an event's data cannot be read: {0}")]
    Data(serde_json::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Connection(#[from] std::io::Error),
}

#[derive(Debug, Deserialize)]
struct Header {
    #[serde(rename = "type")]
    kind: String,
    data: Option<Map<String, Value>>,
    data_length: Option<u64>,
    payload_length: Option<u64>,
}

/// Where in a frame the reading stands.
#[derive(Debug, Default)]
pub struct Codec {
    /// A header that was read and whose data has not come.
    event: Option<(Event, usize, usize)>,
    /// Bytes of payload that are still to be passed over.
    skip: usize,
    /// Bytes of the line that were searched for its end already.
    searched: usize,
}

impl Decoder for Codec {
    type Item = Event;
    type Error = CodecError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Event>, CodecError> {
        let skipped = self.skip.min(bytes.len());
        bytes.advance(skipped);
        self.skip -= skipped;
        if self.skip > 0 {
            return Ok(None);
        }
        let (mut event, data_length, payload_length) = match self.event.take() {
            Some(header) => header,
            None => match self.header(bytes)? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        if bytes.len() < data_length {
            bytes.reserve(data_length - bytes.len());
            self.event = Some((event, data_length, payload_length));
            return Ok(None);
        }
        if data_length > 0 {
            let data = bytes.split_to(data_length);
            let mut data: Map<String, Value> =
                serde_json::from_slice(&data).map_err(CodecError::Data)?;
            event.data.append(&mut data);
        }
        // An event is told before its payload has come: nobody here waits for that.
        self.skip = payload_length;
        Ok(Some(event))
    }
}

impl Codec {
    fn header(
        &mut self,
        bytes: &mut BytesMut,
    ) -> Result<Option<(Event, usize, usize)>, CodecError> {
        let line = bytes[self.searched..].iter().position(|b| *b == b'\n');
        let Some(end) = line.map(|at| self.searched + at) else {
            self.searched = bytes.len();
            if bytes.len() >= MAX_LINE_BYTES {
                return Err(CodecError::LineTooLong);
            }
            return Ok(None);
        };
        self.searched = 0;
        if end >= MAX_LINE_BYTES {
            return Err(CodecError::LineTooLong);
        }
        let line = bytes.split_to(end + 1);
        let header: Header = serde_json::from_slice(&line).map_err(CodecError::Header)?;
        let within = |length: Option<u64>, most: usize| {
            let length = length.unwrap_or(0);
            usize::try_from(length).ok().filter(|length| *length <= most).ok_or(length)
        };
        let data_length =
            within(header.data_length, MAX_DATA_BYTES).map_err(CodecError::DataTooLarge)?;
        let payload_length = within(header.payload_length, MAX_PAYLOAD_BYTES)
            .map_err(CodecError::PayloadTooLarge)?;
        let event = Event { kind: header.kind, data: header.data.unwrap_or_default() };
        Ok(Some((event, data_length, payload_length)))
    }
}

impl Encoder<&Event> for Codec {
    type Error = CodecError;

    /// Writes as the protocol's own library does: the data after the header, never inside it.
    fn encode(&mut self, event: &Event, bytes: &mut BytesMut) -> Result<(), CodecError> {
        let data = if event.data.is_empty() {
            String::new()
        } else {
            Value::Object(event.data.clone()).to_string()
        };
        let mut header = json!({"type": event.kind, "version": env!("CARGO_PKG_VERSION")});
        if !data.is_empty() {
            header["data_length"] = data.len().into();
        }
        bytes.extend_from_slice(header.to_string().as_bytes());
        bytes.extend_from_slice(b"\n");
        bytes.extend_from_slice(data.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8], chunk: usize) -> Result<Vec<Event>, CodecError> {
        let (mut codec, mut buffer, mut found) = (Codec::default(), BytesMut::new(), Vec::new());
        for part in bytes.chunks(chunk.max(1)) {
            buffer.extend_from_slice(part);
            while let Some(event) = codec.decode(&mut buffer)? {
                found.push(event);
            }
        }
        Ok(found)
    }

    #[test]
    fn data_in_and_after_the_header_is_merged_and_the_payload_passed_over() {
        let frames = b"{\"type\":\"a\",\"data\":{\"x\":1,\"y\":1},\"data_length\":7,\
                       \"payload_length\":3}\n{\"y\":2}abc{\"type\":\"b\",\"data\":null}\n";
        let expected = [Event::new("a", json!({"x": 1, "y": 2})), Event::new("b", json!({}))];
        for chunk in 1..frames.len() {
            assert_eq!(all(frames, chunk).expect("read"), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn the_bounds_hold_at_and_one_over() {
        let line = |bytes: usize| {
            let mut line = br#"{"type":"a","pad":""#.to_vec();
            line.resize(bytes - 3, b'x');
            line.extend_from_slice(b"\"}\n");
            line
        };
        assert_eq!(all(&line(MAX_LINE_BYTES), 8192).expect("fits").len(), 1);
        let over = all(&line(MAX_LINE_BYTES + 1), 8192);
        assert!(matches!(over, Err(CodecError::LineTooLong)));
        let over = all(&line(MAX_LINE_BYTES + 1), usize::MAX);
        assert!(matches!(over, Err(CodecError::LineTooLong)), "also where it comes at once");
        let announced = |name: &str, bytes: usize| {
            let mut frame = format!("{{\"type\":\"a\",\"{name}\":{bytes}}}\n").into_bytes();
            let body = frame.len() + bytes;
            frame.extend_from_slice(b"{}");
            frame.resize(body, b' ');
            frame.extend_from_slice(b"{\"type\":\"b\"}\n");
            all(&frame, 4096).map(|events| events.len())
        };
        assert_eq!(announced("data_length", MAX_DATA_BYTES).expect("fits"), 2);
        assert_eq!(announced("payload_length", MAX_PAYLOAD_BYTES).expect("fits"), 2);
        let data = announced("data_length", MAX_DATA_BYTES + 1);
        assert!(matches!(data, Err(CodecError::DataTooLarge(n)) if n == 65_537));
        let payload = announced("payload_length", MAX_PAYLOAD_BYTES + 1);
        assert!(matches!(payload, Err(CodecError::PayloadTooLarge(n)) if n == 1_048_577));
    }

    #[test]
    fn what_is_not_the_protocol_is_refused() {
        for bad in
            ["\n", "[]\n", "{}\n", "GET / HTTP/1.1\r\n", "{\"type\":\"a\",\"data_length\":-1}\n"]
        {
            assert!(matches!(all(bad.as_bytes(), 5), Err(CodecError::Header(_))), "{bad:?}");
        }
        let data = all(b"{\"type\":\"a\",\"data_length\":2}\n[]", 100);
        assert!(matches!(data, Err(CodecError::Data(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_chunks_make_no_difference(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                r#"(\{"type":"[a-z]{0,3}","(data|payload)_length":[0-9]{1,2}\}|\{\}|\n|x){0,20}"#
                    .prop_map(String::into_bytes),
            ],
            chunk in 1usize..50,
        ) {
            let whole = all(&bytes, usize::MAX).map_err(|e| e.to_string());
            let parts = all(&bytes, chunk).map_err(|e| e.to_string());
            prop_assert_eq!(whole, parts);
        }

        #[test]
        fn what_is_written_reads_back(
            events in proptest::collection::vec(
                ("[a-z-]{1,20}", proptest::collection::btree_map("[a-zé\"]{0,5}", "\\PC{0,40}", 0..4)),
                0..5),
            chunk in 1usize..50,
        ) {
            let events: Vec<Event> =
                events.into_iter().map(|(kind, data)| Event::new(&kind, json!(data))).collect();
            let mut bytes = BytesMut::new();
            for event in &events {
                Codec::default().encode(event, &mut bytes).expect("written");
            }
            prop_assert_eq!(all(&bytes, chunk).expect("read"), events);
        }
    }
}
