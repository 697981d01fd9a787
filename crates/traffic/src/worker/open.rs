//! How a worker's sockets come to be and go.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::epoll;
use socket2::Socket;

use super::{Counter, Exchange, Flow, Kind, Worker, clock};
use crate::error::Error;
use crate::hooks::{AddrInfo, Hook};
use crate::net;
use crate::options::Workload;

impl Worker<'_> {
    /// Opens the sockets of this worker.
    pub(super) fn open(&mut self) -> Result<(), Error> {
        if !self.options.client {
            return self.open_server();
        }
        let host = self.options.host.clone().unwrap_or_default();
        let address = net::resolve(&host, self.options.port_of(self.index), self.options.family)?;
        let measures = !self.options.workload.is_stream();
        let flows = self.options.flows_of(self.index);
        for number in 0..flows.len() {
            self.counters.push(Counter::new(number, measures));
            // A flow that connects anew each time does so when the test begins.
            if self.options.workload == Workload::TcpCrr {
                continue;
            }
            let (socket, info) = self.socket(address)?;
            net::bind_local(self.options, &socket)?;
            socket
                .connect_timeout(&address.into(), net::CONNECT_PATIENCE)
                .and_then(|()| socket.set_nonblocking(true))
                .map_err(|error| Error::system("connect", address, error))?;
            let kind = match self.options.workload {
                Workload::TcpStream => Kind::Stream,
                Workload::UdpStream => Kind::Datagrams,
                _ => Kind::Exchange(Exchange::default()),
            };
            self.add(socket, Some(info), kind, number)?;
        }
        Ok(())
    }

    /// Sets the flows of a client going.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        if !self.options.client {
            return Ok(());
        }
        if self.options.workload == Workload::TcpCrr {
            return (0..self.counters.len()).try_for_each(|number| self.connect_anew(number));
        }
        let slots: Vec<usize> = self.flows.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            match self.flows[slot].kind {
                Kind::Exchange(_) => self.ask(slot, clock())?,
                _ => self.interest(slot, self.wanted())?,
            }
        }
        Ok(())
    }

    fn open_server(&mut self) -> Result<(), Error> {
        let address = net::listening(self.options, self.options.port_of(self.index))?;
        let (socket, info) = self.socket(address)?;
        let failed = |name: &'static str| move |error| Error::system("setsockopt", name, error);
        let udp = self.options.workload.is_udp();
        if !udp {
            socket.set_reuse_address(true).map_err(failed("SO_REUSEADDR"))?;
        }
        if self.options.num_threads > 1 && (!udp || self.options.reuseport) {
            socket.set_reuse_port(true).map_err(failed("SO_REUSEPORT"))?;
        }
        net::bind(self.options, &socket, address)?;
        let kind = match self.options.workload {
            Workload::UdpStream => Kind::Datagrams,
            Workload::UdpRr => Kind::DatagramServer,
            _ => {
                socket
                    .listen(self.options.listen_backlog as i32)
                    .map_err(|error| Error::system("listen", address, error))?;
                Kind::Listener
            }
        };
        if udp || self.options.workload == Workload::TcpCrr {
            self.counters.push(Counter::new(0, false));
        }
        let slot = self.add(socket, Some(info), kind, 0)?;
        self.interest(slot, epoll::EventFlags::IN)
    }

    /// A socket with everything set, its hook called.
    fn socket(&mut self, address: SocketAddr) -> Result<(Socket, Rc<AddrInfo>), Error> {
        if let Some(allowance) = &self.options.allowance {
            allowance.open()?;
        }
        let (socket, info) = net::open(self.options, address, self.options.workload.is_udp())?;
        if let Some(hooks) = &mut self.hooks
            && hooks.has(Hook::Socket)
        {
            hooks.socket(Hook::Socket, socket.as_raw_fd(), &info)?;
        }
        net::configure(self.options, &socket)?;
        Ok((socket, Rc::new(info)))
    }

    fn add(
        &mut self,
        socket: Socket,
        address: Option<Rc<AddrInfo>>,
        kind: Kind,
        counter: usize,
    ) -> Result<usize, Error> {
        let interest = epoll::EventFlags::empty();
        let entry = self.flows.vacant_entry();
        let slot = entry.key();
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(slot as u64), interest)
            .map_err(|error| Error::system("epoll_ctl", slot, error.into()))?;
        entry.insert(Flow { socket, address, kind, counter, interest });
        Ok(slot)
    }

    /// What epoll is asked to tell of a one-way flow.
    fn wanted(&self) -> epoll::EventFlags {
        let (read, write) = match self.options.workload {
            Workload::UdpStream => (!self.options.client, self.options.client),
            _ => self.options.directions(),
        };
        let mut wanted = epoll::EventFlags::empty();
        wanted.set(epoll::EventFlags::IN, read);
        wanted.set(epoll::EventFlags::OUT, write);
        wanted.set(epoll::EventFlags::ET, self.options.edge_trigger);
        wanted
    }

    /// Takes the connections that have come.
    pub(super) fn accept(&mut self, listener: usize) -> Result<(), Error> {
        loop {
            let socket = match self.flows[listener].socket.accept_raw() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                // It went away while it waited.
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::Interrupted
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(self.broken("accept", listener, error)),
            };
            if let Some(allowance) = &self.options.allowance {
                allowance.open()?;
            }
            socket.set_nonblocking(true).map_err(|error| self.broken("accept", listener, error))?;
            net::configure(self.options, &socket)?;
            let counter = match self.options.workload {
                // Connections are many and short: all of a thread count as one flow.
                Workload::TcpCrr => 0,
                _ => {
                    let mut counter = Counter::new(self.counters.len(), false);
                    counter.begin(clock(), self.options.interval);
                    self.counters.push(counter);
                    self.counters.len() - 1
                }
            };
            let (kind, interest) = match self.options.workload {
                Workload::TcpStream => (Kind::Stream, self.wanted()),
                _ => (Kind::Exchange(Exchange::serving(self.options)), epoll::EventFlags::IN),
            };
            let slot = self.add(socket, None, kind, counter)?;
            self.interest(slot, interest)?;
        }
    }

    /// Opens the next connection of a flow that has a new one for each request.
    pub(super) fn connect_anew(&mut self, counter: usize) -> Result<(), Error> {
        let host = self.options.host.clone().unwrap_or_default();
        let address = match self.address {
            Some(address) => address,
            None => *self.address.insert(net::resolve(
                &host,
                self.options.port_of(self.index),
                self.options.family,
            )?),
        };
        let (socket, info) = self.socket(address)?;
        // Closed by a reset: otherwise each connection would keep its port for a minute.
        socket
            .set_linger(Some(Duration::ZERO))
            .map_err(|error| Error::system("setsockopt", "SO_LINGER", error))?;
        net::bind_local(self.options, &socket)?;
        let started = clock();
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(Error::system("connect", address, error)),
        }
        let slot = self.add(socket, Some(info), Kind::Exchange(Exchange::connecting(started)), counter)?;
        self.interest(slot, epoll::EventFlags::OUT)
    }

    /// Closes a flow's socket, its hook not called.
    pub(super) fn remove(&mut self, slot: usize) {
        self.flows.remove(slot);
        if let Some(allowance) = &self.options.allowance {
            allowance.closed();
        }
    }

    /// Closes a socket that hooks have seen.
    pub(super) fn close_seen(&mut self, slot: usize) -> Result<(), Error> {
        let flow = &self.flows[slot];
        let mut result = Ok(());
        if let Some(hooks) = &mut self.hooks
            && hooks.has(Hook::Close)
            && let Some(address) = &flow.address
        {
            result = hooks.socket(Hook::Close, flow.socket.as_raw_fd(), address);
        }
        self.remove(slot);
        result
    }

    /// Closes everything and gathers what is left to tell.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        let slots: Vec<usize> = self.flows.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            result = result.and(self.close_seen(slot));
        }
        for mut counter in std::mem::take(&mut self.counters) {
            counter.finish(self.index, self.options, &mut self.harvest);
        }
        match &mut self.hooks {
            Some(hooks) => result.and(hooks.finish()),
            None => result,
        }
    }
}
