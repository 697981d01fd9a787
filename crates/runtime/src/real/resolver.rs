//! Asks the machine's name service on a few threads of its own, so that no worker ever waits
//! for a name.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use socket2::SockAddr;

use super::poll::Signal;
use crate::driver::{Owner, Query, Resolved, Wake};

/// LuaSocket's text for a name that has no address.
pub const UNKNOWN_HOST: &str = "host or service not provided, or not known";

/// Look-ups under way at the same time; the others queue.
const MAX_THREADS: usize = 4;

/// An unused resolver thread ends after this time.
const IDLE: Duration = Duration::from_secs(10);

struct Question {
    owner: Owner,
    query: u64,
    text: Query,
}

#[derive(Default)]
struct Queue {
    questions: VecDeque<Question>,
    threads: usize,
    idle: usize,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

pub(super) struct Resolver {
    shared: Arc<Shared>,
    signal: Arc<Signal>,
    sender: mpsc::Sender<Wake>,
    receiver: mpsc::Receiver<Wake>,
}

impl Resolver {
    pub(super) fn new(signal: Arc<Signal>) -> Resolver {
        let shared = Arc::new(Shared { queue: Mutex::default(), arrived: Condvar::new() });
        let (sender, receiver) = mpsc::channel();
        Resolver { shared, signal, sender, receiver }
    }

    /// Queues a question; its answer raises the signal.
    pub(super) fn ask(&self, owner: Owner, query: u64, text: Query) {
        let question = Question { owner, query, text };
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.questions.push_back(question);
        if queue.idle >= queue.questions.len() {
            self.shared.arrived.notify_one();
            return;
        }
        if queue.threads == MAX_THREADS {
            return;
        }
        let (shared, signal, sender) = (self.shared.clone(), self.signal.clone(), self.sender.clone());
        let started = std::thread::Builder::new()
            .name("resolver".into())
            .stack_size(256 * 1024)
            .spawn(move || serve(&shared, &signal, &sender));
        match started {
            Ok(_) => queue.threads += 1,
            Err(error) if queue.threads == 0 => {
                // Nobody is left to answer: fail what is queued rather than leave it waiting.
                for question in queue.questions.drain(..) {
                    let answer = Err(format!("cannot start the resolver: {error}"));
                    let _ = self.sender.send(question.answered(answer));
                }
                self.signal.raise();
            }
            Err(_) => {}
        }
    }

    /// Runs other work that blocks, on a thread of its own; its end raises the signal as well.
    pub(super) fn work(&self, owner: Owner, query: u64, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let (signal, sender) = (self.signal.clone(), self.sender.clone());
        let run = move || {
            work();
            if sender.send(Wake::Worked { owner, query }).is_ok() {
                signal.raise();
            }
        };
        std::thread::Builder::new().name("work".into()).spawn(run).map(drop)
    }

    /// Moves the answers that have come to `wakes`.
    pub(super) fn answers(&self, wakes: &mut Vec<Wake>) {
        wakes.extend(self.receiver.try_iter());
    }
}

impl Question {
    fn answered(&self, answer: Result<Resolved, String>) -> Wake {
        Wake::Resolved { owner: self.owner, query: self.query, answer }
    }
}

fn serve(shared: &Shared, signal: &Signal, sender: &mpsc::Sender<Wake>) {
    loop {
        let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let question = loop {
            if let Some(question) = queue.questions.pop_front() {
                break question;
            }
            queue.idle += 1;
            let waited = shared.arrived.wait_timeout(queue, IDLE);
            let (back, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = back;
            queue.idle -= 1;
            if timeout.timed_out() && queue.questions.is_empty() {
                queue.threads -= 1;
                return;
            }
        };
        drop(queue);
        let answer = match &question.text {
            Query::Addresses(name) => addresses(name),
            Query::Name(address) => name_of(*address),
        };
        if sender.send(question.answered(answer)).is_err() {
            return;
        }
        signal.raise();
    }
}

/// Addresses of `name`, as getaddrinfo(3) orders them.
fn addresses(name: &str) -> Result<Resolved, String> {
    let host = CString::new(name).map_err(|_| UNKNOWN_HOST.to_owned())?;
    // SAFETY: an all-zero addrinfo is the empty hint.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = libc::AF_UNSPEC;
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_flags = libc::AI_CANONNAME;
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: `host` is a C string, `hints` and `list` outlive the call.
    let status = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &hints, &mut list) };
    if status != 0 {
        return Err(error_text(status));
    }
    let mut resolved = Resolved { name: name.to_owned(), aliases: Vec::new(), addresses: Vec::new() };
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: getaddrinfo's list is valid until it is freed below.
        let info = unsafe { &*entry };
        if !info.ai_canonname.is_null() {
            // SAFETY: a non-null canonical name is a C string of the same life.
            let canonical = unsafe { CStr::from_ptr(info.ai_canonname) }.to_string_lossy();
            if canonical != name {
                resolved.aliases.push(name.to_owned());
                resolved.name = canonical.into_owned();
            }
        }
        if let Some(address) = address_of(info)
            && !resolved.addresses.contains(&address)
        {
            resolved.addresses.push(address);
        }
        entry = info.ai_next;
    }
    // SAFETY: the list came from getaddrinfo and nothing refers to it any more.
    unsafe { libc::freeaddrinfo(list) };
    if resolved.addresses.is_empty() { Err(UNKNOWN_HOST.to_owned()) } else { Ok(resolved) }
}

fn address_of(info: &libc::addrinfo) -> Option<IpAddr> {
    match info.ai_family {
        libc::AF_INET => {
            // SAFETY: an AF_INET entry points at a sockaddr_in.
            let address = unsafe { info.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: an AF_INET6 entry points at a sockaddr_in6.
            let address = unsafe { info.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Name of an address, as getnameinfo(3) says.
fn name_of(address: IpAddr) -> Result<Resolved, String> {
    let target = SockAddr::from(SocketAddr::new(address, 0));
    let mut name = [0 as libc::c_char; 1025];
    // SAFETY: the address and the buffer outlive the call and are described by their lengths.
    let status = unsafe {
        libc::getnameinfo(
            target.as_ptr().cast(),
            target.len(),
            name.as_mut_ptr(),
            name.len() as libc::socklen_t,
            ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if status != 0 {
        return Err(error_text(status));
    }
    // SAFETY: getnameinfo has written a C string.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    Ok(Resolved { name, aliases: Vec::new(), addresses: vec![address] })
}

/// LuaSocket's words for getaddrinfo's codes.
fn error_text(status: libc::c_int) -> String {
    match status {
        libc::EAI_NONAME | libc::EAI_NODATA => UNKNOWN_HOST,
        libc::EAI_AGAIN => "temporary failure in name resolution",
        libc::EAI_FAIL => "non-recoverable failure in name resolution",
        libc::EAI_FAMILY => "ai_family not supported",
        libc::EAI_MEMORY => "memory allocation failure",
        libc::EAI_OVERFLOW => "argument buffer overflow",
        libc::EAI_SERVICE => "service not supported for socket type",
        libc::EAI_SOCKTYPE => "ai_socktype not supported",
        // SAFETY: gai_strerror returns a static C string for every code.
        other => return unsafe { CStr::from_ptr(libc::gai_strerror(other)) }.to_string_lossy().into_owned(),
    }
    .to_owned()
}
