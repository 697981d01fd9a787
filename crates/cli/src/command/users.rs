//! `splay users`: who may use a controller.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use splay_protocol::api::{ChangeUser, NewUser, Role, User};

use super::login::password;
use crate::failure::Failure;
use crate::testbed::client::segment;
use crate::testbed::table::Table;
use crate::testbed::times::clock;
use crate::testbed::{STATUSES, Target};

const EXAMPLES: &str = "\
Examples:
  splay users
  splay users add ann                       asks for the password
  splay users add bot --role read-only < password
  splay users role ann admin
  splay users password                      one's own
  splay users password ann                  somebody else's (administrators)
  splay users remove ann

Roles: admin does everything, on everybody's jobs; user has jobs of their own and sees the splayds;
read-only sees all jobs, their logs and the splayds, and changes nothing.
";

/// List and change the users of a controller.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{STATUSES}"), args_conflicts_with_subcommands = false)]
pub struct UsersArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user; the password is asked for, or read from standard input.
    #[command(
        after_help = "Examples:\n  splay users add ann\n  splay users add bot --role read-only < password"
    )]
    Add {
        /// Name: letters, digits, `.`, `_`, `-`.
        name: String,
        /// What the user may do.
        #[arg(long, default_value = "user")]
        role: RoleArg,
    },
    /// Remove a user.
    #[command(after_help = "Examples:\n  splay users remove ann")]
    Remove {
        /// Name.
        name: String,
    },
    /// Change a password; all sessions and tokens of the user end.
    #[command(after_help = "Examples:\n  splay users password\n  splay users password ann")]
    Password {
        /// Name [default: one's own].
        name: Option<String>,
    },
    /// Change what a user may do.
    #[command(after_help = "Examples:\n  splay users role ann admin")]
    Role {
        /// Name.
        name: String,
        /// What the user may do from now on.
        role: RoleArg,
    },
    /// Who one is.
    #[command(after_help = "Examples:\n  splay users me")]
    Me,
}

/// A role on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    Admin,
    User,
    ReadOnly,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Role {
        match role {
            RoleArg::Admin => Role::Admin,
            RoleArg::User => Role::User,
            RoleArg::ReadOnly => Role::ReadOnly,
        }
    }
}

fn word(role: Role) -> String {
    match role {
        Role::Admin => "admin",
        Role::User => "user",
        Role::ReadOnly => "read-only",
    }
    .to_owned()
}

/// Lists or changes users.
pub fn execute(args: UsersArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    let target = &args.target;
    match args.action {
        None => {
            let users: Vec<User> = client.get("/users")?;
            target.show(&users, |users| {
                let mut table = Table::new(&["USER", "ROLE", "SINCE"]);
                for user in users {
                    table.row([user.name.clone(), word(user.role), clock(user.created_at)]);
                }
                table.to_string()
            })?;
        }
        Some(Action::Add { name, role }) => {
            let password = password(&format!("Password for {name}: "), false)?;
            client.tell(
                "POST",
                "/users",
                Some(&NewUser { name: name.clone(), password, role: role.into() }),
            )?;
            target.done(&format!("user {name} added"))?;
        }
        Some(Action::Remove { name }) => {
            client.tell("DELETE", &format!("/users/{}", segment(&name)), None::<&()>)?;
            target.done(&format!("user {name} removed"))?;
        }
        Some(Action::Password { name }) => {
            let me: User = client.get("/users/me")?;
            let own = name.as_ref().is_none_or(|name| *name == me.name);
            let name = name.unwrap_or(me.name);
            let old_password = if own { Some(password("Password so far: ", false)?) } else { None };
            let password = Some(password(&format!("New password of {name}: "), false)?);
            let change = ChangeUser { old_password, password, role: None };
            client.tell("PATCH", &format!("/users/{}", segment(&name)), Some(&change))?;
            let again = if own { ": log in again" } else { "" };
            target.done(&format!("password of {name} changed; all sessions of {name} have ended{again}"))?;
        }
        Some(Action::Role { name, role }) => {
            let change = ChangeUser { role: Some(role.into()), ..ChangeUser::default() };
            client.tell("PATCH", &format!("/users/{}", segment(&name)), Some(&change))?;
            target.done(&format!("{name} is {} now", word(role.into())))?;
        }
        Some(Action::Me) => {
            let me: User = client.get("/users/me")?;
            target.show(&me, |me| format!("{} ({}) at {}\n", me.name, word(me.role), client.url()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
