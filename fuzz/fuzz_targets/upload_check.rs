//! What is looked at of an upload before it is compiled: any bytes are read or refused, quickly.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;

/// Under a sanitizer, on a busy machine; a host takes a small part of it.
const PATIENCE: Duration = Duration::from_secs(2);

fuzz_target!(|bytes: &[u8]| {
    let began = Instant::now();
    let _ = countersign::guest::check(bytes, &countersign::limits::Limits::default());
    assert!(began.elapsed() < PATIENCE, "{:?} for {} bytes", began.elapsed(), bytes.len());
});
