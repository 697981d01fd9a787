//! Faults: what goes wrong in a run, when, and to whom. Pure; the one home of the language and of
//! what it means, for every engine.
//!
//! Rules of faults stand in the same script as those of churn
//! ([`Script`](crate::churn::Script)): `from 60s to 90s partition {1..5} from rest`. A [`Plan`] follows
//! them while time passes, and draws who is struck where a rule leaves that to chance.

mod fault;
pub(crate) mod parse;
mod plan;
mod rule;
mod set;

#[cfg(test)]
mod tests;

pub use fault::{Between, Fault, FaultError, Manner};
pub use plan::{Plan, Strike, StrikeId};
pub use rule::{Group, Repeat, Rule};
pub use set::{Nodes, Set};
