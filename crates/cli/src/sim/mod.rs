//! Simulated runs: setting them up, running one, comparing several, replaying one.

pub mod compare;
mod console;
mod counters;
mod listing;
mod looks;
pub mod options;
mod recording;
pub mod replay;
pub mod run;
pub mod seeds;
