//! `splay login` and `splay logout`: sessions with controllers.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use splay_protocol::api::{Health, LoggedIn, Login};

use crate::failure::{Failure, complain};
use crate::testbed::client::Client;
use crate::testbed::sessions::{self, Session, Sessions};
use crate::testbed::table::Table;
use crate::testbed::{address, print, times};

const EXAMPLES: &str = "\
Examples:
  splay login https://splay.example.org:8443 -u ann
      asks for the password; shows the certificate's fingerprint and asks whether it is the right one
  splay login lab.example.org:8443 -u ann --name lab --fingerprint 5f1c...e0 < password
      from a script: nothing is asked
  splay login
      the controllers one is logged in to
  splay login lab
      to one that is known: again, or as the one that commands mean from now on

The fingerprint is the SHA-256 digest of the controller's certificate, in hexadecimal; the controller
prints it when it starts. Sessions are kept in controllers.json in the folder splay of
XDG_CONFIG_HOME (or .config at home), which only its owner may read. Without a session, programs use
SPLAY_CONTROLLER (name or address), SPLAY_TOKEN (of `splay tokens add`) and SPLAY_FINGERPRINT.
";

/// Log in to a controller, or list those one is logged in to.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", crate::testbed::STATUSES))]
pub struct LoginArgs {
    /// Address, https://HOST:PORT, or the name of a known controller.
    #[arg(value_name = "CONTROLLER")]
    controller: Option<String>,
    /// User [default: the one of the last session there, or the name one has on this machine].
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// What to call the controller from now on [default: its host].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The certificate to accept: its SHA-256 digest, 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", conflicts_with = "system_roots")]
    fingerprint: Option<String>,
    /// Accept a certificate that this system's roots vouch for, and no other.
    #[arg(long)]
    system_roots: bool,
    /// Read the password from standard input even if that is a terminal.
    #[arg(long)]
    password_stdin: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// A known controller, without its token.
#[derive(Debug, Serialize)]
struct Known<'a> {
    name: &'a str,
    url: &'a str,
    user: &'a str,
    fingerprint: &'a str,
    expires_at: f64,
    current: bool,
}

/// Logs in.
pub fn execute(args: LoginArgs) -> Result<ExitCode, Failure> {
    let path = sessions::file()?;
    let mut sessions = Sessions::load(&path)?;
    let Some(wanted) = &args.controller else {
        list(&sessions, args.json)?;
        return Ok(ExitCode::SUCCESS);
    };
    let known = sessions.find(wanted).map(|(name, session)| (name.to_owned(), session.clone()));
    let url = match &known {
        Some((_, session)) => session.url.clone(),
        None => address(wanted).ok_or_else(|| {
            Failure::Usage(format!(
                "`{wanted}` is neither a known controller nor an address such as https://host:8443"
            ))
        })?,
    };
    let fingerprint = match (&args.fingerprint, args.system_roots, &known) {
        (Some(text), ..) => fingerprint_of(text)?,
        (None, true, _) => String::new(),
        (None, false, Some((_, session))) => session.fingerprint.clone(),
        (None, false, None) => decide(&url)?,
    };
    let client = Client::new(&url, &fingerprint, None)?;
    // Before a password is asked for: is it there, and is it the right one?
    client.get::<Health>("/health")?;
    let user = args.user.clone().or(known.as_ref().map(|(_, session)| session.user.clone()));
    let user = user.or_else(|| std::env::var("USER").ok()).filter(|user| !user.is_empty());
    let user = user.ok_or_else(|| Failure::Usage("whose session? give the user with -u".to_owned()))?;
    let password = password(&format!("Password of {user} at {url}: "), args.password_stdin)?;
    let logged_in: LoggedIn = client.send("POST", "/login", &Login { user, password })?;
    let host =
        splay_protocol::join::controller_address(&url).map_or(url.as_str(), |(host, _)| host).to_owned();
    let name = args.name.or(known.map(|(name, _)| name)).unwrap_or_else(|| free_name(&sessions, &host, &url));
    let user = logged_in.user.name;
    let session =
        Session { url, fingerprint, token: logged_in.token, user, expires_at: logged_in.expires_at };
    let until = times::clock(session.expires_at);
    let told = format!("logged in to {name} ({}) as {} until {until}", session.url, session.user);
    sessions.add(&name, session);
    sessions.save(&path)?;
    match args.json {
        true => list(&sessions, true)?,
        false => complain(&told),
    }
    Ok(ExitCode::SUCCESS)
}

/// The host, or host and port where another controller is there already.
fn free_name(sessions: &Sessions, host: &str, url: &str) -> String {
    match sessions.controllers.get(host) {
        Some(other) if other.url != url => url.trim_start_matches("https://").to_owned(),
        _ => host.to_owned(),
    }
}

fn list(sessions: &Sessions, json: bool) -> Result<(), Failure> {
    let known = |(name, session): (&'_ String, &'_ Session)| {
        let current = sessions.current.as_ref() == Some(name);
        (name.clone(), session.clone(), current)
    };
    let all: Vec<_> = sessions.controllers.iter().map(known).collect();
    if json {
        let rows: Vec<Known<'_>> = all
            .iter()
            .map(|(name, session, current)| Known {
                name,
                url: &session.url,
                user: &session.user,
                fingerprint: &session.fingerprint,
                expires_at: session.expires_at,
                current: *current,
            })
            .collect();
        return print(&(serde_json::to_string_pretty(&rows).expect("rows are JSON") + "\n"));
    }
    if all.is_empty() {
        complain(
            "no controllers: `splay login https://HOST:PORT -u USER`, or `splay up` for one on this machine",
        );
        return Ok(());
    }
    let mut table = Table::new(&["", "NAME", "CONTROLLER", "USER", "SESSION"]);
    let now = times::now();
    for (name, session, current) in all {
        let ends = match session.expires_at > now {
            true => format!("ends {}", times::ago(session.expires_at, now)),
            false => format!("ended {}", times::ago(session.expires_at, now)),
        };
        table.row([if current { "*" } else { "" }.to_owned(), name, session.url, session.user, ends]);
    }
    print(&table.to_string())
}

/// A fingerprint as people write it: upper or lower case, colons or blanks between.
fn fingerprint_of(text: &str) -> Result<String, Failure> {
    let plain: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
    match splay_protocol::join::is_fingerprint(&plain) {
        true => Ok(plain.to_lowercase()),
        false => Err(Failure::Usage(format!("--fingerprint: `{text}` is not 64 hexadecimal digits"))),
    }
}

/// Whom to trust at an address that is new: the system's roots if they vouch for it, else whoever
/// is at the terminal.
fn decide(url: &str) -> Result<String, Failure> {
    if let Ok(client) = Client::new(url, "", None)
        && client.get::<Health>("/health").is_ok()
    {
        return Ok(String::new());
    }
    let (tls, shown) = splay_trust::asking_config();
    Client::with(url, Arc::new(tls), None).get::<Health>("/health")?;
    let shown = shown.get().cloned().unwrap_or_default();
    if !std::io::stdin().is_terminal() {
        let message = format!(
            "its certificate (sha256 {shown}) is not known here: if that is what the controller printed when it \
             started, say --fingerprint {shown}"
        );
        return Err(Failure::Controller { url: url.to_owned(), message });
    }
    let mut err = std::io::stderr();
    let _ = write!(
        err,
        "The controller at {url} shows a certificate that is not known here. Its SHA-256 fingerprint is\n  \
         {shown}\nCompare it with what the controller printed when it started. Is it the right one? [y/N] "
    );
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(Failure::Input)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(shown),
        _ => Err(Failure::NotLoggedIn(format!("not logged in to {url}: its certificate was not accepted"))),
    }
}

/// Asks for a password without echo, or reads the first line of standard input.
pub fn password(prompt: &str, from_stdin: bool) -> Result<String, Failure> {
    if !from_stdin && std::io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt).map_err(Failure::Password);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(Failure::Password)?;
    match line.trim_end_matches(['\n', '\r']) {
        "" => Err(Failure::Usage("no password on standard input".to_owned())),
        password => Ok(password.to_owned()),
    }
}

/// End a session with a controller.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  splay logout\n  splay logout lab")]
pub struct LogoutArgs {
    /// Name or address of the controller [default: the current one].
    #[arg(value_name = "CONTROLLER")]
    controller: Option<String>,
}

/// Ends the session there and forgets it here.
pub fn log_out(args: LogoutArgs) -> Result<ExitCode, Failure> {
    let path = sessions::file()?;
    let mut sessions = Sessions::load(&path)?;
    let wanted = args.controller.or_else(|| sessions.current.clone());
    let wanted = wanted.ok_or_else(|| Failure::NotLoggedIn("not logged in to any controller".to_owned()))?;
    let Some((name, session)) =
        sessions.find(&wanted).map(|(name, session)| (name.to_owned(), session.clone()))
    else {
        return Err(Failure::NotLoggedIn(format!("not logged in to `{wanted}`")));
    };
    sessions.remove(&name);
    sessions.save(&path)?;
    let ended = Client::new(&session.url, &session.fingerprint, Some(session.token))
        .and_then(|client| client.tell("POST", "/logout", None::<&()>));
    match ended {
        Ok(()) => complain(&format!("logged out of {name}")),
        // Here it is forgotten; there it ends in its time.
        Err(error) => {
            complain(&format!("{name} is forgotten here, but the session goes on until its end: {error}"))
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_as_people_write_them() {
        let text = "AB:".repeat(31) + "ab";
        assert_eq!(fingerprint_of(&text).unwrap(), "ab".repeat(32));
        assert_eq!(fingerprint_of("12").unwrap_err().status(), 2);
    }
}
