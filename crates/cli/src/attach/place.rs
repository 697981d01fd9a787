//! Where the socket of a run is: in its result folder or, where that makes too long a path, in a
//! folder of its own that a file in the result folder points to. Only the user can reach it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Name of the socket.
const SOCKET: &str = "attach.sock";

/// Name of the file with the path of the socket that is elsewhere.
const POINTER: &str = "attach.path";

/// The system's limit of a socket's path (`sun_path`), with the zero byte at its end.
const MAX_PATH_BYTES: usize = 107;

/// The socket of this process's run; taken away when dropped.
#[derive(Debug)]
pub struct Place {
    socket: PathBuf,
    /// What else was made, in the order in which it goes: the pointer, the folder.
    pointer: Option<PathBuf>,
    folder: Option<PathBuf>,
}

impl Place {
    /// Makes the socket of a run and listens on it.
    pub fn listen(results: &Path) -> Result<(Place, UnixListener), Failure> {
        let results = fs::canonicalize(results)
            .map_err(|source| Failure::Write { path: results.to_owned(), source })?;
        let near = results.join(SOCKET);
        let place = if near.as_os_str().len() <= MAX_PATH_BYTES {
            Place { socket: near, pointer: None, folder: None }
        } else {
            Place::elsewhere(&results)?
        };
        match bind_private(&place.socket) {
            Ok(listener) => Ok((place, listener)),
            Err(source) => Err(Failure::Write { path: place.socket.clone(), source }),
        }
    }

    fn elsewhere(results: &Path) -> Result<Place, Failure> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let root = runtime.filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir);
        // Made by us, or not at all: nobody else's folder of that name is used.
        let folder = root.join(format!("splay-{:016x}", rand::random::<u64>()));
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|source| Failure::Write { path: folder.clone(), source })?;
        let (socket, pointer) = (folder.join(SOCKET), results.join(POINTER));
        let place = Place { socket, pointer: Some(pointer.clone()), folder: Some(folder) };
        fs::write(&pointer, place.socket.as_os_str().as_bytes())
            .map_err(|source| Failure::Write { path: pointer, source })?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left behind does no harm: nobody listens.
        let _ = fs::remove_file(&self.socket);
        let _ = self.pointer.as_ref().map(fs::remove_file);
        let _ = self.folder.as_ref().map(fs::remove_dir);
    }
}

/// Binds in a folder that is the user's alone, and moves the socket out once it is so itself.
fn bind_private(socket: &Path) -> io::Result<UnixListener> {
    let folder = socket.with_file_name(".attach");
    DirBuilder::new().mode(0o700).create(&folder)?;
    let inside = folder.join("s");
    let bound = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        fs::rename(&inside, socket)?;
        Ok(listener)
    });
    let _ = fs::remove_file(&inside);
    fs::remove_dir(&folder)?;
    bound
}

/// The path of a run's socket, if the run was made to have one and has not ended.
fn socket_of(run: &Path) -> Option<PathBuf> {
    let near = run.join(SOCKET);
    if near.exists() {
        return fs::canonicalize(near).ok();
    }
    let text = fs::read(run.join(POINTER)).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(&text)))
}

/// Finds the run that `wanted` names: its folder, or an application that has run. Without a wish,
/// the latest run that can be attached to.
pub fn find(runs: &Path, wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(wanted) = wanted else { return newest(runs) };
    let stem = wanted.file_stem().map(|stem| runs.join(stem));
    let named = runs.join(wanted);
    let candidates = [Some(wanted), Some(named.as_path()), stem.as_deref()];
    let is_run = |path: &Path| path.join("options.json").is_file();
    for candidate in candidates.into_iter().flatten() {
        for run in [candidate.to_owned(), candidate.join("latest")] {
            if is_run(&run) {
                return Ok(run);
            }
        }
    }
    let message = format!(
        "no run `{}`: neither a folder of results nor an application in {}",
        wanted.display(),
        runs.display()
    );
    Err(Failure::Unreachable(message))
}

fn newest(runs: &Path) -> Result<PathBuf, Failure> {
    let apps = fs::read_dir(runs)
        .map_err(|source| Failure::Folder { path: runs.to_owned(), source })?
        .flatten()
        .map(|app| app.path().join("latest"));
    let open = apps.filter_map(|run| {
        let made = fs::metadata(socket_of(&run)?).and_then(|about| about.modified()).ok()?;
        Some((made, run))
    });
    open.max().map(|(_, run)| run).ok_or_else(|| {
        Failure::Unreachable(format!(
            "no run in {} can be attached to: begin one with `splay run --attach`",
            runs.display()
        ))
    })
}

/// Connects to a run.
pub fn connect(run: &Path) -> Result<UnixStream, Failure> {
    let shown = run.display();
    let Some(socket) = socket_of(run) else {
        return Err(Failure::Unreachable(format!(
            "{shown} cannot be attached to: it is over, or was run without --attach"
        )));
    };
    UnixStream::connect(&socket).map_err(|error| {
        Failure::Unreachable(match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => format!("{shown} is over"),
            _ => format!("{shown} cannot be attached to: {error}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn socket_is_the_users_alone_and_goes_with_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let (place, _listener) = Place::listen(folder.path()).unwrap();
        let socket = folder.path().join(SOCKET);
        assert_eq!(mode(&socket), 0o600);
        connect(folder.path()).unwrap();
        drop(place);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(connect(folder.path()).unwrap_err().status(), 3);
    }

    #[test]
    fn long_paths_point_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(120));
        fs::create_dir(&deep).unwrap();
        let (place, _listener) = Place::listen(&deep).unwrap();
        let socket = socket_of(&deep).unwrap();
        assert!(socket.as_os_str().len() <= MAX_PATH_BYTES, "{socket:?}");
        assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
        connect(&deep).unwrap();
        drop(place);
        assert!(!socket.parent().unwrap().exists() && fs::read_dir(&deep).unwrap().count() == 0);
    }

    #[test]
    fn runs_are_found_by_folder_and_by_application() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("ring/one");
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("options.json"), "{}").unwrap();
        std::os::unix::fs::symlink("one", root.path().join("ring/latest")).unwrap();
        let latest = root.path().join("ring/latest");
        for wanted in ["ring", "ring.lua", "apps/ring.lua"] {
            assert_eq!(find(root.path(), Some(Path::new(wanted))).unwrap(), latest, "{wanted}");
        }
        assert_eq!(find(Path::new("nowhere"), Some(&run)).unwrap(), run);
        assert!(find(root.path(), Some(Path::new("other"))).is_err());
        let nothing = find(root.path(), None).unwrap_err().to_string();
        assert!(nothing.contains("splay run --attach"), "{nothing}");
        let (_place, _listener) = Place::listen(&run).unwrap();
        assert_eq!(find(root.path(), None).unwrap(), latest);
    }
}
