//! The SPLAY controller.
fn main() {}
