//! MQTT 3.1.1 by hand: a client that does what no library would let it do, and the packets of a broker
//! that is none. Bound: a packet that comes in has at most [`MAX_PACKET_BYTES`].

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The largest packet that is read.
const MAX_PACKET_BYTES: usize = 1024 * 1024;
/// The answer to a CONNECT.
pub const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
/// The kind of a PUBLISH, in the upper four bits of a packet's first byte.
pub const PUBLISH: u8 = 0x30;
/// The kind of a PUBACK.
pub const PUBACK: u8 = 0x40;

/// One packet: its first byte, and what follows the length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Kind and flags.
    pub head: u8,
    /// The rest.
    pub body: Vec<u8>,
}

impl Packet {
    /// Reads a packet; an error where the stream ends.
    pub async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Self> {
        let head = stream.read_u8().await?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if length > MAX_PACKET_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        Ok(Self { head, body })
    }

    /// The kind, without flags.
    pub fn kind(&self) -> u8 {
        self.head & 0xf0
    }

    /// The payload of a PUBLISH.
    pub fn payload(&self) -> &[u8] {
        let topic = self.body.first_chunk().map_or(0, |length| u16::from_be_bytes(*length));
        let id = if self.head & 0x06 == 0 { 0 } else { 2 };
        self.body.get(2 + usize::from(topic) + id..).unwrap_or_default()
    }

    fn written(head: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let mut packet = vec![head];
        let mut length = body.len();
        loop {
            let more = if length > 0x7f { 0x80 } else { 0 };
            packet.push((length & 0x7f) as u8 | more);
            length >>= 7;
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        packet
    }

    /// A PUBLISH of QoS 1.
    pub fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
        Self::written(PUBLISH | 0x02, &[&text(topic), &id.to_be_bytes(), payload])
    }
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a text of MQTT");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// Connects to a broker on the loopback, without keep-alive, as this client.
pub async fn connect(port: u16, client_id: &str) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the broker listens");
    let (mut reader, mut writer) = stream.into_split();
    // Protocol level 4, a clean session, no keep-alive.
    let connect = Packet::written(0x10, &[&text("MQTT"), &[4, 2, 0, 0], &text(client_id)]);
    writer.write_all(&connect).await.expect("CONNECT is sent");
    let answer = Packet::read(&mut reader).await.expect("CONNACK");
    assert_eq!((answer.head, answer.body), (CONNACK[0], CONNACK[2..].to_vec()));
    (reader, writer)
}

/// Connects and subscribes with this QoS. What comes is the caller's to read, and to acknowledge or not.
pub async fn subscriber(port: u16, filter: &str, qos: u8) -> (OwnedReadHalf, OwnedWriteHalf) {
    let (mut reader, mut writer) = connect(port, "raw-subscriber").await;
    let subscribe = Packet::written(0x82, &[&[0, 1], &text(filter), &[qos]]);
    writer.write_all(&subscribe).await.expect("SUBSCRIBE is sent");
    let answer = Packet::read(&mut reader).await.expect("SUBACK");
    assert_eq!((answer.head, answer.body), (0x90, vec![0, 1, qos]));
    (reader, writer)
}
