//! What an administrator decides: a TOML file, and flags over it. A key that is not known is an error.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::state::{Timing, micros};

/// Where the controller listens unless told otherwise.
pub const LISTEN: &str = "0.0.0.0:8443";

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port.
    pub listen: SocketAddr,
    /// Folder of the database, results and the certificate.
    pub data: PathBuf,
    /// `postgres://user:password@host/name`; absent: SQLite in the data folder.
    pub database: Option<String>,
    /// How splayds and users reach the controller, for join tokens: `https://host:port`.
    pub url: Option<String>,
    /// Certificate chain (PEM) instead of an own one.
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// Names in the own certificate beside `localhost`.
    pub names: Vec<String>,
    /// Most bytes of a submission with its files.
    pub max_upload_bytes: usize,
    /// Most bytes of logs, compressed, of one job.
    pub max_log_bytes: u64,
    /// Most bytes of one result file.
    pub max_result_bytes: u64,
    /// How often splayds tell how they are, seconds.
    pub status_seconds: u32,
    /// A session in which nothing is heard for so long is broken, on either side; seconds.
    pub silence_seconds: u32,
    /// A request with its body has to be there within so long; seconds.
    pub request_seconds: u32,
    /// Folder of result files, which several controllers have to share; absent: in the data folder, or,
    /// with PostgreSQL, in the database.
    pub results: Option<PathBuf>,
    /// How other controllers on the same database reach this one; absent: by its own address.
    pub internal_url: Option<String>,
    /// What is kept of jobs that are over.
    pub retention: Retention,
    /// Times.
    pub timing: Seconds,
}

/// Times in seconds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seconds {
    /// A splayd may be offline for so long before what it hosts is lost.
    pub offline_grace: f64,
    /// Splayds have so long to deploy a job.
    pub deploy: f64,
    /// And so long to load it.
    pub load: f64,
    /// The start is set so far ahead.
    pub start_margin: f64,
    /// The rest of logs and results has so long to come.
    pub drain: f64,
    /// Churn is sent so far ahead.
    pub ahead: f64,
    /// A scheduled job is deployed so long before its time.
    pub lead: f64,
    /// Before a job's start, a splayd may be offline for so long before others take its part.
    pub absent: f64,
    /// A job stays in memory for so long after its end.
    pub keep: f64,
}

/// How long logs and results are kept after the end of their jobs. The jobs themselves, what happened
/// to them and their programs stay.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Those of the last so many jobs; 0: of all.
    pub jobs: u32,
    /// For so many days; 0: for ever.
    pub days: f64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { jobs: 10_000, days: 90.0 }
    }
}

impl Default for Seconds {
    fn default() -> Self {
        let t = Timing::default();
        let seconds = |us: u64| us as f64 / 1e6;
        Seconds {
            offline_grace: seconds(t.offline_grace),
            deploy: seconds(t.deploy),
            load: seconds(t.load),
            start_margin: seconds(t.start_margin),
            drain: seconds(t.drain),
            ahead: seconds(t.ahead),
            lead: seconds(t.lead),
            absent: seconds(t.absent),
            keep: seconds(t.keep),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: LISTEN.parse().expect("an address and a port"),
            data: PathBuf::from("splay-controller-data"),
            database: None,
            url: None,
            cert: None,
            key: None,
            names: Vec::new(),
            max_upload_bytes: 64 << 20,
            max_log_bytes: 1 << 30,
            max_result_bytes: 1 << 30,
            status_seconds: 10,
            silence_seconds: 60,
            request_seconds: 300,
            results: None,
            internal_url: None,
            retention: Retention::default(),
            timing: Seconds::default(),
        }
    }
}

/// Why a configuration is not good.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("read {0}: {1}")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is no TOML, or has a key or value that makes no sense.
    #[error("{0}: {1}")]
    Parse(PathBuf, String),
    /// Values that do not fit.
    #[error("{0}")]
    Value(String),
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Read(path.to_owned(), error))?;
        let parse = |error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            ConfigError::Parse(path.to_owned(), format!("{line}{}", error.message()))
        };
        toml::from_str(&text).map_err(parse)
    }

    /// Whether its values fit each other.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: &str| Err(ConfigError::Value(text.to_owned()));
        if self.cert.is_some() != self.key.is_some() {
            return wrong("cert and key go together: give both or neither");
        }
        if let Some(url) = self.url.as_ref().filter(|url| !splay_protocol::join::is_controller_url(url)) {
            return wrong(&format!("url `{url}` is not of the form https://host:port"));
        }
        for (name, value) in
            [("silence_seconds", self.silence_seconds), ("request_seconds", self.request_seconds)]
        {
            if !(1..=3600).contains(&value) {
                return wrong(&format!("{name} is {value}: 1 to 3600 are allowed"));
            }
        }
        if let Some(url) =
            self.internal_url.as_ref().filter(|url| !splay_protocol::join::is_controller_url(url))
        {
            return wrong(&format!("internal_url `{url}` is not of the form https://host:port"));
        }
        if !(0.0..=36_500.0).contains(&self.retention.days) {
            return wrong(&format!(
                "retention.days is {}: days from 0 to 36500 are allowed",
                self.retention.days
            ));
        }
        let t = &self.timing;
        for (name, value) in [
            ("offline_grace", t.offline_grace),
            ("deploy", t.deploy),
            ("load", t.load),
            ("start_margin", t.start_margin),
            ("drain", t.drain),
            ("ahead", t.ahead),
            ("lead", t.lead),
            ("absent", t.absent),
            ("keep", t.keep),
        ] {
            if !(0.0..=1e6).contains(&value) {
                return wrong(&format!("timing.{name} is {value}: seconds from 0 to 1000000 are allowed"));
            }
        }
        Ok(())
    }

    /// The times.
    pub fn timing(&self) -> Timing {
        let t = &self.timing;
        Timing {
            offline_grace: micros(t.offline_grace),
            deploy: micros(t.deploy),
            load: micros(t.load),
            start_margin: micros(t.start_margin),
            drain: micros(t.drain),
            ahead: micros(t.ahead),
            lead: micros(t.lead),
            absent: micros(t.absent),
            keep: micros(t.keep),
        }
    }

    /// The database's address.
    pub fn database_url(&self) -> String {
        let file = || format!("sqlite:{}?mode=rwc", self.data.join("controller.db").display());
        self.database.clone().unwrap_or_else(file)
    }

    /// How other controllers on the same database reach this one.
    pub fn own_url(&self, listening: SocketAddr) -> String {
        if let Some(url) = &self.internal_url {
            return url.trim_end_matches('/').to_owned();
        }
        match listening.ip().is_unspecified() {
            true => {
                let system = rustix::system::uname();
                format!("https://{}:{}", system.nodename().to_string_lossy(), listening.port())
            }
            false => format!("https://{listening}"),
        }
    }

    /// How others reach the controller.
    pub fn public_url(&self, listening: SocketAddr) -> String {
        if let Some(url) = &self.url {
            return url.trim_end_matches('/').to_owned();
        }
        match listening.ip().is_unspecified() {
            true => format!("https://localhost:{}", listening.port()),
            false => format!("https://{listening}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\nlissten = 3\n").unwrap();
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(error.contains("line 2: unknown field `lissten`"), "{error}");
        std::fs::write(&path, "[timing]\noffline_grace = -1\n").unwrap();
        let error = Config::load(&path).unwrap().check().unwrap_err().to_string();
        assert!(error.starts_with("timing.offline_grace is -1"), "{error}");
        std::fs::write(&path, "silence_seconds = 0\n").unwrap();
        let error = Config::load(&path).unwrap().check().unwrap_err().to_string();
        assert!(error.starts_with("silence_seconds is 0"), "{error}");
    }
}
