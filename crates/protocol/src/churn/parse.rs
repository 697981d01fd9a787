//! Reads the churn language: a recursive descent over each line. Arithmetic is done while reading.

use std::time::Duration;

use super::script::{Action, Churn, Place, Quantity, Rule, Script, When};
use super::source::without_comments;
use super::{LATEST, Leave, SourceError};

/// Parentheses in each other: more is a mistake, and would exhaust the stack.
const DEEPEST: u32 = 100;

/// Reads a script.
pub(super) fn script(text: &str) -> Result<Script, SourceError> {
    let mut script = Script { rules: Vec::new(), seed: None };
    let bare = without_comments(text)?;
    for ((number, original), line) in (1..).zip(text.lines()).zip(&bare) {
        let mut cursor = Cursor { number, original, text: line, at: 0, depth: 0 };
        cursor.blanks();
        if cursor.at == line.len() {
            continue;
        }
        if cursor.keyword(&["seed"]) {
            let begin = cursor.at;
            let seed = cursor.seed()?;
            if script.seed.replace(seed).is_some() {
                return Err(cursor.error(begin, "the seed is told a second time"));
            }
        } else {
            script.rules.push(cursor.rule()?);
        }
        cursor.blanks();
        if cursor.at < line.len() {
            return Err(cursor.unexpected("the end of the line"));
        }
    }
    if script.rules.is_empty() {
        let last = text.lines().count().max(1) as u32;
        let line = text.lines().last().unwrap_or("");
        return Err(SourceError::at(last, line, line.len(), line.len(), "a script needs at least one rule"));
    }
    Ok(script)
}

/// A number, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Scalar(f64),
    Seconds(f64),
}

struct Cursor<'a> {
    number: u32,
    original: &'a str,
    /// The line, comments blanked.
    text: &'a str,
    at: usize,
    depth: u32,
}

type Parsed<T> = Result<T, SourceError>;

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, symbol: char) -> bool {
        let found = self.rest().starts_with(symbol);
        self.at += if found { symbol.len_utf8() } else { 0 };
        found
    }

    /// The letters that come next.
    fn letters(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())]
    }

    /// Takes the word that comes next if it is one of these, in whatever case.
    fn keyword(&mut self, words: &[&str]) -> bool {
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

    fn error(&self, from: usize, message: impl Into<String>) -> SourceError {
        // What is meant ends where something was read; blanks before it are not meant.
        let begin = from + self.text[from..self.at.max(from)].len()
            - self.text[from..self.at.max(from)].trim_start().len();
        SourceError::at(self.number, self.original, begin, self.at.max(begin), message)
    }

    /// Something else than this was found here.
    fn unexpected(&mut self, wanted: &str) -> SourceError {
        self.blanks();
        let rest = self.rest();
        let word = rest.find(char::is_whitespace).map_or(rest, |end| &rest[..end]);
        let message = match word {
            "" => format!("{wanted} was expected here"),
            word => format!("{wanted} was expected, not `{word}`"),
        };
        SourceError::at(self.number, self.original, self.at, self.at + word.len(), message)
    }

    fn seed(&mut self) -> Parsed<u64> {
        self.blanks();
        let rest = self.rest();
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        let seed = digits.parse().map_err(|_| self.unexpected("a whole number below 2^64"))?;
        self.at += digits.len();
        Ok(seed)
    }

    fn rule(&mut self) -> Parsed<Rule> {
        let when = if self.keyword(&["at"]) {
            When::At(self.time()?)
        } else if self.keyword(&["from"]) {
            self.blanks();
            let begin = self.at;
            let from = self.time()?;
            if !self.keyword(&["to"]) {
                return Err(self.unexpected("`to` and the end of the period"));
            }
            let to = self.time()?;
            if to <= from {
                return Err(self.error(begin, "this period ends before it has begun"));
            }
            When::During(from, to)
        } else {
            return Err(self.unexpected("`at TIME`, `from TIME to TIME` or `seed NUMBER`"));
        };
        self.blanks();
        let from = self.at;
        let action = self.action()?;
        let to = self.at;
        let churn = if self.keyword(&["churn"]) { Some(self.churn()?) } else { None };
        let place = Place { line: self.number, text: self.original.to_owned(), from, to };
        Ok(Rule { when, action, churn, place })
    }

    fn action(&mut self) -> Parsed<Action> {
        if self.keyword(&["set"]) {
            self.setting()
        } else if self.keyword(&["join", "add", "increase", "inc"]) {
            self.quantity().map(Action::Join)
        } else if self.keyword(&["leave", "remove", "decrease", "dec"]) {
            let quantity = self.quantity()?;
            Ok(Action::Leave(quantity, self.manner()))
        } else if self.keyword(&["const", "keep"]) {
            Ok(Action::Const)
        } else if self.keyword(&["end", "stop"]) {
            Ok(Action::Stop(self.manner()))
        } else {
            Err(self.unexpected("`set`, `join`, `leave`, `const` or `stop`"))
        }
    }

    fn setting(&mut self) -> Parsed<Action> {
        if self.keyword(&["maximum", "max"]) {
            if !self.keyword(&["population", "pop"]) {
                return Err(self.unexpected("`population`"));
            }
            self.keyword(&["to"]);
            return self.quantity().map(Action::MaxPopulation);
        }
        let ratio = if self.keyword(&["replacement"]) {
            if !self.keyword(&["ratio"]) {
                return Err(self.unexpected("`ratio`"));
            }
            true
        } else if self.keyword(&["rep"]) {
            if !(self.take('.') && self.keyword(&["ratio"])) {
                return Err(self.unexpected("`.ratio`"));
            }
            true
        } else {
            self.keyword(&["repratio"])
        };
        if !ratio {
            return Err(self.unexpected("`max population` or `replacement ratio`"));
        }
        self.keyword(&["to"]);
        self.blanks();
        let begin = self.at;
        match self.quantity()? {
            Quantity::Percent(percent) if percent <= 100.0 => Ok(Action::ReplacementRatio(percent)),
            Quantity::Percent(_) => Err(self.error(begin, "a replacement ratio is at most 100%")),
            Quantity::Nodes(_) => Err(self.error(begin, "a replacement ratio is in percent, such as 50%")),
        }
    }

    fn churn(&mut self) -> Parsed<Churn> {
        let quantity = self.quantity()?;
        self.blanks();
        let per = if self.take('/') || self.keyword(&["per", "each"]) {
            self.blanks();
            let begin = self.at;
            let time = self.time()?;
            if time.is_zero() {
                return Err(self.error(begin, "churn per no time at all"));
            }
            Some(time)
        } else {
            None
        };
        Ok(Churn { quantity, per, leave: self.manner() })
    }

    fn manner(&mut self) -> Leave {
        if self.keyword(&["gracefully", "graceful"]) { Leave::Graceful } else { Leave::Crash }
    }

    /// `10`, `2*(3+4)`, `12.5%`.
    fn quantity(&mut self) -> Parsed<Quantity> {
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
    fn time(&mut self) -> Parsed<Duration> {
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

    fn number(&mut self) -> Option<f64> {
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
