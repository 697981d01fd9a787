//! The command's side of a testbed: who the controller is, how it is talked to, how what it says is
//! shown. What a command does is in `command/`.

pub mod asked;
pub mod client;
mod connector;
pub mod follow;
pub mod lines;
pub mod outcome;
pub mod sessions;
pub mod shipping;
pub mod sse;
pub mod table;
pub mod times;
pub mod up;
pub mod watch;

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;
use serde::Serialize;
use splay_protocol::api::Job;

use self::client::{Client, segment};
use self::sessions::Sessions;
use crate::failure::Failure;

/// Exit statuses of commands that ask a controller, as `--help` tells them.
pub const STATUSES: &str = "\
Exit status:
  0    done
  2    the command line is wrong
  3    a file is missing or unreadable
  4    a file is wrong: the line is named
  6    a file or output cannot be written
  7    the controller cannot be reached, or is about to end
  8    not logged in, or not allowed to
  9    the controller refuses: no such job, a conflict, a value it does not take
  130  interrupted";

/// Which controller is meant, and how it is shown what it says.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Which controller: a name of `splay login`, or an address [default: the last one logged in to].
    #[arg(long, value_name = "NAME", global = true)]
    pub controller: Option<String>,
    /// As JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Target {
    /// The controller that is meant: `--controller`, else SPLAY_CONTROLLER, else the current one;
    /// SPLAY_TOKEN takes the place of the session's token.
    pub fn client(&self) -> Result<Client, Failure> {
        let sessions = Sessions::load(&sessions::file()?)?;
        let token = variable("SPLAY_TOKEN");
        let wanted = self.controller.clone().or_else(|| variable("SPLAY_CONTROLLER"));
        let wanted = wanted.or_else(|| sessions.current.clone());
        let Some(wanted) = wanted else {
            return Err(Failure::NotLoggedIn(
                "no controller: log in to one with `splay login https://HOST:PORT`, or start a testbed on this \
                 machine with `splay up`"
                    .to_owned(),
            ));
        };
        if let Some((name, session)) = sessions.find(&wanted) {
            if token.is_none() && session.expires_at <= times::now() {
                let ended = times::ago(session.expires_at, times::now());
                let message =
                    format!("the session with {name} ended {ended}: log in again with `splay login {name}`");
                return Err(Failure::NotLoggedIn(message));
            }
            let token = token.unwrap_or_else(|| session.token.clone());
            return Client::new(&session.url, &session.fingerprint, Some(token));
        }
        let Some(url) = address(&wanted) else {
            let known: Vec<&str> = sessions.controllers.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "none is known".to_owned()
            } else {
                format!("known: {}", known.join(", "))
            };
            return Err(Failure::NotLoggedIn(format!("no controller `{wanted}`: {known}")));
        };
        let Some(token) = token else {
            return Err(Failure::NotLoggedIn(format!("not logged in to {url}: `splay login {url}`")));
        };
        let fingerprint = variable("SPLAY_FINGERPRINT").unwrap_or_default();
        Client::new(&url, &fingerprint, Some(token))
    }

    /// Shows an answer: as JSON, or in words.
    pub fn show<T: Serialize>(&self, answer: &T, in_words: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json {
            let text = serde_json::to_string_pretty(answer).expect("answers are JSON");
            return print(&format!("{text}\n"));
        }
        print(&in_words(answer))
    }

    /// Says that something was done, to people alone.
    pub fn done(&self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { print(&format!("{text}\n")) }
    }
}

/// A controller's address as people write it: `https://` may be left out where there is a port.
pub fn address(text: &str) -> Option<String> {
    let text = text.trim_end_matches('/');
    let url = match text.contains("://") {
        true => text.to_owned(),
        false if text.contains(':') || text.contains('.') => format!("https://{text}"),
        false => return None,
    };
    splay_protocol::join::is_controller_url(&url).then_some(url)
}

/// Writes to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Whether standard output shows colours.
pub fn coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none() && io::stdout().is_terminal()
}

/// A job as the controller has it.
pub fn job(client: &Client, id: &str) -> Result<Job, Failure> {
    client.get(&format!("/jobs/{}", segment(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        assert_eq!(address("https://a:1/").as_deref(), Some("https://a:1"));
        assert_eq!(address("127.0.0.1:8443").as_deref(), Some("https://127.0.0.1:8443"));
        assert_eq!(address("splay.example.org").as_deref(), Some("https://splay.example.org"));
        for bad in ["lab", "http://a:1", "https://a/b", ""] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
