//! What can be seen of a network that stands still: sockets and packets on their way. For people;
//! nothing here changes anything, and all of it looks at everything there is.

use std::net::SocketAddr;

use splay_runtime::driver::{Owner, SocketId};

use super::lines::{Flow, Parcel};
use super::socket::{Kind, Ref, Socket};
use super::{Event, Network, Time};

/// A socket as it is seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketView {
    /// Its name in the driver.
    pub socket: SocketId,
    /// What it is: "udp", "tcp", "tcp connecting", "tcp listening", "tcp connected", "tcp broken".
    pub what: &'static str,
    /// Where it is bound.
    pub local: Option<SocketAddr>,
    /// Whom it is connected to.
    pub peer: Option<SocketAddr>,
    /// What waits to be read: datagrams, connections or bytes.
    pub waiting: usize,
}

/// A packet on its way, or something else the network is about to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketView {
    /// When it arrives, or happens.
    pub at: Time,
    /// What it is: "datagram", "bytes", "connect", "answer", "end", "reset", "room", "unreachable",
    /// "name"; with a model of the network also "departure", "repetition", "link", "fault", "repair".
    pub what: &'static str,
    /// Who sent it, where that is known.
    pub from: Option<SocketAddr>,
    /// Where it goes.
    pub to: Option<SocketAddr>,
    /// Whose socket it goes to, where that is known already.
    pub receiver: Option<Owner>,
    /// Its payload.
    pub bytes: Vec<u8>,
}

impl Network {
    /// The sockets of an owner.
    pub fn sockets_of(&self, owner: Owner) -> Vec<SocketView> {
        let owned = self.owned.get(owner.0 as usize).into_iter().flatten();
        let view = |&key: &u32| {
            let socket = self.sockets.get(key as usize)?;
            let (what, peer, waiting) = match &socket.kind {
                Kind::Fresh => ("tcp", None, 0),
                Kind::Connecting { peer } => ("tcp connecting", Some(*peer), 0),
                Kind::Listening(listener) => ("tcp listening", None, listener.waiting.len()),
                Kind::Stream(stream) => {
                    let what = if stream.reset { "tcp broken" } else { "tcp connected" };
                    (what, Some(stream.peer_address), stream.inbox.len())
                }
                Kind::Datagrams(datagrams) => ("udp", datagrams.peer, datagrams.inbox.len()),
            };
            Some(SocketView { socket: SocketId(key), what, local: socket.local, peer, waiting })
        };
        owned.filter_map(view).collect()
    }

    /// Everything that is on its way, in the order in which it will happen.
    pub fn in_flight(&self) -> Vec<PacketView> {
        let mut all: Vec<_> = self.agenda.iter().collect();
        all.sort_by_key(|(at, planned, _)| (*at, *planned));
        all.into_iter().map(|(at, _, event)| self.packet(at, event)).collect()
    }

    fn packet(&self, at: Time, event: &Event) -> PacketView {
        let mut view = PacketView { at, what: "", from: None, to: None, receiver: None, bytes: Vec::new() };
        let target = match event {
            Event::Dial { from, to, .. } | Event::Request { from, to, .. } => {
                (view.what, view.from, view.to) = ("connect", Some(*from), Some(*to));
                None
            }
            Event::Answer { client, .. } => {
                view.what = "answer";
                Some(client)
            }
            Event::Data { to, bytes, .. } => {
                view.what = "bytes";
                view.bytes = bytes.to_vec();
                Some(to)
            }
            Event::End { to } => {
                view.what = "end";
                Some(to)
            }
            Event::Reset { to } => {
                view.what = "reset";
                Some(to)
            }
            Event::Room { to } => {
                view.what = "room";
                Some(to)
            }
            Event::Datagram { from, to, bytes, .. } => {
                (view.what, view.from, view.to) = ("datagram", Some(*from), Some(*to));
                view.bytes = bytes.to_vec();
                None
            }
            Event::Unreachable { to } => {
                view.what = "unreachable";
                Some(to)
            }
            Event::Named(_) => {
                view.what = "name";
                None
            }
            Event::Depart { from, parcel } => {
                view.what = "departure";
                if let Parcel::Bytes(bytes) = parcel {
                    view.bytes = bytes.to_vec();
                }
                return self.sent_by(*from, view);
            }
            Event::DepartDatagram(datagram) => {
                (view.what, view.from, view.to) = ("departure", Some(datagram.from), Some(datagram.to));
                view.bytes = datagram.bytes.to_vec();
                None
            }
            Event::Resend { from, .. } => {
                view.what = "repetition";
                return self.sent_by(*from, view);
            }
            Event::Served(due) => {
                view.what = "link";
                return match due.key {
                    Flow::Stream(from) => self.sent_by(from, view),
                    Flow::Datagrams(..) => view,
                };
            }
        };
        if let Some(socket) = target.and_then(|target| self.living(*target)) {
            view.receiver = Some(socket.owner);
            view.to = socket.local;
            if let Kind::Stream(stream) = &socket.kind {
                view.from = Some(stream.peer_address);
            }
        }
        view
    }

    /// A view with the addresses of the stream that it leaves from.
    fn sent_by(&self, from: Ref, mut view: PacketView) -> PacketView {
        if let Some(socket) = self.living(from) {
            view.from = socket.local;
            if let Kind::Stream(stream) = &socket.kind {
                view.to = Some(stream.peer_address);
            }
        }
        view
    }

    fn living(&self, which: Ref) -> Option<&Socket> {
        self.sockets.get(which.id.0 as usize).filter(|socket| socket.stamp == which.stamp)
    }
}
