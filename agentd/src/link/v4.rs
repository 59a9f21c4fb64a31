//! MQTT 3.1.1 through rumqttc-v4-next. It has no properties, no reason codes and no limits told by the
//! broker; whatever it acknowledges it has taken.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rumqttc_v4 as mqtt;
use rumqttc_v4::mqttbytes::v4::{LastWill, Packet, PubAck, SubscribeReasonCode};

use super::connection::{self, Answer, Delivery, Event, Limits, Message, NotSent, Settings};
use super::driver::Polled;
use super::fault::Fault;

/// The largest packet that is sent. An outcome of four calls whose results are each as large as a
/// command fits in.
const MAX_OUTGOING_BYTES: usize = 1024 * 1024;

/// As in [`super::v5`]: there was a session, and nothing of it is to be sent again.
#[derive(Debug)]
struct NoReplay;

type Stored<'a, T> = BoxFuture<'a, Result<T, mqtt::SessionStoreError>>;

impl mqtt::SessionStore for NoReplay {
    fn load<'a>(
        &'a self,
        key: &'a mqtt::SessionStoreKey,
    ) -> Stored<'a, Option<mqtt::PersistedSession>> {
        let session = mqtt::PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_session: false,
            max_inflight: connection::IN_FLIGHT,
            ack_mode: mqtt::PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        std::future::ready(Ok(Some(session))).boxed()
    }

    fn save<'a>(
        &'a self,
        _: &'a mqtt::SessionStoreKey,
        _: &'a mqtt::PersistedSession,
    ) -> Stored<'a, ()> {
        std::future::ready(Ok(())).boxed()
    }

    fn clear<'a>(&'a self, _: &'a mqtt::SessionStoreKey) -> Stored<'a, ()> {
        std::future::ready(Ok(())).boxed()
    }
}

/// Who connects, and over what.
fn reached(settings: &Settings) -> mqtt::MqttOptions {
    let (server, id) = (&settings.server, &settings.client_id);
    let tcp =
        || mqtt::MqttOptions::new(id.clone(), mqtt::Broker::tcp(server.host.clone(), server.port));
    let tls = settings.tls.clone().filter(|_| server.tls);
    // The URL of a WebSocket was taken when the config was read.
    match (&server.websocket, tls) {
        (None, None) => tcp(),
        (None, Some(tls)) => {
            let mut options = tcp();
            options.set_transport(mqtt::Transport::tls_with_config(tls));
            options
        }
        (Some(_), None) => mqtt::Broker::websocket(server.to_string())
            .map_or_else(|_| tcp(), |broker| mqtt::MqttOptions::new(id.clone(), broker)),
        (Some(_), Some(tls)) => {
            let url = server.to_string();
            mqtt::MqttOptions::websocket_with_tls_config(id.clone(), url, tls)
                .unwrap_or_else(|_| tcp())
        }
    }
}

fn options(settings: &Settings) -> mqtt::MqttOptions {
    let mut options = reached(settings);
    if let Some((name, password)) = settings.credentials.clone() {
        options.set_credentials(name, password);
    }
    let (topic, payload) = settings.will.clone();
    options
        .set_last_will(LastWill::new(topic, payload, mqtt::QoS::AtLeastOnce, true))
        .set_keep_alive(settings.keep_alive_seconds)
        .set_clean_session(false)
        .set_max_packet_size(connection::MAX_INCOMING_BYTES as usize, MAX_OUTGOING_BYTES)
        .set_inflight(connection::IN_FLIGHT)
        .set_max_request_batch(connection::WRITTEN_TOGETHER)
        .set_ack_mode(mqtt::AckMode::Manual)
        .set_session_store(NoReplay);
    options
}

pub(super) fn open(settings: &Settings) -> (mqtt::AsyncClient, mqtt::EventLoop) {
    let (client, mut eventloop) =
        mqtt::AsyncClient::builder(options(settings)).capacity(connection::REQUESTS).build();
    eventloop.network_options = connection::network();
    (client, eventloop)
}

pub(super) async fn poll(eventloop: &mut mqtt::EventLoop) -> Polled {
    use mqtt::{Event::Incoming, Event::Outgoing, Outgoing as Out};
    Polled::Heard(match eventloop.poll().await {
        Ok(Incoming(Packet::ConnAck(connack))) => {
            // It is read at the handshake only; kept, it would be written after each packet.
            eventloop.mqtt_options.clear_session_store();
            Some(Event::Connected(Limits {
                session_present: connack.session_present,
                receive_maximum: u16::MAX,
                max_packet_bytes: MAX_OUTGOING_BYTES,
                keep_alive: Some(eventloop.mqtt_options.keep_alive()),
            }))
        }
        Ok(Incoming(Packet::Publish(publish))) => Some(Event::Delivery(Delivery {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload,
            retain: publish.retain,
            duplicate: publish.dup,
            packet_id: publish.pkid,
            response_topic: None,
            correlation: None,
        })),
        Ok(Incoming(_)) => None,
        Ok(Outgoing(Out::Publish(_) | Out::Subscribe(_) | Out::PingReq)) => return Polled::Asked,
        Ok(Outgoing(_)) => return Polled::Said,
        Err(error) => return Polled::Lost(cause(&error)),
    })
}

pub(super) fn subscribe(
    client: &mqtt::AsyncClient,
    topics: &[String],
) -> Result<BoxFuture<'static, Answer>, NotSent> {
    let filters = topics
        .iter()
        .map(|topic| mqtt::SubscribeFilter::new(topic.clone(), mqtt::QoS::AtLeastOnce));
    let notice = client.try_subscribe_many_tracked(filters).map_err(not_sent)?;
    let answer = async {
        let Ok(suback) = notice.wait_async().await else { return Answer::None };
        if suback.return_codes.contains(&SubscribeReasonCode::Failure) {
            return Answer::Refused { fault: Fault::Broker, why: "no reason given".into() };
        }
        Answer::Taken
    };
    Ok(answer.boxed())
}

pub(super) fn publish(
    client: &mqtt::AsyncClient,
    message: Message,
) -> Result<BoxFuture<'static, Answer>, NotSent> {
    let options = mqtt::PublishOptions::new(mqtt::QoS::AtLeastOnce).retain(message.retain);
    let notice =
        client.try_publish_tracked(message.topic, message.payload, options).map_err(not_sent)?;
    let answer = async {
        match notice.wait_async().await {
            Ok(_) => Answer::Taken,
            Err(_) => Answer::None,
        }
    };
    Ok(answer.boxed())
}

pub(super) fn acknowledge(client: &mqtt::AsyncClient, packet_id: u16) -> Result<(), NotSent> {
    client.try_manual_ack(mqtt::ManualAck::PubAck(PubAck::new(packet_id))).map_err(not_sent)
}

fn not_sent(error: mqtt::ClientError) -> NotSent {
    match error {
        mqtt::ClientError::InvalidRequest(_) => {
            NotSent::Invalid("its topic cannot be published to".into())
        }
        mqtt::ClientError::RequestChannelDisconnected(_) => NotSent::Gone,
        _ => NotSent::Full,
    }
}

fn cause(error: &mqtt::ConnectionError) -> String {
    use mqtt::{ConnectionError, StateError};
    match error {
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => {
            connection::io_cause(error)
        }
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            "it does not answer: check the network".into()
        }
        ConnectionError::ConnectionRefused(code) => connection::login_cause(code),
        ConnectionError::Tls(error) => {
            format!("the encrypted connection fails ({error}): check `mqtt.ca_file` and the clock")
        }
        ConnectionError::Websocket(error) => {
            format!("the WebSocket cannot be opened ({error}): check the path in `mqtt.url`")
        }
        ConnectionError::ResponseValidation(_) => {
            "what answers there speaks no MQTT over its WebSocket: check the path in `mqtt.url`"
                .into()
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            "the broker has stopped answering".into()
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            "the broker closed the connection".into()
        }
        ConnectionError::RequestsDone => "it was closed".into(),
        other => other.to_string(),
    }
}
