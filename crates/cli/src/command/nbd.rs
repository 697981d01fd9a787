//! `splay nbd`: an NBD server whose disk is a Lua script, in the manner of `nbdkit lua`.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use clap::{Args, ValueEnum, ValueHint};
use splay_runtime::host::{EndReason, InstanceConfig, Mode, Stream};
use splay_runtime::program::Program;

use crate::engine::{Alone, Stopper, run_alone_until};
use crate::failure::{Failure, STATUS_BROKEN, complain};

const EXAMPLES: &str = "\
Examples:
  splay nbd disk.lua size=1G                a disk at nbd://localhost:10809
  splay nbd -U /tmp/sock disk.lua           at a Unix socket
  splay nbd disk.lua --run 'nbdinfo \"$uri\"'  at a Unix socket of its own, until the command ends
  splay nbd -U - disk.lua --run 'qemu-img convert -f raw \"$uri\" -O qcow2 disk.qcow2'
  splay nbd --dump-plugin disk.lua          what the script defines

The script is one of nbdkit's Lua plugins, unchanged: it defines open, get_size, pread and what else
it can do. `#!/usr/bin/env -S splay nbd` as its first line makes it a command of its own.

The shell that runs --run's command has the variables uri, nbd (in qemu's older form), unixsocket,
port and exportname; `splay nbd` ends with it, and with its exit status.

Exit status: 0 stopped by Ctrl-C or SIGTERM, that of --run's command; 1 the script raised an error or
lacks a callback, 2 wrong command line, 3 a file is missing or unreadable, 4 not valid Lua, 5 the
address is taken or cannot be used.";

/// Serve a network block device made of a Lua script, as `nbdkit lua` does.
///
/// The script has the whole of io and os. It stays in the foreground; errors are told on standard
/// error in nbdkit's form. What differs from nbdkit is listed in docs/reference/nbd.md.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct NbdArgs {
    /// Listen at this Unix socket, which must not exist; `-`: at one in a new folder.
    #[arg(short = 'U', long = "unix", value_name = "SOCKET", conflicts_with = "port", value_hint = ValueHint::FilePath)]
    unix: Option<String>,
    /// Listen at this TCP port (default 10809; 0: any free one).
    #[arg(short, long, value_name = "PORT")]
    port: Option<u16>,
    /// Listen at this address only.
    #[arg(short = 'i', long = "ipaddr", value_name = "ADDRESS")]
    ip: Option<String>,
    /// Clients may not write.
    #[arg(short, long = "readonly")]
    readonly: bool,
    /// Run this command in a shell once clients can connect, and end when it ends.
    #[arg(long, value_name = "COMMAND")]
    run: Option<String>,
    /// Callbacks that run at the same time for a connection; they must be able to.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    parallel: Option<u16>,
    /// Name of the export in $uri (the disk answers to every name).
    #[arg(
        short = 'e',
        long = "exportname",
        visible_alias = "export-name",
        value_name = "NAME",
        default_value = ""
    )]
    export: String,
    /// Encrypt connections: never, if the client asks for it, or always.
    #[arg(long, value_enum, default_value = "off", value_name = "MODE")]
    tls: TlsMode,
    /// Folder of server-cert.pem, server-key.pem and ca-cert.pem.
    #[arg(long, value_name = "FOLDER", default_value = ".", value_hint = ValueHint::DirPath)]
    tls_certificates: PathBuf,
    /// Clients must show a certificate signed by ca-cert.pem.
    #[arg(long)]
    tls_verify_peer: bool,
    /// Write the process's number to this file once clients can connect.
    #[arg(short = 'P', long = "pidfile", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pidfile: Option<PathBuf>,
    /// Tell what the script defines, and end.
    #[arg(long)]
    dump_plugin: bool,
    /// Tell of every callback on standard error.
    #[arg(short, long)]
    verbose: bool,
    /// Accepted for nbdkit's users: it is in the foreground anyway.
    #[arg(short, long)]
    foreground: bool,
    /// Accepted for nbdkit's users: the newstyle handshake is the only one.
    #[arg(short, long, hide = true)]
    newstyle: bool,
    /// Accepted for nbdkit's users: see --parallel.
    #[arg(short, long, value_name = "N", hide = true)]
    threads: Option<u32>,
    /// The script and its parameters, `key=value`.
    #[arg(value_name = "SCRIPT [KEY=VALUE]", required = true, num_args = 1.., value_hint = ValueHint::FilePath)]
    script: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TlsMode {
    Off,
    On,
    Require,
}

/// The port that the protocol has of old.
const PORT: u16 = 10_809;

/// The program: all that is to be done is in a library.
const PROGRAM: &[u8] = b"require(\"splay.nbd_command\").run(arg)";

/// Begins the line by which the library tells that clients can connect.
const READY: &[u8] = b"\0ready ";

/// Where the server is.
struct Place {
    /// The socket's path, absolute.
    path: Option<PathBuf>,
    /// A folder made for it.
    folder: Option<PathBuf>,
    port: u16,
}

impl Place {
    fn choose(args: &NbdArgs) -> Result<Place, Failure> {
        let unix = match (&args.unix, args.port, &args.run) {
            (Some(path), ..) => Some(path.as_str()),
            (None, None, Some(_)) if args.ip.is_none() => Some("-"),
            _ => None,
        };
        let port = args.port.unwrap_or(PORT);
        match unix {
            None => Ok(Place { path: None, folder: None, port }),
            Some("-") => {
                let folder = new_folder()?;
                Ok(Place { path: Some(folder.join("socket")), folder: Some(folder), port: 0 })
            }
            Some(path) => {
                let path = std::path::absolute(path)
                    .map_err(|_| Failure::Usage("-U: an empty name is none of a socket".to_owned()))?;
                Ok(Place { path: Some(path), folder: None, port: 0 })
            }
        }
    }

    fn address(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => self.port.to_string(),
        }
    }

    fn host(args: &NbdArgs) -> String {
        match args.ip.as_deref() {
            None => "localhost".to_owned(),
            Some(ip) if ip.contains(':') => format!("[{ip}]"),
            Some(ip) => ip.to_owned(),
        }
    }

    fn uri(&self, args: &NbdArgs, port: u16) -> String {
        let scheme = if args.tls == TlsMode::Off { "nbd" } else { "nbds" };
        let name = escaped(&args.export);
        match &self.path {
            Some(path) => format!("{scheme}+unix:///{name}?socket={}", escaped(&path.display().to_string())),
            None if port == PORT && name.is_empty() => format!("{scheme}://{}", Place::host(args)),
            None => {
                let name = if name.is_empty() { name } else { format!("/{name}") };
                format!("{scheme}://{}:{port}{name}", Place::host(args))
            }
        }
    }

    /// Shell assignments of what the command of `--run` is told.
    fn variables(&self, args: &NbdArgs, port: u16) -> String {
        let path = self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let mut nbd = match self.path {
            Some(_) => format!("nbd:unix:{path}"),
            None => format!("nbd:{}:{port}", Place::host(args)),
        };
        if !args.export.is_empty() {
            nbd.push_str(&format!(":exportname={}", args.export));
        }
        let port = if self.path.is_some() { String::new() } else { port.to_string() };
        let uri = self.uri(args, port.parse().unwrap_or_default());
        [
            ("uri", uri),
            ("nbd", nbd),
            ("unixsocket", path),
            ("port", port),
            ("exportname", args.export.clone()),
        ]
        .iter()
        .map(|(name, value)| format!("{name}='{}'\n", value.replace('\'', "'\\''")))
        .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // What the command of --run left there goes too.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// A folder that nobody else can enter.
fn new_folder() -> Result<PathBuf, Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::Write { path, source }
    };
    for attempt in 0.. {
        let path = std::env::temp_dir().join(format!("splay-nbd-{}-{attempt}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => {}
            made => return made.map(|()| path.clone()).map_err(failed(&path)),
        }
    }
    unreachable!("the hundredth attempt returns")
}

/// A part of a URI.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The words after the options: nbdkit's users write `lua` before the script, or `script=` in front.
fn script(words: &[String]) -> (&str, &[String]) {
    let words = match words {
        [first, rest @ ..] if first == "lua" && !rest.is_empty() && !Path::new("lua").exists() => rest,
        words => words,
    };
    let first = words[0].as_str();
    (first.strip_prefix("script=").unwrap_or(first), &words[1..])
}

/// The arguments of `splay.nbd_command`.
fn arguments(args: &NbdArgs, place: &Place) -> Vec<String> {
    let mut options = Vec::new();
    let flags = [
        ("readonly", args.readonly),
        ("dump", args.dump_plugin),
        ("verbose", args.verbose),
        ("verify", args.tls_verify_peer),
    ];
    options.extend(flags.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()));
    options.extend(args.parallel.map(|count| format!("parallel={count}")));
    match args.tls {
        TlsMode::Off => {}
        TlsMode::On => options.push("tls=on".to_owned()),
        TlsMode::Require => options.push("tls=require".to_owned()),
    }
    let (script, parameters) = script(&args.script);
    let mut words = vec![
        place.address(),
        args.ip.clone().unwrap_or_default(),
        options.join(","),
        args.tls_certificates.display().to_string(),
        script.to_owned(),
    ];
    words.extend_from_slice(parameters);
    words
}

/// The command of `--run`, while it runs.
type Running = Arc<Mutex<Option<Child>>>;

/// Starts the command; when it ends, so does the server.
fn start(command: &str, variables: &str, running: &Running, stopper: Stopper) -> io::Result<()> {
    let mut child =
        Command::new("sh").arg("-c").arg(format!("{variables}{command}")).stdin(Stdio::inherit()).spawn()?;
    let number = child.id();
    // Waiting needs the child for itself, ending it from outside its number alone.
    let (ended, slot) = (child.try_wait()?, running.clone());
    *running.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    let wait = move || {
        if ended.is_none() {
            let pid = rustix::process::Pid::from_raw(number.cast_signed());
            let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
            // Leaves its status to whoever has the child.
            while let Some(pid) = pid
                && let Err(rustix::io::Errno::INTR) =
                    rustix::process::waitid(rustix::process::WaitId::Pid(pid), options)
            {}
        }
        drop(slot);
        stopper.stop();
    };
    thread::Builder::new().name("run".to_owned()).spawn(wait).map(drop)
}

/// The status of the command of `--run`, which is ended if it still runs.
fn status_of(mut child: Child) -> u8 {
    let status = match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        _ => {
            if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            child.wait()
        }
    };
    match status {
        Ok(status) => {
            let signalled = status.signal().map(|signal| 128 + signal);
            status.code().or(signalled).map_or(STATUS_BROKEN, |code| code as u8)
        }
        Err(_) => STATUS_BROKEN,
    }
}

/// Serves until a signal, or the end of `--run`'s command.
pub fn execute(args: NbdArgs) -> Result<ExitCode, Failure> {
    let place = Place::choose(&args)?;
    let existed = place.path.as_ref().is_some_and(|path| path.symlink_metadata().is_ok());
    let config = InstanceConfig {
        program: Arc::new(Program::from_source("splay nbd", PROGRAM, Some(PathBuf::from(".")))?),
        arguments: arguments(&args, &place),
        job: None,
        mode: Mode::Hosted,
        jit: true,
        compact: false,
        seed: None,
        max_memory_bytes: None,
    };
    let running = Running::default();
    let trouble: Cell<Option<Failure>> = Cell::new(None);
    let stopper: Cell<Option<Stopper>> = Cell::new(None);
    let mut line = |stream: Stream, line: &[u8]| match line.strip_prefix(READY) {
        Some(port) if stream == Stream::Out => {
            let port =
                std::str::from_utf8(port).ok().and_then(|port| port.parse().ok()).unwrap_or(place.port);
            let stopper = stopper.take().expect("set before the program starts");
            let stop = stopper.clone();
            if let Err(failure) = ready(&args, &place, port, &running, stopper) {
                trouble.set(Some(failure));
                stop.stop();
            }
        }
        _ => write_line(stream, line),
    };
    let mut thread_died = |error: &str| complain(error);
    let told = Alone { line: &mut line, thread_died: &mut thread_died };
    let reason = run_alone_until(config, told, |made| stopper.set(Some(made)))?;
    if let Some(path) = place.path.as_ref().filter(|_| !existed) {
        let _ = fs::remove_file(path);
    }
    if let Some(pidfile) = &args.pidfile {
        let _ = fs::remove_file(pidfile);
    }
    if let Some(failure) = trouble.take() {
        return Err(failure);
    }
    if let Some(child) = running.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Ok(ExitCode::from(status_of(child)));
    }
    Ok(ExitCode::from(match reason {
        EndReason::Finished | EndReason::Stopped => 0,
        EndReason::Exit(status) => status as u8,
        EndReason::Error(message) => {
            complain(&message);
            1
        }
        EndReason::Memory => {
            complain("not enough memory");
            1
        }
    }))
}

/// Clients can connect.
fn ready(
    args: &NbdArgs,
    place: &Place,
    port: u16,
    running: &Running,
    stopper: Stopper,
) -> Result<(), Failure> {
    if let Some(pidfile) = &args.pidfile {
        fs::write(pidfile, format!("{}\n", std::process::id()))
            .map_err(|source| Failure::Write { path: pidfile.clone(), source })?;
    }
    match &args.run {
        Some(command) => {
            start(command, &place.variables(args, port), running, stopper).map_err(Failure::Worker)
        }
        None => {
            write_line(
                Stream::Out,
                format!("{} at {}", script(&args.script).0, place.uri(args, port)).as_bytes(),
            );
            Ok(())
        }
    }
}

fn write_line(stream: Stream, line: &[u8]) {
    let line = [line, b"\n"].concat();
    // A server goes on when nobody reads what it says.
    let _ = match stream {
        Stream::Out => io::stdout().write_all(&line).and_then(|()| io::stdout().flush()),
        Stream::Err => io::stderr().write_all(&line),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        nbd: NbdArgs,
    }

    fn parsed(words: &[&str]) -> NbdArgs {
        Only::parse_from([&["nbd"], words].concat()).nbd
    }

    #[test]
    fn addresses_in_all_forms() {
        let args = parsed(&["-p", "7", "-e", "a b", "disk.lua"]);
        let place = Place::choose(&args).unwrap();
        assert_eq!(place.uri(&args, 7), "nbd://localhost:7/a%20b");
        assert!(place.variables(&args, 7).contains("nbd='nbd:localhost:7:exportname=a b'\n"));
        let args = parsed(&["-U", "/x/it's", "--tls", "require", "disk.lua"]);
        let place = Place::choose(&args).unwrap();
        assert_eq!(place.uri(&args, 0), "nbds+unix:///?socket=/x/it%27s");
        assert!(place.variables(&args, 0).contains("unixsocket='/x/it'\\''s'\n"));
        assert!(place.variables(&args, 0).contains("port=''\n"));
    }

    #[test]
    fn a_command_gets_a_socket_of_its_own() {
        let args = parsed(&["disk.lua", "--run", "true"]);
        let place = Place::choose(&args).unwrap();
        let folder = place.folder.clone().unwrap();
        assert!(folder.is_dir());
        drop(place);
        assert!(!folder.exists());
    }

    #[test]
    fn scripts_as_nbdkit_takes_them() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(script(&words("lua d.lua a=1")), ("d.lua", &words("a=1")[..]));
        assert_eq!(script(&words("script=d.lua")), ("d.lua", &[][..]));
        assert_eq!(script(&words("d.lua a=1 b=2")), ("d.lua", &words("a=1 b=2")[..]));
    }
}
