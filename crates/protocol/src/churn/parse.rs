//! Reads scripts: a recursive descent over each line. What faults are is read by
//! [`crate::faults::parse`].

use super::cursor::{Cursor, Parsed};
use super::script::{Action, Churn, Place, Quantity, Rule, Script, When};
use super::source::without_comments;
use super::{Leave, SourceError};
use crate::faults::parse::{EXPECTED, check_names};

/// Reads a script.
pub(super) fn script(text: &str) -> Result<Script, SourceError> {
    let mut script = Script { rules: Vec::new(), faults: Vec::new(), groups: Vec::new(), seed: None };
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
        } else if cursor.keyword(&["group"]) {
            script.groups.push(cursor.group()?);
        } else {
            let when = cursor.when()?;
            match cursor.fault_rule(when)? {
                Some(fault) => script.faults.push(fault),
                None => script.rules.push(cursor.rule(when)?),
            }
        }
        cursor.blanks();
        if cursor.at < line.len() {
            return Err(cursor.unexpected("the end of the line"));
        }
    }
    if script.rules.is_empty() && script.faults.is_empty() {
        let last = text.lines().count().max(1) as u32;
        let line = text.lines().last().unwrap_or("");
        return Err(SourceError::at(last, line, line.len(), line.len(), "a script needs at least one rule"));
    }
    check_names(&script.groups, &script.faults)?;
    Ok(script)
}

impl Cursor<'_> {
    fn seed(&mut self) -> Parsed<u64> {
        self.blanks();
        let rest = self.rest();
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        let seed = digits.parse().map_err(|_| self.unexpected("a whole number below 2^64"))?;
        self.at += digits.len();
        Ok(seed)
    }

    fn when(&mut self) -> Parsed<When> {
        if self.keyword(&["at"]) {
            Ok(When::At(self.time()?))
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
            Ok(When::During(from, to))
        } else {
            Err(self.unexpected("`at TIME`, `from TIME to TIME`, `group NAME = NODES` or `seed NUMBER`"))
        }
    }

    /// What follows the time of a rule of churn.
    fn rule(&mut self, when: When) -> Parsed<Rule> {
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
            Err(self.unexpected(EXPECTED))
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
}
