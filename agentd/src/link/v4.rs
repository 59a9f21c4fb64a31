//! MQTT 3.1.1 through rumqttc-v4-next. It has no properties, no reason codes and no limits told by the
//! broker; whatever it acknowledges it has taken.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rumqttc_v4 as mqtt;
use rumqttc_v4::mqttbytes::v4::{LastWill, Packet, PubAck, SubscribeReasonCode};
use tokio::sync::mpsc;

use super::connection::{self, Answer, Delivery, Event, Limits, Message, NotSent, Settings};

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

fn options(settings: &Settings) -> mqtt::MqttOptions {
    let server = &settings.server;
    let broker = mqtt::Broker::tcp(server.host.clone(), server.port);
    let mut options = mqtt::MqttOptions::new(settings.client_id.clone(), broker);
    if let Some(tls) = settings.tls.clone().filter(|_| server.tls) {
        options.set_transport(mqtt::Transport::tls_with_config(tls));
    }
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
        .set_ack_mode(mqtt::AckMode::Manual)
        .set_session_store(NoReplay);
    options
}

pub(super) fn open(
    settings: &Settings,
    events: mpsc::Sender<Event>,
) -> (mqtt::AsyncClient, BoxFuture<'static, ()>) {
    let (client, mut eventloop) =
        mqtt::AsyncClient::builder(options(settings)).capacity(connection::REQUESTS).build();
    eventloop.network_options = connection::network();
    let driver = async move {
        loop {
            let event = match eventloop.poll().await {
                Ok(mqtt::Event::Incoming(Packet::ConnAck(connack))) => {
                    eventloop.mqtt_options.clear_session_store();
                    Event::Connected(Limits {
                        session_present: connack.session_present,
                        receive_maximum: u16::MAX,
                        max_packet_bytes: MAX_OUTGOING_BYTES,
                    })
                }
                Ok(mqtt::Event::Incoming(Packet::Publish(publish))) => Event::Delivery(Delivery {
                    topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                    payload: publish.payload,
                    retain: publish.retain,
                    duplicate: publish.dup,
                    packet_id: publish.pkid,
                    response_topic: None,
                    correlation: None,
                }),
                Ok(_) => continue,
                Err(error) => Event::Lost(cause(&error)),
            };
            let over = matches!(event, Event::Lost(_));
            if events.send(event).await.is_err() || over {
                return;
            }
        }
    };
    (client, driver.boxed())
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
            return Answer::Refused("no reason given".into());
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
