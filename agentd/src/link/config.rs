//! `[mqtt]`: which broker, and as whom.
//!
//! Secrets are named by file and never stand in the config or in a URL, so that both can be shown.

use std::fmt;
use std::path::{Path, PathBuf};

use rumqttc_v5::TlsConfiguration;
use serde::Deserialize;

/// The value of `url` that makes the daemon start a broker of its own.
pub const EMBEDDED: &str = "embedded";

/// The `[mqtt]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// The broker: `mqtt://host:1883`, `mqtts://host:8883` with TLS, or `embedded` for one on the board,
    /// which you would use for a kiosk or a demo without a fleet.
    pub url: Option<String>,
    /// The port of the `embedded` broker, on 127.0.0.1. Set it where another broker has the usual one.
    pub embedded_port: u16,
    /// Several brokers, tried in turn. Set it instead of `url` where a second one takes over.
    pub urls: Vec<String>,
    /// The MQTT version, 5 or 4 (which is 3.1.1). Set 4 for a broker that knows no MQTT 5.
    pub protocol: u8,
    /// The user name. Set it where the broker asks for one.
    pub username: Option<String>,
    /// A file that holds the password, read at the start; a newline at its end is not part of it.
    pub password_file: Option<PathBuf>,
    /// The client id. Set it where the broker's access rules expect a certain one; it must stay the same
    /// over restarts and differ between devices. Default: `agentd-<device>`.
    pub client_id: Option<String>,
    /// The certificates (PEM) that may have signed the broker's. Set it for a private authority; else those
    /// of the system count.
    pub ca_file: Option<PathBuf>,
    /// This device's certificate (PEM). Set it, with `ca_file`, where the broker asks for one.
    pub client_cert_file: Option<PathBuf>,
    /// The key (PEM) of `client_cert_file`.
    pub client_key_file: Option<PathBuf>,
    /// A silent link is probed after this. Set it higher on metered networks; a dead link is noticed after
    /// twice as long.
    pub keep_alive_seconds: u16,
    /// How often figures are published; 0 for never. Set it higher on metered networks.
    pub telemetry_seconds: u64,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: None,
            embedded_port: 1883,
            urls: Vec::new(),
            protocol: 5,
            username: None,
            password_file: None,
            client_id: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            keep_alive_seconds: 15,
            telemetry_seconds: 60,
        }
    }
}

/// What is wrong with the section.
#[derive(Debug, thiserror::Error)]
pub enum MqttConfigError {
    /// Neither or both of `url` and `urls`.
    #[error("`mqtt` needs exactly one of `url` and `urls`: set `url = \"mqtt://host:1883\"`")]
    OneUrl,
    /// A URL that cannot be used.
    #[error("`{url}` in `mqtt.url` cannot be used: {why}")]
    Url {
        /// The URL as written, without what may be a secret.
        url: String,
        /// What is wrong and what to write.
        why: String,
    },
    /// A version other than 4 and 5.
    #[error("`mqtt.protocol` is {0}; it is 5, or 4 for MQTT 3.1.1")]
    Protocol(u8),
    /// A client id that would not be one.
    #[error("`mqtt.client_id` is empty; leave it out to use `agentd-<device>`")]
    ClientId,
    /// A keep-alive of nothing, which would leave a dead link unnoticed.
    #[error("`mqtt.keep_alive_seconds` is {0}; set 5 to 3600")]
    KeepAlive(u16),
    /// A password without a name.
    #[error("`mqtt.password_file` is set without `mqtt.username`; set both")]
    PasswordAlone,
    /// A half of the device's identity.
    #[error(
        "`mqtt.client_cert_file`, `mqtt.client_key_file` and `mqtt.ca_file` are needed together"
    )]
    HalfIdentity,
    /// A file that cannot be read.
    #[error("`mqtt.{key}` names {path}, which cannot be read")]
    File {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The system's certificates cannot be loaded.
    #[error(
        "the system's certificates cannot be loaded ({0}): install ca-certificates, or set `mqtt.ca_file`"
    )]
    SystemCertificates(String),
}

/// One broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// A name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl MqttConfig {
    /// Whether the daemon is to start a broker and put its URL into `url`.
    pub fn is_embedded(&self) -> bool {
        self.url.as_deref() == Some(EMBEDDED)
    }

    /// Checks all that can be checked without a network.
    pub fn check(&self) -> Result<(), MqttConfigError> {
        if !self.is_embedded() {
            self.servers()?;
        }
        if !matches!(self.protocol, 4 | 5) {
            return Err(MqttConfigError::Protocol(self.protocol));
        }
        if self.client_id.as_deref() == Some("") {
            return Err(MqttConfigError::ClientId);
        }
        if !(5..=3600).contains(&self.keep_alive_seconds) {
            return Err(MqttConfigError::KeepAlive(self.keep_alive_seconds));
        }
        self.password()?;
        self.tls().map(|_| ())
    }

    /// The brokers, in the order in which they are tried.
    pub fn servers(&self) -> Result<Vec<Server>, MqttConfigError> {
        let urls: Vec<&String> = self.url.iter().chain(&self.urls).collect();
        if urls.is_empty() || (self.url.is_some() && !self.urls.is_empty()) {
            return Err(MqttConfigError::OneUrl);
        }
        urls.into_iter().map(|url| parse(url)).collect()
    }

    /// The password, where one is configured.
    pub fn password(&self) -> Result<Option<String>, MqttConfigError> {
        let Some(path) = &self.password_file else { return Ok(None) };
        if self.username.is_none() {
            return Err(MqttConfigError::PasswordAlone);
        }
        let text = std::fs::read_to_string(path).map_err(|source| MqttConfigError::File {
            key: "password_file",
            path: path.clone(),
            source,
        })?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// How connections are encrypted, where any of them is.
    pub fn tls(&self) -> Result<Option<TlsConfiguration>, MqttConfigError> {
        let read = |key, path: &Path| {
            std::fs::read(path).map_err(|source| MqttConfigError::File {
                key,
                path: path.into(),
                source,
            })
        };
        let client_auth = match (&self.client_cert_file, &self.client_key_file) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                Some((read("client_cert_file", cert)?, read("client_key_file", key)?))
            }
            _ => return Err(MqttConfigError::HalfIdentity),
        };
        if let Some(path) = &self.ca_file {
            let ca = read("ca_file", path)?;
            return Ok(Some(TlsConfiguration::Simple { ca, alpn: None, client_auth }));
        }
        if client_auth.is_some() {
            return Err(MqttConfigError::HalfIdentity);
        }
        if self.is_embedded() || !self.servers()?.iter().any(|server| server.tls) {
            return Ok(None);
        }
        let system = TlsConfiguration::try_default_rustls()
            .map_err(|e| MqttConfigError::SystemCertificates(e.to_string()))?;
        Ok(Some(system))
    }
}

fn parse(url: &str) -> Result<Server, MqttConfigError> {
    // What stands before an `@` may be a password, and is not repeated in a message.
    let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
    let refuse = |why: &str| MqttConfigError::Url { url: shown.to_owned(), why: why.to_owned() };
    let (tls, rest) = match url.split_once("://") {
        Some(("mqtt", rest)) => (false, rest),
        Some(("mqtts", rest)) => (true, rest),
        Some(_) => return Err(refuse("it must begin with `mqtt://` or `mqtts://`")),
        None if url == EMBEDDED => {
            return Err(refuse("the embedded broker is `url` alone, and has to be started first"));
        }
        None => return Err(refuse("write it as `mqtt://host:1883` or `mqtts://host:8883`")),
    };
    if rest.contains('@') {
        return Err(refuse("set `mqtt.username` and `mqtt.password_file` instead of `name@host`"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(refuse("it has a path; a broker has only a host and a port"));
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) if port.starts_with(':') => (host, Some(&port[1..])),
            _ => return Err(refuse("an IPv6 address is written as `[::1]:1883`")),
        },
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(refuse("it names no host"));
    }
    let port = match port {
        None => {
            if tls {
                8883
            } else {
                1883
            }
        }
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(refuse("its port is not a number from 1 to 65535")),
        },
    };
    Ok(Server { host: host.to_owned(), port, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> MqttConfig {
        MqttConfig { url: Some(url.into()), ..MqttConfig::default() }
    }

    #[test]
    fn urls_name_a_host_a_port_and_whether_it_is_encrypted() {
        for (url, shown) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtts://broker.example/", "mqtts://broker.example:8883"),
            ("mqtt://10.0.0.1:65535", "mqtt://10.0.0.1:65535"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtts://[fe80::1]:99", "mqtts://[fe80::1]:99"),
        ] {
            assert_eq!(config(url).servers().expect(url)[0].to_string(), shown);
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
            ("mqtt://broker/path", "path"),
            ("mqtt://[::1", "[::1]:1883"),
            ("embedded", "started first"),
        ] {
            let error = config(url).servers().expect_err(url).to_string();
            assert!(error.contains(hint), "{url}: {error}");
        }
        let secret = config("mqtt://me:hunter2@broker").servers().expect_err("user").to_string();
        assert!(!secret.contains("hunter2") && secret.contains("password_file"), "{secret}");
    }

    #[test]
    fn one_and_only_one_of_url_and_urls_is_given() {
        assert!(matches!(MqttConfig::default().check(), Err(MqttConfigError::OneUrl)));
        let mut both = config("mqtt://a");
        both.urls = vec!["mqtt://b".into()];
        assert!(matches!(both.check(), Err(MqttConfigError::OneUrl)));
        both.url = None;
        both.urls.push("mqtt://c".into());
        assert_eq!(both.servers().expect("two").len(), 2);
        assert!(config(EMBEDDED).check().is_ok());
    }

    #[test]
    fn bounds_and_halves_are_refused() {
        for (seconds, ok) in [(4, false), (5, true), (3600, true), (3601, false)] {
            let config = MqttConfig { keep_alive_seconds: seconds, ..config("mqtt://a") };
            assert_eq!(config.check().is_ok(), ok, "{seconds}");
        }
        for (protocol, ok) in [(3, false), (4, true), (5, true), (6, false)] {
            assert_eq!(MqttConfig { protocol, ..config("mqtt://a") }.check().is_ok(), ok);
        }
        let alone = MqttConfig { password_file: Some("/x".into()), ..config("mqtt://a") };
        assert!(matches!(alone.check(), Err(MqttConfigError::PasswordAlone)));
        let half = MqttConfig { client_cert_file: Some("/x".into()), ..config("mqtts://a") };
        assert!(matches!(half.check(), Err(MqttConfigError::HalfIdentity)));
        let missing = MqttConfig { ca_file: Some("/no/such/ca.pem".into()), ..config("mqtts://a") };
        assert!(missing.check().expect_err("no file").to_string().contains("/no/such/ca.pem"));
    }

    #[test]
    fn a_password_is_read_without_the_newline_at_its_end() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("password");
        std::fs::write(&path, " s3cret \r\n").expect("write");
        let config = MqttConfig {
            username: Some("me".into()),
            password_file: Some(path),
            ..config("mqtt://a")
        };
        assert_eq!(config.password().expect("read").as_deref(), Some(" s3cret "));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error =
            serde_json::from_str::<MqttConfig>(r#"{"urll": "mqtt://a"}"#).expect_err("urll");
        assert!(error.to_string().contains("`urll`"), "{error}");
    }
}
