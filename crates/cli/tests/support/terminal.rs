//! The `splay` command on a terminal of its own, typed at.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    /// What was looked at already.
    looked_at: usize,
}

impl Terminal {
    /// Starts `splay WORDS` in a folder, which also keeps its history.
    pub fn start(folder: &Path, words: &[&str]) -> Terminal {
        Terminal::start_with(folder, words, &[])
    }

    /// The same with variables of its environment.
    pub fn start_with(folder: &Path, words: &[&str], variables: &[(&str, &Path)]) -> Terminal {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let open = || -> OwnedFd {
            rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
                .expect("its other side")
        };
        let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let input = open();
        tcsetwinsize(&input, size).expect("a size");
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("splay"));
        command.current_dir(folder).args(words).env("TERM", "xterm").env("NO_COLOR", "1");
        command.env("XDG_STATE_HOME", folder.join("state")).envs(variables.iter().copied());
        command.stdin(input).stdout(open()).stderr(open());
        // SAFETY: only system calls between fork and exec; descriptor 0 is the terminal. Ctrl-C makes signals on a controlling
        // terminal alone.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(BorrowedFd::borrow_raw(0))?;
                Ok(())
            });
        }
        let child = command.spawn().expect("built by cargo");
        drop(command);
        let keyboard = File::from(master);
        let mut output = keyboard.try_clone().expect("a descriptor");
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The terminal fails to be read once nobody has its other side open.
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Terminal { child, keyboard, screen, looked_at: 0 }
    }

    pub fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("somebody reads the keys");
    }

    /// Waits until a text appears after what was looked at before.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.screen.lock().unwrap().clone();
            if let Some(at) = screen[self.looked_at..].find(text) {
                self.looked_at += at + text.len();
                return;
            }
            assert!(Instant::now() < give_up, "{text:?} never shown after {:?}", &screen[self.looked_at..]);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that was ever shown.
    pub fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn ends(&mut self, status: i32) {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                assert_eq!(ended.code(), Some(status), "{}", self.screen());
                return;
            }
            assert!(Instant::now() < give_up, "it does not end: {}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
