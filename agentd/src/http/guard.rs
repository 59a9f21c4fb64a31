//! Who may come in over TCP. Plain values in, a verdict out.
//!
//! A browser on the board runs pages from anywhere, and any of them can send requests to a loopback
//! address. So over TCP:
//! - the `Host` must be a name of this board: a page whose own name was re-bound to 127.0.0.1 is known
//!   by the name it calls (not needed with a token, which such a page does not have);
//! - what a browser says comes from another site is refused, except that a link may be followed;
//! - where there is a token it is needed for everything but the page itself, which holds no secrets.
//!
//! Over the Unix socket the file's mode has decided already, and no browser can reach it.

use axum::http::{HeaderMap, Method, StatusCode, header};

use super::config::Token;
use crate::command::Denial;

/// What is known of the board by the guard.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The token, where one is configured.
    pub token: Option<Token>,
    /// `[device] id`, which may be used as its name.
    pub device: String,
}

/// A request that is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnedAway {
    /// 400, 401 or 403.
    pub status: StatusCode,
    /// Why, for the caller.
    pub denial: Denial,
}

impl Guard {
    /// Whether a request that came over TCP may go on. `page`: it is for the kiosk page.
    pub fn admit(
        &self,
        method: &Method,
        headers: &HeaderMap,
        page: bool,
    ) -> Result<(), TurnedAway> {
        let forbid = |code, message: &str| TurnedAway {
            status: StatusCode::FORBIDDEN,
            denial: Denial::new(code, message),
        };
        let Some(host) = text(headers, header::HOST) else {
            let denial = Denial::new("bad_request", "the request has no `Host` header");
            return Err(TurnedAway { status: StatusCode::BAD_REQUEST, denial });
        };
        if self.token.is_none() && !self.is_own_name(host) {
            let message =
                "the request is for another host: use http://127.0.0.1 or http://localhost";
            return Err(forbid("wrong_host", message));
        }
        if from_elsewhere(method, headers, host) {
            let message = "the request comes from a page of another site";
            return Err(forbid("cross_origin", message));
        }
        match &self.token {
            Some(token) if !page && !bearer(headers).is_some_and(|given| token.is(given)) => {
                Err(TurnedAway {
                    status: StatusCode::UNAUTHORIZED,
                    denial: Denial::new(
                        "no_token",
                        "send `Authorization: Bearer TOKEN` with the token of `http.token_file`",
                    ),
                })
            }
            _ => Ok(()),
        }
    }

    fn is_own_name(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        is_loopback
            || name.eq_ignore_ascii_case("localhost")
            || (!self.device.is_empty() && name.eq_ignore_ascii_case(&self.device))
    }
}

fn from_elsewhere(method: &Method, headers: &HeaderMap, host: &str) -> bool {
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    // Old browsers send only `Origin`, and `null` from pages that hide where they come from.
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let (_, authority) = origin.split_once("://").unwrap_or_default();
        if !authority.eq_ignore_ascii_case(host) {
            return true;
        }
    }
    let Some(site) = headers.get("sec-fetch-site") else { return false };
    let follows_link = !changes && headers.get("sec-fetch-mode").is_some_and(|m| m == "navigate");
    site != "same-origin" && site != "none" && !follows_link
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: (&str, &str) = ("host", "127.0.0.1:8080");

    #[track_caller]
    fn verdict(token: Option<&str>, method: Method, headers: &[(&str, &str)]) -> Option<String> {
        let guard = Guard { token: token.map(Token::new), device: "greenhouse-1".into() };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().expect("a name");
            map.insert(name, value.parse().expect("a value"));
        }
        guard.admit(&method, &map, false).err().map(|turned_away| turned_away.denial.code)
    }

    #[test]
    fn only_names_of_the_board_are_answered_to_without_a_token() {
        for host in
            ["127.0.0.1", "127.3.2.1:80", "[::1]:8080", "LocalHost:8080", "greenhouse-1:8080"]
        {
            assert_eq!(verdict(None, Method::POST, &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example:8080", "127.0.0.1.evil.example", "192.168.1.4", "[fe80::1]", ""]
        {
            let code = verdict(None, Method::GET, &[("host", host)]);
            assert_eq!(code.as_deref(), Some("wrong_host"), "{host}");
        }
        assert_eq!(verdict(None, Method::GET, &[]).as_deref(), Some("bad_request"));
    }

    #[test]
    fn a_page_of_another_site_cannot_send_a_command() {
        for foreign in [
            ("origin", "https://evil.example"),
            ("origin", "http://127.0.0.1:9090"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            for method in [Method::POST, Method::DELETE, Method::GET] {
                let code = verdict(None, method, &[LOCAL, foreign]);
                assert_eq!(code.as_deref(), Some("cross_origin"), "{foreign:?}");
            }
        }
    }

    #[test]
    fn the_own_page_a_program_and_a_followed_link_are_let_in() {
        let own = [LOCAL, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")];
        assert_eq!(verdict(None, Method::POST, &own), None);
        assert_eq!(verdict(None, Method::POST, &[LOCAL]), None);
        assert_eq!(verdict(None, Method::GET, &[LOCAL, ("sec-fetch-site", "none")]), None);
        let link = [LOCAL, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(verdict(None, Method::GET, &link), None);
        assert_eq!(verdict(None, Method::POST, &link).as_deref(), Some("cross_origin"));
    }

    #[test]
    fn a_token_is_asked_for_and_makes_any_host_name_good() {
        let host = ("host", "greenhouse.example");
        let with = |value| verdict(Some("0123456789abcdef"), Method::GET, &[host, value]);
        assert_eq!(with(("authorization", "Bearer 0123456789abcdef")), None);
        assert_eq!(with(("authorization", "bearer  0123456789abcdef ")), None);
        for wrong in ["Bearer 0123456789abcdeg", "Basic 0123456789abcdef", "0123456789abcdef", ""] {
            assert_eq!(with(("authorization", wrong)).as_deref(), Some("no_token"), "{wrong}");
        }
    }
}
