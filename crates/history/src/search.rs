//! Looks for an order that explains a history: the algorithm of Wing and Gong (1993) with the memory
//! of Lowe (2017). Parts of an object that do not touch each other are looked at apart.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::model::State;
use crate::queue::{Finding, patterns};
use crate::{History, Model, Operation, Outcome, Value};

/// How much may be tried before giving up: the problem is NP-complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Steps, of about 200 ns.
    pub steps: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { steps: 50_000_000 }
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// There is an order that explains everything.
    Linearizable,
    /// There is none.
    Violated(Violation),
    /// The budget was used up.
    Undecided,
}

/// Why there is no order.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// The key or element that it is about, where operations are about one.
    pub part: Option<Value>,
    /// The operations of the longest order that was found, in that order.
    pub explained: Vec<Operation>,
    /// Those that could have come next, and do not fit.
    pub unexplained: Vec<Operation>,
}

/// Looks at a history as far as it goes.
pub fn check(history: &History, budget: Budget) -> Verdict {
    let model = history.model();
    let whole = history.operations().any(|operation| operation.arguments.is_empty());
    let mut parts: BTreeMap<Option<Value>, Vec<&Operation>> = BTreeMap::new();
    for operation in history.operations() {
        parts.entry(model.part(operation, whole)).or_default().push(operation);
    }
    let mut left = budget.steps;
    let mut undecided = false;
    for (part, operations) in parts {
        let operations = needed(model, operations);
        if model == Model::Queue {
            match patterns(&operations) {
                Finding::Fine => continue,
                Finding::Violated(wrong) => {
                    let unexplained = wrong.into_iter().cloned().collect();
                    return Verdict::Violated(Violation { part, explained: Vec::new(), unexplained });
                }
                Finding::Unknown => {}
            }
        }
        match Search::new(model, operations).run(&mut left) {
            Ok(None) => {}
            Ok(Some((explained, unexplained))) => {
                return Verdict::Violated(Violation { part, explained, unexplained });
            }
            Err(OutOfBudget) => undecided = true,
        }
    }
    if undecided { Verdict::Undecided } else { Verdict::Linearizable }
}

struct OutOfBudget;

/// The end of the list of events.
const NONE: usize = usize::MAX;

/// Events of calls and answers, in the order of time, as a list from which operations are taken
/// out and put back. Event 0 is its head.
struct Search<'a> {
    model: Model,
    operations: Vec<&'a Operation>,
    /// By event: its operation, and whether it is the answer.
    events: Vec<(usize, bool)>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// By operation: its two events.
    call: Vec<usize>,
    answer: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(model: Model, operations: Vec<&'a Operation>) -> Search<'a> {
        let mut order: Vec<(u64, usize, bool)> = Vec::with_capacity(2 * operations.len());
        for (index, operation) in operations.iter().enumerate() {
            order.push((operation.called, index, false));
            // What was never answered may happen at any time to come.
            order.push((operation.answered.unwrap_or(u64::MAX), index, true));
        }
        order.sort_unstable_by_key(|&(at, index, answer)| (at, index, answer));
        let mut search = Search {
            model,
            call: vec![0; operations.len()],
            answer: vec![0; operations.len()],
            operations,
            events: vec![(NONE, false)],
            next: Vec::new(),
            previous: Vec::new(),
        };
        for (_, index, answer) in order {
            let places = if answer { &mut search.answer } else { &mut search.call };
            places[index] = search.events.len();
            search.events.push((index, answer));
        }
        let count = search.events.len();
        search.next = (1..=count).map(|at| if at < count { at } else { NONE }).collect();
        search.previous = (0..count).map(|at| at.checked_sub(1).unwrap_or(NONE)).collect();
        search
    }

    fn unlink(&mut self, event: usize) {
        let (before, after) = (self.previous[event], self.next[event]);
        self.next[before] = after;
        if after != NONE {
            self.previous[after] = before;
        }
    }

    fn link(&mut self, event: usize) {
        let (before, after) = (self.previous[event], self.next[event]);
        self.next[before] = event;
        if after != NONE {
            self.previous[after] = event;
        }
    }

    /// `None`: explained; else the longest order found, and what does not fit behind it.
    #[allow(clippy::type_complexity)] // two lists, named where they are used
    fn run(mut self, left: &mut u64) -> Result<Option<(Vec<Operation>, Vec<Operation>)>, OutOfBudget> {
        let hints = self.hints();
        let seen = self.distinct().then(|| observed(&self.operations));
        let mut state = self.model.initial();
        let mut visited: FxHashSet<(u128, u128)> = FxHashSet::default();
        // What was chosen, the state before, and what can be chosen instead.
        let mut chosen: Vec<(usize, State, Vec<usize>)> = Vec::new();
        // Of the operations chosen, as a set.
        let mut hash = 0u128;
        let (mut longest, mut blocked) = (Vec::new(), Vec::new());
        let Some(mut candidates) = self.candidates(&hints) else { return Ok(None) };
        loop {
            *left = left.checked_sub(1).ok_or(OutOfBudget)?;
            if let Some(index) = candidates.pop() {
                let operation = self.operations[index];
                // What somebody took out is not what nobody saw being taken out.
                if let (Outcome::Unknown, None, Some(seen)) = (&operation.outcome, written(operation), &seen)
                    && state.first().is_some_and(|first| seen.contains_key(first))
                {
                    continue;
                }
                let Some(after) = state.after(operation) else { continue };
                let with = hash.wrapping_add(identity(index));
                if !visited.insert((with, after.hash())) {
                    continue;
                }
                chosen.push((index, std::mem::replace(&mut state, after), candidates));
                hash = with;
                self.unlink(self.call[index]);
                self.unlink(self.answer[index]);
                match self.candidates(&hints) {
                    Some(next) => candidates = next,
                    None => return Ok(None),
                }
                continue;
            }
            if chosen.len() > longest.len() || blocked.is_empty() {
                longest = chosen.iter().map(|(index, ..)| *index).collect();
                blocked = self.candidates(&hints).unwrap_or_default();
            }
            let Some((last, before, others)) = chosen.pop() else {
                let owned = |list: Vec<usize>| {
                    list.into_iter().map(|index| self.operations[index].clone()).collect::<Vec<_>>()
                };
                return Ok(Some((owned(longest), owned(blocked))));
            };
            (state, candidates) = (before, others);
            hash = hash.wrapping_sub(identity(last));
            // In the opposite order of their being taken out.
            self.link(self.answer[last]);
            self.link(self.call[last]);
        }
    }

    /// Whether it is a queue in which no value is twice.
    fn distinct(&self) -> bool {
        let mut values = FxHashSet::default();
        self.model == Model::Queue
            && self
                .operations
                .iter()
                .filter_map(|operation| written(operation))
                .all(|value| values.insert(value))
    }

    /// By operation: lower ones are tried first. Any order finds an answer; a good one finds it soon.
    fn hints(&self) -> Vec<u64> {
        let seen = observed(&self.operations);
        let hint = |operation: &&Operation| match (&operation.outcome, written(operation)) {
            // What fits and changes nothing is never in the way later.
            (Outcome::Ok(_), None) => 0,
            // What was seen first was written first; what was seen by nobody has time until its answer.
            (Outcome::Ok(_), Some(value)) => {
                seen.get(value).copied().or(operation.answered).unwrap_or(u64::MAX - 1)
            }
            (Outcome::Unknown, Some(value)) => seen.get(value).copied().unwrap_or(u64::MAX),
            // Taken out, if at all, as soon as what was first in the queue is nothing that was seen.
            (Outcome::Unknown, None) => 0,
        };
        self.operations.iter().map(hint).collect()
    }

    /// Operations that were called before any that is left was answered, the best last; `None`: all
    /// that was answered has its place.
    fn candidates(&self, hints: &[u64]) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        let mut event = self.next[0];
        while event != NONE {
            let (index, is_answer) = self.events[event];
            if is_answer {
                if matches!(self.operations[index].outcome, Outcome::Unknown) {
                    return None;
                }
                found.sort_unstable_by_key(|&index| std::cmp::Reverse((hints[index], index)));
                return Some(found);
            }
            // Of those that nobody saw end and that are alike, the first will do.
            let operation = self.operations[index];
            let alike = |&other: &usize| {
                let other = self.operations[other];
                (&other.name, &other.arguments) == (&operation.name, &operation.arguments)
                    && other.outcome == Outcome::Unknown
            };
            if operation.outcome != Outcome::Unknown || !found.iter().any(alike) {
                found.push(index);
            }
            event = self.next[event];
        }
        None
    }
}

/// The value that an operation leaves behind.
fn written(operation: &Operation) -> Option<&Value> {
    match operation.name.as_str() {
        "write" | "put" | "enqueue" | "add" | "cas" => operation.arguments.last(),
        _ => None,
    }
}

/// The values that were seen, with the place of the first answer that showed them.
fn observed<'a>(operations: &[&'a Operation]) -> FxHashMap<&'a Value, u64> {
    let mut seen = FxHashMap::default();
    for operation in operations {
        if let (Outcome::Ok(results), "read" | "get" | "dequeue") =
            (&operation.outcome, operation.name.as_str())
        {
            for value in results {
                let at = operation.answered.unwrap_or(u64::MAX);
                seen.entry(value).and_modify(|first: &mut u64| *first = at.min(*first)).or_insert(at);
            }
        }
    }
    seen
}

/// Leaves out what nobody knows to have happened and nobody saw: if an order with it explains the
/// rest, so does the order without it. Not so where a comparison may have failed because of it.
fn needed(model: Model, operations: Vec<&Operation>) -> Vec<&Operation> {
    let compared = operations.iter().any(|operation| operation.name == "cas");
    let seen = observed(&operations);
    let idle = |operation: &Operation| match (model, written(operation)) {
        (Model::Set, _) => ["contains", "read"].contains(&operation.name.as_str()),
        (_, Some(value)) => !compared && !seen.contains_key(value),
        (_, None) => ["read", "get"].contains(&operation.name.as_str()),
    };
    let keep = |operation: &&Operation| operation.outcome != Outcome::Unknown || !idle(operation);
    operations.iter().copied().filter(keep).collect()
}

/// A number of an operation's own, for sums that tell sets apart.
fn identity(index: usize) -> u128 {
    xxh3_128_with_seed(&index.to_le_bytes(), 0x6c69_6e65)
}
