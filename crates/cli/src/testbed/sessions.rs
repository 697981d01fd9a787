//! Which controllers this user is logged in to: a file only the user may read.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A controller one is logged in to.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// `https://host:port`.
    pub url: String,
    /// SHA-256 of its certificate; empty: the system's roots vouch for it.
    pub fingerprint: String,
    /// What requests carry.
    pub token: String,
    /// Who.
    pub user: String,
    /// Until when, seconds since 1970.
    pub expires_at: f64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Session { url, user, .. } = self;
        f.debug_struct("Session").field("url", url).field("user", user).finish_non_exhaustive()
    }
}

/// All of them, by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sessions {
    /// The one that commands mean.
    pub current: Option<String>,
    /// By name.
    pub controllers: BTreeMap<String, Session>,
}

/// The file.
pub fn file() -> Result<PathBuf, Failure> {
    let folder = match (std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME")) {
        (Some(folder), _) if Path::new(&folder).is_absolute() => PathBuf::from(folder),
        (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".config"),
        _ => {
            let message = "neither XDG_CONFIG_HOME nor HOME tells where sessions are kept";
            return Err(Failure::Usage(message.to_owned()));
        }
    };
    Ok(folder.join("splay/controllers.json"))
}

impl Sessions {
    /// Reads the file; without one there are no sessions.
    pub fn load(path: &Path) -> Result<Sessions, Failure> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                // The text stays out of the message: it holds tokens.
                let (line, column) = (error.line(), error.column());
                Failure::NotLoggedIn(format!(
                    "{}:{line}:{column}: not a file of sessions; remove it and log in again",
                    path.display()
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Sessions::default()),
            Err(source) => Err(Failure::Read { path: path.to_owned(), source }),
        }
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(self).expect("sessions are JSON");
        let folder = path.parent().expect("the file is in a folder");
        let new = path.with_extension(format!("new.{}", std::process::id()));
        let write = || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&new, path)
        };
        write().map_err(|source| Failure::Write { path: path.to_owned(), source })
    }

    /// Adds or replaces a session and makes it the current one.
    pub fn add(&mut self, name: &str, session: Session) {
        self.controllers.insert(name.to_owned(), session);
        self.current = Some(name.to_owned());
    }

    /// Forgets a session; another one becomes current if this one was.
    pub fn remove(&mut self, name: &str) -> Option<Session> {
        let removed = self.controllers.remove(name);
        if self.current.as_deref() == Some(name) {
            self.current = self.controllers.keys().next().cloned();
        }
        removed
    }

    /// The session of a name or an address.
    pub fn find(&self, name_or_url: &str) -> Option<(&str, &Session)> {
        let url = name_or_url.trim_end_matches('/');
        let by_url = || self.controllers.iter().find(|(_, session)| session.url == url);
        let found = self.controllers.get_key_value(name_or_url).or_else(by_url);
        found.map(|(name, session)| (name.as_str(), session))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn sessions_are_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        let mut sessions = Sessions::load(&path).unwrap();
        let session = Session {
            url: "https://a:1".into(),
            fingerprint: String::new(),
            token: "hush".into(),
            user: "ann".into(),
            expires_at: 7.0,
        };
        assert!(!format!("{session:?}").contains("hush"));
        sessions.add("a", session.clone());
        sessions.add("b", Session { url: "https://b".into(), ..session });
        sessions.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut read = Sessions::load(&path).unwrap();
        assert_eq!(read, sessions);
        assert_eq!(read.find("https://a:1/").unwrap().0, "a");
        read.remove("b");
        assert_eq!(read.current.as_deref(), Some("a"));
        std::fs::write(&path, "{\"controllers\": {\"a\": {\"token\": \"hush\"}}}").unwrap();
        assert!(!Sessions::load(&path).unwrap_err().to_string().contains("hush"));
    }
}
