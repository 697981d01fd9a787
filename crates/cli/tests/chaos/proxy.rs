//! A network that fails, between a splayd and its controller: passes bytes on, or holds them, drops
//! the connection, lets few through, or damages them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Network {
    Fine,
    /// Nothing gets through, and nobody is told.
    Stalled,
    /// Connections are broken, and new ones too.
    Cut,
    /// So many bytes a second, each way.
    Slow(u64),
    /// One byte in so many is another.
    Damaged(u64),
}

/// How often a connection looks at what is to happen.
const LOOK: Duration = Duration::from_millis(20);

pub struct Proxy {
    pub port: u16,
    network: Arc<Mutex<Network>>,
    /// Bytes damaged so far.
    damaged: Arc<AtomicU64>,
}

impl Proxy {
    /// Between whoever dials it and a port of this machine, which may be set later.
    pub fn start(target: Arc<Mutex<u16>>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let network = Arc::new(Mutex::new(Network::Fine));
        let damaged = Arc::new(AtomicU64::new(0));
        let (shared, count) = (network.clone(), damaged.clone());
        // Ends with the test's process.
        std::thread::spawn(move || {
            for dialled in listener.incoming().flatten() {
                if *shared.lock().unwrap() == Network::Cut {
                    continue;
                }
                let port = *target.lock().unwrap();
                let Ok(served) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to) in [(&dialled, &served), (&served, &dialled)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let (network, damaged) = (shared.clone(), count.clone());
                    std::thread::spawn(move || pass(from, to, &network, &damaged));
                }
            }
        });
        Proxy { port, network, damaged }
    }

    pub fn set(&self, network: Network) {
        *self.network.lock().unwrap() = network;
    }

    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, network: &Mutex<Network>, damaged: &AtomicU64) {
    from.set_read_timeout(Some(LOOK)).expect("a timeout");
    let mut buffer = vec![0; 16 << 10];
    let mut passed: u64 = 0;
    loop {
        let now = *network.lock().unwrap();
        let most = match now {
            Network::Cut => break,
            Network::Stalled => {
                std::thread::sleep(LOOK);
                continue;
            }
            Network::Slow(rate) => (rate / 50).clamp(1, 16 << 10) as usize,
            Network::Fine | Network::Damaged(_) => buffer.len(),
        };
        let count = match from.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => continue,
            Err(_) => break,
        };
        if let Network::Slow(_) = now {
            std::thread::sleep(LOOK);
        }
        // What was read as the network failed waits with the rest.
        while *network.lock().unwrap() == Network::Stalled {
            std::thread::sleep(LOOK);
        }
        if let Network::Damaged(every) = now {
            for at in (passed..passed + count as u64).filter(|at| at % every == every - 1) {
                buffer[(at - passed) as usize] ^= 0x20;
                damaged.fetch_add(1, Ordering::Relaxed);
            }
        }
        passed += count as u64;
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
