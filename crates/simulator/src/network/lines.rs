//! What sockets send while there is a model: waiting for capacity, getting lost, being sent again.
//!
//! A stream is reliable: a segment that is lost is held, with all that follows it, until a
//! repetition arrives. The rule is a simple one: three later segments that arrive bring a repetition after
//! a round trip; otherwise it comes after a timeout that doubles each time. There is no congestion
//! window; what limits a stream is its buffers and, where links have capacities, its fair share.

use std::collections::VecDeque;
use std::net::SocketAddr;

use splay_protocol::topology::ways::{self, EVIDENCE, PIECE_BYTES, SEGMENT_BYTES};
use splay_runtime::driver::{Owner, SocketId};

use super::agenda::Time;
use super::socket::{Kind, Ref, Stream};
use super::{Event, Host, NOBODY, Network};
use crate::model::Passage;
use crate::model::pipes::Due;

/// What a timeout has above a round trip.
const LEAST_TIMEOUT: Time = ways::LEAST_TIMEOUT.as_nanos() as Time;

/// The longest time between repetitions.
const LONGEST_TIMEOUT: Time = ways::LONGEST_TIMEOUT.as_nanos() as Time;

/// Something on its way through the model.
#[derive(Debug)]
pub(super) enum Parcel {
    /// Bytes of a stream.
    Bytes(Box<[u8]>),
    /// The end of a stream.
    End,
    /// A datagram.
    Datagram(Box<Datagram>),
}

/// A datagram that was sent.
#[derive(Debug, Clone)]
pub(super) struct Datagram {
    pub(super) sender: Ref,
    pub(super) owner: Owner,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) at: Option<Host>,
    pub(super) bytes: Box<[u8]>,
}

/// What shares capacity as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flow {
    /// One direction of a connection.
    Stream(Ref),
    /// All datagrams from one host to another.
    Datagrams(Owner, Owner),
}

/// The sending end of one direction of a connection. Outlives its socket until all has arrived.
#[derive(Debug)]
pub(super) struct Line {
    to: Ref,
    here: Owner,
    there: Owner,
    /// When the last thing sent arrives; the next may not overtake it.
    last_arrival: Time,
    /// From the first segment that is not known to arrive on; with each, when it does.
    held: VecDeque<(Parcel, Option<Time>)>,
    /// Only the newest timer counts.
    timer: u32,
    retries: u32,
    /// Since when the first held one is.
    since: Time,
    /// Segments that arrived behind it.
    evidence: u32,
    /// The socket has been closed.
    finished: bool,
}

impl Network {
    /// What becomes of a packet between two hosts that leaves now: `None`, it is lost. Only what
    /// goes from an instance's host to another's is the model's.
    pub(super) fn passage(&mut self, from: Host, to: Option<Host>) -> Option<Passage> {
        let (here, there) = (self.resident(from), to.map_or(NOBODY, |to| self.resident(to)));
        self.passage_of(here, there)
    }

    fn passage_of(&mut self, here: Owner, there: Owner) -> Option<Passage> {
        match &mut self.model {
            Some(model) if is_modelled(here, there) => model.pass(here, there),
            _ => Some(Passage { delay: self.latency, copy: None }),
        }
    }

    /// How long it takes until the peer of a socket knows that it has read.
    pub(super) fn acknowledgement(&mut self, reader: SocketId, unmodelled: Time) -> Time {
        if self.model.is_none() {
            return unmodelled;
        }
        let Ok(socket) = self.get(reader) else { return unmodelled };
        let Kind::Stream(stream) = &socket.kind else { return unmodelled };
        let (here, there) = self.ends(socket.owner, stream.peer_address);
        match &mut self.model {
            Some(model) if is_modelled(here, there) => model.round_trip(here, there) / 2,
            _ => unmodelled,
        }
    }

    /// The instances by which the model knows a stream's two hosts.
    fn ends(&self, owner: Owner, peer: SocketAddr) -> (Owner, Owner) {
        let there = self.host_at(owner, peer.ip()).map_or(NOBODY, |host| self.resident(host));
        (self.resident(self.host_of(owner)), there)
    }

    fn make_line(&self, owner: Owner, stream: &Stream) -> Line {
        let (here, there) = self.ends(owner, stream.peer_address);
        Line {
            to: stream.peer,
            here,
            there,
            last_arrival: stream.last_arrival,
            held: VecDeque::new(),
            timer: 0,
            retries: 0,
            since: 0,
            evidence: 0,
            finished: false,
        }
    }

    /// A stream's socket sends something.
    pub(super) fn hand_over(&mut self, from: Ref, parcel: Parcel) {
        if !self.lines.contains_key(&from) {
            let Ok(socket) = self.get(from.id) else { return };
            let Kind::Stream(stream) = &socket.kind else { return };
            let line = self.make_line(socket.owner, stream);
            self.lines.insert(from, line);
        }
        self.forward(from, parcel);
    }

    /// Queues for the links' capacity what a stream sends, or lets it leave.
    fn forward(&mut self, from: Ref, parcel: Parcel) {
        let Some(line) = self.lines.get(&from) else { return };
        let (here, there, key) = (line.here, line.there, Flow::Stream(from));
        let Some(model) = self.model.as_mut().filter(|_| is_modelled(here, there)) else {
            return self.depart(from, parcel);
        };
        if self.pipes.waiting(key) == 0 && !model.is_limited(here, there) {
            return self.depart(from, parcel);
        }
        let (links, _) = model.route(here, there);
        let mut due = Vec::new();
        match parcel {
            Parcel::Bytes(bytes) => {
                for piece in bytes.chunks(PIECE_BYTES) {
                    let parcel = Parcel::Bytes(piece.into());
                    self.pipes.push(self.now, key, &links, piece.len(), parcel, &mut due);
                }
            }
            parcel => self.pipes.push(self.now, key, &links, 0, parcel, &mut due),
        }
        self.expect(due);
    }

    fn expect(&mut self, due: Vec<Due<Flow>>) {
        for due in due {
            self.agenda.plan(due.at.max(self.now), Event::Served(due));
        }
    }

    /// A flow has sent its first parcel.
    pub(super) fn served(&mut self, told: Due<Flow>) {
        let mut due = Vec::new();
        let parcel = self.pipes.served(self.now, told, &mut due);
        self.expect(due);
        match (parcel, told.key) {
            (Some(Parcel::Datagram(datagram)), _) => self.depart_datagram(*datagram),
            (Some(parcel), Flow::Stream(from)) => self.depart(from, parcel),
            _ => {}
        }
    }

    /// Something of a stream leaves its host.
    pub(super) fn depart(&mut self, from: Ref, parcel: Parcel) {
        let Some(line) = self.lines.get(&from) else { return };
        let (here, there) = (line.here, line.there);
        if self.is_paused(here) {
            return self.paused.push((here, Event::Depart { from, parcel }));
        }
        let loss = match &mut self.model {
            Some(model) if is_modelled(here, there) => model.loss(here, there),
            _ => 0.0,
        };
        match parcel {
            // Each segment is lost or not; those between two lost ones go together.
            Parcel::Bytes(bytes) if bytes.len() > SEGMENT_BYTES && loss > 0.0 && loss < 1.0 => {
                let mut together: Option<(usize, Passage)> = None;
                let mut start = 0;
                while start < bytes.len() {
                    let end = bytes.len().min(start + SEGMENT_BYTES);
                    match self.passage_of(here, there) {
                        Some(passage) => {
                            together = Some((together.map_or(start, |(first, _)| first), passage))
                        }
                        None => {
                            if let Some((first, passage)) = together.take() {
                                self.travel(from, Parcel::Bytes(bytes[first..start].into()), Some(passage));
                            }
                            self.travel(from, Parcel::Bytes(bytes[start..end].into()), None);
                        }
                    }
                    start = end;
                }
                if let Some((first, passage)) = together {
                    self.travel(from, Parcel::Bytes(bytes[first..].into()), Some(passage));
                }
            }
            parcel => {
                let passage = self.passage_of(here, there);
                self.travel(from, parcel, passage);
            }
        }
        self.forget_if_done(from);
    }

    /// What has left arrives, or is held until a repetition does.
    fn travel(&mut self, from: Ref, parcel: Parcel, passage: Option<Passage>) {
        let now = self.now;
        let Some(line) = self.lines.get_mut(&from) else { return };
        let arrives = passage.map(|passage| now.saturating_add(passage.delay));
        if let Some(at) = arrives.filter(|_| line.held.is_empty()) {
            return self.arrive(from, parcel, at);
        }
        let segments = match &parcel {
            Parcel::Bytes(bytes) => bytes.len().div_ceil(SEGMENT_BYTES) as u32,
            _ => 1,
        };
        line.held.push_back((parcel, arrives));
        if line.held.len() == 1 {
            (line.retries, line.evidence, line.since) = (0, 0, now);
            return self.set_timer(from);
        }
        let known = line.evidence >= EVIDENCE;
        line.evidence += if arrives.is_some() { segments } else { 0 };
        if !known && line.evidence >= EVIDENCE && line.retries == 0 {
            let (here, there) = (line.here, line.there);
            let round_trip = self.model.as_mut().map_or(0, |model| model.round_trip(here, there));
            self.plan_resend(from, now + round_trip);
        }
    }

    fn arrive(&mut self, from: Ref, parcel: Parcel, at: Time) {
        let Some(line) = self.lines.get_mut(&from) else { return };
        let at = at.max(line.last_arrival);
        line.last_arrival = at;
        let to = line.to;
        match parcel {
            Parcel::Bytes(bytes) => self.agenda.plan(at, Event::Data { to, from, bytes }),
            Parcel::End => self.agenda.plan(at, Event::End { to }),
            Parcel::Datagram(_) => unreachable!("streams send none"),
        }
    }

    fn plan_resend(&mut self, from: Ref, at: Time) {
        let Some(line) = self.lines.get_mut(&from) else { return };
        line.timer = line.timer.wrapping_add(1);
        let timer = line.timer;
        self.agenda.plan(at, Event::Resend { from, timer });
    }

    /// Plans the next repetition, but not after the connection is to be given up.
    fn set_timer(&mut self, from: Ref) {
        let Some(line) = self.lines.get(&from) else { return };
        let (here, there, retries, since) = (line.here, line.there, line.retries, line.since);
        let Some(model) = &mut self.model else { return };
        let timeout = model.round_trip(here, there).saturating_add(LEAST_TIMEOUT);
        let timeout = timeout.saturating_mul(1 << retries.min(20)).min(LONGEST_TIMEOUT);
        let last = since.saturating_add(model.give_up());
        self.plan_resend(from, self.now.saturating_add(timeout).min(last));
    }

    /// Everything held that is not known to arrive is sent again.
    pub(super) fn resend(&mut self, from: Ref, timer: u32) {
        let Some(line) = self.lines.get(&from).filter(|line| line.timer == timer) else { return };
        let (here, there, since) = (line.here, line.there, line.since);
        let given_up = self.model.as_ref().is_none_or(|model| self.now - since >= model.give_up());
        let lost = line.held.iter().filter(|(_, arrives)| arrives.is_none()).count();
        let outcomes: Vec<Option<Passage>> = (0..lost).map(|_| self.passage_of(here, there)).collect();
        let now = self.now;
        let Some(line) = self.lines.get_mut(&from) else { return };
        let again = line.held.iter_mut().filter(|(_, arrives)| arrives.is_none());
        for ((_, arrives), outcome) in again.zip(outcomes) {
            *arrives = outcome.map(|passage| now.saturating_add(passage.delay));
        }
        let mut arrived = Vec::new();
        while let Some((parcel, at)) = line.held.pop_front() {
            match at {
                Some(at) => arrived.push((parcel, at)),
                None => {
                    line.held.push_front((parcel, None));
                    break;
                }
            }
        }
        let progress = !arrived.is_empty();
        if progress {
            (line.retries, line.evidence, line.since) = (0, 0, now);
        } else {
            line.retries += 1;
        }
        let over = line.held.is_empty();
        for (parcel, at) in arrived {
            self.arrive(from, parcel, at);
        }
        if over {
            self.forget_if_done(from);
        } else if given_up && !progress {
            self.give_up(from);
        } else {
            self.set_timer(from);
        }
    }

    /// A connection whose peer has not answered for too long breaks, at this end.
    fn give_up(&mut self, from: Ref) {
        self.cut_off(from);
        if let Some(socket) = self.get_mut(from)
            && let Kind::Stream(stream) = &mut socket.kind
        {
            stream.reset = true;
            socket.pending = Some(libc::ETIMEDOUT);
            self.mark(from.id, from.stamp, true, true);
        }
    }

    fn forget_if_done(&mut self, from: Ref) {
        let done = self.lines.get(&from).is_some_and(|line| line.finished && line.held.is_empty());
        if done && self.pipes.waiting(Flow::Stream(from)) == 0 {
            self.lines.remove(&from);
        }
    }

    /// Nothing more of a stream leaves.
    pub(super) fn cut_off(&mut self, from: Ref) {
        if self.lines.remove(&from).is_some() {
            let mut due = Vec::new();
            self.pipes.drop(self.now, Flow::Stream(from), &mut due);
            self.expect(due);
        }
    }

    /// A stream's socket has been closed: what it sent still arrives, and then the end.
    pub(super) fn finish(&mut self, from: Ref, owner: Owner, stream: &Stream) {
        if !stream.write_closed {
            if !self.lines.contains_key(&from) {
                let line = self.make_line(owner, stream);
                self.lines.insert(from, line);
            }
            self.forward(from, Parcel::End);
        }
        if let Some(line) = self.lines.get_mut(&from) {
            line.finished = true;
            self.forget_if_done(from);
        }
    }

    /// A stream's socket has been closed in a way that breaks the connection.
    pub(super) fn break_off(&mut self, from: Ref, owner: Owner, stream: &Stream) {
        self.cut_off(from);
        let (here, there) = self.ends(owner, stream.peer_address);
        if let Some(passage) = self.passage_of(here, there) {
            self.agenda.plan(self.now.saturating_add(passage.delay), Event::Reset { to: stream.peer });
        }
    }

    /// The peer of `to` is gone, and its host says so.
    pub(super) fn refute(&mut self, to: Ref) {
        let Some(socket) = self.get_mut(to) else { return };
        let Kind::Stream(stream) = &socket.kind else { return };
        let (owner, peer) = (socket.owner, stream.peer_address);
        let (here, there) = self.ends(owner, peer);
        if let Some(passage) = self.passage_of(there, here) {
            self.agenda.plan(self.now.saturating_add(passage.delay), Event::Reset { to });
        }
    }

    /// The hosts that a datagram goes from and to.
    fn datagram_ends(&self, datagram: &Datagram) -> (Owner, Owner) {
        let there = datagram.at.map_or(NOBODY, |host| self.resident(host));
        (self.resident(self.host_of(datagram.owner)), there)
    }

    /// A datagram is sent: it waits for the links' capacity, finds no room to wait, or leaves.
    pub(super) fn hand_over_datagram(&mut self, datagram: Datagram) {
        let (here, there) = self.datagram_ends(&datagram);
        let Some(model) = self.model.as_mut().filter(|_| is_modelled(here, there)) else {
            return self.depart_datagram(datagram);
        };
        if !model.is_limited(here, there) {
            return self.depart_datagram(datagram);
        }
        let (links, queue) = model.route(here, there);
        let key = Flow::Datagrams(here, there);
        // One is being sent, the others wait.
        if self.pipes.waiting(key) > queue as usize {
            self.counters.drops += 1;
            return;
        }
        let (bytes, mut due) = (datagram.bytes.len(), Vec::new());
        self.pipes.push(self.now, key, &links, bytes, Parcel::Datagram(Box::new(datagram)), &mut due);
        self.expect(due);
    }

    /// A datagram leaves its host.
    pub(super) fn depart_datagram(&mut self, datagram: Datagram) {
        let (here, there) = self.datagram_ends(&datagram);
        if self.is_paused(here) {
            return self.paused.push((here, Event::DepartDatagram(Box::new(datagram))));
        }
        let Some(passage) = self.passage_of(here, there) else {
            self.counters.drops += 1;
            return;
        };
        let now = self.now;
        let Datagram { sender, from, to, at, mut bytes, .. } = datagram;
        if let Some(model) = self.model.as_mut().filter(|_| is_modelled(here, there)) {
            model.corrupt(here, there, &mut bytes);
        }
        if let Some(copy) = passage.copy {
            let bytes = bytes.clone();
            self.agenda.plan(now.saturating_add(copy), Event::Datagram { sender, from, to, at, bytes });
        }
        self.agenda.plan(now.saturating_add(passage.delay), Event::Datagram { sender, from, to, at, bytes });
    }

    /// Queues anew what waits for links, after capacities between some hosts have changed.
    pub(super) fn reroute(&mut self, changed: impl Fn(Owner, Owner) -> bool) {
        for key in self.pipes.keys() {
            let ends = match key {
                Flow::Datagrams(here, there) => Some((here, there)),
                Flow::Stream(from) => self.lines.get(&from).map(|line| (line.here, line.there)),
            };
            let Some((here, there)) = ends.filter(|(here, there)| changed(*here, *there)) else { continue };
            let mut due = Vec::new();
            let parcels = self.pipes.take(self.now, key, &mut due);
            let Some(model) = &mut self.model else { return };
            let (links, _) = model.route(here, there);
            for (bytes, parcel) in parcels {
                self.pipes.push(self.now, key, &links, bytes, parcel, &mut due);
            }
            self.expect(due);
        }
    }

    /// The host of a line's sending end.
    pub(super) fn line_host(&self, from: Ref) -> Option<Owner> {
        self.lines.get(&from).map(|line| line.here)
    }
}

/// Whether packets between the two are the model's: both are hosts of instances, and not the same.
fn is_modelled(here: Owner, there: Owner) -> bool {
    here != there && here != NOBODY && there != NOBODY
}
