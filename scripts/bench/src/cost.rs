//! What a piece of work costs: processor time of the whole process, and time on the clock.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Mean cost of one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Processor time of all threads of the process, user and system.
    pub cpu: Duration,
    /// Time on the clock.
    pub wall: Duration,
}

/// The processor time this process has used.
fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).expect("processor time is never negative");
    let nanoseconds = u32::try_from(now.tv_nsec).expect("a fraction of a second fits");
    Duration::new(seconds, nanoseconds)
}

/// Runs `round` once to warm up and then `rounds` times with a `pause` before each; `calls` is what
/// one round does. The round least disturbed by the rest of the machine counts.
pub fn measure<E>(
    rounds: u32,
    calls: u32,
    pause: Duration,
    mut round: impl FnMut(u32) -> Result<(), E>,
) -> Result<Cost, E> {
    round(calls)?;
    let mut best: Option<Cost> = None;
    for _ in 0..rounds.max(1) {
        std::thread::sleep(pause);
        let (cpu, wall) = (process_cpu(), Instant::now());
        round(calls)?;
        let cost = Cost { cpu: (process_cpu() - cpu) / calls, wall: wall.elapsed() / calls };
        if best.is_none_or(|best| cost.cpu < best.cpu) {
            best = Some(cost);
        }
    }
    Ok(best.expect("at least one round was run"))
}
