//! Ctrl-C and SIGTERM.

use std::io;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::STATUS_INTERRUPTED;

/// How long a second signal leaves to write the summary before the process ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Calls `on_signal` for each signal, from a thread of its own. From the second signal on the
/// process ends soon, whatever the rest of it does.
pub fn watch(mut on_signal: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listen = move || {
        for (count, _) in signals.forever().enumerate() {
            on_signal();
            if count > 0 {
                std::thread::sleep(LAST_WORDS);
                std::process::exit(STATUS_INTERRUPTED.into());
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
}
