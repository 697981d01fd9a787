//! The SPLAY daemon: joins a controller and hosts its jobs' instances on one machine.

mod check;
mod clock;
mod config;
mod confine;
mod daemon;
mod facts;
mod files;
mod host;
mod identity;
mod jobd;
mod pipe;
mod ports;
mod session;
mod spool;
mod status;
mod worker;

use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use splay_protocol::{JoinToken, JoinTokenError};
use tracing_subscriber::EnvFilter;

use crate::check::{Report, Workload};
use crate::config::{Config, ConfigError, Options};
use crate::daemon::DaemonError;
use crate::facts::{Facts, Sources};

/// The configuration file, an option or the join token is wrong.
const STATUS_CONFIGURATION: u8 = 3;
/// The controller refuses this splayd, and would again.
const STATUS_REFUSED: u8 = 4;

/// Hosts SPLAY application instances on one machine.
///
/// A splayd joins a controller once, with a token made there, and then hosts instances of the jobs
/// that users submit to it. To run an application on this machine alone, use `splay run`.
///
/// Exit status: 0 if all went well, 1 on a failure, 2 for a wrong command line, 3 for a wrong
/// configuration or join token, 4 if the controller refuses this splayd.
#[derive(Debug, Parser)]
#[command(name = "splayd", version, arg_required_else_help = true)]
#[command(after_help = "Examples:\n  splayd check\n  splayd join splay-join:v1:...\n  splayd run")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at this machine and its configuration and say whether it can host instances
    ///
    /// Exit status: 0 if everything required is there (advice may still be printed), 1 if not, 3 if
    /// the configuration is wrong.
    #[command(after_help = "Examples:\n  splayd check\n  splayd check --instances 5000 --json")]
    Check {
        /// Instances this machine is meant to host at the same time (default: as configured)
        #[arg(long, value_name = "N")]
        instances: Option<NonZeroU32>,
        /// Print the facts and findings as one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Join a controller
    ///
    /// Makes this splayd's key, shows it to the controller with the token, and remembers the
    /// controller in the data folder. `splayd run` then needs no token.
    #[command(after_help = "Examples:\n  splayd join splay-join:v1:eyJ1cmwi...\n  \
                            splayd join --data-directory ./data @token")]
    Join {
        /// The join token, as the controller printed it; @FILE: the token in this file
        token: String,
        #[command(flatten)]
        options: Options,
    },
    /// Host instances until told to end
    ///
    /// Runs in the foreground and logs to standard error; SPLAY_LOG sets what is logged (`debug`,
    /// `splayd=trace` ...). SIGTERM ends the jobs, tells the controller and ends splayd; a second
    /// one ends it at once.
    #[command(after_help = "Examples:\n  splayd run\n  splayd run --config ./splayd.toml\n  \
                            splayd run --join splay-join:v1:eyJ1cmwi... --max-instances 500")]
    Run {
        /// Join this controller first, if none has been joined; @FILE: the token in this file
        #[arg(long, value_name = "TOKEN")]
        join: Option<String>,
        #[command(flatten)]
        options: Options,
    },
    /// One job's worker process; started by splayd itself
    #[command(hide = true)]
    Jobd {
        /// The job, for listings of processes
        job: String,
    },
    /// Tries what a worker process may do; for tests
    #[command(hide = true)]
    ConfineProbe { folder: std::path::PathBuf, port: u16, user: Option<String> },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check { instances, json, options } => finish(check(instances, json, &options)),
        Command::Join { token, options } => finish(join(&token, &options)),
        Command::Run { join, options } => finish(run(join.as_deref(), &options)),
        Command::Jobd { .. } => {
            log();
            jobd::main()
        }
        Command::ConfineProbe { folder, port, user } => {
            let user = user.as_deref().and_then(confine::user::find);
            finish(confine::probe::main(&folder, port, user).map(|()| ExitCode::SUCCESS).map_err(Into::into))
        }
    }
}

/// One line for what went wrong, and the exit status.
fn finish(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match outcome {
        Ok(code) => return code,
        Err(error) => error,
    };
    let _ = writeln!(io::stderr(), "splayd: {error:#}");
    if error.is::<ConfigError>() || error.is::<JoinTokenError>() {
        return STATUS_CONFIGURATION.into();
    }
    match error.downcast_ref() {
        Some(DaemonError::Session(error)) if error.is_final() => STATUS_REFUSED.into(),
        _ => ExitCode::FAILURE,
    }
}

fn log() {
    let filter = EnvFilter::try_from_env("SPLAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour).init();
}

/// One thread: the kernel kills the workers when the thread that started them ends.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn check(instances: Option<NonZeroU32>, json: bool, options: &Options) -> anyhow::Result<ExitCode> {
    let config = Config::load(options)?;
    let configured = NonZeroU32::new(config.max_instances).unwrap_or(NonZeroU32::MIN);
    let workload = Workload { instances: instances.unwrap_or(configured) };
    let report = Report::new(Facts::gather(&Sources::default()), workload, confine::degraded(&config));
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(if report.fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A join token, or that of a file: what stands on a command line everybody on the machine can see.
fn read_token(text: &str) -> anyhow::Result<JoinToken> {
    Ok(match text.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("join token `{path}`"))?.parse()?
        }
        None => text.parse()?,
    })
}

fn join(token: &str, options: &Options) -> anyhow::Result<ExitCode> {
    log();
    let token = read_token(token)?;
    let config = Config::load(options)?;
    let url = token.url.clone();
    let splayd = runtime()?.block_on(daemon::join(&config, token))?;
    writeln!(io::stdout(), "Joined {url} as {splayd}.")?;
    Ok(ExitCode::SUCCESS)
}

fn run(token: Option<&str>, options: &Options) -> anyhow::Result<ExitCode> {
    log();
    let token = token.map(read_token).transpose()?;
    let config = Config::load(options)?;
    splay_runtime::real::raise_descriptor_limit();
    let runtime = runtime()?;
    let outcome = runtime.block_on(daemon::run(config, token));
    runtime.shutdown_background();
    outcome?;
    Ok(ExitCode::SUCCESS)
}
