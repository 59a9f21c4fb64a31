//! MQTT 5 through rumqttc-v5-next. What differs from [`super::v4`]: properties, reason codes, and limits
//! that the broker tells.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use rumqttc_v5 as mqtt;
use rumqttc_v5::mqttbytes::v5::{
    DisconnectReasonCode, LastWill, Packet, PubAck, PubAckReason, PublishProperties,
    RetainForwardRule, SubscribeReasonCode,
};

use super::connection::{self, Answer, Delivery, Event, Limits, Message, NotSent, Settings};
use super::driver::{self, Polled};
use super::fault::Fault;
use crate::command;

/// What the MQTT crate is told of the last connection: there was a session, and nothing of it is to be
/// sent again. Without this it refuses a broker that has kept the session over our restart; with what it
/// remembers itself it would send again what the store sends again.
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
            clean_start: false,
            session_expiry_interval: Some(connection::SESSION_EXPIRY_SECONDS),
            outgoing_inflight_upper_limit: Some(connection::IN_FLIGHT),
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
    options.set_network_options(connection::network());
    options.set_connect_timeout(driver::CONNECT);
    if let Some((name, password)) = settings.credentials.clone() {
        options.set_credentials(name, password);
    }
    let (topic, payload) = settings.will.clone();
    options
        .set_last_will(LastWill::new(topic, payload, mqtt::QoS::AtLeastOnce, true, None))
        .set_keep_alive(settings.keep_alive_seconds)
        .set_clean_start(false)
        .set_session_expiry_interval(Some(connection::SESSION_EXPIRY_SECONDS))
        .set_receive_maximum(Some(connection::INCOMING_WINDOW))
        .set_max_packet_size(Some(connection::MAX_INCOMING_BYTES))
        .set_outgoing_inflight_upper_limit(connection::IN_FLIGHT)
        .set_max_request_batch(connection::WRITTEN_TOGETHER)
        .set_ack_mode(mqtt::AckMode::Manual)
        .set_session_store(NoReplay);
    options
}

pub(super) fn open(settings: &Settings) -> (mqtt::AsyncClient, mqtt::EventLoop) {
    mqtt::AsyncClient::builder(options(settings)).capacity(connection::REQUESTS).build()
}

/// `keep_alive_seconds` bounds what the broker asks for instead: a ping may always go out sooner, and
/// a dead link would else be noticed as late as the broker likes.
pub(super) async fn poll(eventloop: &mut mqtt::EventLoop, keep_alive_seconds: u16) -> Polled {
    use mqtt::{Event::Incoming, Event::Outgoing, Outgoing as Out};
    Polled::Heard(match eventloop.poll().await {
        Ok(Incoming(Packet::ConnAck(connack))) => {
            // It is read at the handshake only; kept, it would be written after each packet.
            eventloop.options.clear_session_store();
            // The broker's wish has replaced ours. Where it wishes for none, the crate never pings.
            let wished = eventloop.options.keep_alive();
            let most = Duration::from_secs(keep_alive_seconds.into());
            if wished > most {
                eventloop.options.set_keep_alive(keep_alive_seconds);
            }
            let told = connack.properties.as_ref();
            let largest = told.and_then(|told| told.max_packet_size);
            Some(Event::Connected(Limits {
                session_present: connack.session_present,
                receive_maximum: told.and_then(|told| told.receive_max).unwrap_or(u16::MAX),
                max_packet_bytes: largest.map_or(usize::MAX, |bytes| bytes as usize),
                keep_alive: (!wished.is_zero()).then_some(wished.min(most)),
            }))
        }
        Ok(Incoming(Packet::Publish(publish))) => {
            let properties = publish.properties.unwrap_or_default();
            Some(Event::Delivery(Delivery {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload,
                retain: publish.retain,
                duplicate: publish.dup,
                packet_id: publish.pkid,
                response_topic: properties.response_topic,
                correlation: properties.correlation_data.map(|data| data.to_vec()),
            }))
        }
        Ok(Incoming(_)) => None,
        Ok(Outgoing(Out::Publish(_) | Out::Subscribe(_) | Out::PingReq)) => return Polled::Asked,
        Ok(_) => return Polled::Said,
        Err(error) => return Polled::Lost(cause(&error)),
    })
}

pub(super) fn subscribe(
    client: &mqtt::AsyncClient,
    topics: &[String],
) -> Result<BoxFuture<'static, Answer>, NotSent> {
    // Retain As Published: a command that is published with the retain flag comes with it at once, and
    // not only when it is found at the next connection. A stored one is sent for a new session only.
    let filters = topics.iter().map(|topic| {
        mqtt::SubscribeFilterInput::new(topic.clone(), mqtt::QoS::AtLeastOnce)
            .preserve_retain(true)
            .retain_forward_rule(RetainForwardRule::OnNewSubscribe)
    });
    let notice = client.try_subscribe_many_tracked(filters).map_err(not_sent)?;
    let answer = async {
        let Ok(suback) = notice.wait_async().await else { return Answer::None };
        let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
        match suback.return_codes.iter().find(|code| !granted(code)) {
            Some(code) => Answer::Refused { fault: Fault::Broker, why: format!("{code:?}") },
            None => Answer::Taken,
        }
    };
    Ok(answer.boxed())
}

pub(super) fn publish(
    client: &mqtt::AsyncClient,
    message: Message,
) -> Result<BoxFuture<'static, Answer>, NotSent> {
    let properties = PublishProperties {
        payload_format_indicator: Some(1),
        content_type: Some("application/json".into()),
        correlation_data: message.correlation.map(Into::into),
        message_expiry_interval: message.expires_at.map(|at| seconds_until(at, command::now())),
        ..PublishProperties::default()
    };
    let options = mqtt::PublishOptions::new(mqtt::QoS::AtLeastOnce)
        .retain(message.retain)
        .properties(properties);
    let notice =
        client.try_publish_tracked(message.topic, message.payload, options).map_err(not_sent)?;
    let answer = async {
        match notice.wait_async().await {
            Ok(mqtt::PublishResult::Qos1(PubAck { reason, properties, .. })) => match reason {
                // Nobody listens: the broker has it, and that is all that QoS 1 promises.
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Answer::Taken,
                reason => {
                    let said = properties.and_then(|properties| properties.reason_string);
                    let why = match said {
                        Some(said) => format!("{reason:?}: {said}"),
                        None => format!("{reason:?}"),
                    };
                    Answer::Refused { fault: Fault::of(reason), why }
                }
            },
            Ok(other) => {
                let why = format!("an unexpected answer: {other:?}");
                Answer::Refused { fault: Fault::Broker, why }
            }
            Err(mqtt::PublishNoticeError::RetainNotSupported) => {
                let why = "the broker keeps no retained messages".into();
                Answer::Refused { fault: Fault::Never, why }
            }
            Err(_) => Answer::None,
        }
    };
    Ok(answer.boxed())
}

/// Whole seconds, and at least one: 0 would be no message at all.
fn seconds_until(at: Timestamp, now: Timestamp) -> u32 {
    u32::try_from((at.as_second() - now.as_second()).max(1)).unwrap_or(u32::MAX)
}

pub(super) fn acknowledge(client: &mqtt::AsyncClient, packet_id: u16) -> Result<(), NotSent> {
    client.try_manual_ack(mqtt::ManualAck::PubAck(PubAck::new(packet_id, None))).map_err(not_sent)
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
        ConnectionError::Timeout(_) => "it does not answer: check the network".into(),
        ConnectionError::ConnectionRefused(code)
        | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => {
            connection::login_cause(code)
        }
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
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            match reason_code {
                DisconnectReasonCode::SessionTakenOver => {
                    "another client has connected with the same id: give each device its own \
                     `device.id`"
                        .into()
                }
                DisconnectReasonCode::ServerShuttingDown => "the broker is shutting down".into(),
                code => match reason_string {
                    Some(words) => format!("the broker ended the connection: {words}"),
                    None => format!("the broker ended the connection ({code:?})"),
                },
            }
        }
        ConnectionError::RequestsDone => "it was closed".into(),
        other => other.to_string(),
    }
}
