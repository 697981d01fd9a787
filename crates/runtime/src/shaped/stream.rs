//! An emulated connection, as its dialling end keeps it: what is on its way there and back, and
//! how far the dialling has come. Decides; touches no socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use splay_protocol::seed::SplitMix64;
use splay_protocol::topology::Way;
use splay_protocol::topology::ways::{EVIDENCE, GIVE_UP, PIECE_BYTES, SEGMENT_BYTES, repetition, request};

use super::traffic::Emulation;

/// Bytes of one direction that wait for a link, as a socket's buffer holds them.
const BACKLOG_BYTES: usize = 64 << 10;

/// Bytes of one direction on their way.
const FLIGHT_BYTES: usize = 4 << 20;

/// How far a connection attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dial {
    /// The request is on its way and arrives then.
    Requested(Duration),
    /// The system has been asked.
    Asked,
    /// It has said how it went (an error by its code), and the answer is back then.
    Answered(Duration, Option<i32>),
    /// Connected.
    Open,
    /// Failed, with a code that was not told yet.
    Failed(i32),
    /// Failed, and told.
    Over,
}

#[derive(Debug)]
struct Piece {
    due: Duration,
    bytes: Vec<u8>,
    used: usize,
}

/// One direction: bytes with the times at which they arrive.
#[derive(Debug)]
pub(super) struct Half {
    way: Rc<Way>,
    round_trip: Duration,
    random: SplitMix64,
    queue: VecDeque<Piece>,
    bytes: usize,
    /// When what waits for links departs.
    waiting: VecDeque<(Duration, usize)>,
    waiting_bytes: usize,
    last: Duration,
}

impl Half {
    pub(super) fn new(way: Rc<Way>, round_trip: Duration, random: SplitMix64) -> Half {
        let (queue, waiting) = (VecDeque::new(), VecDeque::new());
        Half { way, round_trip, random, queue, bytes: 0, waiting, waiting_bytes: 0, last: Duration::ZERO }
    }

    /// Bytes that can be taken now.
    pub(super) fn room(&mut self, now: Duration) -> usize {
        while let Some(&(departs, bytes)) = self.waiting.front().filter(|(departs, _)| *departs <= now) {
            debug_assert!(departs <= now);
            self.waiting.pop_front();
            self.waiting_bytes -= bytes;
        }
        BACKLOG_BYTES.saturating_sub(self.waiting_bytes).min(FLIGHT_BYTES.saturating_sub(self.bytes))
    }

    /// When there is more room because something departs; `None`: when something arrives.
    pub(super) fn room_at(&self) -> Option<Duration> {
        let (departs, _) = self.waiting.front()?;
        (self.bytes < FLIGHT_BYTES).then_some(*departs)
    }

    /// Sends bytes off.
    pub(super) fn push(&mut self, net: &Emulation, now: Duration, data: &[u8]) {
        let way = self.way.clone();
        let mut left = data.len();
        for piece in data.chunks(PIECE_BYTES) {
            let departs = net.reserve(&way, now, piece.len());
            if departs > now {
                self.waiting.push_back((departs, piece.len()));
                self.waiting_bytes += piece.len();
            }
            if way.loss <= 0.0 {
                left -= piece.len();
                self.add(departs + way.latency, piece);
                continue;
            }
            for segment in piece.chunks(SEGMENT_BYTES) {
                left -= segment.len();
                let followed = left >= EVIDENCE as usize * SEGMENT_BYTES;
                let late = repetition(way.loss, self.round_trip, followed, &mut self.random);
                self.add(departs + way.latency + late.unwrap_or(GIVE_UP), segment);
            }
        }
    }

    fn add(&mut self, due: Duration, bytes: &[u8]) {
        let due = due.max(self.last);
        self.last = due;
        self.bytes += bytes.len();
        match self.queue.back_mut() {
            Some(piece) if piece.due == due => piece.bytes.extend_from_slice(bytes),
            _ => self.queue.push_back(Piece { due, bytes: bytes.to_vec(), used: 0 }),
        }
    }

    /// When the end of the stream arrives that is sent now.
    pub(super) fn end(&self, now: Duration) -> Duration {
        self.last.max(now + self.way.latency)
    }

    /// When the next byte arrives.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.queue.front().map(|piece| piece.due)
    }

    /// The next bytes that have arrived.
    pub(super) fn arrived(&self, now: Duration) -> Option<&[u8]> {
        let piece = self.queue.front().filter(|piece| piece.due <= now)?;
        Some(&piece.bytes[piece.used..])
    }

    /// So many of [`Half::arrived`] are used.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.bytes -= bytes;
        let Some(piece) = self.queue.front_mut() else { return };
        piece.used += bytes;
        if piece.used == piece.bytes.len() {
            self.queue.pop_front();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Forgets what is on its way.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
    }
}

/// What follows the last byte sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    Shutdown,
    Close,
}

/// A connection that an instance has dialled.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) address: SocketAddr,
    pub(super) dial: Dial,
    pub(super) out: Half,
    /// The system takes no more for now.
    pub(super) blocked: bool,
    /// The end of what is sent, when it arrives.
    pub(super) farewell: Option<(Duration, Farewell)>,
    /// The connection has broken, with a code.
    pub(super) broken: Option<i32>,
    pub(super) back: Half,
    /// Reading from the system stopped because there was no room.
    pub(super) stalled: bool,
    /// The end of what is received, when it arrives; an error by its code.
    pub(super) end: Option<(Duration, Option<i32>)>,
    /// The instance was told that it can read.
    pub(super) told: bool,
}

impl Line {
    /// An attempt that begins now.
    pub(super) fn dial(address: SocketAddr, now: Duration, mut out: Half, back: Half) -> Line {
        let late = request(out.way.loss, back.way.loss, &mut out.random);
        let dial = match late {
            Some(late) => Dial::Requested(now + late + out.way.latency),
            None => Dial::Answered(now + Duration::from_secs(127), Some(libc::ETIMEDOUT)),
        };
        Line {
            address,
            dial,
            out,
            blocked: false,
            farewell: None,
            broken: None,
            back,
            stalled: false,
            end: None,
            told: false,
        }
    }

    /// The system has answered; the instance hears of it a way back later.
    pub(super) fn answered(&mut self, now: Duration, error: Option<i32>) {
        self.dial = Dial::Answered(now + self.back.way.latency, error);
    }

    /// Whether the instance can read something, or the end.
    pub(super) fn readable(&self, now: Duration) -> bool {
        self.dial == Dial::Open
            && (self.back.next_due().is_some_and(|due| due <= now)
                || self.back.is_empty() && self.end.is_some_and(|(due, _)| due <= now))
    }

    /// When something happens next that nobody else tells of.
    pub(super) fn next(&self) -> Option<Duration> {
        let dial = match self.dial {
            Dial::Requested(at) | Dial::Answered(at, _) => Some(at),
            _ => None,
        };
        let out = self.out.next_due().filter(|_| !self.blocked);
        let farewell = self.farewell.map(|(at, _)| at).filter(|_| self.out.is_empty());
        let back = match self.back.next_due() {
            Some(due) => Some(due),
            None => self.end.map(|(due, _)| due),
        };
        let room = self.back.room_at().filter(|_| self.stalled);
        [dial, out, farewell, back.filter(|_| !self.told && self.dial == Dial::Open), room]
            .into_iter()
            .flatten()
            .min()
    }
}
