//! Reads durations, sizes and sets of instances from the command line. Pure.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Reads `60`, `1.5`, `500ms`, `60s`, `1m30s`, `2h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    const ACCEPTED: &str = "not a duration such as 60, 500ms, 60s, 1m30s or 2h";
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| ACCEPTED.to_owned());
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| ACCEPTED.to_owned())?;
    Duration::try_from(signed).map_err(|_| ACCEPTED.to_owned())
}

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

/// Reads `1000000`, `512k`, `64MB`, `1.5GiB`: MB is a million bytes, MiB and M are 2^20.
pub fn size(text: &str) -> Result<u64, String> {
    let error = || "not a size such as 1000000, 512k, 64MB or 1GiB".to_owned();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| error())?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(error()),
    };
    let bytes = number * factor as f64;
    if bytes < 1.0 || bytes > 2f64.powi(53) {
        return Err("must be between 1 byte and 2^53".to_owned());
    }
    Ok(bytes.round() as u64)
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
    fn durations() {
        let ok = |text| duration(text).unwrap_or_else(|_| panic!("{text}"));
        assert_eq!(ok("60"), Duration::from_secs(60));
        assert_eq!(ok("60s"), Duration::from_secs(60));
        assert_eq!(ok("1.5"), Duration::from_millis(1500));
        assert_eq!(ok("500ms"), Duration::from_millis(500));
        assert_eq!(ok("1m30s"), Duration::from_secs(90));
        assert_eq!(ok("2h"), Duration::from_secs(7200));
        for bad in ["", "s", "-1", "-5s", "soon", "nan", "inf", "1 banana"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(positive_duration("0s").is_err());
        assert_eq!("off".parse(), Ok(TimeLimit(None)));
        assert_eq!(ok(&duration_text(Duration::from_millis(90_500))), Duration::from_millis(90_500));
        assert_eq!(duration_text(Duration::from_millis(1860)), "1.86s");
        assert_eq!(duration_text(Duration::from_secs(60)), "60s");
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1000000"), Ok(1_000_000));
        assert_eq!(size("512k"), Ok(524_288));
        assert_eq!(size("64MB"), Ok(64_000_000));
        assert_eq!(size("64 MiB"), Ok(67_108_864));
        assert_eq!(size("1.5GiB"), Ok(1_610_612_736));
        for bad in ["", "MB", "-1", "1XB", "0", "1e400", "99999999999GB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
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
