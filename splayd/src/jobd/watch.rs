//! The watchdog of the worker process: finds host threads that an instance blocks for good.
//!
//! The runtime cuts an instance that runs too long, but a pattern match or a finaliser that never
//! ends cannot be cut, and a thread cannot be ended alone. Such a thread is given up: its instance
//! is reported ended for its limit, the others on it lost, and the kernel runs it only when nobody
//! else wants a processor. Instances of other threads go on, and the process ends with the last of
//! them. Killing the process at once would free a little processor time and take all of the job's
//! instances on this machine with it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use splay_protocol::session::{Ending, UsageTotals};

use super::thread::{Handle, Watched};
use super::{Hosting, Outgoing};
use crate::clock::local_us;
use crate::pipe::{Ended, FromJobd, Limit};

/// Time between two looks.
const ROUND: Duration = Duration::from_millis(100);

/// What an instance may take to be closed, beyond its slice.
const CLOSING: Duration = Duration::from_secs(2);

struct Ward {
    watched: Watched,
    turn: u64,
    since: Instant,
    given_up: bool,
}

/// Starts the watchdog.
pub fn start(hosting: &Arc<Hosting>, handles: &[Handle], outgoing: Sender<Outgoing>) -> io::Result<()> {
    let slice = Duration::from_millis(hosting.setup.limits.slice_milliseconds.into());
    let fresh = |handle: &Handle| Ward {
        watched: handle.watched.clone(),
        turn: 0,
        since: Instant::now(),
        given_up: false,
    };
    let mut wards: Vec<Ward> = handles.iter().map(fresh).collect();
    let body = move || {
        loop {
            std::thread::sleep(ROUND);
            for ward in wards.iter_mut().filter(|ward| !ward.given_up) {
                if let Some(position) = blocked_by(ward, slice) {
                    ward.given_up = true;
                    give_up(&ward.watched, position, slice, &outgoing);
                }
            }
        }
    };
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(body)?;
    Ok(())
}

/// The instance that blocks a thread.
fn blocked_by(ward: &mut Ward, slice: Duration) -> Option<u32> {
    let beat = ward.watched.pulse.read();
    // A thread that waits for splayd to read is not to blame.
    if beat.turn != ward.turn || ward.watched.waits.load(Ordering::Relaxed) {
        ward.turn = beat.turn;
        ward.since = Instant::now();
        return None;
    }
    let closing = beat.closing && ward.since.elapsed() > slice + CLOSING;
    beat.instance.filter(|_| beat.stuck || closing)
}

fn give_up(watched: &Watched, culprit: u32, slice: Duration, outgoing: &Sender<Outgoing>) {
    // SAFETY: a number of a thread of this process, which goes on as long as it does.
    unsafe {
        let idle = libc::sched_param { sched_priority: 0 };
        libc::sched_setscheduler(watched.kernel_id, libc::SCHED_IDLE, &raw const idle);
    }
    let allowed = slice.as_millis() as u64;
    let at_us = local_us();
    let say = |message: FromJobd| drop(outgoing.send(Outgoing::Message(message)));
    let limit = "slice_milliseconds".to_owned();
    let reached = allowed + 1000;
    say(FromJobd::Limit(Limit { position: culprit, at_us, limit, allowed, reached, ended: 1 }));
    // Nothing this thread says counts any more.
    let lives = std::mem::take(&mut *watched.lives.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    for (position, life) in lives {
        let (ending, detail) = if position == culprit {
            let text =
                format!("blocked its thread for longer than slice_milliseconds {allowed} and cannot be cut");
            (Ending::Limit, text)
        } else {
            (
                Ending::Lost,
                format!("instance {culprit} has blocked the thread of the worker that hosted both"),
            )
        };
        say(FromJobd::Ended(Ended {
            position,
            at_us,
            ending,
            detail,
            usage: UsageTotals::default(),
            step: 0,
            planned_us: 0,
            acted_us: 0,
            life,
            unstarted: 0,
        }));
    }
}
