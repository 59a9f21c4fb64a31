//! A broker that does what the test says.

use agentd::link::config::MqttConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::board::PATIENCE;

/// A CONNACK of MQTT 5 that sets no bounds.
pub(crate) const CONNACK_5: [u8; 5] = [0x20, 3, 0, 0, 0];
/// A CONNACK of MQTT 3.1.1.
pub(crate) const CONNACK_3: [u8; 4] = [0x20, 2, 0, 0];

/// Where a scripted broker listens.
pub(crate) struct Listener {
    listener: TcpListener,
    mqtt_5: bool,
}

/// One connection to a broker that does what the test says.
pub(crate) struct ScriptedBroker {
    pub(crate) stream: TcpStream,
    mqtt_5: bool,
    /// Packet ids of the events that were not answered yet.
    unanswered: Vec<[u8; 2]>,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    /// The JSON object that is its payload.
    pub(crate) payload: String,
}

impl Message {
    /// The number that [`crate::board::Board::events`] gave it.
    pub(crate) fn n(&self) -> u64 {
        let payload: serde_json::Value = serde_json::from_str(&self.payload).expect("JSON");
        payload["n"].as_u64().expect("n")
    }
}

impl Listener {
    pub(crate) async fn new(mqtt_5: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        Self { listener, mqtt_5 }
    }

    /// A receive buffer that a few packets fill, so that whoever writes on is stuck.
    pub(crate) fn narrow() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        Self { listener: socket.listen(8).expect("listen"), mqtt_5: true }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().expect("address").port()
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port())
    }

    /// The section of a device that knows only this broker.
    pub(crate) fn config(&self) -> MqttConfig {
        let protocol = if self.mqtt_5 { 5 } else { 4 };
        MqttConfig { url: Some(self.url()), protocol, ..MqttConfig::default() }
    }

    pub(crate) async fn accept(&self) -> ScriptedBroker {
        let accepted = timeout(PATIENCE, self.listener.accept()).await.expect("in time");
        let (stream, _) = accepted.expect("accept");
        ScriptedBroker { stream, mqtt_5: self.mqtt_5, unanswered: Vec::new() }
    }
}

impl ScriptedBroker {
    /// Reads the CONNECT and says `answer`.
    pub(crate) async fn connect(&mut self, answer: &[u8]) {
        let (kind, _) = timeout(PATIENCE, self.read()).await.expect("in time");
        assert_eq!(kind >> 4, 1, "CONNECT comes first");
        self.say(answer).await;
    }

    /// Answers CONNECT with `connack`, grants subscriptions, acknowledges what is not an event, and
    /// events if `take`, until `count` events have come. Returns them.
    pub(crate) async fn until_events(
        &mut self,
        count: usize,
        connack: &[u8],
        take: bool,
    ) -> Vec<Message> {
        let mut events = Vec::new();
        while events.len() < count {
            let (kind, packet) = timeout(PATIENCE, self.read()).await.expect("in time");
            let message = self.answer(kind, &packet, connack, take).await;
            events.extend(message.filter(|message| message.topic.contains("/event/")));
        }
        events
    }

    /// Answers one packet. Returns the message that it is, where it is one.
    pub(crate) async fn answer(
        &mut self,
        kind: u8,
        packet: &[u8],
        connack: &[u8],
        take: bool,
    ) -> Option<Message> {
        match kind >> 4 {
            1 => self.say(connack).await,
            8 if self.mqtt_5 => self.say(&[0x90, 6, packet[0], packet[1], 0, 1, 1, 1]).await,
            8 => self.say(&[0x90, 5, packet[0], packet[1], 1, 1, 1]).await,
            12 => self.say(&[0xd0, 0]).await,
            3 => {
                let length = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
                let topic = String::from_utf8_lossy(&packet[2..2 + length]).into_owned();
                let packet_id = [packet[2 + length], packet[3 + length]];
                // After the packet id, which may have the byte of a brace, stand properties, which have none.
                let rest = &packet[4 + length..];
                let begins = rest.iter().position(|byte| *byte == b'{').unwrap_or(rest.len());
                let payload = String::from_utf8_lossy(&rest[begins..]).into_owned();
                if take || !topic.contains("/event/") {
                    self.say(&[0x40, 2, packet_id[0], packet_id[1]]).await;
                } else {
                    self.unanswered.push(packet_id);
                }
                return Some(Message { topic, payload });
            }
            _ => {}
        }
        None
    }

    /// Reads on until the subscription, and grants it. What comes before it is not acknowledged.
    pub(crate) async fn until_subscribed(&mut self) {
        loop {
            let (kind, packet) = timeout(PATIENCE, self.read()).await.expect("in time");
            if kind >> 4 == 8 {
                self.answer(kind, &packet, &[], false).await;
                return;
            }
        }
    }

    /// Answers the events that were not answered yet, in their order, with a PUBACK of MQTT 5.
    pub(crate) async fn puback(&mut self, reason: u8) {
        for [high, low] in std::mem::take(&mut self.unanswered) {
            self.say(&[0x40, 3, high, low, reason]).await;
        }
    }

    /// Connects the link and waits for what it says first.
    pub(crate) async fn until_online(&mut self, connack: &[u8]) {
        loop {
            let (kind, packet) = timeout(PATIENCE, self.read()).await.expect("in time");
            let message = self.answer(kind, &packet, connack, true).await;
            if message.is_some_and(|message| message.topic.ends_with("/capabilities")) {
                return;
            }
        }
    }

    /// Reads on until a PUBACK.
    pub(crate) async fn until_acknowledged(&mut self, packet_id: u16) {
        loop {
            let (kind, packet) = timeout(PATIENCE, self.read()).await.expect("in time");
            if kind >> 4 == 4 {
                assert_eq!(packet[..2], packet_id.to_be_bytes());
                return;
            }
            self.answer(kind, &packet, &[], true).await;
        }
    }

    /// Whether something that can be a PUBACK is in what the link has sent by now and nobody has read.
    pub(crate) fn has_acknowledged(&self) -> bool {
        let mut unread = [0_u8; 4096];
        let mut waiting = std::task::Context::from_waker(std::task::Waker::noop());
        let mut unread = tokio::io::ReadBuf::new(&mut unread);
        let peeked = self.stream.poll_peek(&mut waiting, &mut unread);
        peeked.is_ready() && unread.filled().windows(4).any(|bytes| bytes == [0x40, 2, 0, 7])
    }

    pub(crate) async fn say(&mut self, packet: &[u8]) {
        self.stream.write_all(packet).await.expect("the link listens");
    }

    pub(crate) async fn read(&mut self) -> (u8, Vec<u8>) {
        self.try_read().await.expect("a packet")
    }

    /// An error once the link has hung up.
    pub(crate) async fn try_read(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut packet = vec![0; length];
        self.stream.read_exact(&mut packet).await?;
        Ok((kind, packet))
    }
}
