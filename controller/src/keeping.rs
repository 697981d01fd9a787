//! Result files: where pieces go as they come, how they are read, and what is removed when it has been
//! kept for long enough.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use splay_protocol::api::ResultFile;
use splay_protocol::session::ResultPart;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::hub::{Hub, now_us, safe_path};
use crate::state::Event;
use crate::store::{Commit, Keep, Store, StoreError};

/// So often it is looked for what has been kept for long enough.
const ROUND: Duration = Duration::from_secs(600);

/// Bytes of a file read at a time.
const CHUNK: u64 = 64 << 10;

/// Bounds of what jobs leave.
#[derive(Debug, Clone)]
pub struct ResultRules {
    /// Where result files go; absent: into the database.
    pub folder: Option<PathBuf>,
    /// Bytes of one file at most.
    pub max_file_bytes: u64,
}

impl ResultRules {
    fn path(&self, job: &str, position: u32, path: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(job).join(position.to_string()).join(path))
    }

    /// Removes the files of a job.
    pub async fn remove(&self, job: &str) {
        let Some(folder) = self.folder.as_ref().filter(|_| safe_path(job)) else { return };
        match tokio::fs::remove_dir_all(folder.join(job)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(job, "results are not removed: {error}");
            }
            _ => {}
        }
    }

    /// The bytes of a result file from `offset` on, some of them; none: there are no more.
    pub async fn read(
        &self,
        store: &Store,
        job: &str,
        position: u32,
        path: &str,
        offset: u64,
    ) -> io::Result<Vec<u8>> {
        let Some(file) = self.path(job, position, path) else {
            let bytes = store.result_bytes(job, position, path, offset).await;
            return bytes.map(Option::unwrap_or_default).map_err(io::Error::other);
        };
        let mut file = tokio::fs::File::open(file).await?;
        file.seek(io::SeekFrom::Start(offset)).await?;
        let mut bytes = Vec::new();
        file.take(CHUNK).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }
}

/// Keeps a piece of a result where it belongs. A piece that came before is written again.
pub(crate) async fn keep_result(
    rules: &ResultRules,
    store: &Store,
    part: &ResultPart,
    commit: &mut Commit,
) -> Result<(), StoreError> {
    if !safe_path(&part.path) || part.total_bytes > rules.max_file_bytes {
        let (job, path, bytes) = (&part.job, &part.path, part.total_bytes);
        tracing::warn!(job, path, bytes, "result file not taken");
        return Ok(());
    }
    let received = match rules.path(&part.job, part.position, &part.path) {
        Some(path) => {
            let (data, offset, total) = (part.data.to_vec(), part.offset, part.total_bytes);
            let shown = path.display().to_string();
            let written = tokio::task::spawn_blocking(move || write_piece(&path, offset, total, &data)).await;
            written.unwrap_or(Ok(None)).map_err(|error| StoreError::File(shown, error))?
        }
        None => {
            let same = |(job, known): &&(String, ResultFile)| {
                (job, known.position, &known.path) == (&part.job, part.position, &part.path)
            };
            let known = match commit.results.iter().find(same) {
                Some((_, known)) => Some((known.received_bytes, known.bytes)),
                None => store.received(part).await?,
            };
            let anew = part.offset == 0 && known.is_none_or(|(_, total)| total != part.total_bytes);
            let length = known.filter(|_| !anew).map_or(0, |(received, _)| received);
            let end = fits(part.offset, part.data.len(), length, part.total_bytes);
            if end.is_some() {
                commit.parts.push((part.clone(), anew));
            }
            end
        }
    };
    let Some(received_bytes) = received else { return Ok(()) };
    let (position, path, bytes) = (part.position, part.path.clone(), part.total_bytes);
    commit.results.retain(|(job, known)| (job, known.position, &known.path) != (&part.job, position, &path));
    commit.results.push((part.job.clone(), ResultFile { position, path, bytes, received_bytes }));
    Ok(())
}

/// How much of a file is there with a piece; `None`: a hole, or more than was announced, which is not
/// what an honest splayd sends.
fn fits(offset: u64, data: usize, length: u64, total: u64) -> Option<u64> {
    let end = offset.checked_add(data as u64)?;
    (offset <= length && end <= total).then_some(length.max(end))
}

fn write_piece(path: &Path, offset: u64, total: u64, data: &[u8]) -> io::Result<Option<u64>> {
    use std::os::unix::fs::FileExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let mut length = file.metadata()?.len();
    if offset == 0 && length > total {
        // That of an earlier life of the instance, which was longer.
        file.set_len(0)?;
        length = 0;
    }
    let Some(end) = fits(offset, data.len(), length, total) else { return Ok(None) };
    file.write_all_at(data, offset)?;
    file.sync_data()?;
    Ok(Some(end))
}

/// Removes, now and then, what has been kept for long enough. Ends with the hub.
pub async fn sweep(hub: Hub, store: Store, keep: Keep) {
    loop {
        match store.to_remove(&keep, now_us()).await {
            Ok(jobs) => {
                for (job, why) in jobs {
                    tracing::info!(job, "logs and results are removed: {why}");
                    if hub.apply(Event::Remove { job, why }).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!("what is to be removed cannot be read: {error}"),
        }
        tokio::time::sleep(ROUND).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_a_file_whatever_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j/1/out");
        let write = |offset, data: &[u8]| write_piece(&path, offset, 6, data).unwrap();
        assert_eq!(write(0, b"abc"), Some(3));
        assert_eq!(write(4, b"x"), None);
        assert_eq!(write(3, b"def"), Some(6));
        assert_eq!(write(0, b"abc"), Some(6));
        assert_eq!(write(6, b"more"), None);
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
        // A later life leaves less.
        assert_eq!(write_piece(&path, 0, 2, b"xy").unwrap(), Some(2));
        assert_eq!(std::fs::read(&path).unwrap(), b"xy");
    }
}
