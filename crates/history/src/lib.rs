//! Histories of operations that several clients had under way at once, and whether some order of
//! them, each between its call and its answer, explains all answers: linearizability (Herlihy and
//! Wing, 1990). Pure: values are opaque bytes, time is the order of events.

mod history;
mod model;
mod queue;
mod search;

pub use history::{History, HistoryError, Operation, Outcome, Phase};
pub use model::Model;
pub use search::{Budget, Verdict, Violation, check};

/// A value of an operation, as whoever recorded it has written it: equal bytes are equal values.
pub type Value = std::sync::Arc<[u8]>;
