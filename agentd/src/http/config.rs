//! `[http]`: where the daemon listens, and who may come in.
//!
//! Whoever may command the board must be known: beyond loopback there is no listening without a token.
//! A token has at least [`MIN_TOKEN_CHARS`] characters and its file at most [`MAX_TOKEN_BYTES`].

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

/// A shorter token can be guessed.
pub const MIN_TOKEN_CHARS: usize = 16;
/// A larger file is something else than a token.
pub const MAX_TOKEN_BYTES: u64 = 4096;

/// The `[http]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The TCP address. Set it to `0.0.0.0:8080` (with a token) to be reached from other machines, to
    /// `off` where nothing on the board uses TCP.
    #[serde(deserialize_with = "address_or_off")]
    pub listen: Option<SocketAddr>,
    /// The Unix socket of `agentd ask`; whoever may open the file may command the board. Set it where
    /// `/run/agentd` cannot be written, to `off` where `agentd ask` is not wanted.
    #[serde(deserialize_with = "path_or_off")]
    pub socket: Option<PathBuf>,
    /// A file with the token that callers over TCP must send as `Authorization: Bearer TOKEN`. Set it
    /// to listen beyond loopback, or where not every user of the board may command it.
    pub token_file: Option<PathBuf>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            socket: Some("/run/agentd/agentd.sock".into()),
            token_file: None,
        }
    }
}

/// What is wrong with the `[http]` section.
#[derive(Debug, thiserror::Error)]
pub enum HttpConfigError {
    /// Anyone on the network could command the board.
    #[error(
        "`http.listen = \"{listen}\"` can be reached from other machines, and there is no token: set \
         `http.token_file` to a file with a long random word, or listen on 127.0.0.1"
    )]
    OpenWithoutToken {
        /// `http.listen`.
        listen: SocketAddr,
    },
    /// The file cannot be read.
    #[error("the token file {path} cannot be read: check `http.token_file` and the file's owner")]
    TokenUnreadable {
        /// `http.token_file`.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file does not hold a usable token.
    #[error(
        "the token file {path} {why}: put one line of at least {MIN_TOKEN_CHARS} letters and digits \
         into it, for example by `openssl rand -hex 24`"
    )]
    TokenUnusable {
        /// `http.token_file`.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Every user of the board can read the token.
    #[error("the token file {path} can be read by everyone: `chmod o= {path}`")]
    TokenExposed {
        /// `http.token_file`.
        path: PathBuf,
    },
}

impl HttpConfig {
    /// Says whether the daemon could listen like this, and reads the token.
    pub fn check(&self) -> Result<Option<Token>, HttpConfigError> {
        let token = self.token_file.clone().map(Token::read).transpose()?;
        match self.listen {
            Some(listen) if !listen.ip().is_loopback() && token.is_none() => {
                Err(HttpConfigError::OpenWithoutToken { listen })
            }
            _ => Ok(token),
        }
    }
}

/// A token. Only its hash is kept, so that neither a core dump nor a log line shows it.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The token of these words.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether these are its words. The time that this takes says nothing about the token: hashes of
    /// one length are compared to the end.
    pub fn is(&self, given: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(given.as_bytes()).into();
        let differing = self.0.iter().zip(&given).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differing) == 0
    }

    fn read(path: PathBuf) -> Result<Self, HttpConfigError> {
        use std::os::unix::fs::MetadataExt as _;
        let unusable = |why| HttpConfigError::TokenUnusable { path: path.clone(), why };
        let unreadable = |source| HttpConfigError::TokenUnreadable { path: path.clone(), source };
        let metadata = std::fs::metadata(&path).map_err(unreadable)?;
        if metadata.len() > MAX_TOKEN_BYTES {
            return Err(unusable("is too large"));
        }
        if metadata.mode() & 0o004 != 0 {
            return Err(HttpConfigError::TokenExposed { path });
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let token = text.trim();
        if token.chars().count() < MIN_TOKEN_CHARS {
            return Err(unusable("holds too short a token"));
        }
        if !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(unusable("holds more than one word of plain characters"));
        }
        Ok(Self::new(token))
    }
}

fn address_or_off<'de, D: Deserializer<'de>>(input: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(input)?;
    match text.as_str() {
        "" | "off" => Ok(None),
        address => address.parse().map(Some).map_err(|_| {
            serde::de::Error::custom(format!(
                "`{address}` is not an address with a port: write it as \"127.0.0.1:8080\", or \"off\""
            ))
        }),
    }
}

fn path_or_off<'de, D: Deserializer<'de>>(input: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(input)?;
    Ok((!matches!(text.as_str(), "" | "off")).then(|| text.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    fn config(value: serde_json::Value) -> Result<HttpConfig, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn an_empty_section_listens_on_loopback_and_on_the_socket() {
        assert_eq!(config(json!({})).expect("config"), HttpConfig::default());
        assert!(HttpConfig::default().check().expect("fine").is_none());
    }

    #[test]
    fn both_ways_in_can_be_turned_off_and_other_keys_and_words_are_refused() {
        for off in ["", "off"] {
            let both = config(json!({"listen": off, "socket": off})).expect("config");
            assert_eq!((both.listen, both.socket), (None, None));
        }
        assert!(config(json!({"port": 80})).expect_err("refused").to_string().contains("port"));
        let error = config(json!({"listen": "localhost"})).expect_err("refused").to_string();
        assert!(error.contains("127.0.0.1:8080"), "{error}");
    }

    #[test]
    fn listening_beyond_loopback_without_a_token_is_refused() {
        for listen in ["0.0.0.0:8080", "192.168.1.4:80", "[::]:8080"] {
            let error = config(json!({"listen": listen})).expect("config").check();
            let Err(HttpConfigError::OpenWithoutToken { .. }) = error else {
                panic!("{listen} was not refused: {error:?}");
            };
        }
        for listen in ["127.0.0.9:1", "[::1]:8080"] {
            assert!(config(json!({"listen": listen})).expect("config").check().is_ok());
        }
    }

    #[track_caller]
    fn token(content: &str, mode: u32) -> Result<Token, HttpConfigError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).expect("mode");
        let config = HttpConfig {
            listen: Some(SocketAddr::from(([0, 0, 0, 0], 8080))),
            token_file: Some(file.path().into()),
            ..HttpConfig::default()
        };
        config.check().map(|token| token.expect("a token was configured"))
    }

    #[test]
    fn a_token_is_taken_from_its_file_and_knows_only_its_own_words() {
        let token = token("0123456789abcdef\n", 0o640).expect("a token");
        assert!(token.is("0123456789abcdef"));
        for other in ["0123456789abcdeF", "0123456789abcde", "0123456789abcdef0", ""] {
            assert!(!token.is(other));
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn an_unusable_token_file_is_refused_at_its_bounds() {
        use HttpConfigError::{TokenExposed, TokenUnreadable, TokenUnusable};
        assert!(matches!(token("0123456789abcde", 0o600), Err(TokenUnusable { .. })));
        assert!(matches!(token("0123456789 abcdef", 0o600), Err(TokenUnusable { .. })));
        assert!(matches!(token("0123456789abcdef", 0o604), Err(TokenExposed { .. })));
        let fits = usize::try_from(MAX_TOKEN_BYTES).expect("small");
        assert!(token(&"a".repeat(fits), 0o600).is_ok());
        assert!(matches!(token(&"a".repeat(fits + 1), 0o600), Err(TokenUnusable { .. })));
        let missing =
            HttpConfig { token_file: Some("/nowhere/token".into()), ..HttpConfig::default() };
        assert!(matches!(missing.check(), Err(TokenUnreadable { .. })));
    }
}
