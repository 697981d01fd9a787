//! The command line: which commands there are, and which file runs each.

mod attach;
mod audit;
mod blacklist;
mod check;
mod churn;
mod completions;
mod doc;
mod etcd;
mod jobs;
mod libs;
mod login;
mod logs;
mod lua;
mod man;
mod nbd;
mod new;
mod nodes;
mod objstore;
mod plot;
mod repl;
pub mod replay;
mod results;
pub mod run;
mod search;
pub mod sim;
mod submit;
mod test;
mod tokens;
mod topology;
mod traffic;
mod up;
mod usage;
mod users;

use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::failure::Failure;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  splay run chord.lua -n 50           fifty instances in this process, over loopback sockets
  splay run chord.lua -n 50 --for 60s the same, stopped after a minute
  splay sim chord.lua -n 1000         a thousand, in virtual time and repeatably
  splay replay chord.rec --until 12s  look into a recorded simulation at a moment
  splay lua chord.lua 3 50            one instance, as a plain Lua interpreter runs it
  splay lua -e 'print(_VERSION)'      a line of Lua
  splay repl                          Lua as you type it, in a live instance
  splay attach chord 7                the same inside instance 7 of a run with --attach
  splay nbd disk.lua size=1G          a block device made of a Lua script, as nbdkit's
  splay plot runs/chord/latest        the overlay of a finished run, as a picture
  splay new ring                      an application to begin with, and its test
  splay test                          every *_test.lua below this folder, in virtual time
  splay topology show star -n 9       networks to simulate: check, generate, show, plot
  splay traffic tcp_rr -c -H host     what the network between two machines gives
  splay check chord.lua               mistakes that can be seen without running it
  splay churn stats day.churn         what a script of joins and leaves amounts to
  splay etcd --memory                 an etcd v2 server for programs to agree by
  splay objstore serve --port 7480    an object store, with code that runs inside it
  splay up -n 10                      a testbed of ten splayds on this machine
  splay submit chord.lua -n 200       run it there; then `splay logs`, `splay job`, `splay kill`
  splay doc events.wait               what a library function is for
  splay help run                      all about `splay run`";

/// Write, run and deploy distributed applications in Lua.
#[derive(Debug, Parser)]
#[command(name = "splay", version, styles = STYLES, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Sim(Box<sim::SimArgs>),
    Replay(replay::ReplayArgs),
    Lua(lua::LuaArgs),
    Repl(repl::ReplArgs),
    Nbd(nbd::NbdArgs),
    Attach(attach::AttachArgs),
    Plot(plot::PlotArgs),
    New(new::NewArgs),
    Test(test::TestArgs),
    Topology(topology::TopologyArgs),
    Traffic(Box<traffic::TrafficArgs>),
    Check(check::CheckArgs),
    Doc(doc::DocArgs),
    Churn(churn::ChurnArgs),
    Etcd(etcd::EtcdArgs),
    Up(up::UpArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Submit(submit::SubmitArgs),
    Resubmit(submit::ResubmitArgs),
    Jobs(jobs::JobsArgs),
    Job(jobs::JobArgs),
    Logs(logs::LogsArgs),
    Kill(jobs::KillArgs),
    Results(results::ResultsArgs),
    Objstore(objstore::ObjstoreArgs),
    Nodes(nodes::NodesArgs),
    Node(nodes::NodeArgs),
    Users(users::UsersArgs),
    Tokens(tokens::TokensArgs),
    JoinTokens(tokens::JoinTokensArgs),
    Audit(audit::AuditArgs),
    Blacklist(blacklist::BlacklistArgs),
    Libs(libs::LibsArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Reads the process's command line. Help and version are printed here and end the process.
pub fn parse() -> Result<Cli, Failure> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => {
            let words: Vec<String> =
                std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
            Failure::Usage(usage::one_line(&error, &Cli::command(), &words))
        }
    })
}

/// Runs the command that was asked for.
pub fn execute(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Run(args) => run::execute(args),
        Command::Sim(args) => sim::execute(*args),
        Command::Replay(args) => replay::execute(args),
        Command::Lua(args) => lua::execute(args),
        Command::Nbd(args) => nbd::execute(args),
        Command::Repl(args) => repl::execute(args),
        Command::Attach(args) => attach::execute(args),
        Command::Plot(args) => plot::execute(args),
        Command::New(args) => new::execute(args),
        Command::Test(args) => test::execute(args),
        Command::Topology(args) => topology::execute(args),
        Command::Traffic(args) => traffic::execute(*args),
        Command::Check(args) => check::execute(args),
        Command::Doc(args) => doc::execute(args),
        Command::Churn(args) => churn::execute(args),
        Command::Etcd(args) => etcd::execute(args),
        Command::Up(args) => up::execute(args),
        Command::Login(args) => login::execute(args),
        Command::Logout(args) => login::log_out(args),
        Command::Submit(args) => submit::execute(args),
        Command::Resubmit(args) => submit::again(args),
        Command::Jobs(args) => jobs::list(args),
        Command::Job(args) => jobs::one(args),
        Command::Logs(args) => logs::execute(args),
        Command::Kill(args) => jobs::kill(args),
        Command::Results(args) => results::execute(args),
        Command::Objstore(args) => objstore::execute(args),
        Command::Nodes(args) => nodes::list(args),
        Command::Node(args) => nodes::one(args),
        Command::Users(args) => users::execute(args),
        Command::Tokens(args) => tokens::execute(args),
        Command::JoinTokens(args) => tokens::join(args),
        Command::Audit(args) => audit::execute(args),
        Command::Blacklist(args) => blacklist::execute(args),
        Command::Libs(args) => libs::execute(args),
        Command::Completions(args) => completions::execute(args),
        Command::Man(args) => man::execute(args),
    }
}

/// The whole command line, for documents made from it.
fn definition() -> clap::Command {
    let mut definition = Cli::command();
    definition.build();
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
