//! Latency matrices: measured delays between places, such as those of King or PlanetLab.
//!
//! Two forms, told apart by their first line with numbers: a square of values separated by commas
//! (row: from, column: to), or lines `i j ms` (numbered from 0 or 1, spaces or tabs between).
//! Values are one-way milliseconds. Lines that begin with `#` are comments; two of them mean
//! something: `# rtt` (values are round trips: they are halved) and `# unit us` (microseconds).
//! A value that is missing (empty, `nan` or negative) is taken from the other direction.

use std::time::Duration;

use super::TopologyError;

/// Most places: their square in memory is 1.6 GB.
const MOST_PLACES: usize = 20_000;

/// A one-way delay for every ordered pair of places.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    places: usize,
    /// Milliseconds, row by row: from, then to.
    milliseconds: Vec<f32>,
}

impl Matrix {
    /// How many places there are.
    pub fn places(&self) -> usize {
        self.places
    }

    /// One-way delay between two places, numbered from 0, to the microsecond.
    pub fn latency(&self, from: usize, to: usize) -> Duration {
        let milliseconds = f64::from(self.milliseconds[from * self.places + to]);
        Duration::from_micros((milliseconds * 1e3).round() as u64)
    }

    /// Reads either form.
    pub fn parse(text: &str) -> Result<Matrix, TopologyError> {
        let mut factor = 1.0;
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim().trim_start_matches('\u{feff}');
            match line.strip_prefix('#').map(str::trim) {
                Some("rtt") => factor *= 0.5,
                Some("unit us") => factor *= 1e-3,
                Some(_) => {}
                None if line.is_empty() => {}
                None => lines.push((index as u32 + 1, line)),
            }
        }
        let Some((_, first)) = lines.first() else {
            return Err(TopologyError::new(None, "latency matrix", "has no line with numbers"));
        };
        let (places, mut milliseconds) = match first.contains(',') {
            true => square(&lines)?,
            false if first.split_whitespace().count() == 3 => triples(&lines)?,
            false => {
                let problem = "is neither a row of values separated by commas nor `i j ms`";
                return Err(TopologyError::new(lines[0].0, "latency matrix", problem));
            }
        };
        for from in 0..places {
            milliseconds[from * places + from] = 0.0;
            for to in 0..from {
                let (there, back) = (from * places + to, to * places + from);
                match (milliseconds[there].is_nan(), milliseconds[back].is_nan()) {
                    (true, true) => {
                        let problem =
                            format!("neither direction between places {} and {} is known", to + 1, from + 1);
                        return Err(TopologyError::new(None, "latency matrix", problem));
                    }
                    (true, false) => milliseconds[there] = milliseconds[back],
                    (false, true) => milliseconds[back] = milliseconds[there],
                    (false, false) => {}
                }
            }
        }
        milliseconds.iter_mut().for_each(|value| *value *= factor);
        Ok(Matrix { places, milliseconds })
    }
}

/// `NaN` where it is missing.
fn value(line: u32, element: impl Fn() -> String, text: &str) -> Result<f32, TopologyError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(f32::NAN);
    }
    match text.parse::<f32>() {
        Ok(number) if number < 0.0 || number.is_nan() => Ok(f32::NAN),
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(TopologyError::new(line, element(), format!("`{text}` is not a number of milliseconds"))),
    }
}

fn bounded(line: u32, places: usize) -> Result<usize, TopologyError> {
    match places {
        0..=MOST_PLACES => Ok(places),
        _ => Err(TopologyError::new(line, "latency matrix", format!("has more than {MOST_PLACES} places"))),
    }
}

fn square(lines: &[(u32, &str)]) -> Result<(usize, Vec<f32>), TopologyError> {
    let places = bounded(lines[0].0, lines[0].1.split(',').count())?;
    let mut values = Vec::with_capacity(places * places);
    for (row, (line, text)) in lines.iter().enumerate() {
        let before = values.len();
        for (column, text) in text.split(',').enumerate() {
            values.push(value(*line, || format!("row {}, column {}", row + 1, column + 1), text)?);
        }
        let found = values.len() - before;
        if found != places {
            let problem = format!("has {found} values where the first row has {places}");
            return Err(TopologyError::new(*line, format!("row {}", row + 1), problem));
        }
    }
    if lines.len() != places {
        let problem = format!("has {} rows of {places} values: it must be square", lines.len());
        return Err(TopologyError::new(None, "latency matrix", problem));
    }
    Ok((places, values))
}

fn triples(lines: &[(u32, &str)]) -> Result<(usize, Vec<f32>), TopologyError> {
    let mut entries = Vec::with_capacity(lines.len());
    let (mut least, mut greatest) = (usize::MAX, 0);
    for (line, text) in lines {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [from, to, latency] = fields[..] else {
            let problem = format!("has {} fields where `i j ms` has 3", fields.len());
            return Err(TopologyError::new(*line, "triple", problem));
        };
        let place = |name: &str, text: &str| -> Result<usize, TopologyError> {
            let problem = || format!("`{text}` is not the number of a place");
            text.parse().map_err(|_| TopologyError::new(*line, name, problem()))
        };
        let (from, to) = (place("i", from)?, place("j", to)?);
        least = least.min(from).min(to);
        greatest = greatest.max(from).max(to);
        entries.push((from, to, value(*line, || "ms".to_owned(), latency)?));
    }
    let base = least.min(1);
    let places = bounded(lines[0].0, greatest.saturating_add(1) - base)?;
    let mut values = vec![f32::NAN; places * places];
    for (from, to, latency) in entries {
        values[(from - base) * places + to - base] = latency;
    }
    Ok((places, values))
}
