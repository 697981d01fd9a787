//! The events of a trace in the order in which they happen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Trace;
use super::trace::Leave;

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It crashes: nothing of it runs any more.
    Stop,
    /// It leaves gracefully: it is told, and gets a little time.
    Leave,
    /// It starts.
    Start,
}

/// Something that happens at a time. Written as `{"at_us":1500000,"node":3,"action":"start"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Event {
    /// When, from the beginning of the churn. To the microsecond.
    #[serde(rename = "at_us", with = "microseconds")]
    pub at: Duration,
    /// What. At one instant nodes go before others come.
    pub action: Action,
    /// Which node: its line in the trace, from 1.
    pub node: u32,
}

/// The events of a trace, by time; at one instant stops before starts, then by node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    nodes: u32,
    events: Vec<Event>,
}

impl Schedule {
    /// Of a trace.
    pub fn of(trace: &Trace) -> Schedule {
        let mut events = Vec::new();
        for (node, sessions) in (1..).zip(trace.lines()) {
            for session in sessions {
                events.push(Event { at: session.start, action: Action::Start, node });
                if let Some((at, leave)) = session.end {
                    let action = match leave {
                        Leave::Crash => Action::Stop,
                        Leave::Graceful => Action::Leave,
                    };
                    events.push(Event { at, action, node });
                }
            }
        }
        events.sort_unstable();
        Schedule { nodes: trace.nodes(), events }
    }

    /// How many nodes there are: the greatest number of an event.
    pub fn nodes(&self) -> u32 {
        self.nodes
    }

    /// The events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// When the last event happens.
    pub fn end(&self) -> Duration {
        self.events.last().map_or(Duration::ZERO, |event| event.at)
    }
}

mod microseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.as_micros() as u64)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}
