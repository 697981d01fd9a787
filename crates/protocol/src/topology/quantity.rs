//! Times, rates and shares as people write them: `20ms`, `10Mbps`, `1%`. Pure.

use std::time::Duration;

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// Reads `20ms`, `1.5s`, `250us`, `2m`; a number alone is seconds.
pub fn time(text: &str) -> Result<Duration, String> {
    let error = || format!("`{text}` is not a time such as 20ms, 250us or 1.5s");
    let (number, unit) = split(text).ok_or_else(error)?;
    let seconds = match unit {
        "ns" => number / 1e9,
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(error()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| error())
}

/// Reads `10Mbps`, `512kbit/s`, `1Gbps`, `9600bps` as bits per second; factors are powers of 1000.
pub fn rate(text: &str) -> Result<u64, String> {
    let error = || format!("`{text}` is not a rate such as 10Mbps, 512kbps or 1Gbps");
    let (number, unit) = split(text).ok_or_else(error)?;
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix("bit/s").or(unit.strip_suffix("bps")).or(unit.strip_suffix("bit"));
    let factor = match unit.ok_or_else(error)? {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        _ => return Err(error()),
    };
    let bits = (number * factor).round();
    if !(1.0..=1e15).contains(&bits) {
        return Err(format!("the rate `{text}` is not between 1bps and 1000000Gbps"));
    }
    Ok(bits as u64)
}

/// Reads `1%` or `0.01`: a number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let error = || format!("`{text}` is not a share such as 1% or 0.01");
    let (number, percent) = match text.trim().strip_suffix('%') {
        Some(number) => (number.trim(), true),
        None => (text.trim(), false),
    };
    let number: f64 = number.parse().map_err(|_| error())?;
    let value = if percent { number / 100.0 } else { number };
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(format!("the share `{text}` is not from 0 to 1 (0% to 100%)"))
    }
}

/// A time for people, in the largest unit that keeps it above one: `20ms`, `1.5s`.
pub fn time_text(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    let (value, unit) = match nanoseconds {
        n if n >= 1e9 => (n / 1e9, "s"),
        n if n >= 1e6 || n == 0.0 => (n / 1e6, "ms"),
        n if n >= 1e3 => (n / 1e3, "us"),
        n => (n, "ns"),
    };
    format!("{}{unit}", (value * 1000.0).round() / 1000.0)
}

/// A rate for people: `10Mbps`.
pub fn rate_text(bits_per_second: u64) -> String {
    let bits = bits_per_second as f64;
    let (value, unit) = match bits {
        b if b >= 1e9 => (b / 1e9, "Gbps"),
        b if b >= 1e6 => (b / 1e6, "Mbps"),
        b if b >= 1e3 => (b / 1e3, "kbps"),
        b => (b, "bps"),
    };
    format!("{}{unit}", (value * 1000.0).round() / 1000.0)
}

/// A share for people: `1%`.
pub fn share_text(share: f64) -> String {
    format!("{}%", (share * 1e7).round() / 1e5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["20ms", "1.5s", "250us", "7ns", "0ms"] {
            assert_eq!(time_text(time(text).unwrap()), text);
        }
        for text in ["10Mbps", "512kbps", "1.5Gbps", "9bps"] {
            assert_eq!(rate_text(rate(text).unwrap()), text);
        }
        assert_eq!(share(" 1% "), Ok(0.01));
        assert_eq!(share("0.25"), Ok(0.25));
        assert_eq!(share_text(0.015), "1.5%");
        assert_eq!(time("2"), Ok(Duration::from_secs(2)));
        assert_eq!(rate("64kbit/s"), Ok(64_000));
    }

    #[test]
    fn refuses_the_rest() {
        for bad in ["", "ms", "-1ms", "1 day", "nan", "1.2.3s"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        for bad in ["", "10", "0bps", "10MB", "1e9bps", "99999999Gbps"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        for bad in ["", "101%", "-1%", "1.01", "nan", "%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
