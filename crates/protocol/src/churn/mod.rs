//! Churn: when each node of a job starts and stops. Pure; the one home of the formats and of what
//! they mean, for every engine and for the controller.
//!
//! A [`Script`] says what happens to the population (`from 5m to 10m join 50%`), and what else goes wrong ([`crate::faults`]); [`expand()`] makes a
//! [`Trace`] of it, one line of times a node; a measurement of real machines becomes one by
//! [`availability`]. A trace gives a [`Schedule`] of events, which [`Replay`] follows.

pub mod availability;
pub(crate) mod cursor;
pub mod expand;
pub mod order;
mod parse;
mod population;
pub mod replay;
mod schedule;
pub mod script;
mod source;
pub mod stats;
mod trace;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use expand::{Expansion, Settings, expand};
pub use replay::{Replay, Seats};
pub use schedule::{Action, Event, Schedule};
pub use script::Script;
pub use source::SourceError;
pub use stats::Statistics;
pub use trace::{Leave, Session, Trace, seconds_text};

use std::time::Duration;

/// The latest time of a trace or script, about 31 years: far beyond any run, and far from where
/// clocks overflow.
pub const LATEST: Duration = Duration::from_secs(1_000_000_000);
