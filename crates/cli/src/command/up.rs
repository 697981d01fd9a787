//! `splay up`: a testbed on this machine.

use std::io::{self, IsTerminal as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::{Failure, complain};
use crate::preflight;
use crate::reservation::{Reservation, Reservations};
use crate::testbed::print;
use crate::testbed::sessions::{self, Session, Sessions};
use crate::testbed::up::{Plan, Testbed, ports_of_all};

const EXAMPLES: &str = "\
Examples:
  splay up
      a controller and three splayds, until Ctrl-C; in another terminal:
  splay submit apps/chord.lua -n 50 --wait
  splay up -n 10 --seats 50
      ten splayds of fifty instances each
  splay up -n 3 --exec splay submit apps/chord.lua -n 20 --wait
      for scripts: runs a command in the testbed, ends it, exits with the command's status
  splay up --keep testbed
      everything stays in the folder, and is there again the next time
  splay up --listen 0.0.0.0:8443
      splayds of other machines may join (see `splay join-tokens`)

All are processes of their own, as on a testbed of many machines; their output is in files in the
folder that is named. One that ends by itself is started again. While the testbed is up, its
administrator's session is the current one of `splay`; the command of --exec finds it in the
variables SPLAY_CONTROLLER, SPLAY_TOKEN and SPLAY_FINGERPRINT, and the folder in SPLAY_UP.

Exit status:
  0    ended by Ctrl-C, or by SIGTERM or SIGHUP
  2    the command line is wrong
  5    ports from --first-port on are those of another testbed or run
  6    a file cannot be written
  7    the controller cannot be reached
  14   a process of the testbed does not start, or ends right after its start
  130  interrupted before all was up
  with --exec: the status of the command";

/// Where the splayds' ports begin unless the user says otherwise: above those of most runs.
const FIRST_PORT: u16 = 22_000;

/// How often it is looked whether something has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Start a testbed on this machine: a controller, and splayds that have joined it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UpArgs {
    /// How many splayds.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    splayds: u32,
    /// Instances each splayd hosts at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seats: u32,
    /// Where the controller listens [default: a free port of 127.0.0.1; without ADDRESS: 0.0.0.0:8443].
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "0.0.0.0:8443", require_equals = false)]
    listen: Option<SocketAddr>,
    /// Keep everything in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// First port of the first splayd's instances [default: 22000, or the next that no other
    /// testbed or run has].
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1024..))]
    first_port: Option<u16>,
    /// Run this command in the testbed, then end it all.
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true, trailing_var_arg = true)]
    exec: Vec<String>,
}

/// A folder that goes with the testbed, unless it is kept.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn make(keep: Option<&PathBuf>) -> Result<Folder, Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        let temporary = || std::env::temp_dir().join(format!("splay-up-{:08x}", rand::random::<u32>()));
        let path = keep.cloned().unwrap_or_else(temporary);
        // Keys and tokens are in it.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        let path =
            made.and_then(|()| path.canonicalize()).map_err(|source| Failure::Write { path, source })?;
        Ok(Folder { path, keep: keep.is_some() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The session in the user's file, while the testbed is up.
struct SavedSession {
    name: String,
    before: Option<String>,
}

impl SavedSession {
    fn save(testbed: &Testbed) -> Result<SavedSession, Failure> {
        let path = sessions::file()?;
        let mut sessions = Sessions::load(&path)?;
        let before = sessions.current.clone();
        let name = match sessions.controllers.contains_key("up") {
            true => format!("up-{}", testbed.url.rsplit(':').next().unwrap_or_default()),
            false => "up".to_owned(),
        };
        let session = Session {
            url: testbed.url.clone(),
            fingerprint: testbed.fingerprint.clone(),
            token: testbed.session.token.clone(),
            user: testbed.session.user.name.clone(),
            expires_at: testbed.session.expires_at,
        };
        sessions.add(&name, session);
        sessions.save(&path)?;
        Ok(SavedSession { name, before })
    }
}

impl Drop for SavedSession {
    fn drop(&mut self) {
        let Ok(path) = sessions::file() else { return };
        let Ok(mut sessions) = Sessions::load(&path) else { return };
        let current = sessions.current.as_deref() == Some(&self.name);
        sessions.remove(&self.name);
        if let Some(before) =
            self.before.take().filter(|before| current && sessions.controllers.contains_key(before))
        {
            sessions.current = Some(before);
        }
        let _ = sessions.save(&path);
    }
}

/// Starts everything, waits, ends everything.
pub fn execute(args: UpArgs) -> Result<ExitCode, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone()).map_err(Failure::Worker)?;
    }
    let stopped = || stop.load(Ordering::SeqCst);
    let folder = Folder::make(args.keep.as_ref())?;
    let (first_port, _ports) = ports(&args)?;
    let plan = Plan {
        splayds: args.splayds,
        seats: args.seats,
        first_port,
        listen: args.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into()),
        folder: folder.path.clone(),
    };
    let bar = if io::stderr().is_terminal() {
        ProgressBar::new(args.splayds.into())
    } else {
        ProgressBar::hidden()
    };
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos} of {len} splayds").expect("a valid template"));
    let testbed = Testbed::start(plan, stopped, |online| bar.set_position(online as u64));
    bar.finish_and_clear();
    let mut testbed = testbed?;
    let code = match args.exec.is_empty() {
        true => stay(&mut testbed, &args, &folder, stopped),
        false => run(&mut testbed, &args.exec, &folder, &stop),
    };
    testbed.end();
    code
}

/// The first of the splayds' ports, and all of them for this testbed alone. What else uses some of
/// them is no hindrance: splayds give instances the others.
fn ports(args: &UpArgs) -> Result<(u16, Reservation), Failure> {
    let command = "another `splay up`";
    let span = |first| ports_of_all(args.splayds, args.seats, first);
    let Some(first) = args.first_port else {
        let reservations = Reservations::open();
        let mut first = FIRST_PORT;
        loop {
            let ports = span(first)?;
            match reservations.holder(&ports) {
                None => return Ok((first, reservations.take(&ports, command)?)),
                // At most the last port of all, where there is no room for anything.
                Some(taken) => first = taken.ports.end().saturating_add(1),
            }
        }
    };
    let (ports, reservations) = (span(first)?, Reservations::open());
    preflight::refuse_reserved(&reservations, &ports)?;
    Ok((first, reservations.take(&ports, command)?))
}

fn stay(
    testbed: &mut Testbed,
    args: &UpArgs,
    folder: &Folder,
    stopped: impl Fn() -> bool,
) -> Result<ExitCode, Failure> {
    let session = SavedSession::save(testbed)?;
    let (splayds, seats) = (args.splayds, args.splayds * args.seats);
    complain(&format!(
        "a testbed of {splayds} splayds with {seats} seats; its files are in {}",
        folder.path.display()
    ));
    complain(&format!(
        "you are its administrator: this is the controller `{}` of `splay login`",
        session.name
    ));
    complain(
        "try `splay submit apps/chord.lua -n 50 --wait` in another terminal, `splay nodes`, `splay --help`",
    );
    complain("Ctrl-C ends it");
    print(&format!("{}\n", testbed.url))?;
    while !stopped() {
        testbed.look_after()?;
        std::thread::sleep(LOOK);
    }
    complain("ending the testbed");
    Ok(ExitCode::SUCCESS)
}

/// The command gets the terminal, and Ctrl-C as well.
fn run(
    testbed: &mut Testbed,
    words: &[String],
    folder: &Folder,
    stop: &AtomicBool,
) -> Result<ExitCode, Failure> {
    let own = std::env::current_exe().ok().and_then(|path| path.parent().map(PathBuf::from));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path))).unwrap_or(path);
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .env("PATH", path)
        .env("SPLAY_CONTROLLER", &testbed.url)
        .env("SPLAY_TOKEN", &testbed.session.token)
        .env("SPLAY_FINGERPRINT", &testbed.fingerprint)
        .env("SPLAY_UP", &folder.path)
        .spawn()
        .map_err(|error| Failure::NotFound(format!("run `{}`: {error}", words[0])))?;
    let mut asked = false;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            use std::os::unix::process::ExitStatusExt as _;
            let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
            return Ok(ExitCode::from(code.clamp(0, 255) as u8));
        }
        if let Err(failure) = testbed.look_after() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failure);
        }
        if stop.load(Ordering::SeqCst) && !std::mem::replace(&mut asked, true) {
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        std::thread::sleep(LOOK);
    }
}
