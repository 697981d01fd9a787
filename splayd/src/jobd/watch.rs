//! The watchdog of the worker process.

use std::io;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::thread::Handle;
use super::{Hosting, Outgoing};

/// Starts the watchdog.
pub fn start(_hosting: &Arc<Hosting>, _handles: &[Handle], _outgoing: Sender<Outgoing>) -> io::Result<()> {
    Ok(())
}
