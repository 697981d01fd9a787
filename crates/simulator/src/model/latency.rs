//! Distributions of one-way delays: `20ms`, `normal(40ms,10ms)`.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use splay_protocol::seed::SplitMix64;
use splay_protocol::topology::quantity::{time, time_text};

use crate::network::Time;

/// A distribution of delays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// Every delay between two, equally likely.
    Uniform(Duration, Duration),
    /// The bell curve of this mean and deviation. What would be below zero is zero, which matters
    /// where the mean is not well above the deviation.
    Normal(Duration, Duration),
    /// Pareto's: never below the first, and above it with a tail that the shape (more than 1) makes
    /// thin. The mean is `least * shape / (shape - 1)`.
    Pareto(Duration, f64),
}

/// A number from 0 up to, not including, 1.
pub(super) fn unit(random: &mut SplitMix64) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

impl Latency {
    /// No delay at all.
    pub const NONE: Latency = Latency::Constant(Duration::ZERO);

    /// The mean, by which paths and timers are reckoned.
    pub fn mean(&self) -> Duration {
        match *self {
            Latency::Constant(delay) | Latency::Normal(delay, _) => delay,
            Latency::Uniform(least, most) => (least + most) / 2,
            Latency::Pareto(least, shape) => least.mul_f64(shape / (shape - 1.0)),
        }
    }

    /// One delay in nanoseconds. A constant draws nothing.
    pub(super) fn draw(&self, random: &mut SplitMix64) -> Time {
        let nanoseconds = |of: Duration| of.as_nanos() as f64;
        // `as` cuts what is out of range: below zero to zero.
        match *self {
            Latency::Constant(delay) => delay.as_nanos() as Time,
            Latency::Uniform(least, most) => {
                (nanoseconds(least) + unit(random) * nanoseconds(most - least)) as Time
            }
            Latency::Normal(mean, deviation) => {
                (nanoseconds(mean) + nanoseconds(deviation) * normal(random)) as Time
            }
            // The inverse of the distribution function, at a number that is never 0.
            Latency::Pareto(least, shape) => {
                (nanoseconds(least) * (1.0 - unit(random)).powf(-1.0 / shape)) as Time
            }
        }
    }
}

/// A draw from the bell curve of mean 0 and deviation 1 (Box and Muller).
pub(super) fn normal(random: &mut SplitMix64) -> f64 {
    let (u, v) = (1.0 - unit(random), unit(random));
    (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Latency, String> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('(') else { return time(text).map(Latency::Constant) };
        let inside = rest.strip_suffix(')').ok_or_else(|| format!("`{text}` lacks its closing bracket"))?;
        let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        let &[first, second] = &parts[..] else {
            return Err(format!("`{text}` has not two values in brackets"));
        };
        match name.trim() {
            "normal" => Ok(Latency::Normal(time(first)?, time(second)?)),
            "uniform" => {
                let (least, most) = (time(first)?, time(second)?);
                let fits = least <= most;
                fits.then_some(Latency::Uniform(least, most))
                    .ok_or_else(|| format!("`{text}` ends before it begins"))
            }
            "pareto" => match second.parse::<f64>() {
                Ok(shape) if shape > 1.0 && shape.is_finite() => Ok(Latency::Pareto(time(first)?, shape)),
                _ => Err(format!("`{second}` is not a shape: a number greater than 1, such as 3")),
            },
            other => Err(format!("`{other}` is not one of normal, uniform, pareto")),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Latency::Constant(delay) => f.write_str(&time_text(delay)),
            Latency::Uniform(least, most) => write!(f, "uniform({},{})", time_text(least), time_text(most)),
            Latency::Normal(mean, deviation) => {
                write!(f, "normal({},{})", time_text(mean), time_text(deviation))
            }
            Latency::Pareto(least, shape) => write!(f, "pareto({},{shape})", time_text(least)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and deviation of many draws, in milliseconds.
    fn measured(text: &str) -> (f64, f64) {
        let latency: Latency = text.parse().unwrap();
        assert_eq!(latency.to_string(), text);
        let mut random = SplitMix64::new(11);
        let draws: Vec<f64> = (0..200_000).map(|_| latency.draw(&mut random) as f64 / 1e6).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!((mean / (latency.mean().as_secs_f64() * 1e3) - 1.0).abs() < 0.01, "{text}: mean {mean}");
        (mean, variance.sqrt())
    }

    #[test]
    fn means_and_deviations_are_those_of_the_formulas() {
        let near = |measured: f64, expected: f64| (measured / expected - 1.0).abs() < 0.02;
        let (mean, deviation) = measured("20ms");
        assert_eq!((mean, deviation < 1e-9), (20.0, true));
        // (b - a) / sqrt(12) = 20 / 3.4641
        let (mean, deviation) = measured("uniform(10ms,30ms)");
        assert!(near(mean, 20.0) && near(deviation, 5.7735), "{mean} {deviation}");
        let (mean, deviation) = measured("normal(40ms,10ms)");
        assert!(near(mean, 40.0) && near(deviation, 10.0), "{mean} {deviation}");
        // Shape 5: mean 20 * 5/4 = 25; deviation 20 / 4 * sqrt(5 / 3) = 6.455
        let (mean, deviation) = measured("pareto(20ms,5)");
        assert!(near(mean, 25.0) && near(deviation, 6.455), "{mean} {deviation}");
    }

    #[test]
    fn normal_has_the_known_tails() {
        let mut random = SplitMix64::new(5);
        let count = 100_000;
        let beyond = (0..count).filter(|_| normal(&mut random).abs() > 1.96).count();
        let share = beyond as f64 / f64::from(count);
        assert!((share - 0.05).abs() < 0.003, "{share}");
    }

    #[test]
    fn refuses_what_it_cannot_be() {
        for bad in [
            "",
            "fast",
            "normal(1ms)",
            "normal(1ms,2ms",
            "uniform(3ms,2ms)",
            "pareto(1ms,1)",
            "poisson(1ms,2ms)",
        ] {
            assert!(bad.parse::<Latency>().is_err(), "{bad}");
        }
    }
}
