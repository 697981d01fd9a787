//! `splay nodes` and `splay node`: the splayds of a testbed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use splay_protocol::api::{ChangeSplayd, Splayd, SplaydChange, SplaydState};

use crate::failure::Failure;
use crate::quantity::size_text;
use crate::testbed::client::{Client, segment};
use crate::testbed::table::Table;
use crate::testbed::times::{ago, clock, now, span};
use crate::testbed::{STATUSES, Target};

/// List the splayds of a testbed.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay nodes\n  splay nodes --online --label rack=3\n  splay nodes --json\n\n{STATUSES}"
))]
pub struct NodesArgs {
    /// Only those with an open session.
    #[arg(long)]
    online: bool,
    /// Only those with this label (KEY alone: whatever its value); may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    #[command(flatten)]
    target: Target,
}

fn state(splayd: &Splayd) -> &'static str {
    word(splayd.state)
}

fn word(state: SplaydState) -> &'static str {
    match state {
        SplaydState::Online => "online",
        SplaydState::Offline => "offline",
        SplaydState::Lost => "lost",
        SplaydState::Revoked => "revoked",
    }
}

fn labels(splayd: &Splayd) -> String {
    let label = |(key, value): (&String, &String)| {
        if value.is_empty() { key.clone() } else { format!("{key}={value}") }
    };
    splayd.labels.iter().map(label).collect::<Vec<_>>().join(" ")
}

fn has(splayd: &Splayd, label: &str) -> bool {
    match label.split_once('=') {
        Some((key, value)) => splayd.labels.get(key).is_some_and(|has| has == value),
        None => splayd.labels.contains_key(label),
    }
}

/// Lists splayds.
pub fn list(args: NodesArgs) -> Result<ExitCode, Failure> {
    let mut splayds: Vec<Splayd> = args.target.client()?.get("/splayds")?;
    splayds.retain(|splayd| {
        (!args.online || splayd.state == SplaydState::Online)
            && args.label.iter().all(|label| has(splayd, label))
    });
    args.target.show(&splayds, |splayds| {
        if splayds.is_empty() {
            return "no splayds\n".to_owned();
        }
        let mut table = Table::new(&[
            "SPLAYD",
            "NAME",
            "STATE",
            "SINCE",
            "ADDRESS",
            ">SEATS",
            ">USED",
            ">LOAD",
            ">FREE MEMORY",
            "VERSION",
            "LABELS",
        ]);
        for splayd in splayds {
            let status = |figure: fn(&splay_protocol::api::MachineStatus) -> String| {
                splayd.status.as_ref().map_or_else(String::new, figure)
            };
            table.row([
                splayd.id.clone(),
                splayd.name.clone(),
                state(splayd).to_owned(),
                ago(splayd.since, now()),
                format!("{}:{}-{}", splayd.address, splayd.ports.0, splayd.ports.1),
                splayd.max_instances.to_string(),
                splayd.used_instances.to_string(),
                status(|status| format!("{:.2}", status.load.1)),
                status(|status| size_text(status.free_memory_bytes)),
                splayd.version.clone(),
                labels(splayd),
            ]);
        }
        table.to_string()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Tell all about a splayd; set its labels, or shut it out.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay node lab-07\n  splay node lab-07 --set-label rack=3 --set-label gpu\n  \
     splay node lab-07 --history\n  splay node lab-07 --revoke\n\n{STATUSES}"
))]
pub struct NodeArgs {
    /// Name or identifier of the splayd.
    #[arg(value_name = "SPLAYD")]
    splayd: String,
    /// Set a label over its own; may be repeated (administrators).
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "revoke")]
    set_label: Vec<String>,
    /// Shut it out for good (administrators).
    #[arg(long)]
    revoke: bool,
    /// Tell when it came and went instead.
    #[arg(long, conflicts_with_all = ["revoke", "set_label"])]
    history: bool,
    #[command(flatten)]
    target: Target,
}

/// Tells about a splayd, or changes it.
pub fn one(args: NodeArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    let mut splayd = find(&client, &args.splayd)?;
    let path = format!("/splayds/{}", segment(&splayd.id));
    if args.revoke {
        client.tell("POST", &format!("{path}/revoke"), None::<&()>)?;
        args.target.done(&format!("{} ({}) is not let in any more", splayd.name, splayd.id))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.history {
        let changes: Vec<SplaydChange> = client.get(&format!("{path}/availability"))?;
        args.target.show(&changes, |changes| {
            let mut table = Table::new(&["TIME", "STATE", ">FOR"]);
            for (index, change) in changes.iter().enumerate() {
                let until = changes.get(index + 1).map_or_else(now, |next| next.at);
                table.row([clock(change.at), word(change.state).to_owned(), span(until - change.at)]);
            }
            table.to_string()
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.set_label.is_empty() {
        let split = |label: &String| {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            (key.to_owned(), value.to_owned())
        };
        let labels: BTreeMap<String, String> = args.set_label.iter().map(split).collect();
        client.tell("PATCH", &path, Some(&ChangeSplayd { labels }))?;
        splayd = client.get(&path)?;
    }
    args.target.show(&splayd, about)?;
    Ok(ExitCode::SUCCESS)
}

/// By identifier, or by a name that one splayd has.
fn find(client: &Client, wanted: &str) -> Result<Splayd, Failure> {
    let all: Vec<Splayd> = client.get("/splayds")?;
    let mut named: Vec<&Splayd> = all.iter().filter(|splayd| splayd.id == wanted).collect();
    if named.is_empty() {
        named = all.iter().filter(|splayd| splayd.name == wanted).collect();
    }
    match named.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::NotFound(format!("no splayd `{wanted}` (see `splay nodes`)"))),
        several => {
            let ids: Vec<&str> = several.iter().map(|splayd| splayd.id.as_str()).collect();
            Err(Failure::NotFound(format!("several splayds are named `{wanted}`: {}", ids.join(", "))))
        }
    }
}

fn about(splayd: &Splayd) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<11} {value}");
        }
    };
    field("splayd", format!("{} {}", splayd.id, splayd.name));
    field("state", format!("{} since {}", state(splayd), clock(splayd.since)));
    field("enrolled", clock(splayd.enrolled_at));
    field("labels", labels(splayd));
    field("address", format!("{}, ports {} to {}", splayd.address, splayd.ports.0, splayd.ports.1));
    field("seats", format!("{} of {} in use", splayd.used_instances, splayd.max_instances));
    field("version", splayd.version.clone());
    field("system", format!("{} {} {}", splayd.os, splayd.architecture, splayd.kernel));
    let place = splayd.place.map_or_else(String::new, |(north, east)| format!(" {north:.4}, {east:.4}"));
    field("place", format!("{}{place}", splayd.country).trim().to_owned());
    let maxima = &splayd.maxima;
    field(
        "maxima",
        format!(
            "{} memory, {} disk, {} files, {} sockets, {} ports an instance",
            size_text(maxima.max_memory_bytes),
            size_text(maxima.max_disk_bytes),
            maxima.max_files,
            maxima.max_sockets,
            maxima.ports
        ),
    );
    field("native", splayd.native.join(", "));
    field("unconfined", splayd.degraded.join("; "));
    if let Some(status) = &splayd.status {
        let (one, five, fifteen) = status.load;
        field("load", format!("{one:.2} {five:.2} {fifteen:.2}"));
        field(
            "memory",
            format!("{} of {} free", size_text(status.free_memory_bytes), size_text(status.memory_bytes)),
        );
        field("disk", format!("{} free", size_text(status.free_disk_bytes)));
        field("up", span(status.uptime));
        let off = |(offset, error): (f64, f64)| {
            format!("{:+.2} ms beside the controller's, off by at most {:.2} ms", offset * 1e3, error * 1e3)
        };
        field("clock", status.clock.map_or_else(String::new, off));
        if status.spool_bytes > 0 {
            field("waiting", format!("{} of reports", size_text(status.spool_bytes)));
        }
        field("told", ago(status.at, now()));
    }
    text
}
