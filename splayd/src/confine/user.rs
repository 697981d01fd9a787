//! Users of this machine, as `/etc/passwd` has them, and becoming one.

use std::io;

/// Whether this process may become another user.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// User and group of a name.
pub fn find(name: &str) -> Option<(u32, u32)> {
    find_in(&std::fs::read_to_string("/etc/passwd").ok()?, name)
}

fn find_in(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let mut number = |skip| fields.nth(skip).and_then(|field| field.parse().ok());
        Some((number(1)?, number(0)?))
    })
}

/// Becomes a user for good, with the group and no other. This process must have one thread.
pub fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let check = |status: libc::c_int| if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: system calls with numbers; the list of groups is empty, its pointer is not read.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(gid, gid, gid))?;
        check(libc::setresuid(uid, uid, uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nsplay:x:990:991::/:/bin/false\nbad:x:y:z\n";
        assert_eq!(find_in(passwd, "splay"), Some((990, 991)));
        assert_eq!(find_in(passwd, "root"), Some((0, 0)));
        assert_eq!((find_in(passwd, "spl"), find_in(passwd, "bad")), (None, None));
    }
}
