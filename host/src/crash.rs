//! Named points at which a test may have the host die as by `kill -9`.
//!
//! `COUNTERSIGN_CRASH_AT=name` dies at the first pass of that point, `name:3` at the third. Only builds with debug
//! assertions look: a release build has no such points.

/// Dies here if a test has asked for it.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ARMED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let text = std::env::var("COUNTERSIGN_CRASH_AT").ok()?;
        Some(match text.split_once(':') {
            Some((name, nth)) => (name.to_owned(), nth.parse().ok()?),
            None => (text, 1),
        })
    });
    static PASSED: AtomicU32 = AtomicU32::new(0);

    if let Some((armed, nth)) = &*ARMED
        && armed == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        tracing::warn!(name, nth, "dying at a crash point");
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn point(_name: &str) {}
