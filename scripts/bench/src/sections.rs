//! What is measured, section by section, and what each figure should be.

use std::time::Duration;

use anyhow::Context as _;

use crate::baseline::{self, Mode};
use crate::program::{Figure, Splay};
use crate::report::{Table, Target, figure};

/// How thoroughly to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds of each remote call measurement.
    pub rounds: u32,
    /// Instances of the crowd.
    pub crowd: u32,
    /// Instances of the smaller ring; the larger has twice as many.
    pub ring: u32,
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn named(figures: &[Figure], name: &str) -> anyhow::Result<f64> {
    let found = figures.iter().find(|figure| figure.name == name);
    Ok(found.with_context(|| format!("no figure `{name}`"))?.value)
}

/// Remote calls beside plain Rust sending the same bytes. `None`: plain Rust alone.
pub fn calls(splay: Option<&Splay>, effort: Effort) -> anyhow::Result<String> {
    let mut table = Table::new(&[
        "call",
        "in flight",
        "plain Rust, CPU",
        "SPLAY, CPU",
        "ratio",
        "target",
        "plain Rust, clock",
        "SPLAY, clock",
        "SPLAY on two workers, CPU",
    ]);
    for mode in Mode::ALL {
        for flight in [1, 50] {
            let plain = baseline::run(mode, flight, effort.rounds)?;
            let plain_cpu = microseconds(plain.cpu);
            let mut row = vec![mode.name().to_owned(), flight.to_string(), figure(plain_cpu, "us")];
            let (one, two) = match splay {
                Some(splay) => (
                    Some(call(splay, mode, flight, effort.rounds, "1")?),
                    Some(call(splay, mode, flight, effort.rounds, "2")?),
                ),
                None => (None, None),
            };
            let (bound, text) = match (mode, flight) {
                (Mode::Rpcq, 50) => (Target::AtMost(1.5), "≤ 1.5 µs".to_owned()),
                _ => (Target::AtMost(2.0 * plain_cpu), "≤ 2 times".to_owned()),
            };
            let show = |value: Option<f64>| value.map_or(String::new(), |value| figure(value, "us"));
            let cpu = one.map(|(cpu, _)| cpu);
            row.push(cpu.map_or(String::new(), |cpu| format!("{}{}", figure(cpu, "us"), bound.mark(cpu))));
            row.push(cpu.map_or(String::new(), |cpu| format!("{:.2}", cpu / plain_cpu)));
            row.push(text);
            row.push(figure(microseconds(plain.wall), "us"));
            row.push(show(one.map(|(_, wall)| wall)));
            row.push(show(two.map(|(cpu, _)| cpu)));
            table.row(row);
        }
    }
    Ok(format!("## Remote calls, both sides together\n\n{}", table.text()))
}

/// CPU and clock time of a call, microseconds.
fn call(splay: &Splay, mode: Mode, flight: u32, rounds: u32, workers: &str) -> anyhow::Result<(f64, f64)> {
    let pause = if mode == Mode::Rpc { "1.1" } else { "0" };
    let figures = splay.figures(
        "call.lua",
        &["-n", "2", "--workers", workers],
        &[mode.name(), &mode.calls().to_string(), &flight.to_string(), &rounds.to_string(), pause],
    )?;
    Ok((named(&figures, "cpu")?, named(&figures, "wall")?))
}

/// Small pieces of work, with LuaJIT's compiler on and off.
pub fn pieces(splay: &Splay) -> anyhow::Result<String> {
    use Target::{AtLeast, AtMost};
    let cases = [
        ("benc_small", "benc encode and decode of `{\"call\", 1, \"two\", {3}}`", AtMost(0.6)),
        ("benc_map", "benc encode and decode of a map of 10,000 keys", AtMost(2.0)),
        ("switch", "from yield to yield, 100 threads", AtMost(100.0)),
        ("switch_sleepers", "the same beside 10,000 sleeping threads", AtMost(100.0)),
        ("sleep_many", "100,000 threads created, put to sleep and woken", AtMost(0.5)),
        ("timers", "10,000 timers over 2 s, lateness at p99", AtMost(2.0)),
        ("fire_wait", "fire and wait there and back", AtLeast(2.0)),
        ("queens", "ten queens", Target::None),
        ("sieve", "primes up to 2,000,000", Target::None),
    ];
    let mut table = Table::new(&["work", "compiler off", "compiler on", "target"]);
    for (name, title, target) in cases {
        let mut cells = vec![title.to_owned()];
        let mut unit = String::new();
        for jit in ["off", "on"] {
            let figures = splay.figures("micro.lua", &["--jit", jit], &[name])?;
            let value = named(&figures, name)?;
            unit.clone_from(&figures[0].unit);
            cells.push(format!("{}{}", figure(value, &unit), target.mark(value)));
        }
        cells.push(target.text(&unit));
        table.row(cells);
    }
    Ok(format!("## Pieces\n\n{}", table.text()))
}

/// How long starting takes and what instances weigh.
pub fn size(splay: &Splay, effort: Effort) -> anyhow::Result<String> {
    let mut table = Table::new(&["what", "figure", "target"]);
    let mut add = |title: String, value: f64, unit: &str, target: Target| {
        let shown = format!("{}{}", figure(value, unit), target.mark(value));
        table.row([title, shown, target.text(unit)]);
    };
    let patience = Duration::from_secs(120);

    let mut hello = Vec::new();
    for _ in 0..21 {
        hello.push(splay.start("hello.lua", &[], &[])?.wait_for("hello world", 1, patience)?);
    }
    hello.sort();
    let median = hello[hello.len() / 2].as_secs_f64() * 1e3;
    add(
        "`splay run hello.lua`, command to output, median of 21".to_owned(),
        median,
        "ms",
        Target::AtMost(50.0),
    );

    let crowd = |count: u32| -> anyhow::Result<(Duration, u64)> {
        let mut running = splay.start("bare.lua", &["-n", &count.to_string()], &[])?;
        let up = running.wait_for("BENCH up", count, patience)?;
        Ok((up, running.resident_bytes()?))
    };
    let (one, one_bytes) = crowd(1)?;
    let (many, many_bytes) = crowd(effort.crowd)?;
    let others = f64::from(effort.crowd - 1);
    let title = format!("{} bare instances up", effort.crowd);
    add(title.clone(), many.as_secs_f64(), "s", Target::AtMost(10.0));
    add(format!("{title}, resident"), many_bytes as f64 / 1e6, "MB", Target::AtMost(1000.0));
    let each = many.saturating_sub(one).as_secs_f64() * 1e3 / others;
    add("a bare instance more, time".to_owned(), each, "ms", Target::AtMost(1.0));
    let each = many_bytes.saturating_sub(one_bytes) as f64 / 1e3 / others;
    add("a bare instance more, resident".to_owned(), each, "kB", Target::None);

    let ring = |count: u32| -> anyhow::Result<u64> {
        let mut running =
            splay.start("apps/chord.lua", &["-n", &count.to_string(), "--list-size", "10"], &["stay"])?;
        running.wait_for("ring correct", 1, patience)?;
        running.resident_bytes()
    };
    let (small, large) = (ring(effort.ring)?, ring(2 * effort.ring)?);
    let each = large.saturating_sub(small) as f64 / 1e3 / f64::from(effort.ring);
    let title = format!("a Chord instance more, ring formed ({} against {})", effort.ring, 2 * effort.ring);
    add(title, each, "kB", Target::AtMost(150.0));
    Ok(format!("## Size and start\n\n{}", table.text()))
}
