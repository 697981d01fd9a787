//! Generates traffic and measures it: `tcp_stream`, `tcp_rr`, `tcp_crr`, `udp_stream`, `udp_rr`,
//! between a server and its clients, in threads of their own over epoll. [`run`] does one test;
//! what it tells is an [`Outcome`]. Hooks ([`hooks`]) may take part in every socket's life and in
//! every read and write; those written in Lua are in [`lua`]. Nothing here knows an instance, a
//! job or a driver.

mod control;
mod engine;
mod error;
mod figures;
pub mod hooks;
pub mod lua;
mod net;
mod options;
mod outcome;
mod samples;
mod signal;
mod worker;

pub use engine::run;
pub use error::Error;
pub use figures::{Latency, correlation};
pub use options::{Allowance, Family, Options, Workload, parse_rate};
pub use outcome::{Figures, Outcome};
pub use samples::{Sample, Usage};
pub use signal::Stop;
