//! The controller's command line.

mod lists;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand, ValueEnum};
use splay_controller::api;
use splay_controller::config::{Config, ConfigError};
use splay_controller::hub::now_us;
use splay_controller::secrets::{hash_password, random_password};
use splay_controller::store::{Store, UserRow};
use splay_controller::{server, tls};
use splay_protocol::api::{NewJoinToken, Role, User};

/// Deploys SPLAY jobs over many machines.
///
/// `serve` is the controller itself. The other commands work on its data folder, whether it runs or
/// not. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration.
#[derive(Debug, Parser)]
#[command(name = "splay-controller", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Accept splayds and users, run jobs
    ///
    /// The first start makes a certificate and an administrator, `admin`, whose password is printed
    /// once. SIGTERM and Ctrl-C end it in order; jobs go on and are taken up again at the next start.
    #[command(
        after_help = "Examples:\n  splay-controller serve\n  splay-controller serve --data /var/lib/splay --listen 0.0.0.0:8443\n  splay-controller serve --config /etc/splay/controller.toml --database postgres://splay@localhost/splay"
    )]
    Serve(Place),
    /// Join tokens, which let splayds in
    #[command(subcommand)]
    Token(TokenCommand),
    /// Users
    #[command(subcommand)]
    User(UserCommand),
    /// Print the job table each instance of a job receives, one JSON object a line
    ///
    /// The lists depend on the options alone: the same seed gives the same lists everywhere, so
    /// this shows what `splay run` with the same options tells its instances.
    #[command(
        after_help = "Examples:\n  splay-controller lists -n 5\n  splay-controller lists -n 100 --list-type random --list-size 10 --seed 7"
    )]
    Lists(lists::ListArguments),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a join token and print it
    #[command(
        after_help = "Examples:\n  splay-controller token create\n  splay-controller token create --uses 40 --expires 2d --url https://controller.example:8443"
    )]
    Create {
        /// How many splayds may enrol with it
        #[arg(long, default_value = "1", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        uses: u32,
        /// How long it is good for: seconds, or with s, m, h, d
        #[arg(long, default_value = "7d", value_name = "TIME", value_parser = seconds)]
        expires: f64,
        /// The controller as splayds reach it; what it was last started with when left out
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user; the password is read from the first line of the input, or made and printed
    #[command(
        after_help = "Examples:\n  splay-controller user add ann --role user\n  echo secret-words | splay-controller user add bot --role read-only --password-stdin"
    )]
    Add {
        /// Name
        name: String,
        /// What the user may do
        #[arg(long, value_enum, default_value = "user")]
        role: RoleName,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Give a user a new password; all sessions and tokens of the user end
    #[command(after_help = "Examples:\n  splay-controller user passwd admin")]
    Passwd {
        /// Name
        name: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    Admin,
    User,
    ReadOnly,
}

/// Where the controller is.
#[derive(Debug, clap::Args)]
struct Place {
    /// Configuration in TOML; flags go over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of database, results and certificate
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// PostgreSQL instead of a file in the data folder
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Address and port to listen on (serve)
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Folder of result files, shared by the controllers of a database (serve)
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// How other controllers on the same database reach this one (serve)
    #[arg(long, value_name = "URL")]
    internal_url: Option<String>,
    /// Certificate chain in PEM (serve)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key in PEM (serve)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Place {
    fn config(&self) -> Result<Config, ConfigError> {
        let mut config = self.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        if self.database.is_some() {
            config.database.clone_from(&self.database);
        }
        if self.results.is_some() {
            config.results.clone_from(&self.results);
        }
        if self.internal_url.is_some() {
            config.internal_url.clone_from(&self.internal_url);
        }
        config.listen = self.listen.unwrap_or(config.listen);
        if self.cert.is_some() {
            (config.cert, config.key) = (self.cert.clone(), self.key.clone());
        }
        config.check()?;
        Ok(config)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let factor = match text.chars().last() {
        Some('s') => 1.0,
        Some('m') => 60.0,
        Some('h') => 3600.0,
        Some('d') => 86400.0,
        _ => 0.0,
    };
    let digits = if factor > 0.0 { &text[..text.len() - 1] } else { text };
    let factor = if factor > 0.0 { factor } else { 1.0 };
    let amount: f64 =
        digits.parse().map_err(|_| "a number of seconds, or 30m, 12h, 7d, is expected".to_owned())?;
    match (1.0..=366.0 * 86400.0).contains(&(amount * factor)) {
        true => Ok(amount * factor),
        false => Err("1 s to a year is expected".to_owned()),
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(place) => serve(&place),
        Command::Token(TokenCommand::Create { uses, expires, url, place }) => {
            create_token(&place, uses, expires, url)
        }
        Command::User(UserCommand::Add { name, role, password_stdin, place }) => {
            add_user(&place, name, role, password_stdin)
        }
        Command::User(UserCommand::Passwd { name, password_stdin, place }) => {
            set_password(&place, &name, password_stdin)
        }
        Command::Lists(arguments) => lists::print_lists(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, for example `| head`.
        Err(error) if lists::broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "splay-controller: {error:#}");
            ExitCode::from(if error.is::<ConfigError>() { 3 } else { 1 })
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

fn serve(place: &Place) -> anyhow::Result<()> {
    let config = place.config()?;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    server::raise_descriptor_limit();
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let running = server::start(config).await?;
        let mut out = io::stdout().lock();
        let role = if running.stands_by { "; another controller leads" } else { "" };
        writeln!(out, "listening on {}, reached at {}{role}", running.address, running.url)?;
        if let Some(password) = &running.first_password {
            writeln!(out, "user admin, password {password} (shown this once)")?;
        }
        out.flush()?;
        drop(out);
        let stop = async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        running.until(stop).await?;
        Ok(())
    });
    // Work that nobody waits for any more does not keep the process.
    runtime.shutdown_background();
    served
}

async fn open(config: &Config) -> anyhow::Result<Store> {
    if config.database.is_none() && !config.data.join("controller.db").exists() {
        bail!("{}: no controller has been started with this data folder", config.data.display());
    }
    Ok(Store::open(&config.database_url()).await?)
}

fn create_token(place: &Place, uses: u32, expires: f64, url: Option<String>) -> anyhow::Result<()> {
    let config = place.config()?;
    let known = || std::fs::read_to_string(config.data.join("url")).ok();
    let url = url.or_else(|| config.url.clone()).or_else(known);
    let url = url.context("--url is needed: no controller has been started with this data folder")?;
    let new = NewJoinToken { uses, expires_in: expires, url: Some(url.trim().to_owned()) };
    api::check_join_token(&new).map_err(anyhow::Error::msg)?;
    let fingerprint = match &config.cert {
        Some(_) => String::new(),
        None => hex::encode(tls::fingerprint_of(&config.data.join("tls/cert.pem"))?),
    };
    let made = runtime()?.block_on(async {
        let store = open(&config).await?;
        Ok::<_, anyhow::Error>(api::make_join_token(&store, &new, url.trim(), &fingerprint).await?)
    })?;
    writeln!(io::stdout(), "{}", made.join)?;
    Ok(())
}

/// From the input, or a new one that is printed.
fn password(from_input: bool) -> anyhow::Result<(String, bool)> {
    if !from_input {
        return Ok((random_password(), true));
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("read the password")?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    api::check_password(&password).map_err(anyhow::Error::msg)?;
    Ok((password, false))
}

fn add_user(place: &Place, name: String, role: RoleName, from_input: bool) -> anyhow::Result<()> {
    let config = place.config()?;
    api::check_name(&name).map_err(anyhow::Error::msg)?;
    let role = match role {
        RoleName::Admin => Role::Admin,
        RoleName::User => Role::User,
        RoleName::ReadOnly => Role::ReadOnly,
    };
    let (password, made) = password(from_input)?;
    let user = User { name: name.clone(), role, created_at: now_us() as f64 / 1e6 };
    let row = UserRow { user, password: hash_password(&password) };
    if !runtime()?.block_on(async { anyhow::Ok(open(&config).await?.add_user(&row).await?) })? {
        bail!("there is a user `{name}` already");
    }
    if made {
        writeln!(io::stdout(), "{password}")?;
    }
    Ok(())
}

fn set_password(place: &Place, name: &str, from_input: bool) -> anyhow::Result<()> {
    let config = place.config()?;
    let (password, made) = password(from_input)?;
    runtime()?.block_on(async {
        let store = open(&config).await?;
        if store.user(name).await?.is_none() {
            bail!("there is no user `{name}`");
        }
        Ok(store.change_user(name, None, Some(hash_password(&password))).await?)
    })?;
    if made {
        writeln!(io::stdout(), "{password}")?;
    }
    Ok(())
}
