//! What was called and what was answered, in the order of time.

use std::collections::BTreeMap;

use crate::{Model, Value};

/// What is known of an operation's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It happened, and gave these results.
    Ok(Vec<Value>),
    /// Nobody knows whether it happened; it may still do so.
    Unknown,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who called it.
    pub client: u32,
    /// What it is called: `read`, `write` ...
    pub name: String,
    /// What it was given.
    pub arguments: Vec<Value>,
    /// How it ended.
    pub outcome: Outcome,
    /// Place of its call among all events.
    pub called: u64,
    /// Place of its answer; `None`: there was none.
    pub answered: Option<u64>,
}

/// A step in the life of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It is called.
    Invoke {
        /// What it is called.
        name: String,
        /// What it is given.
        arguments: Vec<Value>,
    },
    /// It happened.
    Ok(Vec<Value>),
    /// It did not happen, and never will.
    Fail,
    /// Nobody knows.
    Info,
}

/// Why an event does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The model has no such operation.
    #[error("a {model} has no operation `{name}` of {arguments} arguments: it has {known}")]
    NoOperation {
        /// What the history is of.
        model: &'static str,
        /// What was called.
        name: String,
        /// With how many arguments.
        arguments: usize,
        /// What there is.
        known: &'static str,
    },
    /// An end without a beginning, or a second one.
    #[error("operation {0} of client {1} ends, and is not under way")]
    NotUnderWay(u64, u32),
}

/// What clients did to one object.
#[derive(Debug, Clone)]
pub struct History {
    model: Model,
    operations: Vec<Operation>,
    /// Operations under way, by client and the client's number for it.
    open: BTreeMap<(u32, u64), usize>,
    events: u64,
}

impl History {
    /// Nothing yet.
    pub fn new(model: Model) -> History {
        History { model, operations: Vec::new(), open: BTreeMap::new(), events: 0 }
    }

    /// What it is the history of.
    pub fn model(&self) -> Model {
        self.model
    }

    /// The next event: something happens to the operation that a client numbers so.
    pub fn add(&mut self, client: u32, number: u64, phase: Phase) -> Result<(), HistoryError> {
        self.events += 1;
        let now = self.events;
        match phase {
            Phase::Invoke { name, arguments } => {
                self.model.accepts(&name, arguments.len())?;
                self.open.insert((client, number), self.operations.len());
                self.operations.push(Operation {
                    client,
                    name,
                    arguments,
                    outcome: Outcome::Unknown,
                    called: now,
                    answered: None,
                });
                Ok(())
            }
            end => {
                let place = self.open.remove(&(client, number));
                let place = place.ok_or(HistoryError::NotUnderWay(number, client))?;
                match end {
                    Phase::Ok(results) => {
                        let operation = &mut self.operations[place];
                        operation.outcome = Outcome::Ok(results);
                        operation.answered = Some(now);
                    }
                    // What did not happen explains nothing and needs no explanation: it is as if it
                    // had not been called.
                    Phase::Fail => self.operations[place].called = 0,
                    Phase::Info | Phase::Invoke { .. } => {}
                }
                Ok(())
            }
        }
    }

    /// The operations that happened, or may have, in the order of their calls.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|operation| operation.called > 0)
    }

    /// How many events there have been.
    pub fn events(&self) -> u64 {
        self.events
    }
}
