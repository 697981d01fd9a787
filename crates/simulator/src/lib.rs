//! The deterministic driver: a virtual clock and an in-memory network behind
//! [`splay_runtime::driver::Driver`].
//!
//! Same program, options and seed: the same run, to the byte. The rules that keep it so, most
//! of them enforced by this crate's `clippy.toml`:
//!
//! 1. Time is a number in [`VirtualDriver`] that only `poll` moves. Nothing here reads a clock.
//! 2. Randomness comes from generators seeded at the start: one for the programs, one for each
//!    pair of hosts, so that what two say to each other changes no draw of others.
//! 3. What is iterated over is ordered by what the program did: slabs, queues and B-trees, never
//!    a hash map. Two events at the same instant happen in the order in which they were caused.
//! 4. One thread. The only thing another thread can do is ask for [`Wake::External`], which
//!    moves no time and touches no socket.
//! 5. Inside [`network`] there is no I/O: a call changes the state and plans events.
//!
//! [`Wake::External`]: splay_runtime::driver::Wake::External

mod driver;
pub mod model;
pub mod network;
pub mod recording;
pub mod scenario;
pub mod simulation;

pub use driver::{EPOCH, VirtualDriver, VirtualWaker};
pub use model::{Fault, ModelConfig};
pub use network::NetworkConfig;
pub use simulation::{Simulation, SimulationConfig};
