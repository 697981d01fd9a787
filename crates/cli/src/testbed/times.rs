//! Times as people write and read them.

use std::time::{Duration, SystemTime};

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Now, seconds since 1970.
pub fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}

/// `3s ago`, `5m ago`, `2d ago`.
pub fn ago(at: f64, now: f64) -> String {
    match now - at {
        past if past >= 1.0 => format!("{} ago", span(past)),
        future if future <= -1.0 => format!("in {}", span(-future)),
        _ => "now".to_owned(),
    }
}

/// `0.3s`, `45s`, `1m30s`, `2h05m`, `3d02h`.
pub fn span(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=9 => format!("{seconds:.1}s"),
        10..=119 => format!("{whole}s"),
        120..=7199 => format!("{}m{:02}s", whole / 60, whole % 60),
        7200..=172_799 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// `2026-03-01 18:30:00`, where the user is.
pub fn clock(at: f64) -> String {
    zoned(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `18:30:00.123`, where the user is.
pub fn clock_of_line(at_us: u64) -> String {
    zoned(at_us as f64 / 1e6).strftime("%H:%M:%S%.3f").to_string()
}

fn zoned(at: f64) -> Zoned {
    let at = Timestamp::from_microsecond((at * 1e6) as i64).unwrap_or_default();
    at.to_zoned(TimeZone::system())
}

/// Reads an instant: seconds since 1970, `2026-03-01T18:30:00Z`, or where the user is
/// `2026-03-01 18:30`, and `18:30:00`, the next time it is that late; or `+2h`, that much later than now.
pub fn instant(text: &str) -> Result<f64, String> {
    instant_at(text, &Zoned::now())
}

fn instant_at(text: &str, now: &Zoned) -> Result<f64, String> {
    let error =
        || format!("`{text}` is no instant such as 18:30:00, +2h, 2026-03-01 18:30 or 2026-03-01T18:30:00Z");
    let seconds = |at: Timestamp| at.as_microsecond() as f64 / 1e6;
    if let Some(later) = text.strip_prefix('+') {
        let later = splay_protocol::quantity::duration(later).map_err(|_| error())?;
        return Ok(seconds(now.timestamp()) + later.as_secs_f64());
    }
    if let Some(number) = text.parse::<f64>().ok().filter(|number| (0.0..1e11).contains(number)) {
        return Ok(number);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(seconds(at));
    }
    let here = |at: DateTime| at.to_zoned(now.time_zone().clone()).map_err(|_| error());
    if let Ok(time) = text.parse::<Time>() {
        let today = here(now.date().to_datetime(time))?;
        let next = if today < *now {
            now.date().tomorrow().map_err(|_| error())?.to_datetime(time)
        } else {
            today.datetime()
        };
        return here(next).map(|at| seconds(at.timestamp()));
    }
    let at: DateTime = text.parse().map_err(|_| error())?;
    here(at).map(|at| seconds(at.timestamp()))
}

/// Reads an instant of the past: one of [`instant`]'s, or how long ago (`5m`).
pub fn past(text: &str) -> Result<f64, String> {
    match splay_protocol::quantity::duration(text) {
        Ok(ago) if ago < Duration::from_secs(1_000_000_000) => Ok(now() - ago.as_secs_f64()),
        _ => instant(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let told: Vec<String> = [0.34, 45.0, 150.0, 7505.0, 200_000.0].map(span).into();
        assert_eq!(told, ["0.3s", "45s", "2m30s", "2h05m", "2d07h"]);
        assert_eq!(
            (ago(10.0, 70.0), ago(10.0, 10.0), ago(70.0, 10.0)),
            ("60s ago".into(), "now".into(), "in 60s".into())
        );
    }

    #[test]
    fn instants() {
        let now: Zoned = "2026-03-01T12:00:00+01:00[+01:00]".parse().unwrap();
        let read = |text| instant_at(text, &now).unwrap();
        assert_eq!(read("2026-03-01T18:30:00Z"), 1_772_389_800.0);
        assert_eq!(read("1772389800"), 1_772_389_800.0);
        assert_eq!(read("2026-03-01 19:30"), 1_772_389_800.0);
        assert_eq!(read("19:30:00"), 1_772_389_800.0);
        assert_eq!(read("11:30:00"), 1_772_389_800.0 + 16.0 * 3600.0);
        assert_eq!(read("+1h30m"), 1_772_389_800.0 - 7.5 * 3600.0 + 1.5 * 3600.0);
        assert!(instant_at("soon", &now).is_err() && instant_at("+soon", &now).is_err());
        assert!((super::now() - past("5m").unwrap() - 300.0).abs() < 5.0);
    }
}
