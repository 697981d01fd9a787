//! Files instances leave under `results/`: read when the instance has ended, sent in parts, then
//! removed. They wait on disk while the spool is more than half full.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use md5::{Digest as _, Md5};
use serde_bytes::ByteBuf;
use splay_protocol::session::{Event, ResultPart};
use tokio::sync::mpsc;

use crate::clock::local_us;
use crate::session::Shared;

/// Size of a part.
const PART_BYTES: usize = 256 << 10;

/// What the program's names begin with.
const PREFIX: &str = "results/";

/// Most bytes of a name.
const MAX_NAME_BYTES: usize = 255;

/// The results of a life are in the spool.
#[derive(Debug)]
pub struct Collected {
    /// Whose.
    pub job: String,
}

/// A life that has ended.
#[derive(Debug)]
pub struct Life {
    pub job: String,
    pub position: u32,
    /// Its folder, removed at the end.
    pub folder: PathBuf,
    /// More than that is not sent.
    pub max_bytes: u64,
}

/// Collects a life's results, and says so.
pub async fn collect(life: Life, shared: Arc<Shared>, told: mpsc::Sender<Collected>) {
    if let Err(error) = send_all(&life, &shared).await {
        tracing::warn!(job = life.job, position = life.position, %error, "results are not sent");
    }
    if let Err(error) = std::fs::remove_dir_all(&life.folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "an instance's folder is not removed");
    }
    let _ = told.send(Collected { job: life.job }).await;
}

async fn send_all(life: &Life, shared: &Shared) -> io::Result<()> {
    let mut budget = life.max_bytes;
    for name in names(&life.folder)? {
        let hash = hex::encode(Md5::digest(format!("{PREFIX}{name}")));
        let file = match open(&life.folder.join(format!("pfs_{hash}"))) {
            Ok(file) => file,
            // Removed by the program.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len();
        if size > budget {
            tracing::warn!(job = life.job, position = life.position, name, size, "a result is too large");
            continue;
        }
        budget -= size;
        let mut offset = 0;
        loop {
            let mut data = vec![0; PART_BYTES.min((size - offset) as usize)];
            file.read_exact_at(&mut data, offset)?;
            let length = data.len() as u64;
            let part = ResultPart {
                job: life.job.clone(),
                position: life.position,
                path: name.clone(),
                offset,
                total_bytes: size,
                data: ByteBuf::from(data),
            };
            add(shared, part).await?;
            offset += length;
            if offset >= size {
                break;
            }
        }
    }
    Ok(())
}

async fn add(shared: &Shared, part: ResultPart) -> io::Result<()> {
    loop {
        let acknowledged = shared.acknowledged.notified();
        if shared.spool().has_room() {
            break;
        }
        let _ = tokio::time::timeout(Duration::from_secs(5), acknowledged).await;
    }
    let at_us = shared.clock().to_controller(local_us());
    shared.spool().add(at_us, Event::Result(part))?;
    shared.spooled.notify_waiters();
    // Others have their turn between parts.
    tokio::task::yield_now().await;
    Ok(())
}

/// Names below `results/`, from the index the sandbox keeps: a name a line. The worker may have
/// been taken over by its program: nothing here is believed.
fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    let file = match open(&folder.join("results_index")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    const MOST: u64 = 64 << 20;
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MOST), &mut text)?;
    let lines = text.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    Ok(lines
        .filter_map(|line| line.strip_prefix(PREFIX))
        .filter(|name| is_name(name))
        .map(str::to_owned)
        .collect())
}

/// Whether a name may leave this machine: a relative path without surprises.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// A plain file, whatever is behind the name.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is no plain file", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere() {
        assert!(is_name("a.csv") && is_name("a/b c.txt"));
        let bad = ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a\tb"];
        assert!(bad.iter().all(|name| !is_name(name)));
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("x")).unwrap();
        assert!(open(&folder.path().join("x")).is_err());
        assert!(open(folder.path()).is_err());
    }
}
