//! Reads one line of a script: words, amounts and times. Arithmetic is done while reading.

use std::time::Duration;

use super::script::Quantity;
use super::{LATEST, SourceError};

/// Parentheses in each other: more is a mistake, and would exhaust the stack.
const DEEPEST: u32 = 100;

/// A number, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Scalar(f64),
    Seconds(f64),
}

/// A place on a line.
pub(crate) struct Cursor<'a> {
    pub number: u32,
    /// The line as it is written.
    pub original: &'a str,
    /// The line, comments blanked.
    pub text: &'a str,
    /// How far it is read, in bytes.
    pub at: usize,
    pub depth: u32,
}

pub(crate) type Parsed<T> = Result<T, SourceError>;

impl<'a> Cursor<'a> {
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    pub fn take(&mut self, symbol: char) -> bool {
        let found = self.rest().starts_with(symbol);
        self.at += if found { symbol.len_utf8() } else { 0 };
        found
    }

    /// The letters that come next.
    pub fn letters(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())]
    }

    /// Takes the word that comes next if it is one of these, in whatever case.
    pub fn keyword(&mut self, words: &[&str]) -> bool {
        let before = self.at;
        self.blanks();
        let found = self.letters();
        if words.iter().any(|word| word.eq_ignore_ascii_case(found)) {
            self.at += found.len();
            return true;
        }
        self.at = before;
        false
    }

    pub fn error(&self, from: usize, message: impl Into<String>) -> SourceError {
        // What is meant ends where something was read; blanks before it are not meant.
        let begin = from + self.text[from..self.at.max(from)].len()
            - self.text[from..self.at.max(from)].trim_start().len();
        SourceError::at(self.number, self.original, begin, self.at.max(begin), message)
    }

    /// Something else than this was found here.
    pub fn unexpected(&mut self, wanted: &str) -> SourceError {
        self.blanks();
        let rest = self.rest();
        let word = rest.find(char::is_whitespace).map_or(rest, |end| &rest[..end]);
        let message = match word {
            "" => format!("{wanted} was expected here"),
            word => format!("{wanted} was expected, not `{word}`"),
        };
        SourceError::at(self.number, self.original, self.at, self.at + word.len(), message)
    }

    /// `10`, `2*(3+4)`, `12.5%`.
    pub fn quantity(&mut self) -> Parsed<Quantity> {
        self.blanks();
        let begin = self.at;
        let Some(value) = self.numbers() else {
            return Err(self.unexpected("an amount such as 10 or 50%"));
        };
        if value < 0.0 {
            return Err(self.error(begin, "an amount cannot be negative"));
        }
        if !value.is_finite() || value > 1e15 {
            return Err(self.error(begin, "this amount is too large"));
        }
        self.blanks();
        Ok(if self.take('%') { Quantity::Percent(value) } else { Quantity::Nodes(value) })
    }

    /// A time, from the beginning of the churn or a length.
    pub fn time(&mut self) -> Parsed<Duration> {
        self.blanks();
        let begin = self.at;
        let value = self.sum()?;
        let seconds = match value {
            Value::Seconds(seconds) => seconds,
            Value::Scalar(0.0) => 0.0,
            Value::Scalar(_) => {
                return Err(self.error(begin, "a time needs a unit, as in 30s, 5m, 2 hours or 1 day"));
            }
        };
        if seconds < 0.0 {
            return Err(self.error(begin, "this time is negative"));
        }
        if seconds > LATEST.as_secs_f64() {
            return Err(self.error(begin, "this time is beyond 1000000000 seconds, 31 years"));
        }
        Ok(Duration::from_micros((seconds * 1e6).round() as u64))
    }

    /// Times, or numbers, with `+`, `and`, `,` and `-` between them.
    fn sum(&mut self) -> Parsed<Value> {
        let begin = self.at;
        let mut total = self.product()?;
        loop {
            let before = self.at;
            // `1m30s`: a time right behind a time.
            let adjacent = self.rest().starts_with(|c: char| c.is_ascii_digit());
            self.blanks();
            let minus = self.rest().starts_with('-');
            // The comma may have an `and` behind it: `2 hours, 3 minutes, and 20 seconds`.
            let comma = self.take(',');
            let more = self.keyword(&["and"]) || comma || adjacent || self.take('+') || self.take('-');
            if !more {
                self.at = before;
                return Ok(total);
            }
            let sign = if minus { -1.0 } else { 1.0 };
            total = match (total, self.product()?) {
                (Value::Seconds(a), Value::Seconds(b)) => Value::Seconds(a + sign * b),
                (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(a + sign * b),
                (Value::Seconds(a), Value::Scalar(0.0)) | (Value::Scalar(0.0), Value::Seconds(a)) => {
                    Value::Seconds(a)
                }
                _ => return Err(self.error(begin, "a number without a unit next to a time")),
            };
        }
    }

    fn product(&mut self) -> Parsed<Value> {
        let begin = self.at;
        let mut total = self.factor(false)?;
        loop {
            let before = self.at;
            self.blanks();
            if !self.take('*') {
                self.at = before;
                return Ok(total);
            }
            total = match (total, self.factor(true)?) {
                (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(a * b),
                (Value::Scalar(a), Value::Seconds(b)) | (Value::Seconds(a), Value::Scalar(b)) => {
                    Value::Seconds(a * b)
                }
                (Value::Seconds(_), Value::Seconds(_)) => {
                    return Err(self.error(begin, "a time multiplied by a time"));
                }
            };
        }
    }

    /// `30s`, `(3+4) minutes`, `(1m + 30s)`, a bare number; `bare_unit`: also `d`, one day.
    fn factor(&mut self, bare_unit: bool) -> Parsed<Value> {
        self.blanks();
        let begin = self.at;
        let number = self.numbers();
        if let Some(number) = number {
            let end = self.at;
            self.blanks();
            if let Some(unit) = self.unit() {
                return Ok(Value::Seconds(number * unit));
            }
            self.at = end;
            // What was in parentheses may go on as a product of times.
            return Ok(Value::Scalar(number));
        }
        if bare_unit && let Some(unit) = self.unit() {
            return Ok(Value::Seconds(unit));
        }
        if self.take('(') {
            self.descend(begin)?;
            let value = self.sum()?;
            self.depth -= 1;
            self.blanks();
            if !self.take(')') {
                return Err(self.unexpected("`)`"));
            }
            return Ok(value);
        }
        Err(self.unexpected("a time such as 30s or `2 minutes`"))
    }

    fn descend(&mut self, begin: usize) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(begin, "too many parentheses in each other"));
        }
        Ok(())
    }

    /// Takes a unit, in seconds.
    fn unit(&mut self) -> Option<f64> {
        let word = self.letters();
        let seconds = match word.to_ascii_lowercase().as_str() {
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86400.0,
            _ => return None,
        };
        self.at += word.len();
        Some(seconds)
    }

    /// Numbers with `+`, `-`, `*` and parentheses, without blanks between them: as much as can be
    /// read so.
    fn numbers(&mut self) -> Option<f64> {
        let mut total = self.number_product()?;
        loop {
            let before = self.at;
            let sign = if self.take('+') {
                1.0
            } else if self.take('-') {
                -1.0
            } else {
                return Some(total);
            };
            let Some(next) = self.number_product() else {
                self.at = before;
                return Some(total);
            };
            total += sign * next;
        }
    }

    fn number_product(&mut self) -> Option<f64> {
        let mut total = self.number()?;
        loop {
            let before = self.at;
            let next = if self.take('*') { self.number() } else { None };
            let Some(next) = next else {
                self.at = before;
                return Some(total);
            };
            total *= next;
        }
    }

    pub fn number(&mut self) -> Option<f64> {
        let before = self.at;
        if self.take('(') {
            self.depth += 1;
            let value = if self.depth > DEEPEST { None } else { self.numbers() };
            self.depth -= 1;
            if value.is_some() && self.take(')') {
                return value;
            }
            self.at = before;
            return None;
        }
        let rest = self.rest();
        let whole = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if whole == 0 {
            return None;
        }
        let mut end = whole;
        if let Some(fraction) = rest[whole..].strip_prefix('.') {
            let digits = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            end += if digits > 0 { digits + 1 } else { 0 };
        }
        self.at += end;
        rest[..end].parse().ok()
    }
}
