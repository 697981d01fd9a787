//! Reads time limits and sets of instances from the command line, and writes times and sizes. Pure.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};
pub use splay_protocol::quantity::{duration, size};

/// Like [`duration`], but never nothing.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

/// A limit on time that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit(pub Option<Duration>);

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(TimeLimit(None)),
            _ => positive_duration(text).map(|limit| TimeLimit(Some(limit))),
        }
    }
}

/// A duration as it is written on a command line.
pub fn duration_text(duration: Duration) -> String {
    let fraction = format!("{:09}", duration.subsec_nanos());
    match fraction.trim_end_matches('0') {
        "" => format!("{}s", duration.as_secs()),
        digits => format!("{}.{digits}s", duration.as_secs()),
    }
}

/// A size for people: `512 B`, `1.5 MB`.
pub fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1e3;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1e3;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A set of instances: `3,7` or `1-5,9`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSet(Vec<RangeInclusive<u32>>);

impl InstanceSet {
    /// Whether the instance is one of them.
    pub fn contains(&self, instance: u32) -> bool {
        self.0.iter().any(|range| range.contains(&instance))
    }

    /// The greatest number named.
    pub fn last(&self) -> u32 {
        self.0.iter().map(|range| *range.end()).max().unwrap_or(0)
    }
}

impl FromStr for InstanceSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || "not a list of instances such as 3,7 or 1-5,9".to_owned();
        let number = |text: &str| match text.trim().parse::<u32>() {
            Ok(0) | Err(_) => Err(error()),
            Ok(number) => Ok(number),
        };
        let part = |part: &str| match part.split_once('-') {
            None => number(part).map(|one| one..=one),
            Some((first, last)) => {
                let range = number(first)?..=number(last)?;
                if range.is_empty() { Err(error()) } else { Ok(range) }
            }
        };
        text.split(',').map(part).collect::<Result<_, _>>().map(InstanceSet)
    }
}

impl std::fmt::Display for InstanceSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for InstanceSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits() {
        assert!(positive_duration("0s").is_err());
        assert_eq!("off".parse(), Ok(TimeLimit(None)));
        assert_eq!(
            duration(&duration_text(Duration::from_millis(90_500))),
            Ok(Duration::from_millis(90_500))
        );
        assert_eq!(duration_text(Duration::from_millis(1860)), "1.86s");
        assert_eq!(duration_text(Duration::from_secs(60)), "60s");
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(size_text(999), "999 B");
        assert_eq!(size_text(1500), "1.5 kB");
        assert_eq!(size_text(999_999), "1.0 MB");
        assert_eq!(size_text(2_000_000_000), "2.0 GB");
    }

    #[test]
    fn sets() {
        let set: InstanceSet = "3,7-9".parse().unwrap();
        let inside: Vec<u32> = (1..12).filter(|&number| set.contains(number)).collect();
        assert_eq!(inside, [3, 7, 8, 9]);
        assert_eq!(set.last(), 9);
        assert_eq!(set.to_string(), "3,7-9");
        for bad in ["", "0", "a", "3-", "9-7", "1,,2"] {
            assert!(bad.parse::<InstanceSet>().is_err(), "{bad}");
        }
    }
}
