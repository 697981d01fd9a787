//! Where typed lines are kept from one prompt to the next: a file that its owner alone can read,
//! as what is typed may hold secrets.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

/// The file by the XDG rules, from $XDG_STATE_HOME and $HOME; `None` without a home.
fn place(state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute(state).or_else(|| absolute(home).map(|home| home.join(".local/state")))?;
    Some(state.join("splay/history"))
}

/// Makes the file if it is missing, with its folder, and closes it to everyone else.
pub fn prepare() -> io::Result<Option<PathBuf>> {
    let Some(path) = place(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME")) else {
        return Ok(None);
    };
    let folder = path.parent().expect("it is in a folder");
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_follows_the_environment() {
        let path = |state: &str, home: &str| place(Some(state.into()), Some(home.into()));
        assert_eq!(path("/s", "/h"), Some("/s/splay/history".into()));
        assert_eq!(path("", "/h"), Some("/h/.local/state/splay/history".into()));
        assert_eq!(path("relative", "/h"), Some("/h/.local/state/splay/history".into()));
        assert_eq!(place(None, None), None);
    }
}
