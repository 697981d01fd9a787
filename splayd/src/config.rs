//! What a splayd is told by its administrator: a TOML file, and options of the command line that
//! win over it. Read once, checked whole; everything after it trusts the type.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use splay_protocol::Limits;
use splay_protocol::limits::lower_rate;
use toml::Spanned;

/// Where the configuration is looked for.
pub const DEFAULT_FILE: &str = "/etc/splay/splayd.toml";

/// Where keys, reports and jobs are kept.
const DEFAULT_DATA: &str = "/var/lib/splayd";

/// Below it the system's own services are; the original used 22000 to 32000.
const DEFAULT_PORTS: (u16, u16) = (22000, 32000);

/// What the spool holds by default.
const DEFAULT_SPOOL_BYTES: u64 = 256 << 20;

/// What files of jobs may take by default, between jobs.
const DEFAULT_CACHE_BYTES: u64 = 1 << 30;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration `{path}`: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, has a key that is not known, or a value that is none.
    #[error("{path}:{line}: {message}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What.
        message: String,
    },
    /// A value makes no sense.
    #[error("{place}: {message}")]
    Value {
        /// The file and key, or the option.
        place: String,
        /// What is wrong.
        message: String,
    },
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name for people.
    pub name: String,
    /// For placement.
    pub labels: BTreeMap<String, String>,
    /// Address instances are reached at; empty: the one the controller sees.
    pub address: String,
    /// First and last port.
    pub ports: (u16, u16),
    /// Instances at the same time.
    pub max_instances: u32,
    /// The most an instance gets.
    pub maxima: Limits,
    /// The most a job gets here.
    pub job: JobMaxima,
    /// Hosts no instance may contact.
    pub blacklist: Vec<String>,
    /// SHA-256 of native libraries that jobs may load.
    pub native_libraries: Vec<String>,
    /// Where everything is kept.
    pub data_directory: PathBuf,
    /// Two letters, or empty.
    pub country: String,
    /// Millionths of degrees.
    pub place: Option<(i64, i64)>,
    /// Size of the spool.
    pub spool_bytes: u64,
    /// Size of the cache of files.
    pub cache_bytes: u64,
    /// Seconds between two status messages where the controller does not care.
    pub status_seconds: u32,
    /// Seconds that jobs get to end when splayd itself is told to.
    pub grace_seconds: u32,
    /// User the worker processes run as, where splayd is root.
    pub worker_user: Option<String>,
}

/// The most a job gets on one splayd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobMaxima {
    /// Instances.
    pub max_instances: u32,
    /// Lua heaps of all its instances together.
    pub max_memory_bytes: u64,
    /// Payload that all its instances send a second; 0: no limit.
    pub send_bytes_per_second: u64,
    /// Payload that all its instances receive a second; 0: no limit.
    pub receive_bytes_per_second: u64,
}

impl Default for JobMaxima {
    fn default() -> Self {
        JobMaxima {
            max_instances: u32::MAX,
            max_memory_bytes: u64::MAX,
            send_bytes_per_second: 0,
            receive_bytes_per_second: 0,
        }
    }
}

/// Options of the command line; what is absent is left to the file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Configuration file (default: /etc/splay/splayd.toml, if it is there)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for the key, reports that wait, cached files and running jobs
    #[arg(long, value_name = "DIR")]
    pub data_directory: Option<PathBuf>,
    /// Name of this splayd
    #[arg(long)]
    pub name: Option<String>,
    /// Label for placement, as KEY or KEY=VALUE; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Address instances are reached at
    #[arg(long)]
    pub address: Option<String>,
    /// Ports for instances, as FIRST-LAST
    #[arg(long, value_name = "FIRST-LAST")]
    pub ports: Option<String>,
    /// Instances hosted at the same time
    #[arg(long, value_name = "N")]
    pub max_instances: Option<u32>,
    /// What an instance may send a second: 1MB, 512k ... (0: no limit)
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub send_rate: Option<u64>,
    /// What an instance may receive a second
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub receive_rate: Option<u64>,
    /// What all instances of a job may send a second together
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub job_send_rate: Option<u64>,
    /// What all instances of a job may receive a second together
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub job_receive_rate: Option<u64>,
    /// Share of a processor core an instance may use, in thousandths (0: no limit)
    #[arg(long, value_name = "P")]
    pub cpu_permille: Option<u32>,
    /// User that worker processes run as, where splayd runs as root
    #[arg(long, value_name = "USER")]
    pub worker_user: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    labels: BTreeMap<String, String>,
    address: Option<String>,
    ports: Option<String>,
    max_instances: Option<u32>,
    maxima: BTreeMap<Spanned<String>, toml::Value>,
    job: JobMaxima,
    blacklist: Vec<String>,
    native_libraries: Vec<String>,
    data_directory: Option<PathBuf>,
    country: Option<String>,
    place: Option<[f64; 2]>,
    spool_bytes: Option<u64>,
    cache_bytes: Option<u64>,
    status_seconds: Option<u32>,
    grace_seconds: Option<u32>,
    worker_user: Option<String>,
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1
}

fn parse(path: &Path, text: &str) -> Result<Raw, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        message: error.message().lines().next().unwrap_or("not TOML").to_owned(),
    })
}

/// The maxima: defaults with what the file says in their place.
fn maxima(
    path: &Path,
    text: &str,
    said: BTreeMap<Spanned<String>, toml::Value>,
) -> Result<Limits, ConfigError> {
    let mut whole = match serde_json::to_value(generous()) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => unreachable!("limits are a table"),
    };
    for (key, value) in said {
        let syntax = |message: String| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_of(text, key.span().start),
            message,
        };
        let name = key.get_ref();
        let Some(slot) = whole.get_mut(name) else {
            return Err(syntax(format!("unknown key `maxima.{name}`")));
        };
        let Some(number) = value.as_integer().and_then(|number| u64::try_from(number).ok()) else {
            return Err(syntax(format!("`maxima.{name}` is not a whole number from 0")));
        };
        *slot = number.into();
        serde_json::from_value::<Limits>(whole.clone().into())
            .map_err(|_| syntax(format!("`maxima.{name}` {number} is too large")))?;
    }
    Ok(serde_json::from_value(whole.into()).expect("every field was checked"))
}

/// What an instance may have at most where the administrator says nothing.
fn generous() -> Limits {
    Limits {
        max_memory_bytes: 256 << 20,
        max_disk_bytes: 1 << 30,
        max_files: 65_536,
        max_send_bytes: 16 << 30,
        max_receive_bytes: 16 << 30,
        ports: 10,
        slice_milliseconds: 30_000,
        max_log_bytes: 1 << 30,
        ..Limits::default()
    }
}

/// Bytes a second; 0 is no limit.
fn rate(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { splay_protocol::quantity::size(text) }
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

fn degrees([latitude, longitude]: [f64; 2]) -> Option<(i64, i64)> {
    let fits = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    fits.then(|| ((latitude * 1e6).round() as i64, (longitude * 1e6).round() as i64))
}

impl Config {
    /// Reads the file and puts the options over it.
    pub fn load(options: &Options) -> Result<Config, ConfigError> {
        let path = options.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && options.config.is_none() => {
                String::new()
            }
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        Config::from_text(&path, &text, options)
    }

    fn from_text(path: &Path, text: &str, options: &Options) -> Result<Config, ConfigError> {
        let raw = parse(path, text)?;
        let bad = |key: &str, from_option: bool, message: String| ConfigError::Value {
            place: if from_option {
                format!("--{}", key.replace('_', "-"))
            } else {
                format!("{}: {key}", path.display())
            },
            message,
        };
        let mut labels = raw.labels;
        for label in &options.labels {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            if key.is_empty() {
                return Err(bad("label", true, format!("`{label}` has no key")));
            }
            labels.insert(key.to_owned(), value.to_owned());
        }
        let ports = match options.ports.as_ref().or(raw.ports.as_ref()) {
            None => DEFAULT_PORTS,
            Some(text) => port_range(text).ok_or_else(|| {
                bad("ports", options.ports.is_some(), format!("`{text}` is not FIRST-LAST, from 1 to 65535"))
            })?,
        };
        let max_instances = options.max_instances.or(raw.max_instances).unwrap_or(100);
        if max_instances == 0 {
            return Err(bad("max_instances", options.max_instances.is_some(), "must be at least 1".into()));
        }
        if let Some(digest) =
            raw.native_libraries.iter().find(|text| !splay_protocol::join::is_fingerprint(text))
        {
            return Err(bad("native_libraries", false, format!("`{digest}` is not a SHA-256 digest")));
        }
        let place = match raw.place {
            None => None,
            Some(place) => Some(
                degrees(place)
                    .ok_or_else(|| bad("place", false, "is [latitude, longitude] in degrees".into()))?,
            ),
        };
        let country = raw.country.unwrap_or_default().to_uppercase();
        let is_code = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if !(country.is_empty() || is_code(&country)) {
            return Err(bad("country", false, format!("`{country}` is not a two-letter code")));
        }
        let spool_bytes = raw.spool_bytes.unwrap_or(DEFAULT_SPOOL_BYTES);
        if spool_bytes < 1 << 20 {
            return Err(bad("spool_bytes", false, format!("{spool_bytes} is less than 1 MiB")));
        }
        let mut maxima = maxima(path, text, raw.maxima)?;
        let mut job = raw.job;
        for (option, slot) in [
            (options.send_rate, &mut maxima.send_bytes_per_second),
            (options.receive_rate, &mut maxima.receive_bytes_per_second),
            (options.job_send_rate, &mut job.send_bytes_per_second),
            (options.job_receive_rate, &mut job.receive_bytes_per_second),
        ] {
            *slot = option.unwrap_or(*slot);
        }
        maxima.cpu_permille = options.cpu_permille.unwrap_or(maxima.cpu_permille);
        // The two places that say the same of a job: the lower counts.
        for (slot, rate) in [
            (&mut maxima.job_send_bytes_per_second, job.send_bytes_per_second),
            (&mut maxima.job_receive_bytes_per_second, job.receive_bytes_per_second),
        ] {
            *slot = lower_rate(*slot, rate);
        }
        if maxima.ports == 0 || u32::from(ports.1 - ports.0) + 1 < u32::from(maxima.ports) {
            return Err(bad(
                "maxima.ports",
                false,
                format!("{} do not fit {}-{}", maxima.ports, ports.0, ports.1),
            ));
        }
        let data = options.data_directory.clone().or(raw.data_directory);
        let data_directory = data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
        Ok(Config {
            name: options.name.clone().or(raw.name).unwrap_or_else(host_name),
            labels,
            address: options.address.clone().or(raw.address).unwrap_or_default(),
            ports,
            max_instances,
            maxima,
            job,
            blacklist: raw.blacklist,
            native_libraries: raw.native_libraries.iter().map(|digest| digest.to_lowercase()).collect(),
            data_directory: std::path::absolute(&data_directory).unwrap_or(data_directory),
            country,
            place,
            spool_bytes,
            cache_bytes: raw.cache_bytes.unwrap_or(DEFAULT_CACHE_BYTES),
            status_seconds: raw.status_seconds.unwrap_or(10).max(1),
            grace_seconds: raw.grace_seconds.unwrap_or(5),
            worker_user: options.worker_user.clone().or(raw.worker_user),
        })
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "splayd".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let options = Options { name: Some("n".into()), ..Options::default() };
        Config::from_text(Path::new("s.toml"), text, &options).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        let config = read("").unwrap();
        assert_eq!(
            (config.ports, config.max_instances, config.spool_bytes),
            ((22000, 32000), 100, 256 << 20)
        );
        assert_eq!(config.data_directory, Path::new(DEFAULT_DATA));
    }

    #[test]
    fn all_keys_are_read() {
        let text = "ports = \"100-200\"\nmax_instances = 7\ncountry = \"ch\"\nplace = [46.99, -6.93]\n\
                    [labels]\nrack = \"3\"\n[maxima]\nmax_sockets = 12\n[job]\nmax_instances = 3\n";
        let config = read(text).unwrap();
        assert_eq!((config.ports, config.maxima.max_sockets, config.job.max_instances), ((100, 200), 12, 3));
        assert_eq!((config.country.as_str(), config.place), ("CH", Some((46_990_000, -6_930_000))));
        assert_eq!(config.labels["rack"], "3");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong = |text: &str| read(text).unwrap_err();
        assert!(
            wrong("\nnmae = \"x\"").starts_with("s.toml:2: unknown field `nmae`"),
            "{}",
            wrong("\nnmae = 1")
        );
        assert_eq!(wrong("[maxima]\n\nmax_sokets = 1"), "s.toml:3: unknown key `maxima.max_sokets`");
        assert_eq!(wrong("[maxima]\nports = 70000"), "s.toml:2: `maxima.ports` 70000 is too large");
        assert_eq!(wrong("[maxima]\nports = -1"), "s.toml:2: `maxima.ports` is not a whole number from 0");
        assert!(wrong("[job]\nx = 1").starts_with("s.toml:2: unknown field `x`"));
        assert_eq!(wrong("ports = \"9-2\""), "s.toml: ports: `9-2` is not FIRST-LAST, from 1 to 65535");
        assert!(wrong("country = \"CHE\"").contains("two-letter"));
        assert!(wrong("place = [91.0, 0.0]").contains("degrees"));
        assert!(wrong("max_instances = \"x\"").starts_with("s.toml:1: "));
    }

    #[test]
    fn the_lower_rate_of_a_job_counts_and_options_win() {
        let text = "[maxima]\nsend_bytes_per_second = 9\njob_send_bytes_per_second = 500\n[job]\n\
                    send_bytes_per_second = 700\nreceive_bytes_per_second = 300\n";
        let maxima = read(text).unwrap().maxima;
        assert_eq!((maxima.send_bytes_per_second, maxima.job_send_bytes_per_second), (9, 500));
        assert_eq!((maxima.receive_bytes_per_second, maxima.job_receive_bytes_per_second), (0, 300));
        let options = Options {
            send_rate: Some(0),
            job_send_rate: Some(100),
            cpu_permille: Some(250),
            ..Options::default()
        };
        let maxima = Config::from_text(Path::new("s.toml"), text, &options).unwrap().maxima;
        assert_eq!((maxima.send_bytes_per_second, maxima.job_send_bytes_per_second), (0, 100));
        assert_eq!(maxima.cpu_permille, 250);
        assert_eq!((rate("0"), rate("2MB")), (Ok(0), Ok(2_000_000)));
    }

    #[test]
    fn options_win() {
        let options = Options {
            ports: Some("5-6".into()),
            labels: vec!["gpu".into(), "rack=4".into()],
            ..Options::default()
        };
        let text = "ports = \"1000-2000\"\n[labels]\nrack = \"3\"\n[maxima]\nports = 2";
        let config = Config::from_text(Path::new("s.toml"), text, &options).unwrap();
        assert_eq!(
            (config.ports, config.labels["rack"].as_str(), config.labels["gpu"].as_str()),
            ((5, 6), "4", "")
        );
        let options = Options { ports: Some("5".into()), ..Options::default() };
        let error = Config::from_text(Path::new("s.toml"), "", &options).unwrap_err().to_string();
        assert!(error.starts_with("--ports: `5`"), "{error}");
    }
}
