//! Queues whose values are all different: whether some order explains a history shows in four patterns
//! that must not be there (Henzinger, Sezgin and Vafeiadis, 2013), without looking for the order.

use rustc_hash::FxHashMap;

use crate::{Operation, Outcome, Value};

/// What the patterns say.
pub(crate) enum Finding<'a> {
    /// Some order explains everything.
    Fine,
    /// These do not go together.
    Violated(Vec<&'a Operation>),
    /// It cannot be told like this: some value was put in twice, or what nobody saw end matters.
    Unknown,
}

/// The life of a value.
struct Life<'a> {
    put: &'a Operation,
    put_answered: u64,
    taken: Option<&'a Operation>,
    /// When it was taken at the earliest; `u64::MAX`: never.
    take_called: u64,
}

/// Looks for the patterns.
pub(crate) fn patterns<'a>(operations: &[&'a Operation]) -> Finding<'a> {
    let mut lives: FxHashMap<&Value, Life<'a>> = FxHashMap::default();
    for put in operations.iter().filter(|operation| operation.name == "enqueue") {
        let put_answered = put.answered.unwrap_or(u64::MAX);
        let life = Life { put, put_answered, taken: None, take_called: u64::MAX };
        if lives.insert(&put.arguments[0], life).is_some() {
            return Finding::Unknown;
        }
    }
    let (mut empty, mut unseen) = (Vec::new(), Vec::new());
    for &take in operations.iter().filter(|operation| operation.name == "dequeue") {
        let Outcome::Ok(results) = &take.outcome else {
            unseen.push(take.called);
            continue;
        };
        let Some(value) = results.first().filter(|value| !value.is_empty()) else {
            empty.push(take);
            continue;
        };
        let Some(life) = lives.get_mut(value) else { return Finding::Violated(vec![take]) };
        if let Some(first) = life.taken.replace(take) {
            return Finding::Violated(vec![first, take]);
        }
        if take.answered.is_some_and(|answered| answered < life.put.called) {
            return Finding::Violated(vec![take, life.put]);
        }
        life.take_called = take.called;
    }
    let mut lives: Vec<Life<'a>> = lives.into_values().collect();
    lives.sort_unstable_by_key(|life| life.put.called);
    assign(&mut lives, unseen.clone());
    let wrong = overtaken(&lives).or_else(|| never_empty(&lives, &empty));
    match wrong {
        None => Finding::Fine,
        // Others of those that nobody saw end may have taken what was chosen for them.
        Some(_) if !unseen.is_empty() => Finding::Unknown,
        Some(operations) => Finding::Violated(operations),
    }
}

/// What was put in before something that came out, and never came out itself, was taken by somebody
/// of whom nobody knows: the most urgent by the first of them.
fn assign(lives: &mut [Life<'_>], mut unseen: Vec<u64>) {
    unseen.sort_unstable();
    // By place: when the first of those from there on was out.
    let mut out = vec![u64::MAX; lives.len() + 1];
    for place in (0..lives.len()).rev() {
        let answered = lives[place].taken.and_then(|take| take.answered).unwrap_or(u64::MAX);
        out[place] = out[place + 1].min(answered);
    }
    let mut urgent: Vec<(u64, usize)> = Vec::new();
    for (place, life) in lives.iter().enumerate().filter(|(_, life)| life.taken.is_none()) {
        let after = lives.partition_point(|other| other.put.called < life.put_answered);
        urgent.push((out[after], place));
    }
    urgent.sort_unstable();
    for ((_, place), called) in urgent.into_iter().zip(unseen) {
        lives[place].take_called = called;
    }
}

/// One was put in before another was called for, and came out after it. `lives` are in the order
/// of their calls.
fn overtaken<'a>(lives: &[Life<'a>]) -> Option<Vec<&'a Operation>> {
    let mut by_answer: Vec<&Life<'a>> = lives.iter().collect();
    by_answer.sort_unstable_by_key(|life| life.put_answered);
    let mut before = by_answer.into_iter().peekable();
    let mut last: Option<&Life<'a>> = None;
    for life in lives {
        while let Some(earlier) = before.next_if(|earlier| earlier.put_answered < life.put.called) {
            if last.is_none_or(|last| last.take_called < earlier.take_called) {
                last = Some(earlier);
            }
        }
        let Some(answered) = life.taken.and_then(|take| take.answered) else { continue };
        if let Some(last) = last.filter(|last| last.take_called > answered) {
            let involved = [Some(last.put), last.taken, Some(life.put), life.taken];
            return Some(involved.into_iter().flatten().collect());
        }
    }
    None
}

/// One found the queue empty while at every moment something was in it.
fn never_empty<'a>(lives: &[Life<'a>], empty: &[&'a Operation]) -> Option<Vec<&'a Operation>> {
    let mut filled: Vec<(u64, u64)> = lives
        .iter()
        .map(|life| (life.put_answered, life.take_called))
        .filter(|(from, to)| from < to)
        .collect();
    filled.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in filled {
        match joined.last_mut().filter(|last| from < last.1) {
            Some(last) => last.1 = last.1.max(to),
            None => joined.push((from, to)),
        }
    }
    let found = empty.iter().find(|take| {
        let place = joined.partition_point(|(from, _)| *from < take.called);
        let answered = take.answered.unwrap_or(u64::MAX);
        place > 0 && joined[place - 1].1 > answered
    });
    found.map(|take| vec![*take])
}
