//! `splay etcd`: an etcd v2 server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use splay_etcd::Member;
use splay_etcd::disk::{Disk, SNAPSHOT_EVERY};
use splay_etcd::server::{self, ServerError};
use splay_etcd::service::Service;

use crate::failure::{Failure, complain};
use crate::testbed::print;

const EXAMPLES: &str = "\
Examples:
  splay etcd
      on 127.0.0.1:2379, kept in the folder default.etcd; in another terminal:
  curl http://127.0.0.1:2379/v2/keys/message -XPUT -d value=hello
  splay etcd --memory --listen 127.0.0.1:4001 --peer 127.0.0.1:7001
      keeps nothing; on the ports at which lua-etcd looks for it
  splay etcd --name a --data-dir /var/lib/a --listen 0.0.0.0:2379 --advertise http://10.0.0.1:2379
      for other machines

It answers as etcd 3.4 does with --enable-v2: a cluster of one member. What it has acknowledged is on
the disk, unless --memory is given. The addresses it listens on are printed when it is ready.

Exit status:
  0    ended by Ctrl-C, SIGTERM or SIGHUP
  2    the command line is wrong
  4    the data folder is damaged
  5    an address cannot be listened on, or another process uses the data folder
  6    the data folder cannot be read or written
  70   a thread cannot be started";

/// How often it is looked whether it shall end.
const LOOK: Duration = Duration::from_millis(50);

/// Run an etcd v2 server: keys, directories, watches over HTTP.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EtcdArgs {
    /// Where clients reach it; may be given more than once. Port 0 is a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2379")]
    listen: Vec<SocketAddr>,
    /// Where clients of etcd 0.4 ask about the cluster, if not at the same address.
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<SocketAddr>,
    /// The URL that clients are told; may be given more than once [default: those of --listen].
    #[arg(long, value_name = "URL")]
    advertise: Vec<String>,
    /// Name of the member.
    #[arg(long, value_name = "NAME", default_value = "default")]
    name: String,
    /// Folder of the data [default: NAME.etcd].
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    data_dir: Option<PathBuf>,
    /// Keep nothing: an empty store at each start.
    #[arg(long)]
    memory: bool,
    /// Changes after which everything is written anew and the log of changes begun again.
    #[arg(long, value_name = "N", default_value_t = SNAPSHOT_EVERY, value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_count: u64,
    /// Threads that answer [default: one a core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Serves until it is told to end.
pub fn execute(args: EtcdArgs) -> Result<ExitCode, Failure> {
    if let Some(wrong) = args.advertise.iter().find(|url| !url.starts_with("http://")) {
        return Err(Failure::Usage(format!("--advertise `{wrong}`: it must begin with http://")));
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone()).map_err(Failure::Worker)?;
    }
    server::raise_descriptor_limit();
    let mut listeners = Vec::new();
    let mut urls = Vec::new();
    for address in args.listen.iter().chain(&args.peer) {
        let listener = server::listen(*address)?;
        let bound = listener.local_addr();
        let bound = bound.map_err(|source| ServerError::Listen { address: *address, source })?;
        urls.push(format!("http://{bound}"));
        listeners.push(listener);
    }
    let peer = match args.peer {
        Some(_) => urls.pop().expect("it is the last"),
        None => urls[0].clone(),
    };
    let told = if args.advertise.is_empty() { urls.clone() } else { args.advertise };
    let member = Member::new(&args.name, told, vec![peer]);
    let now = server::now();
    let (disk, service) = match args.memory {
        true => (None, Service::new(member, now)),
        false => {
            let folder = args.data_dir.unwrap_or_else(|| format!("{}.etcd", args.name).into());
            let (disk, service) =
                Disk::open(&folder, member, now, args.snapshot_count).map_err(ServerError::Disk)?;
            complain(&format!("the data is in {}", folder.display()));
            (Some(disk), service)
        }
    };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or_else(cores, usize::from);
    let mut running = server::start(listeners, service, disk, threads)?;
    complain("Ctrl-C ends it");
    print(&(urls.join(" ") + "\n"))?;
    while !stop.load(Ordering::SeqCst) {
        if let Some(error) = running.take_failure() {
            return Err(ServerError::Disk(error).into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(ExitCode::SUCCESS)
}
