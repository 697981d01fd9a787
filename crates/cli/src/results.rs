//! The folder of a run's results: where it is, what is in it, and the `latest` link.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::failure::Failure;

/// A results folder, made.
#[derive(Debug, Clone)]
pub struct Results {
    folder: PathBuf,
}

impl Results {
    /// Makes `root/name/time-id/` and points `root/name/latest` to it.
    pub fn create(root: &Path, name: &str, started: Timestamp, id: &str) -> Result<Results, Failure> {
        let parent = root.join(name);
        let own = format!("{}-{id}", started.strftime("%Y%m%dT%H%M%SZ"));
        let results = Results { folder: parent.join(&own) };
        let instances = results.folder.join("instances");
        fs::create_dir_all(&instances).map_err(|source| Failure::Write { path: instances, source })?;
        // Made aside and renamed: at any moment `latest` names a run, also when several start at once.
        let link = parent.join("latest");
        let aside = parent.join(format!(".latest-{id}"));
        std::os::unix::fs::symlink(&own, &aside)
            .and_then(|()| fs::rename(&aside, &link))
            .map_err(|source| Failure::Write { path: link, source })?;
        Ok(results)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Log of an instance.
    pub fn instance_log(&self, instance: u32) -> PathBuf {
        self.folder.join("instances").join(format!("{instance}.log"))
    }

    /// Root of a sandboxed instance's files, made.
    pub fn sandbox(&self, instance: u32) -> Result<PathBuf, Failure> {
        let path = self.folder.join("files").join(instance.to_string());
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(Failure::Write { path, source }),
        }
    }

    /// Opens a new file of the folder.
    pub fn open(&self, name: &str) -> Result<BufWriter<File>, Failure> {
        let path = self.folder.join(name);
        match File::create(&path) {
            Ok(file) => Ok(BufWriter::new(file)),
            Err(source) => Err(Failure::Write { path, source }),
        }
    }

    /// Writes a whole file of the folder.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(name);
        fs::write(&path, contents).map_err(|source| Failure::Write { path, source })
    }

    /// Writes a value as a JSON file for people to read.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(value).expect("plain data always has a JSON form");
        text.push(b'\n');
        self.write(name, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_is_the_last() {
        let root = tempfile::tempdir().unwrap();
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        Results::create(root.path(), "app", time, "aaaa").unwrap();
        let second = Results::create(root.path(), "app", time, "bbbb").unwrap();
        assert!(second.folder().ends_with("app/20231114T221320Z-bbbb"));
        let latest = fs::read_link(root.path().join("app/latest")).unwrap();
        assert_eq!(latest, Path::new("20231114T221320Z-bbbb"));
        second.write("x", b"1").unwrap();
        assert_eq!(fs::read(root.path().join("app/latest/x")).unwrap(), b"1");
    }

    #[test]
    fn unwritable_place_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Results::create(file.path(), "app", Timestamp::UNIX_EPOCH, "x").unwrap_err();
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
        assert_eq!(error.status(), 6);
    }
}
