//! Files of jobs, kept by their SHA-256 between jobs: fetched once, checked, bounded in total.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use splay_protocol::session::{FilePart, ShippedFile};

/// What came of a piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Nobody waits for it.
    Unwanted,
    /// More is to come.
    More,
    /// The file is here.
    Complete,
    /// The pieces do not make the file; what is here of it was thrown away.
    Wrong(String),
}

#[derive(Debug)]
struct Coming {
    bytes: u64,
    file: Option<File>,
    received: u64,
    hasher: Sha256,
}

/// The cache.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    max_bytes: u64,
    coming: BTreeMap<String, Coming>,
}

impl Files {
    /// Opens the cache; pieces of files from an earlier run are removed.
    pub fn open(folder: &Path, max_bytes: u64) -> io::Result<Files> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        for entry in std::fs::read_dir(folder)?.flatten() {
            if entry.file_name().to_string_lossy().ends_with(".part") {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Files { folder: folder.to_owned(), max_bytes, coming: BTreeMap::new() })
    }

    /// Digests of those files that are not here; they are awaited from now on.
    pub fn lacking(&mut self, files: &[ShippedFile]) -> BTreeSet<String> {
        // Nothing need be sent for an empty file.
        let empty = hex::encode(Sha256::digest(b""));
        if files.iter().any(|file| file.sha256 == empty) {
            let _ = File::create(self.path(&empty));
        }
        let lacking: Vec<&ShippedFile> =
            files.iter().filter(|file| !self.path(&file.sha256).is_file()).collect();
        for file in &lacking {
            let fresh = || Coming { bytes: file.bytes, file: None, received: 0, hasher: Sha256::new() };
            self.coming.entry(file.sha256.clone()).or_insert_with(fresh);
        }
        lacking.into_iter().map(|file| file.sha256.clone()).collect()
    }

    /// Takes a piece.
    pub fn arrive(&mut self, part: &FilePart) -> io::Result<Arrival> {
        let Some(coming) = self.coming.get_mut(&part.sha256) else { return Ok(Arrival::Unwanted) };
        let path = self.folder.join(format!("{}.part", part.sha256));
        if part.offset == 0 {
            let mut options = OpenOptions::new();
            options.create(true).truncate(true).write(true).mode(0o644);
            *coming = Coming {
                bytes: coming.bytes,
                file: Some(options.open(&path)?),
                received: 0,
                hasher: Sha256::new(),
            };
        }
        let (Some(file), true) = (&mut coming.file, part.offset == coming.received) else {
            // A piece of a transfer that was cut and begun again.
            return Ok(Arrival::More);
        };
        file.write_all(&part.data)?;
        coming.hasher.update(&part.data);
        coming.received += part.data.len() as u64;
        if coming.received < coming.bytes {
            return Ok(Arrival::More);
        }
        let coming = self.coming.remove(&part.sha256).expect("it was found");
        let found = hex::encode(coming.hasher.finalize());
        if coming.received > coming.bytes || found != part.sha256 {
            std::fs::remove_file(&path)?;
            let (got, said) = (coming.received, coming.bytes);
            let text = format!("file {}: received {got} bytes of {said} with digest {found}", part.sha256);
            return Ok(Arrival::Wrong(text));
        }
        std::fs::rename(&path, self.path(&part.sha256))?;
        Ok(Arrival::Complete)
    }

    /// Copies the files into a job's folder. They are then no concern of the cache.
    pub fn place(&self, files: &[ShippedFile], folder: &Path) -> io::Result<()> {
        for shipped in files {
            let to = folder.join(&shipped.path);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let from = self.path(&shipped.sha256);
            std::fs::copy(&from, &to)?;
            // Used now: kept longest.
            let _ =
                File::options().write(true).open(&from).and_then(|file| file.set_modified(SystemTime::now()));
        }
        Ok(())
    }

    /// Removes the files not used for longest until the rest fits, but none of `needed`.
    pub fn trim(&self, needed: &BTreeSet<String>) -> io::Result<()> {
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&self.folder)?.flatten() {
            let metadata = entry.metadata()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".part") && !needed.contains(&name) {
                kept.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        kept.sort();
        let mut bytes: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, size, path) in kept {
            if bytes <= self.max_bytes {
                break;
            }
            std::fs::remove_file(path)?;
            bytes -= size;
        }
        Ok(())
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(sha256)
    }
}

/// Whether a job's files can be put into a folder: relative paths that lead nowhere else, no two
/// the same, digests that are digests. The error is for people.
pub fn check(files: &[ShippedFile]) -> Result<(), String> {
    let mut paths = BTreeSet::new();
    for file in files {
        let plain = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
        if file.path.is_empty() || !plain || file.path.contains('\0') {
            return Err(format!("file `{}`: not a path in the job's folder", file.path));
        }
        if !splay_protocol::join::is_fingerprint(&file.sha256)
            || file.sha256.bytes().any(|b| b.is_ascii_uppercase())
        {
            return Err(format!("file `{}`: `{}` is not a SHA-256 digest", file.path, file.sha256));
        }
        if !paths.insert(&file.path) {
            return Err(format!("file `{}` comes twice", file.path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;

    use super::*;

    fn shipped(path: &str, content: &[u8]) -> ShippedFile {
        let sha256 = hex::encode(Sha256::digest(content));
        ShippedFile { path: path.into(), sha256, bytes: content.len() as u64, native: None }
    }

    fn part(file: &ShippedFile, offset: u64, data: &[u8]) -> FilePart {
        FilePart { sha256: file.sha256.clone(), offset, data: ByteBuf::from(data) }
    }

    #[test]
    fn files_come_in_parts_and_are_placed() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(&folder.path().join("cache"), 1000).unwrap();
        let file = shipped("lib/a.lua", b"hello world");
        assert_eq!(files.lacking(std::slice::from_ref(&file)).len(), 1);
        assert_eq!(files.arrive(&part(&file, 0, b"hel")).unwrap(), Arrival::More);
        // Cut, and begun again; a late piece of the first try does no harm.
        assert_eq!(files.arrive(&part(&file, 0, b"hello ")).unwrap(), Arrival::More);
        assert_eq!(files.arrive(&part(&file, 3, b"lo ")).unwrap(), Arrival::More);
        assert_eq!(files.arrive(&part(&file, 6, b"world")).unwrap(), Arrival::Complete);
        assert_eq!(files.arrive(&part(&file, 0, b"x")).unwrap(), Arrival::Unwanted);
        assert!(files.lacking(std::slice::from_ref(&file)).is_empty());
        files.place(&[file], &folder.path().join("job")).unwrap();
        assert_eq!(std::fs::read(folder.path().join("job/lib/a.lua")).unwrap(), b"hello world");
    }

    #[test]
    fn wrong_content_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(folder.path(), 1000).unwrap();
        let file = shipped("a", b"right");
        files.lacking(std::slice::from_ref(&file));
        assert!(matches!(files.arrive(&part(&file, 0, b"wrong")).unwrap(), Arrival::Wrong(_)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(files.lacking(&[file]).len(), 1);
    }

    #[test]
    fn the_cache_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(folder.path(), 10).unwrap();
        let all: Vec<ShippedFile> = [b"aaaaaa", b"bbbbbb", b"cccccc"].map(|text| shipped("x", text)).into();
        files.lacking(&all);
        for (file, text) in all.iter().zip([b"aaaaaa", b"bbbbbb", b"cccccc"]) {
            assert_eq!(files.arrive(&part(file, 0, text)).unwrap(), Arrival::Complete);
        }
        files.trim(&[all[0].sha256.clone()].into()).unwrap();
        let lacking = files.lacking(&all);
        assert!(lacking.len() == 1 && !lacking.contains(&all[0].sha256));
    }

    #[test]
    fn paths_stay_in_the_folder() {
        let with = |path: &str| check(&[ShippedFile { path: path.into(), ..shipped("a", b"") }]);
        assert!(with("a/b.lua").is_ok());
        for path in ["", "/a", "../a", "a/../../b", ".", "a\0"] {
            assert!(with(path).is_err(), "{path:?}");
        }
        assert!(check(&[shipped("a", b"1"), shipped("a", b"2")]).unwrap_err().contains("twice"));
    }
}
