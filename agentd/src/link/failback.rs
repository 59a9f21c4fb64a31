//! The way back to a better broker, without giving up the one that works.
//!
//! What is tried is the connection itself: TCP, TLS, login and all, under the device's own client id. It
//! is another broker, so that it takes nothing away from the one in use, and only once it has accepted
//! does the link say goodbye to the old one; the new connection is then the link's. A TCP connection
//! alone would prove little: the kernel of a broker that hangs still accepts, and so does a load balancer
//! with nothing behind it; the link would give up a working connection for nothing, again and again. A
//! login under another client id would be refused where access rules name the client.
//!
//! Where both brokers are one cluster, the login takes the session over from the old connection: then that
//! one ends, which is what was wanted.
//!
//! Bounds: one attempt at a time, each within [`super::driver::CONNECT`]; between two looks at least
//! `mqtt.failback_seconds`.

use log::{debug, info};

use super::backoff;
use super::connection::{self, Connection, Event, Settings};
use super::servers::Servers;

/// Waits until a better broker has accepted a connection. Returns which, and the connection; for ever
/// where there is none to look for.
pub(super) async fn better(servers: Servers, settings: Settings) -> (usize, Connection) {
    loop {
        match servers.look(backoff::random()) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
        for (turn, server) in servers.better().iter().enumerate() {
            let settings = Settings { server: server.clone(), ..settings.clone() };
            match accepted(connection::open(&settings)).await {
                Ok(connection) => {
                    info!(broker:% = server; "a better broker is back; the link moves over");
                    return (turn, connection);
                }
                Err(why) => debug!(broker:% = server, why:% = why; "it cannot be used yet"),
            }
        }
    }
}

/// Waits for the CONNACK.
async fn accepted(mut connection: Connection) -> Result<Connection, String> {
    let first = tokio::select! {
        biased;
        event = connection.events.recv() => event,
        // Its last word is in the channel.
        () = &mut connection.driver => connection.events.try_recv().ok(),
    };
    match first {
        Some(Event::Connected(limits)) => {
            connection.first = Some(Event::Connected(limits));
            Ok(connection)
        }
        Some(Event::Lost(why)) => Err(why),
        _ => Err("it was closed".into()),
    }
}
