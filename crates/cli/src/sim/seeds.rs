//! `splay sim --seeds`: one run for each of several seeds, spread over the processor cores.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, ExitCode};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use splay_runtime::program::Program;

use super::compare::{command, with_arguments};
use crate::command::sim::SimArgs;
use crate::failure::{Failure, STATUS_BROKEN, STATUS_INSTANCE_FAILED, STATUS_INTERRUPTED, complain};
use crate::interrupt;
use crate::options::Options;
use crate::reporter::progress;
use crate::results::Results;

/// How often it is looked at which runs have ended.
const PAUSE: Duration = Duration::from_millis(20);

/// Most seeds in one command.
const MOST: u64 = 100_000;

/// Seeds: `1-20` or `3,7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(Vec<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || "not a list of seeds such as 3,7 or 1-20".to_owned();
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| error());
        let mut seeds = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                None => (number(part)?, number(part)?),
                Some((first, last)) => (number(first)?, number(last)?),
            };
            if last < first {
                return Err(error());
            }
            if last - first >= MOST || seeds.len() as u64 >= MOST {
                return Err(format!("more than {MOST} seeds"));
            }
            seeds.extend(first..=last);
        }
        Ok(Seeds(seeds))
    }
}

/// What became of a seed, a line of seeds.json.
#[derive(Debug, Serialize)]
struct Row {
    seed: u64,
    status: u8,
    recording: String,
    entries: u64,
    virtual_seconds: f64,
    real_seconds: f64,
    messages: u64,
    failed: u64,
    threads_died: u64,
    last_line: String,
}

impl Row {
    /// Reads what the run of a seed left behind.
    fn read(seed: u64, status: u8, folder: &Path) -> Row {
        let json = |name: &str| -> Value {
            let text = std::fs::read(folder.join(name)).unwrap_or_default();
            serde_json::from_slice(&text).unwrap_or_default()
        };
        let (simulation, summary) = (json("simulation.json"), json("summary.json"));
        let count = |value: &Value| value.as_u64().unwrap_or_default();
        let last_line = std::fs::read(folder.join("instances/1.log")).unwrap_or_default();
        let last_line = String::from_utf8_lossy(&last_line);
        // Lines of the instance itself have no mark after the time.
        let own = |line: &&str| !line.get(10..).unwrap_or_default().starts_with(['=', '!']);
        let last_line = last_line.lines().rfind(own).and_then(|line| line.get(10..)).unwrap_or_default();
        Row {
            seed,
            status,
            recording: simulation["recording"].as_str().unwrap_or_default().to_owned(),
            entries: count(&simulation["entries"]),
            virtual_seconds: simulation["virtual_seconds"].as_f64().unwrap_or_default(),
            real_seconds: simulation["real_seconds"].as_f64().unwrap_or_default(),
            messages: count(&simulation["messages"]),
            failed: count(&summary["failed"]),
            threads_died: count(&summary["usage"]["thread_errors"]),
            last_line: last_line.to_owned(),
        }
    }
}

/// Runs all of them and prints a table.
pub fn run(args: &SimArgs, seeds: &Seeds) -> Result<ExitCode, Failure> {
    let options = Options::simulated(args)?;
    Program::load(&options.app)?;
    super::options::network(&options)?;
    let id = format!("{:04x}", rand::random::<u16>());
    let results = Results::create(&args.runs, &options.name, Timestamp::now(), &id)?;
    results.write_json("options.json", &options)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    interrupt::watch(move || flag.store(true, Ordering::Relaxed)).map_err(Failure::Worker)?;

    let bar = if args.no_progress { None } else { progress::bar() };
    let ran = run_all(args, seeds, &results, &interrupted, bar.as_ref());
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let mut rows = ran?;
    rows.sort_by_key(|row| row.seed);
    results.write_json("seeds.json", &rows)?;
    let text = table(&rows);
    results.write("seeds.txt", text.as_bytes())?;
    io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)?;
    let well = rows.iter().filter(|row| row.status == 0).count();
    complain(&format!(
        "{well} of {} seeds ended well, results in {}",
        rows.len(),
        results.folder().display()
    ));
    let broken = rows.iter().any(|row| row.status == STATUS_BROKEN);
    Ok(ExitCode::from(match () {
        () if interrupted.load(Ordering::Relaxed) => STATUS_INTERRUPTED,
        () if broken => STATUS_BROKEN,
        () if well < rows.len() => STATUS_INSTANCE_FAILED,
        () => 0,
    }))
}

fn run_all(
    args: &SimArgs,
    seeds: &Seeds,
    results: &Results,
    interrupted: &AtomicBool,
    bar: Option<&ProgressBar>,
) -> Result<Vec<Row>, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut waiting: VecDeque<u64> = seeds.0.iter().copied().collect();
    let mut running: Vec<(u64, Child)> = Vec::new();
    let mut rows = Vec::new();
    let folder = |seed: u64| results.folder().join("seeds").join(seed.to_string());
    loop {
        while running.len() < cores && !interrupted.load(Ordering::Relaxed) {
            let Some(seed) = waiting.pop_front() else { break };
            let options = Options::simulated(&SimArgs { seed, ..args.clone() })?;
            let command = with_arguments(command(&options, &folder(seed))?, &options);
            running.push((seed, { command }.spawn().map_err(Failure::Worker)?));
        }
        if running.is_empty() {
            return Ok(rows);
        }
        let mut still = Vec::new();
        for (seed, mut child) in running {
            match child.try_wait().map_err(Failure::Worker)? {
                None => still.push((seed, child)),
                Some(status) => {
                    let status = status.code().map_or(STATUS_INTERRUPTED, |code| code as u8);
                    let name = &args.app.file_stem().unwrap_or_default();
                    rows.push(Row::read(seed, status, &folder(seed).join(name).join("latest")));
                }
            }
        }
        running = still;
        if let Some(bar) = bar {
            bar.set_message(format!("{} of {} seeds", rows.len(), seeds.0.len()));
            bar.tick();
        }
        std::thread::sleep(PAUSE);
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>8} {:>6} {:>12} {:>10} {:>12} {:>10} {:>8} {:>8}  {:<32}  {}\n",
        "seed",
        "status",
        "virtual s",
        "real s",
        "entries",
        "messages",
        "failed",
        "died",
        "recording",
        "last line of instance 1"
    );
    for row in rows {
        text.push_str(&format!(
            "{:>8} {:>6} {:>12.3} {:>10.2} {:>12} {:>10} {:>8} {:>8}  {:<32}  {}\n",
            row.seed,
            row.status,
            row.virtual_seconds,
            row.real_seconds,
            row.entries,
            row.messages,
            row.failed,
            row.threads_died,
            row.recording,
            row.last_line,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_seeds() {
        assert_eq!("1-3,7".parse(), Ok(Seeds(vec![1, 2, 3, 7])));
        assert_eq!("0".parse(), Ok(Seeds(vec![0])));
        for bad in ["", "a", "3-1", "1-", "1-99999999999"] {
            assert!(bad.parse::<Seeds>().is_err(), "{bad}");
        }
    }
}
