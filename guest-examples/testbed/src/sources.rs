//! What a guest sees of the world besides answers: time, chance, and a place to print to.

use std::collections::HashSet;
use std::fmt::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use countersign_sdk::{Error, Value, json};

/// The clocks of the standard library.
pub(crate) struct Clocks {
    start: Instant,
}

impl Clocks {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// `wall_ms` since 1970, `mono_ns` since the start.
    pub(crate) fn read(&self) -> Value {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({ "wall_ms": wall.as_millis() as u64, "mono_ns": self.start.elapsed().as_nanos() as u64 })
    }
}

/// 16 random bytes in hexadecimal.
pub(crate) fn random_hex() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::new("no_random", error.to_string()))?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
        hex
    }))
}

/// The numbers below 20, in the order that the standard library's random hashes give them.
pub(crate) fn hash_order() -> Vec<u32> {
    (0..20).collect::<HashSet<_>>().into_iter().collect()
}

/// Prints `out LABEL 0` and so on to stdout, and `err LABEL 0` and so on to stderr, in turn.
pub(crate) fn print_lines(label: &str, lines: u64) {
    for i in 0..lines {
        println!("out {label} {i}");
        eprintln!("err {label} {i}");
    }
}
