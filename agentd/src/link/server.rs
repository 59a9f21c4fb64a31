//! One broker, as its URL names it.

use std::fmt;

use super::config::{EMBEDDED, MqttConfigError};

/// One broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// A name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The path of the WebSocket that carries MQTT; none where it is carried by TCP or TLS alone.
    pub websocket: Option<String>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        let scheme = match (&self.websocket, self.tls) {
            (None, false) => "mqtt",
            (None, true) => "mqtts",
            (Some(_), false) => "ws",
            (Some(_), true) => "wss",
        };
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        let path = self.websocket.as_deref().unwrap_or_default();
        write!(f, "{scheme}://{open}{host}{close}:{port}{path}")
    }
}

impl Server {
    /// A broker that is reached over plain TCP.
    pub fn tcp(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, tls: false, websocket: None }
    }

    /// Reads a URL.
    pub fn parse(url: &str) -> Result<Self, MqttConfigError> {
        // What stands before an `@` may be a password, and is not repeated in a message.
        let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
        let refuse = |why: &str| MqttConfigError::Url { url: shown.into(), why: why.to_owned() };
        let (tls, websocket, rest) = match url.split_once("://") {
            Some(("mqtt", rest)) => (false, false, rest),
            Some(("mqtts", rest)) => (true, false, rest),
            Some(("ws", rest)) => (false, true, rest),
            Some(("wss", rest)) => (true, true, rest),
            Some(_) => {
                return Err(refuse(
                    "it must begin with `mqtt://`, `mqtts://`, `ws://` or `wss://`",
                ));
            }
            None if url == EMBEDDED => {
                let why = "the embedded broker is `url` alone, and has to be started first";
                return Err(refuse(why));
            }
            None => return Err(refuse("write it as `mqtt://host:1883` or `mqtts://host:8883`")),
        };
        if rest.contains('@') {
            let why = "set `mqtt.username` and `mqtt.password_file` instead of `name@host`";
            return Err(refuse(why));
        }
        let (rest, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
        if !websocket && !matches!(path, "" | "/") {
            let why = "it has a path; only a broker behind `ws://` or `wss://` has one";
            return Err(refuse(why));
        }
        if path.contains(['?', '#']) {
            return Err(refuse(
                "it has a `?` or a `#`; a WebSocket has only a path, as in `/mqtt`",
            ));
        }
        let (host, port) = split_port(rest).map_err(refuse)?;
        let port = match (port, websocket, tls) {
            (Some(port), ..) => port,
            (None, false, false) => 1883,
            (None, false, true) => 8883,
            (None, true, false) => 80,
            (None, true, true) => 443,
        };
        let websocket = websocket.then(|| if path.is_empty() { "/" } else { path }.to_owned());
        let server = Self { host: host.to_owned(), port, tls, websocket };
        // The WebSocket crate is stricter than we are in what a host and a path may be.
        let plain = Self { tls: false, ..server.clone() }.to_string();
        if server.websocket.is_some() && rumqttc_v5::Broker::websocket(plain).is_err() {
            return Err(refuse("its host or its path has a character that a URL cannot have"));
        }
        Ok(server)
    }
}

fn split_port(rest: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) if port.starts_with(':') => (host, Some(&port[1..])),
            _ => return Err("an IPv6 address is written as `[::1]:1883`"),
        },
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("it names no host");
    }
    match port.map(str::parse) {
        None => Ok((host, None)),
        Some(Ok(port)) if port != 0 => Ok((host, Some(port))),
        Some(_) => Err("its port is not a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host_a_port_and_how_it_is_reached() {
        for (url, shown) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtts://broker.example/", "mqtts://broker.example:8883"),
            ("mqtt://10.0.0.1:65535", "mqtt://10.0.0.1:65535"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtts://[fe80::1]:99", "mqtts://[fe80::1]:99"),
            ("ws://broker", "ws://broker:80/"),
            ("ws://broker:9001/mqtt", "ws://broker:9001/mqtt"),
            ("wss://broker.example/fleet/mqtt", "wss://broker.example:443/fleet/mqtt"),
            ("wss://[::1]:8443/mqtt", "wss://[::1]:8443/mqtt"),
        ] {
            let server = Server::parse(url).expect(url);
            assert_eq!(server.to_string(), shown);
            assert_eq!(Server::parse(shown).expect(shown), server, "{shown} reads back");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_with_what_to_write() {
        for (url, hint) in [
            ("broker:1883", "mqtt://host:1883"),
            ("http://broker", "must begin with"),
            ("mqtt://broker:65536", "1 to 65535"),
            ("mqtt://broker:0", "1 to 65535"),
            ("mqtt://", "no host"),
            ("ws:///mqtt", "no host"),
            ("mqtt://broker/path", "`ws://`"),
            ("ws://broker/mqtt?key=1", "only a path"),
            ("ws://broker/m qtt", "a URL cannot have"),
            ("mqtt://[::1", "[::1]:1883"),
            ("embedded", "started first"),
        ] {
            let error = Server::parse(url).expect_err(url).to_string();
            assert!(error.contains(hint), "{url}: {error}");
        }
        let secret = Server::parse("mqtt://me:hunter2@broker").expect_err("user").to_string();
        assert!(!secret.contains("hunter2") && secret.contains("password_file"), "{secret}");
    }
}
