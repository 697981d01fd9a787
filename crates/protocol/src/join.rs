//! The join token: one line of text that lets a splayd into a controller. The administrator makes
//! it there and hands it to the machine; it says where the controller is, how to know that it is
//! the right one, and a secret that is good for enrolling.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// What every join token begins with.
pub const PREFIX: &str = "splay-join:v1:";

/// The longest token that is looked at.
const MAX_BYTES: usize = 8192;

/// A join token. `Display` writes the whole text, secret included, as it is meant to be handed
/// over; `Debug` keeps the secret to itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinToken {
    /// The controller: `https://host:port`.
    pub url: String,
    /// Identifier of the token.
    pub token: String,
    /// What proves that the bearer was given it.
    pub secret: String,
    /// SHA-256 of the controller's certificate (DER), lower-case hexadecimal; empty: the
    /// certificate is checked against the system's roots instead.
    pub fingerprint: String,
}

/// Why a text is not a join token. Never shows the text: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// It begins otherwise.
    #[error("a join token begins with `{PREFIX}`")]
    Prefix,
    /// What follows is not the base64 of the JSON expected; often a part was not copied.
    #[error("the join token is damaged: was all of it copied?")]
    Damaged,
    /// The controller's address is none.
    #[error("the join token's url `{0}` is not of the form https://host or https://host:port")]
    Url(String),
    /// The fingerprint is none.
    #[error("the join token's fingerprint is not 64 hexadecimal digits")]
    Fingerprint,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).expect("four strings are JSON");
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("url", &self.url)
            .field("token", &self.token)
            .field("secret", &"...")
            .field("fingerprint", &self.fingerprint)
            .finish()
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<JoinToken, JoinTokenError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(JoinTokenError::Prefix)?;
        if body.len() > MAX_BYTES {
            return Err(JoinTokenError::Damaged);
        }
        let json = URL_SAFE_NO_PAD.decode(body.trim_end_matches('=')).map_err(|_| JoinTokenError::Damaged)?;
        let token: JoinToken = serde_json::from_slice(&json).map_err(|_| JoinTokenError::Damaged)?;
        if !is_controller_url(&token.url) {
            return Err(JoinTokenError::Url(token.url));
        }
        if !token.fingerprint.is_empty() && !is_fingerprint(&token.fingerprint) {
            return Err(JoinTokenError::Fingerprint);
        }
        Ok(token)
    }
}

/// Whether a text is `https://` and a host, with a port or without, and nothing more (a closing
/// `/` apart).
pub fn is_controller_url(url: &str) -> bool {
    controller_address(url).is_some()
}

/// Host and port of a controller's URL; the port is 443 where none is written. An IPv6 address
/// comes without its brackets.
pub fn controller_address(url: &str) -> Option<(&str, u16)> {
    let rest = url.strip_prefix("https://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, after.strip_prefix(':').or(after.is_empty().then_some("443"))?)
        }
        None => rest.rsplit_once(':').unwrap_or((rest, "443")),
    };
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/?#@[]".contains(c);
    if host.is_empty() || host.contains(strange) || (host.contains(':') && !rest.starts_with('[')) {
        return None;
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match port.parse() {
        Ok(0) | Err(_) => None,
        Ok(port) => Some((host, port)),
    }
}

/// Whether a text is a SHA-256 digest in hexadecimal.
pub fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            url: "https://controller.example:8443".to_owned(),
            token: "t1".to_owned(),
            secret: "hush".to_owned(),
            fingerprint: "ab".repeat(32),
        }
    }

    #[test]
    fn a_token_is_golden() {
        let short = JoinToken { fingerprint: String::new(), ..token() };
        let text = "splay-join:v1:eyJ1cmwiOiJodHRwczovL2NvbnRyb2xsZXIuZXhhbXBsZTo4NDQzIiwidG9rZW4i\
                    OiJ0MSIsInNlY3JldCI6Imh1c2giLCJmaW5nZXJwcmludCI6IiJ9";
        assert_eq!(short.to_string(), text);
        assert_eq!(text.parse(), Ok(short));
        assert_eq!(format!(" {}\n", token()).parse(), Ok(token()));
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        assert!(!format!("{:?}", token()).contains("hush"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let read = |text: &str| text.parse::<JoinToken>().unwrap_err();
        assert_eq!(read("hello"), JoinTokenError::Prefix);
        let whole = token().to_string();
        assert_eq!(read(&whole[..whole.len() - 9]), JoinTokenError::Damaged);
        let odd = JoinToken { url: "http://x".to_owned(), ..token() };
        assert_eq!(read(&odd.to_string()), JoinTokenError::Url("http://x".to_owned()));
        let odd = JoinToken { fingerprint: "12".to_owned(), ..token() };
        assert_eq!(read(&odd.to_string()), JoinTokenError::Fingerprint);
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(controller_address("https://a.b"), Some(("a.b", 443)));
        assert_eq!(controller_address("https://a.b:80/"), Some(("a.b", 80)));
        assert_eq!(controller_address("https://[::1]:8443"), Some(("::1", 8443)));
        assert_eq!(controller_address("https://[::1]"), Some(("::1", 443)));
        let bad = [
            "https://",
            "https://a:0",
            "https://a:70000",
            "https://::1",
            "https://a/b",
            "https://u@a",
            "https://a:+8",
            "https://[x]:1",
            "http://a",
        ];
        for url in bad {
            assert_eq!(controller_address(url), None, "{url}");
        }
    }
}
