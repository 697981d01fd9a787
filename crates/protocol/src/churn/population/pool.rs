//! Nodes of which a random one is chosen, among those that have been in the pool for long enough.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::seed::SplitMix64;

/// Draws among all before one among the eligible: with half of them eligible, one choice in sixty
/// thousand needs that.
const DRAWS: u32 = 16;

/// Some nodes, each with the instant since which it is counted; those without one come first.
#[derive(Debug, Default)]
pub struct Pool {
    members: Vec<Member>,
    /// Those that are not eligible yet, those that will be next first.
    waiting: BTreeSet<(Option<Duration>, u32)>,
    /// Where they are among the members.
    places: BTreeMap<u32, usize>,
    eligible: Counts,
}

#[derive(Debug)]
struct Member {
    node: u32,
    since: Option<Duration>,
    eligible: bool,
}

impl Pool {
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn into_nodes(self) -> impl Iterator<Item = u32> {
        self.members.into_iter().map(|member| member.node)
    }

    pub fn push(&mut self, node: u32, since: Option<Duration>) {
        self.places.insert(node, self.members.len());
        self.waiting.insert((since, node));
        self.members.push(Member { node, since, eligible: false });
        self.eligible.push();
    }

    /// Takes the node at a place out; the last one takes its place.
    pub fn remove(&mut self, place: usize) -> u32 {
        let last = self.members.len() - 1;
        let moved = self.members[last].eligible;
        let member = self.members.swap_remove(place);
        if member.eligible {
            self.eligible.change(place, -1);
        } else {
            self.waiting.remove(&(member.since, member.node));
            self.places.remove(&member.node);
        }
        if place < last {
            if moved {
                self.eligible.change(last, -1);
                self.eligible.change(place, 1);
            } else {
                self.places.insert(self.members[place].node, place);
            }
        }
        self.eligible.pop();
        member.node
    }

    /// The place of a random one of those that are eligible. Whoever was eligible stays so, and if
    /// one is, so are those that are counted for longer.
    pub fn choose(
        &mut self,
        numbers: &mut SplitMix64,
        eligible: impl Fn(Option<Duration>) -> bool,
    ) -> Option<usize> {
        if self.members.is_empty() {
            return None;
        }
        while let Some(&(since, node)) = self.waiting.first().filter(|(since, _)| eligible(*since)) {
            self.waiting.remove(&(since, node));
            let place = self.places.remove(&node).expect("it waits, so it has a place");
            self.members[place].eligible = true;
            self.eligible.change(place, 1);
        }
        for _ in 0..DRAWS {
            let place = numbers.below(self.members.len() as u32) as usize;
            if self.members[place].eligible {
                return Some(place);
            }
        }
        match self.eligible.total() {
            0 => None,
            count => Some(self.eligible.find(numbers.below(count))),
        }
    }
}

/// How many are marked up to each place, as a Fenwick tree: a mark and a search take a time that
/// grows with the logarithm of their number.
#[derive(Debug, Default)]
struct Counts {
    sums: Vec<u32>,
    total: u32,
}

impl Counts {
    fn total(&self) -> u32 {
        self.total
    }

    /// One more place, without a mark.
    fn push(&mut self) {
        let number = self.sums.len() + 1;
        let lowest = number & number.wrapping_neg();
        let parts = std::iter::successors(Some(1), |step| Some(step * 2)).take_while(|step| *step < lowest);
        let sum = parts.map(|step| self.sums[number - step - 1]).sum();
        self.sums.push(sum);
    }

    /// The last place goes, which has no mark.
    fn pop(&mut self) {
        self.sums.pop();
    }

    fn change(&mut self, place: usize, by: i32) {
        self.total = self.total.wrapping_add_signed(by);
        let mut number = place + 1;
        while let Some(sum) = self.sums.get_mut(number - 1) {
            *sum = sum.wrapping_add_signed(by);
            number += number & number.wrapping_neg();
        }
    }

    /// The place of a mark, given how many come before it.
    fn find(&self, mut before: u32) -> usize {
        let mut place = 0;
        let mut step = (self.sums.len() + 1).next_power_of_two();
        while step > 0 {
            if let Some(sum) = self.sums.get(place + step - 1).filter(|sum| **sum <= before) {
                before -= sum;
                place += step;
            }
            step /= 2;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_those_of_a_search_through_all() {
        let mut numbers = SplitMix64::new(11);
        let (mut pool, mut plain) = (Pool::default(), Vec::<(u32, Option<Duration>)>::new());
        for round in 0..4000u32 {
            let now = Duration::from_millis(u64::from(round / 3));
            let since = (numbers.below(20) > 0).then_some(now);
            pool.push(round, since);
            plain.push((round, since));
            let rest = Duration::from_millis(200);
            let eligible =
                |since: Option<Duration>| since.is_none_or(|since| since < now && now - since >= rest);
            let mut again = numbers.clone();
            let chosen = pool.choose(&mut numbers, eligible);
            assert_eq!(chosen, search(&mut again, &plain, eligible), "round {round}");
            let place = match chosen {
                Some(place) => place,
                None if round % 7 == 0 => numbers.below(plain.len() as u32) as usize,
                None => continue,
            };
            assert_eq!(pool.remove(place), plain.swap_remove(place).0);
            if round % 5 == 0 && !plain.is_empty() {
                let place = numbers.below(plain.len() as u32) as usize;
                assert_eq!(pool.remove(place), plain.swap_remove(place).0);
            }
        }
    }

    fn search(
        numbers: &mut SplitMix64,
        all: &[(u32, Option<Duration>)],
        eligible: impl Fn(Option<Duration>) -> bool,
    ) -> Option<usize> {
        for _ in 0..DRAWS {
            let place = numbers.below(all.len() as u32) as usize;
            if eligible(all[place].1) {
                return Some(place);
            }
        }
        let places: Vec<usize> = (0..all.len()).filter(|&place| eligible(all[place].1)).collect();
        match places.len() {
            0 => None,
            count => Some(places[numbers.below(count as u32) as usize]),
        }
    }
}
