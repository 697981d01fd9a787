//! Sizes and times as people write them. Pure.

use std::time::Duration;

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

/// Reads `60`, `1.5`, `500ms`, `60s`, `1m30s`, `2h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let error = || "not a duration such as 60, 500ms, 60s, 1m30s or 2h".to_owned();
    let of_seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(|_| error());
    if let Ok(seconds) = text.parse::<f64>() {
        return of_seconds(seconds);
    }
    let mut rest = text.trim();
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
        let number: f64 = rest[..digits].parse().map_err(|_| error())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "us" => 1e-6,
            "ms" => 0.001,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => return Err(error()),
        };
        seconds += number * unit;
        rest = rest[letters..].trim_start();
    }
    if text.trim().is_empty() { Err(error()) } else { of_seconds(seconds) }
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
        assert_eq!(ok("20us"), Duration::from_micros(20));
        assert_eq!(ok("1m30s"), Duration::from_secs(90));
        assert_eq!(ok("1 hour 30 min"), Duration::from_secs(5400));
        assert_eq!(ok("2h"), Duration::from_secs(7200));
        assert_eq!(ok("7d"), Duration::from_secs(7 * 86_400));
        for bad in ["", " ", "s", "-1", "-5s", "soon", "nan", "inf", "1 banana", "1s2", "1..s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
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
}
