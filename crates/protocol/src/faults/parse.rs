//! Reads what a script says of faults.

use std::time::Duration;

use super::{Between, Fault, Group, Manner, Repeat, Rule, Set};
use crate::churn::SourceError;
use crate::churn::cursor::{Cursor, Parsed};
use crate::churn::script::{Place, Quantity, When};
use crate::topology::quantity::rate;

/// First words of faults.
const FAULTS: &str = "partition, drop, loss, delay, jitter, duplicate, reorder, corrupt, bandwidth, refuse, \
                      reset, full, no, slow, pause, crash, restart, clock, read, write";

/// Words that cannot be the name of a group.
const RESERVED: [&str; 6] = ["all", "rest", "node", "and", "to", "from"];

/// Ends of a period shorter than this are noise.
const MOST_REPEATS: u128 = 100_000;

impl Cursor<'_> {
    /// `left = {1..5}`, behind `group`.
    pub fn group(&mut self) -> Parsed<Group> {
        self.blanks();
        let from = self.at;
        let name = self.name().ok_or_else(|| self.unexpected("the name of the group"))?;
        if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(&name)) {
            return Err(self.error(from, format!("`{name}` has a meaning of its own")));
        }
        self.blanks();
        if !self.take('=') {
            return Err(self.unexpected("`=` and the nodes of the group"));
        }
        let nodes = self.set()?;
        if matches!(nodes, Set::Rest) {
            return Err(self.error(from, "a group cannot be the rest: there are no others here"));
        }
        Ok(Group { name, nodes, place: self.place(from) })
    }

    fn place(&self, from: usize) -> Place {
        Place { line: self.number, text: self.original.to_owned(), from, to: self.at }
    }

    /// What follows the time of a rule; `None`: it is not about a fault.
    pub fn fault_rule(&mut self, when: When) -> Parsed<Option<Rule>> {
        let begin = self.at;
        let repeat = if self.keyword(&["every"]) { Some(self.repeat(when, begin)?) } else { None };
        self.blanks();
        let from = self.at;
        let Some(fault) = self.fault()? else {
            return match repeat {
                Some(_) => Err(self.unexpected(&format!("a fault ({FAULTS})"))),
                None => Ok(None),
            };
        };
        let mut when = when;
        let to = self.at;
        if self.keyword(&["for"]) {
            let length = self.length()?;
            when = match (when, repeat) {
                (When::At(at), None) => When::During(at, at + length),
                _ => return Err(self.error(to, "`for` needs an instant (`at`): the rule has a period")),
            };
        }
        let lasts = matches!(when, When::During(..)) && repeat.is_none();
        if fault.is_momentary() && lasts {
            let message = format!("{} happens at an instant (`at`), it does not last", fault.name());
            return Err(self.error(from, message));
        }
        let place = Place { to, ..self.place(from) };
        Ok(Some(Rule { when, repeat, fault, place }))
    }

    fn repeat(&mut self, when: When, begin: usize) -> Parsed<Repeat> {
        let every = self.length()?;
        let lasts = if self.keyword(&["for"]) { self.length()? } else { every };
        let When::During(from, to) = when else {
            return Err(self.error(begin, "`every` needs a period (`from ... to ...`)"));
        };
        if lasts > every {
            return Err(self.error(begin, "each time ends after the next has begun"));
        }
        if (to - from).as_nanos() / every.as_nanos() > MOST_REPEATS {
            return Err(self.error(begin, format!("more than {MOST_REPEATS} times in this period")));
        }
        Ok(Repeat { every, lasts })
    }

    /// A time that is not zero.
    fn length(&mut self) -> Parsed<Duration> {
        self.blanks();
        let begin = self.at;
        match self.time()? {
            Duration::ZERO => Err(self.error(begin, "this time must be more than zero")),
            time => Ok(time),
        }
    }

    fn fault(&mut self) -> Parsed<Option<Fault<Set>>> {
        Ok(Some(if self.keyword(&["partition"]) {
            Fault::Partition(self.groups()?)
        } else if self.keyword(&["drop"]) {
            Fault::Drop(self.between()?)
        } else if self.keyword(&["loss", "lose"]) {
            let share = self.share()?;
            Fault::Loss(self.between()?, share)
        } else if self.keyword(&["delay"]) {
            let least = self.time()?;
            let most = if self.keyword(&["to"]) { self.time()? } else { least };
            if most < least {
                return Err(self.error(self.at, "the longest delay is shorter than the shortest"));
            }
            Fault::Delay(self.between()?, least, most)
        } else if self.keyword(&["jitter"]) {
            let deviation = self.length()?;
            Fault::Jitter(self.between()?, deviation)
        } else if self.keyword(&["duplicate"]) {
            let share = self.share()?;
            Fault::Duplicate(self.between()?, share)
        } else if self.keyword(&["reorder"]) {
            let share = self.share()?;
            self.word("by")?;
            let by = self.length()?;
            Fault::Reorder(self.between()?, share, by)
        } else if self.keyword(&["corrupt"]) {
            let share = self.share()?;
            Fault::Corrupt(self.between()?, share)
        } else if self.keyword(&["bandwidth"]) {
            let rate = self.rate()?;
            Fault::Bandwidth(self.between()?, rate)
        } else if self.keyword(&["refuse"]) {
            self.word("connections")?;
            Fault::Refuse(self.between()?)
        } else if self.keyword(&["reset"]) {
            self.word("connections")?;
            Fault::Reset(self.between()?)
        } else if self.keyword(&["pause"]) {
            Fault::Pause(self.set()?)
        } else if self.keyword(&["crash"]) {
            let (nodes, manner, keeps_files) = self.downfall()?;
            Fault::Crash { nodes, manner, keeps_files }
        } else if self.keyword(&["restart"]) {
            let (nodes, manner, keeps_files) = self.downfall()?;
            Fault::Restart { nodes, manner, keeps_files }
        } else if self.keyword(&["clock"]) {
            self.clock()?
        } else if self.keyword(&["full"]) {
            match self.one_of(&["backlog", "disk"])? {
                0 => Fault::FullBacklog(self.of()?),
                _ => Fault::FullDisk(self.of()?),
            }
        } else if self.keyword(&["no"]) {
            match self.one_of(&["names", "sockets"])? {
                0 => Fault::NoNames(self.of()?),
                _ => Fault::NoSockets(self.of()?),
            }
        } else if self.keyword(&["read", "write"]) {
            let reads = self.text[..self.at].to_ascii_lowercase().ends_with("read");
            self.word("errors")?;
            let share = self.share()?;
            let nodes = self.of()?;
            if reads { Fault::ReadErrors(nodes, share) } else { Fault::WriteErrors(nodes, share) }
        } else if self.keyword(&["slow"]) {
            self.slow()?
        } else {
            return Ok(None);
        }))
    }

    fn slow(&mut self) -> Parsed<Fault<Set>> {
        let names = self.keyword(&["names"]);
        if names || self.keyword(&["disk", "disks"]) {
            self.word("by")?;
            let by = self.length()?;
            let nodes = self.of()?;
            return Ok(if names { Fault::SlowNames(nodes, by) } else { Fault::SlowDisk(nodes, by) });
        }
        let nodes = self.set()?;
        self.word("by")?;
        self.blanks();
        let begin = self.at;
        let times =
            self.number().ok_or_else(|| self.unexpected("how many times slower, such as `10 times`"))?;
        if !(1.0..=1e6).contains(&times) {
            return Err(self.error(begin, "this is not from 1 to 1000000 times"));
        }
        self.word("times")?;
        Ok(Fault::Slow(nodes, times))
    }

    fn clock(&mut self) -> Parsed<Fault<Set>> {
        let nodes = self.of()?;
        Ok(match self.one_of(&["ahead", "behind", "fast", "slow"])? {
            way @ (0 | 1) => {
                let by = self.length()?.as_nanos() as i64;
                Fault::Clock(nodes, if way == 0 { by } else { -by })
            }
            way => {
                self.blanks();
                let begin = self.at;
                let by = self.share()?;
                if by >= 1.0 {
                    return Err(self.error(begin, "a clock is fast or slow by less than 100%"));
                }
                Fault::Drift(nodes, if way == 2 { by } else { -by })
            }
        })
    }

    /// Who goes down, how, and with which files it comes again.
    fn downfall(&mut self) -> Parsed<(Set, Manner, bool)> {
        let nodes = self.set()?;
        let manner = if self.keyword(&["silently"]) {
            Manner::Silently
        } else if self.keyword(&["gracefully"]) {
            Manner::Gracefully
        } else {
            Manner::Killed
        };
        let keeps_files = !self.keyword(&["without"]);
        if !keeps_files || self.keyword(&["with"]) {
            self.keyword(&["its", "their"]);
            self.word("files")?;
        }
        Ok((nodes, manner, keeps_files))
    }

    fn groups(&mut self) -> Parsed<Vec<Set>> {
        let mut groups = vec![self.set()?];
        while self.keyword(&["from"]) {
            groups.push(self.set()?);
        }
        if groups.len() == 1 {
            groups.push(Set::Rest);
        }
        if groups.contains(&Set::All) {
            return Err(self.error(self.at, "a partition is between parts, and this is all"));
        }
        Ok(groups)
    }

    /// `between A and B [one-way]`, `from A to B`, `of A`, or nothing: all.
    fn between(&mut self) -> Parsed<Between<Set>> {
        if self.keyword(&["between"]) {
            let from = self.set()?;
            self.word("and")?;
            let to = self.set()?;
            self.blanks();
            let one_way = ["one-way", "oneway"].into_iter().find(|word| self.rest().starts_with(word));
            self.at += one_way.map_or(0, str::len);
            return Ok(Between { from, to, both_ways: one_way.is_none() });
        }
        if self.keyword(&["from"]) {
            let from = self.set()?;
            self.word("to")?;
            return Ok(Between { from, to: self.set()?, both_ways: false });
        }
        let from = if self.keyword(&["of", "on", "at"]) { self.set()? } else { Set::All };
        Ok(Between { from, to: Set::All, both_ways: true })
    }

    fn of(&mut self) -> Parsed<Set> {
        self.keyword(&["of", "on", "at"]);
        self.set()
    }

    fn set(&mut self) -> Parsed<Set> {
        self.blanks();
        if self.take('{') {
            return self.numbers_set();
        }
        if self.rest().starts_with(|c: char| c.is_ascii_digit() || c == '(') {
            return self.quantity().map(Set::Random);
        }
        if self.keyword(&["node"]) {
            self.blanks();
            let number = self.node()?;
            return Ok(Set::Numbers(vec![(number, number)]));
        }
        let wanted = "nodes, such as {1..5}, 10%, `rest` or a group,";
        let name = self.name().ok_or_else(|| self.unexpected(wanted))?;
        Ok(match name.to_ascii_lowercase().as_str() {
            "all" | "everyone" => Set::All,
            "rest" => Set::Rest,
            _ => Set::Named(name),
        })
    }

    /// What stands in `{1..5, 9}`, behind the first bracket.
    fn numbers_set(&mut self) -> Parsed<Set> {
        let mut ranges = Vec::new();
        loop {
            self.blanks();
            let begin = self.at;
            let from = self.node()?;
            let to = if self.take('.') {
                if !self.take('.') {
                    return Err(self.unexpected("`..` and the last node"));
                }
                self.node()?
            } else {
                from
            };
            if to < from {
                return Err(self.error(begin, "this range ends before it begins"));
            }
            ranges.push((from, to));
            self.blanks();
            if self.take('}') {
                return Ok(Set::Numbers(ranges));
            }
            if !self.take(',') {
                return Err(self.unexpected("`,` or `}`"));
            }
        }
    }

    fn node(&mut self) -> Parsed<u32> {
        let rest = self.rest();
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        match digits.parse() {
            Ok(node) if node > 0 => {
                self.at += digits.len();
                Ok(node)
            }
            _ => Err(self.unexpected("the number of a node, from 1,")),
        }
    }

    fn name(&mut self) -> Option<String> {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return None;
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += end;
        Some(rest[..end].to_owned())
    }

    /// `5%`, as 0.05.
    fn share(&mut self) -> Parsed<f64> {
        self.blanks();
        let begin = self.at;
        match self.quantity()? {
            Quantity::Percent(percent) if percent <= 100.0 => Ok(percent / 100.0),
            _ => Err(self.error(begin, "a share is in percent, from 0% to 100%")),
        }
    }

    fn rate(&mut self) -> Parsed<u64> {
        self.blanks();
        let begin = self.at;
        let rest = self.rest();
        self.at += rest.find(char::is_whitespace).unwrap_or(rest.len());
        rate(&self.text[begin..self.at]).map_err(|message| self.error(begin, message))
    }

    fn word(&mut self, word: &str) -> Parsed<()> {
        if self.keyword(&[word]) { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    /// Which of these words comes next.
    fn one_of(&mut self, words: &[&str]) -> Parsed<usize> {
        let found = words.iter().position(|word| self.keyword(&[word]));
        found.ok_or_else(|| {
            let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            self.unexpected(&quoted.join(" or "))
        })
    }
}

/// What a rule can begin with, for messages.
pub const EXPECTED: &str = "`set`, `join`, `leave`, `const`, `stop` or a fault such as `crash`";

/// Groups that are named but not there, and groups told twice.
pub fn check_names(groups: &[Group], rules: &[Rule]) -> Result<(), SourceError> {
    for (index, group) in groups.iter().enumerate() {
        let before = &groups[..index];
        if before.iter().any(|other| other.name == group.name) {
            return Err(group.place.error(format!("the group `{}` is told a second time", group.name)));
        }
        known(before, &group.nodes, &group.place)?;
    }
    rules.iter().try_for_each(|rule| {
        let rests = rule.fault.sets().into_iter().filter(|set| **set == Set::Rest).count();
        if rests > 1 {
            return Err(rule.place.error("only one part of a rule can be the rest"));
        }
        rule.fault.sets().into_iter().try_for_each(|set| known(groups, set, &rule.place))
    })
}

fn known(groups: &[Group], set: &Set, place: &Place) -> Result<(), SourceError> {
    match set {
        Set::Named(name) if !groups.iter().any(|group| group.name == *name) => {
            Err(place.error(format!("no group is called `{name}`: `group {name} = {{1..5}}` makes one")))
        }
        _ => Ok(()),
    }
}
