//! A submission while its options are read, from several places one after the other: a later
//! value takes the place of an earlier one.

use std::str::FromStr;

use super::keys::{KEYS, Key, OBSOLETE};
use super::{Near, PlaceOrder, Submission};
use crate::ListType;
use crate::quantity::{duration, size};

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One text; numbers and truth values as they are written.
    Text(String),
    /// Several.
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

/// Why a key cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no such key.
    #[error("unknown key `{key}`{}", like.map(|like| format!(" (did you mean `{like}`?)")).unwrap_or_default())]
    Unknown {
        /// As it was written.
        key: String,
        /// A key that is nearly that.
        like: Option<&'static str>,
    },
    /// The value is none.
    #[error("`{key}`: {message}")]
    Value {
        /// As it was written.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A place on earth needs all of its three keys.
    #[error("`latitude`, `longitude` and `distance` go together: `{0}` is missing")]
    Place(&'static str),
}

/// Something a user should know about a key that was accepted.
pub type Note = String;

/// A submission that is being put together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    submission: Submission,
    place: [Option<f64>; 3],
    /// Names of native libraries the job uses.
    pub native: Vec<String>,
    /// File that holds the churn, as it was written; [`Draft::set_churn`] gives its text.
    pub churn_file: Option<String>,
    /// File that holds the topology, or what generates it, as it was written.
    pub topology_file: Option<String>,
    /// Whether the number of instances was said.
    pub instances_said: bool,
}

const CONTINENTS: [(&str, &str); 6] = [
    ("af", "africa"),
    ("as", "asia"),
    ("eu", "europe"),
    ("na", "north-america"),
    ("oc", "oceania"),
    ("sa", "south-america"),
];

impl Draft {
    /// Sets a key from what is written in a file or on the command line.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<Option<Note>, KeyError> {
        let bad = |message: String| KeyError::Value { key: key.to_owned(), message };
        if let Some((_, why)) = OBSOLETE.iter().find(|(name, _)| *name == key) {
            return Ok(Some(format!("`{key}` has no effect: {why}")));
        }
        // The field's own name, beside the ratio people think in.
        if key == "udp_drop_per_million" {
            self.submission.limits.udp_drop_per_million =
                text(value).and_then(whole).and_then(|n| at_most(n, 1_000_000)).map_err(bad)?;
            return Ok(None);
        }
        let known =
            Key::find(key).ok_or_else(|| KeyError::Unknown { key: key.to_owned(), like: Key::like(key) })?;
        if known.list {
            self.set_list(known.name, key, &items(known.name, value)).map_err(bad)?;
        } else if let (Value::Text(text), "name" | "description") = (value, known.name) {
            // These may be empty.
            self.set_one(known.name, text).map_err(bad)?;
        } else {
            text(value).and_then(|value| self.set_one(known.name, value)).map_err(bad)?;
        }
        Ok(None)
    }

    fn set_list(&mut self, name: &str, written: &str, items: &[String]) -> Result<(), String> {
        let asked = &mut self.submission;
        if let Some(empty) = items.iter().position(String::is_empty).filter(|_| name != "arguments") {
            return Err(format!("item {} is empty", empty + 1));
        }
        match name {
            "arguments" => asked.arguments = items.to_vec(),
            "environment" => {
                for item in items {
                    let (name, value) =
                        item.split_once('=').ok_or_else(|| format!("`{item}` is not NAME=VALUE"))?;
                    asked.environment.insert(name.to_owned(), value.to_owned());
                }
            }
            "designated" => asked.designated = items.to_vec(),
            "mandatory" => asked.mandatory = items.to_vec(),
            "labels" => asked.filters.labels = items.to_vec(),
            "hosts" => asked.filters.hosts = items.to_vec(),
            "countries" => {
                let country = |item: &String| {
                    let item = item.to_lowercase();
                    let continent =
                        CONTINENTS.iter().find(|(code, _)| *code == item && written == "localization");
                    continent.map_or(item, |(_, name)| (*name).to_owned())
                };
                asked.filters.countries = items.iter().map(country).collect();
            }
            "native" => self.native = items.to_vec(),
            _ => unreachable!("a list key without a place: {name}"),
        }
        Ok(())
    }

    fn set_one(&mut self, name: &str, value: &str) -> Result<(), String> {
        let asked = &mut self.submission;
        let (filters, limits) = (&mut asked.filters, &mut asked.limits);
        match name {
            "instances" => {
                asked.instances = positive(whole(value)?)?;
                self.instances_said = true;
            }
            "name" => asked.name = value.to_owned(),
            "description" => asked.description = value.to_owned(),
            "seed" => asked.seed = Some(whole(value)?),
            "churn" => {
                if value.contains('\n') {
                    self.set_churn(value.to_owned());
                } else {
                    self.churn_file = Some(value.to_owned());
                }
            }
            "topology" => {
                let is_text = value.contains('\n');
                asked.topology = is_text.then(|| value.to_owned());
                self.topology_file = (!is_text).then(|| value.to_owned());
            }
            "topology_places" => {
                asked.topology_places = match value.to_ascii_lowercase().as_str() {
                    "ordered" => PlaceOrder::Ordered,
                    "shuffled" => PlaceOrder::Shuffled,
                    _ => return Err(format!("`{value}` is neither ordered nor shuffled")),
                }
            }
            "list_type" => {
                asked.list_type = match value.to_ascii_lowercase().as_str() {
                    "head" => ListType::Head,
                    "random" => ListType::Random,
                    _ => return Err(format!("`{value}` is neither head nor random")),
                }
            }
            "list_size" => asked.list_size = whole(value)?,
            "max_time" => asked.max_time = positive_seconds(value)?,
            "grace_time" => asked.grace_time = seconds(value)?,
            "scheduled_at" => asked.scheduled_at = Some(instant(value)?),
            "strict" => asked.strict = switch(value)?,
            "queue_timeout" => asked.queue_timeout = seconds(value)?,
            "factor" => asked.factor = within(number(value)?, 1.0, 10.0)?,
            "per_splayd" => asked.per_splayd = whole(value)?,
            "same_nodes_as" => asked.same_nodes_as = Some(value.to_owned()),
            "latitude" => self.place[0] = Some(within(number(value)?, -90.0, 90.0)?),
            "longitude" => self.place[1] = Some(within(number(value)?, -180.0, 180.0)?),
            "distance" => self.place[2] = Some(within(number(value)?, 0.0, 20_100.0)?),
            "max_load" => filters.max_load = Some(within(number(value)?, 0.0, 1e6)?),
            "min_uptime" => filters.min_uptime = Some(seconds(value)?),
            "min_free_memory_bytes" => filters.min_free_memory_bytes = Some(size(value)?),
            "splayd_version" => filters.splayd_version = Some(value.to_owned()),
            "max_memory_bytes" => limits.max_memory_bytes = size(value)?,
            "max_disk_bytes" => limits.max_disk_bytes = size_or_none(value)?,
            "max_files" => limits.max_files = whole(value)?,
            "max_file_descriptors" => limits.max_file_descriptors = whole(value)?,
            "max_send_bytes" => limits.max_send_bytes = size_or_none(value)?,
            "max_receive_bytes" => limits.max_receive_bytes = size_or_none(value)?,
            "send_bytes_per_second" => limits.send_bytes_per_second = size_or_none(value)?,
            "receive_bytes_per_second" => limits.receive_bytes_per_second = size_or_none(value)?,
            "job_send_bytes_per_second" => limits.job_send_bytes_per_second = size_or_none(value)?,
            "job_receive_bytes_per_second" => limits.job_receive_bytes_per_second = size_or_none(value)?,
            "max_sockets" => limits.max_sockets = whole(value)?,
            "ports" => limits.ports = positive(whole(value)?)?,
            "slice_milliseconds" => limits.slice_milliseconds = positive(whole(value)?)?,
            "cpu_permille" => limits.cpu_permille = whole(value)?,
            "udp_drop_ratio" => {
                limits.udp_drop_per_million = (within(number(value)?, 0.0, 1.0)? * 1e6).round() as u32;
            }
            "traffic_threads" => limits.traffic_threads = whole(value)?,
            "max_log_bytes" => limits.max_log_bytes = size_or_none(value)?,
            _ => unreachable!("a key without a place: {name}"),
        }
        Ok(())
    }

    /// The churn itself.
    pub fn set_churn(&mut self, text: String) {
        self.submission.churn = Some(text);
        self.churn_file = None;
    }

    /// Whether the churn itself was given, rather than a file's name.
    pub fn has_churn(&self) -> bool {
        self.submission.churn.is_some()
    }

    /// The submission, once all places have been read.
    pub fn finish(mut self) -> Result<Submission, KeyError> {
        let names = ["latitude", "longitude", "distance"];
        self.submission.filters.near = match self.place {
            [None, None, None] => None,
            [Some(latitude), Some(longitude), Some(distance)] => Some(Near { latitude, longitude, distance }),
            place => {
                let missing = place.iter().position(Option::is_none).expect("one of them is");
                return Err(KeyError::Place(names[missing]));
            }
        };
        Ok(self.submission)
    }

    /// Names of all keys a file may hold, new and old.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        KEYS.iter().flat_map(|key| std::iter::once(key.name).chain(key.old.iter().copied()))
    }
}

/// The items of a list; a single text is cut at blanks, commas and bars, as headers have it, but an
/// item of the environment only at blanks, since its value may hold the others.
fn items(name: &str, value: &Value) -> Vec<String> {
    let cut = |text: &String| match name {
        "arguments" | "environment" => text.split_whitespace().map(str::to_owned).collect(),
        _ => text.split([' ', '\t', ',', '|']).filter(|item| !item.is_empty()).map(str::to_owned).collect(),
    };
    match value {
        Value::Text(text) => cut(text),
        Value::List(items) => items.clone(),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) if !text.is_empty() => Ok(text),
        Value::Text(_) => Err("has no value".to_owned()),
        Value::List(_) => Err("takes one value, not a list".to_owned()),
    }
}

fn whole<N: FromStr>(text: &str) -> Result<N, String> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("{text} is too large"))
        }
        Err(_) => Err(format!("`{text}` is not a whole number")),
    }
}

fn positive<N: Default + PartialEq>(number: N) -> Result<N, String> {
    if number == N::default() { Err("must be at least 1".to_owned()) } else { Ok(number) }
}

fn at_most(number: u32, most: u32) -> Result<u32, String> {
    if number > most { Err(format!("must be at most {most}")) } else { Ok(number) }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| format!("`{text}` is not a number"))
}

fn within(number: f64, least: f64, most: f64) -> Result<f64, String> {
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("must be from {least} to {most}")) }
}

fn seconds(text: &str) -> Result<f64, String> {
    Ok(duration(text)?.as_secs_f64())
}

fn positive_seconds(text: &str) -> Result<f64, String> {
    match seconds(text)? {
        0.0 => Err("must be more than 0".to_owned()),
        seconds => Ok(seconds),
    }
}

fn size_or_none(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { size(text) }
}

fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// Seconds since 1970. Which instant a time without an offset from UTC is depends on the machine,
/// so such a time is not taken here.
fn instant(text: &str) -> Result<f64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return within(seconds, 0.0, 1e11);
    }
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("`{text}` is neither seconds since 1970 nor as 2026-03-01T18:30:00Z"))?;
    Ok(time.as_microsecond() as f64 / 1e6)
}
