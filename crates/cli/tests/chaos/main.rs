//! A testbed under fire: processes are killed, networks cut, and nothing may be lost or happen
//! twice. Five rounds as a rule; `SPLAY_LONG_TESTS=1` has fifty, `SPLAY_CHAOS_ROUNDS=N` so many,
//! `SPLAY_CHAOS_SEED=S` the one that failed.

#![allow(clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod netns;
mod partition;
mod proxy;
mod rounds;
mod testbed;

use rounds::{Round, SEATS, SPLAYDS};
use testbed::{Plan, Testbed};

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, not a number")))
}

#[test]
fn nothing_is_lost_whatever_is_killed() {
    let long = std::env::var_os("SPLAY_LONG_TESTS").is_some();
    let rounds = number("SPLAY_CHAOS_ROUNDS").unwrap_or(if long { 50 } else { 5 });
    let seeds = match number("SPLAY_CHAOS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..rounds,
    };
    // One testbed for all rounds: what a round leaves behind shows in the next.
    let mut testbed = Testbed::start(&Plan::here(SPLAYDS, SEATS));
    for seed in seeds {
        Round::of(seed).play(&mut testbed);
    }
}
