//! The SPLAY daemon.
fn main() {}
