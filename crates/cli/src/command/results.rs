//! `splay results`: files that instances of a job left.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use splay_protocol::api::ResultFile;

use crate::failure::{Failure, complain};
use crate::quantity::{InstanceSet, size_text};
use crate::testbed::client::{Client, segment};
use crate::testbed::table::Table;
use crate::testbed::times::clock;
use crate::testbed::{STATUSES, Target, job};

/// List or fetch what instances left under results/.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay results j3f0c9a1b2d4\n  splay results j3f0c9a1b2d4 -o out\n  \
     splay results j3f0c9a1b2d4 -o out --instance 1-5\n\nFiles go to DIR/INSTANCE/PATH.\n\n{STATUSES}"
))]
pub struct ResultsArgs {
    /// The job.
    #[arg(value_name = "JOB")]
    id: String,
    /// Fetch the files into this folder.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Only of these instances: 3,7 or 1-5,9.
    #[arg(long, value_name = "LIST")]
    instance: Option<InstanceSet>,
    #[command(flatten)]
    target: Target,
}

/// Lists or fetches results.
pub fn execute(args: ResultsArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    let mut files: Vec<ResultFile> = client.get(&format!("/jobs/{}/results", segment(&args.id)))?;
    files.retain(|file| args.instance.as_ref().is_none_or(|set| set.contains(file.position)));
    if let Some(folder) = &args.output {
        for file in &files {
            fetch(&client, &args.id, file, folder)?;
        }
        let total = files.iter().map(|file| file.received_bytes).sum();
        complain(&format!("{} files, {} in {}", files.len(), size_text(total), folder.display()));
        if !args.target.json {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let removed = match files.is_empty() && !args.target.json {
        true => job(&client, &args.id)?.removed_at,
        false => None,
    };
    args.target.show(&files, |files| {
        if let Some(at) = removed {
            return format!("no results: they were kept until {} and then removed\n", clock(at));
        }
        if files.is_empty() {
            return "no results\n".to_owned();
        }
        let mut table = Table::new(&[">INSTANCE", ">SIZE", "FILE", ""]);
        for file in files {
            let missing = match file.bytes - file.received_bytes.min(file.bytes) {
                0 => String::new(),
                bytes => format!("{} have not come yet", size_text(bytes)),
            };
            table.row([file.position.to_string(), size_text(file.bytes), file.path.clone(), missing]);
        }
        table.to_string()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn fetch(client: &Client, id: &str, file: &ResultFile, folder: &Path) -> Result<(), Failure> {
    let relative = Path::new(&file.path);
    // The names are the programs': none may lead out of the folder.
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        complain(&format!(
            "instance {}: `{}` is no name for a file here; left out",
            file.position, file.path
        ));
        return Ok(());
    }
    let path = folder.join(file.position.to_string()).join(relative);
    let failed = |source: io::Error| Failure::Write { path: path.clone(), source };
    std::fs::create_dir_all(path.parent().expect("it is in the folder")).map_err(failed)?;
    let escaped: Vec<String> = file.path.split('/').map(segment).collect();
    let from = format!("/jobs/{}/results/{}/{}", segment(id), file.position, escaped.join("/"));
    let mut stream = client.stream(&from, &[])?;
    let mut out = File::create(&path).map_err(failed)?;
    io::copy(&mut stream, &mut out).map_err(failed)?;
    Ok(())
}
