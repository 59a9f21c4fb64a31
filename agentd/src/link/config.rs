//! `[mqtt]`: which broker, and as whom.
//!
//! Secrets are named by file, or by the credential that systemd hands over, and never stand in the config
//! or in a URL, so that both can be shown.
//!
//! Bounds: [`MOST_SERVERS`] brokers; [`MOST_ALPN`] protocol names of 1 to 255 bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rumqttc_v5::TlsConfiguration;
use serde::Deserialize;

use super::local::LocalConfig;
use super::server::Server;
use super::servers::MOST_SERVERS;
use crate::credential::{self, CredentialError};

/// The value of `url` that makes the daemon start a broker of its own.
pub const EMBEDDED: &str = "embedded";
/// The most names in `alpn`.
const MOST_ALPN: usize = 8;

/// The `[mqtt]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// The broker: `mqtt://host:1883`, `mqtts://host:8883` with TLS, or `embedded` for one on the board,
    /// which you would use for a kiosk or a demo without a fleet. `ws://host:9001/mqtt` and
    /// `wss://host/mqtt` carry MQTT in a WebSocket: set them where a firewall or a proxy lets nothing but
    /// HTTP through.
    pub url: Option<String>,
    /// The port of the `embedded` broker, on 127.0.0.1. Set it where another broker has the usual one.
    pub embedded_port: u16,
    /// Up to 8 brokers, the preferred one first. Set it instead of `url` where a second one takes over:
    /// after a loss the preferred one is tried first, then the next.
    pub urls: Vec<String>,
    /// How often a better broker of `urls` is tried while a lesser one is in use, at least; the working
    /// connection is given up only once the better broker has accepted. Set it lower where the lesser
    /// one is dear, and 0 to stay with it until it fails.
    pub failback_seconds: u64,
    /// The MQTT version, 5 or 4 (which is 3.1.1). Set 4 for a broker that knows no MQTT 5.
    pub protocol: u8,
    /// The user name. Set it where the broker asks for one.
    pub username: Option<String>,
    /// A file that holds the password, read at the start; a newline at its end is not part of it. As with
    /// the three files below, `credential:NAME` is the one that systemd hands over with
    /// `LoadCredential=`: set that where secrets lie encrypted or in a TPM.
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
    /// The protocols that are offered in the TLS handshake, such as `["mqtt"]`. Set it where one port
    /// serves several (AWS IoT on 443: `["x-amzn-mqtt-ca"]`).
    pub alpn: Vec<String>,
    /// A silent link is probed after this. A dead one is noticed within 20 s where it is 10 or less. Set it
    /// higher on metered networks; it is then noticed 8 s after the probe.
    pub keep_alive_seconds: u16,
    /// How often figures are published; 0 for never. Set it higher on metered networks.
    pub telemetry_seconds: u64,
    /// A broker on the board beside this one. Set it where front-ends on the board give commands over MQTT
    /// and have to be answered without a network.
    pub local: Option<LocalConfig>,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: None,
            embedded_port: 1883,
            urls: Vec::new(),
            failback_seconds: 300,
            protocol: 5,
            username: None,
            password_file: None,
            client_id: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            alpn: Vec::new(),
            keep_alive_seconds: 10,
            telemetry_seconds: 60,
            local: None,
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
    /// More brokers than are tried.
    #[error("`mqtt.urls` has {0} brokers; at most {MOST_SERVERS} are tried")]
    Urls(usize),
    /// Looks that would follow each other too closely, or hardly ever come.
    #[error("`mqtt.failback_seconds` is {0}; set 5 to 86400, or 0 to stay with a lesser broker")]
    Failback(u64),
    /// Names that TLS cannot carry, or that would not be used.
    #[error("`mqtt.alpn` cannot be used: {0}")]
    Alpn(&'static str),
    /// A version other than 4 and 5.
    #[error("`mqtt.protocol` is {0}; it is 5, or 4 for MQTT 3.1.1")]
    Protocol(u8),
    /// A client id that would not be one.
    #[error("`mqtt.client_id` is empty; leave it out to use `agentd-<device>`")]
    ClientId,
    /// A keep-alive of nothing, which would leave a dead link unnoticed.
    #[error("`mqtt.keep_alive_seconds` is {0}; set 5 to 3600")]
    KeepAlive(u16),
    /// A broker on the board that cannot be one.
    #[error("`mqtt.local.url` cannot be used: {0}")]
    Local(String),
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
    /// A credential that cannot be had.
    #[error("`mqtt.{key}` cannot be used")]
    Credential {
        /// The key.
        key: &'static str,
        /// Why, and what to do.
        source: CredentialError,
    },
    /// The system's certificates cannot be loaded.
    #[error(
        "the system's certificates cannot be loaded ({0}): install ca-certificates, or set `mqtt.ca_file`"
    )]
    SystemCertificates(String),
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
        if self.failback_seconds != 0 && !(5..=86_400).contains(&self.failback_seconds) {
            return Err(MqttConfigError::Failback(self.failback_seconds));
        }
        self.check_alpn()?;
        if let Some(local) = &self.local {
            local.check(self)?;
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
        if urls.len() > MOST_SERVERS {
            return Err(MqttConfigError::Urls(urls.len()));
        }
        urls.into_iter().map(|url| Server::parse(url)).collect()
    }

    /// The section of the broker on the board beside this one, where there is one.
    pub fn on_board(&self) -> Option<Self> {
        self.local.as_ref().map(|local| local.section(self))
    }

    /// How often a better broker is looked for; none for never.
    pub fn failback(&self) -> Option<Duration> {
        (self.failback_seconds > 0).then(|| Duration::from_secs(self.failback_seconds))
    }

    /// The password, where one is configured.
    pub fn password(&self) -> Result<Option<String>, MqttConfigError> {
        let Some(path) = &self.password_file else { return Ok(None) };
        if self.username.is_none() {
            return Err(MqttConfigError::PasswordAlone);
        }
        let bytes = read("password_file", path)?;
        let text = String::from_utf8(bytes).map_err(|e| MqttConfigError::File {
            key: "password_file",
            path: path.clone(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, e),
        })?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// How connections are encrypted, where any of them is.
    pub fn tls(&self) -> Result<Option<TlsConfiguration>, MqttConfigError> {
        let client_auth = match (&self.client_cert_file, &self.client_key_file) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                Some((read("client_cert_file", cert)?, read("client_key_file", key)?))
            }
            _ => return Err(MqttConfigError::HalfIdentity),
        };
        if let Some(path) = &self.ca_file {
            let ca = read("ca_file", path)?;
            let alpn = (!self.alpn.is_empty()).then(|| self.alpn_names());
            return Ok(Some(TlsConfiguration::Simple { ca, alpn, client_auth }));
        }
        if client_auth.is_some() {
            return Err(MqttConfigError::HalfIdentity);
        }
        if !self.is_encrypted()? {
            return Ok(None);
        }
        let mut system = TlsConfiguration::try_default_rustls()
            .map_err(|e| MqttConfigError::SystemCertificates(e.to_string()))?;
        if let TlsConfiguration::Rustls(config) = &mut system {
            Arc::make_mut(config).alpn_protocols = self.alpn_names();
        }
        Ok(Some(system))
    }

    /// Whether any broker is reached over TLS.
    fn is_encrypted(&self) -> Result<bool, MqttConfigError> {
        Ok(!self.is_embedded() && self.servers()?.iter().any(|server| server.tls))
    }

    fn check_alpn(&self) -> Result<(), MqttConfigError> {
        let refuse = |why| Err(MqttConfigError::Alpn(why));
        if self.alpn.len() > MOST_ALPN {
            return refuse("it has more than 8 names");
        }
        if self.alpn.iter().any(|name| !(1..=255).contains(&name.len())) {
            return refuse("a name has 1 to 255 bytes");
        }
        if !self.alpn.is_empty() && !self.is_encrypted()? {
            return refuse("no broker is reached over TLS: it needs `mqtts://` or `wss://`");
        }
        Ok(())
    }

    fn alpn_names(&self) -> Vec<Vec<u8>> {
        self.alpn.iter().map(|name| name.clone().into_bytes()).collect()
    }
}

/// Reads a file, or the credential that its path names.
fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, MqttConfigError> {
    let file =
        credential::resolve(path).map_err(|source| MqttConfigError::Credential { key, source })?;
    std::fs::read(&file).map_err(|source| MqttConfigError::File { key, path: file, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> MqttConfig {
        MqttConfig { url: Some(url.into()), ..MqttConfig::default() }
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
        let urls =
            |count| MqttConfig { urls: vec!["mqtt://a".into(); count], ..Default::default() };
        assert!(urls(MOST_SERVERS).check().is_ok());
        assert!(matches!(urls(MOST_SERVERS + 1).check(), Err(MqttConfigError::Urls(9))));
    }

    #[test]
    fn bounds_and_halves_are_refused() {
        for (seconds, ok) in [(4, false), (5, true), (3600, true), (3601, false)] {
            let config = MqttConfig { keep_alive_seconds: seconds, ..config("mqtt://a") };
            assert_eq!(config.check().is_ok(), ok, "{seconds}");
        }
        for (seconds, ok) in [(0, true), (4, false), (5, true), (86_400, true), (86_401, false)] {
            let config = MqttConfig { failback_seconds: seconds, ..config("mqtt://a") };
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
    fn protocol_names_are_offered_within_their_bounds_and_only_over_tls() {
        let with = |url: &str, alpn: Vec<String>| MqttConfig { alpn, ..config(url) };
        let name = |bytes: usize| vec!["x".repeat(bytes)];
        for (alpn, ok) in [
            (name(255), true),
            (name(256), false),
            (name(0), false),
            (vec!["mqtt".into(); MOST_ALPN], true),
            (vec!["mqtt".into(); MOST_ALPN + 1], false),
        ] {
            assert_eq!(with("wss://a/mqtt", alpn.clone()).check_alpn().is_ok(), ok, "{alpn:?}");
        }
        let plain = with("mqtt://a", vec!["mqtt".into()]).check().expect_err("not encrypted");
        assert!(plain.to_string().contains("`mqtts://`"), "{plain}");
    }

    #[test]
    fn a_credential_that_is_not_given_names_its_key() {
        let config = MqttConfig {
            username: Some("me".into()),
            password_file: Some("credential:no/such".into()),
            ..config("mqtt://a")
        };
        let error = config.check().expect_err("no such credential");
        assert!(error.to_string().contains("mqtt.password_file"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error =
            serde_json::from_str::<MqttConfig>(r#"{"urll": "mqtt://a"}"#).expect_err("urll");
        assert!(error.to_string().contains("`urll`"), "{error}");
    }
}
