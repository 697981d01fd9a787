//! What a sequential object does: the specifications that histories are held to.

use rpds::{HashTrieSet, Queue};
use xxhash_rust::xxh3::xxh3_128;

use crate::{HistoryError, Operation, Outcome, Value};

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Model {
    /// One value: `write(v)`, `read() -> v`, `cas(old, new) -> true or false`.
    Register,
    /// A value for each key: `put(k, v)`, `get(k) -> v`, `delete(k)`, `cas(k, old, new) -> true or false`.
    Map,
    /// `add(v)`, `remove(v)`, `contains(v) -> true or false`, `read() -> all`.
    Set,
    /// First in, first out: `enqueue(v)`, `dequeue() -> v, or nil when empty`.
    Queue,
}

/// Lua's values as they are written in histories: what nothing, true and false are.
pub(crate) const NIL: &[u8] = b"";
pub(crate) const TRUE: &[u8] = b"true";

impl Model {
    /// The model of a name.
    pub fn named(name: &str) -> Option<Model> {
        [Model::Register, Model::Map, Model::Set, Model::Queue].into_iter().find(|model| model.name() == name)
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Model::Register => "register",
            Model::Map => "map",
            Model::Set => "set",
            Model::Queue => "queue",
        }
    }

    fn operations(self) -> (&'static [(&'static str, usize)], &'static str) {
        match self {
            Model::Register => {
                (&[("read", 0), ("write", 1), ("cas", 2)], "read(), write(value), cas(old, new)")
            }
            Model::Map => (
                &[("get", 1), ("put", 2), ("delete", 1), ("cas", 3)],
                "get(key), put(key, value), delete(key), cas(key, old, new)",
            ),
            Model::Set => (
                &[("add", 1), ("remove", 1), ("contains", 1), ("read", 0)],
                "add(value), remove(value), contains(value), read()",
            ),
            Model::Queue => (&[("enqueue", 1), ("dequeue", 0)], "enqueue(value), dequeue()"),
        }
    }

    /// Refuses what the model does not have.
    pub fn accepts(self, name: &str, arguments: usize) -> Result<(), HistoryError> {
        let (operations, known) = self.operations();
        match operations.contains(&(name, arguments)) {
            true => Ok(()),
            false => {
                let name = name.to_owned();
                Err(HistoryError::NoOperation { model: self.name(), name, arguments, known })
            }
        }
    }

    /// What an operation is about, where operations about different things do not touch each other.
    /// `whole`: some operation is about all of the object.
    pub(crate) fn part(self, operation: &Operation, whole: bool) -> Option<Value> {
        match self {
            Model::Map => operation.arguments.first().cloned(),
            Model::Set if !whole => operation.arguments.first().cloned(),
            _ => None,
        }
    }

    /// The state before anything has happened.
    pub(crate) fn initial(self) -> State {
        match self {
            Model::Register | Model::Map => State::Cell(None),
            Model::Set => State::Set { values: HashTrieSet::new(), hash: 0 },
            Model::Queue => State::Queue { values: Queue::new(), hash: 0, power: 1 },
        }
    }
}

/// A state. Cheap to copy: the search keeps many.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Cell(Option<Value>),
    Set { values: HashTrieSet<Value>, hash: u128 },
    Queue { values: Queue<Value>, hash: u128, power: u128 },
}

/// An odd number, so that it has an inverse modulo 2^128.
const BASE: u128 = 0x2d35_8dcc_aa6c_78a5_8bb8_4b93_962e_acc9;

/// Its inverse, by Newton's iteration: each step doubles the bits that are right.
const INVERSE: u128 = {
    let mut inverse = BASE;
    let mut step = 0;
    while step < 7 {
        inverse = inverse.wrapping_mul(2u128.wrapping_sub(BASE.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
};

fn value(results: &[Value]) -> Option<&Value> {
    results.first().filter(|value| value[..] != *NIL)
}

impl State {
    /// The state after an operation, if the operation can have had its outcome in this one.
    pub(crate) fn after(&self, operation: &Operation) -> Option<State> {
        let results = match &operation.outcome {
            Outcome::Ok(results) => Some(&results[..]),
            Outcome::Unknown => None,
        };
        // What nobody saw can have been anything.
        let gave = |truth: bool| results.is_none_or(|results| answered(results) == truth);
        let arguments = &operation.arguments;
        match self {
            State::Cell(held) => {
                // A map's operations have the key first.
                let values = match operation.name.as_str() {
                    "get" | "delete" | "put" => &arguments[1..],
                    "cas" => &arguments[arguments.len() - 2..],
                    _ => &arguments[..],
                };
                match operation.name.as_str() {
                    "read" | "get" => {
                        let fits = results.is_none_or(|results| value(results) == held.as_ref());
                        fits.then(|| self.clone())
                    }
                    "write" | "put" => Some(State::Cell(value(values).cloned())),
                    "delete" => Some(State::Cell(None)),
                    _ => {
                        let same = value(&values[..1]) == held.as_ref();
                        let next =
                            if same { State::Cell(value(&values[1..]).cloned()) } else { self.clone() };
                        gave(same).then_some(next)
                    }
                }
            }
            State::Set { values, hash } => {
                let Some(element) = arguments.first() else {
                    let fits = results.is_none_or(|results| {
                        results.len() == values.size() && results.iter().all(|value| values.contains(value))
                    });
                    return fits.then(|| self.clone());
                };
                let there = values.contains(element);
                match operation.name.as_str() {
                    "contains" => gave(there).then(|| self.clone()),
                    "add" if there => Some(self.clone()),
                    "add" => Some(State::Set {
                        values: values.insert(element.clone()),
                        hash: hash.wrapping_add(xxh3_128(element)),
                    }),
                    _ if there => Some(State::Set {
                        values: values.remove(element),
                        hash: hash.wrapping_sub(xxh3_128(element)),
                    }),
                    _ => Some(self.clone()),
                }
            }
            State::Queue { values, hash, power } => match arguments.first() {
                Some(new) => Some(State::Queue {
                    values: values.enqueue(new.clone()),
                    hash: hash.wrapping_mul(BASE).wrapping_add(xxh3_128(new)),
                    power: power.wrapping_mul(BASE),
                }),
                None => {
                    let first = values.peek();
                    if results.is_some_and(|results| value(results) != first) {
                        return None;
                    }
                    let Some(first) = first else { return Some(self.clone()) };
                    let power = power.wrapping_mul(INVERSE);
                    Some(State::Queue {
                        hash: hash.wrapping_sub(xxh3_128(first).wrapping_mul(power)),
                        values: values.dequeue()?,
                        power,
                    })
                }
            },
        }
    }

    /// What a queue gives next.
    pub(crate) fn first(&self) -> Option<&Value> {
        match self {
            State::Queue { values, .. } => values.peek(),
            State::Cell(_) | State::Set { .. } => None,
        }
    }

    /// A hash that states which differ do not share, but for once in 2^128.
    pub(crate) fn hash(&self) -> u128 {
        match self {
            State::Cell(None) => 0,
            State::Cell(Some(value)) => xxh3_128(value),
            State::Set { hash, .. } => *hash,
            State::Queue { hash, power, .. } => hash.wrapping_add(power.wrapping_mul(BASE)),
        }
    }
}

/// Whether results say yes; saying nothing does.
fn answered(results: &[Value]) -> bool {
    results.first().is_none_or(|value| value[..] == *TRUE)
}
