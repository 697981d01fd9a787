//! A testbed on this machine: real splayds with real instances, and a controller with thousands of
//! sessions of splayds that only say what splayds say.

#[allow(dead_code, missing_docs)]
mod fake;
mod real;
mod simulated;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::report::{Table, Target, figure};

/// Rows of what, figure, target.
struct Rows(Table);

impl Rows {
    fn new() -> Rows {
        Rows(Table::new(&["what", "figure", "target"]))
    }

    fn add(&mut self, what: impl Into<String>, value: f64, unit: &str, target: Target) {
        let shown = format!("{}{}", figure(value, unit), target.mark(value));
        self.0.row([what.into(), shown, target.text(unit)]);
    }
}

/// Takes all figures with the programs beside `splay`.
pub fn testbed(splay: &Path, sessions: u32) -> anyhow::Result<String> {
    let mut rows = Rows::new();
    real::measure(splay, &mut rows)?;
    simulated::measure(&splay.with_file_name("splay-controller"), sessions, &mut rows)?;
    Ok(format!("## Testbed\n\n{}", rows.0.text()))
}

/// Processor time of a process so far, all threads, in ticks of a hundredth of a second.
fn cpu(process: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let rest = text.rsplit_once(')').context("a process has a name")?.1;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}
