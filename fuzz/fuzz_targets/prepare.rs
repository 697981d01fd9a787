//! Prepares any bytes as Lua source: the number of lines never changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splay_runtime::compat::prepare;

fuzz_target!(|data: &[u8]| {
    let prepared = prepare(data);
    let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines(&prepared), lines(data));
});
