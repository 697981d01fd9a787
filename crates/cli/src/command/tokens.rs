//! `splay tokens` and `splay join-tokens`: what programs and splayds show a controller.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use splay_protocol::api::{CreatedJoinToken, CreatedToken, JoinTokenInfo, NewJoinToken, NewToken, Token};

use crate::failure::{Failure, complain};
use crate::quantity::positive_duration;
use crate::testbed::client::segment;
use crate::testbed::table::Table;
use crate::testbed::times::{ago, clock, now};
use crate::testbed::{STATUSES, Target};

/// List, make and remove API tokens: sessions for programs.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay tokens\n  SPLAY_TOKEN=$(splay tokens add nightly --for 30d) splay jobs\n  \
     splay tokens remove t3f0c9a1b2d4\n\nA token has the rights of the user who makes it, and is shown once.\n\n{STATUSES}"
))]
pub struct TokensArgs {
    #[command(subcommand)]
    action: Option<TokenAction>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum TokenAction {
    /// Make a token and print it.
    #[command(after_help = "Examples:\n  splay tokens add nightly --for 30d")]
    Add {
        /// What it is for.
        name: String,
        /// How long it is good, at most a year.
        #[arg(long = "for", value_name = "TIME", default_value = "30d", value_parser = positive_duration)]
        time: Duration,
    },
    /// Make a token worthless.
    #[command(after_help = "Examples:\n  splay tokens remove t3f0c9a1b2d4")]
    Remove {
        /// Identifier, as listed.
        id: String,
    },
}

/// API tokens.
pub fn execute(args: TokensArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    match args.action {
        None => {
            let tokens: Vec<Token> = client.get("/tokens")?;
            args.target.show(&tokens, |tokens| {
                if tokens.is_empty() {
                    return "no tokens\n".to_owned();
                }
                let mut table = Table::new(&["TOKEN", "FOR", "USER", "SINCE", "ENDS"]);
                for token in tokens {
                    table.row([
                        token.id.clone(),
                        token.name.clone(),
                        token.user.clone(),
                        clock(token.created_at),
                        ago(token.expires_at, now()),
                    ]);
                }
                table.to_string()
            })?;
        }
        Some(TokenAction::Add { name, time }) => {
            let new = NewToken { name, expires_in: time.as_secs_f64() };
            let created: CreatedToken = client.send("POST", "/tokens", &new)?;
            args.target.show(&created, |created| format!("{}\n", created.token))?;
        }
        Some(TokenAction::Remove { id }) => {
            client.tell("DELETE", &format!("/tokens/{}", segment(&id)), None::<&()>)?;
            args.target.done(&format!("token {id} removed"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// List, make and revoke join tokens: what a splayd enrols with.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay join-tokens\n  splay join-tokens add --uses 20 --for 1d > token\n  \
     splay join-tokens add --url https://10.0.0.1:8443\n  splay join-tokens revoke k3f0c9a1b2d4\n\n\
     On the machine that is to join: splayd run --join @token\n\n{STATUSES}"
))]
pub struct JoinTokensArgs {
    #[command(subcommand)]
    action: Option<JoinAction>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum JoinAction {
    /// Make a join token and print it.
    #[command(after_help = "Examples:\n  splay join-tokens add --uses 20 --for 1d > token")]
    Add {
        /// How many splayds may enrol with it.
        #[arg(short = 'n', long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// How long it is good.
        #[arg(long = "for", value_name = "TIME", default_value = "7d", value_parser = positive_duration)]
        time: Duration,
        /// The controller's address as the splayds reach it [default: the one it is set up with].
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Let nobody more enrol with a token; who has enrolled stays.
    #[command(after_help = "Examples:\n  splay join-tokens revoke k3f0c9a1b2d4")]
    Revoke {
        /// Identifier, as listed.
        id: String,
    },
}

/// Join tokens.
pub fn join(args: JoinTokensArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    match args.action {
        None => {
            let tokens: Vec<JoinTokenInfo> = client.get("/join-tokens")?;
            args.target.show(&tokens, |tokens| {
                if tokens.is_empty() {
                    return "no join tokens\n".to_owned();
                }
                let mut table = Table::new(&["TOKEN", ">USED", ">OF", "SINCE", "ENDS"]);
                for token in tokens {
                    let ends =
                        if token.revoked { "revoked".to_owned() } else { ago(token.expires_at, now()) };
                    let (used, uses) = (token.used.to_string(), token.uses.to_string());
                    table.row([token.id.clone(), used, uses, clock(token.created_at), ends]);
                }
                table.to_string()
            })?;
        }
        Some(JoinAction::Add { uses, time, url }) => {
            let new = NewJoinToken { uses, expires_in: time.as_secs_f64(), url };
            let created: CreatedJoinToken = client.send("POST", "/join-tokens", &new)?;
            if !args.target.json {
                complain("a secret: whoever has it may enrol a splayd");
            }
            args.target.show(&created, |created| format!("{}\n", created.join))?;
        }
        Some(JoinAction::Revoke { id }) => {
            client.tell("DELETE", &format!("/join-tokens/{}", segment(&id)), None::<&()>)?;
            args.target.done(&format!("join token {id} revoked"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
