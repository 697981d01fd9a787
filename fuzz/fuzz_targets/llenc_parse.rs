//! Parses any bytes as frames, whole and as they arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splay_runtime::codec::llenc::{Parsed, parse};

fuzz_target!(|data: &[u8]| {
    const MAX: usize = 1 << 20;
    let whole = parse(data, MAX);
    if let Parsed::Frame { payload } = &whole {
        assert!(payload.start <= payload.end && payload.end <= data.len());
    }
    // A prefix says the same, or waits for more.
    for end in 0..data.len().min(64) {
        match parse(&data[..end], MAX) {
            Parsed::NeedMore { total } => assert!(total.is_none_or(|total| total > end)),
            decided => assert_eq!(decided, whole),
        }
    }
});
