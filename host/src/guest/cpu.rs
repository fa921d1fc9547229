//! What a piece of work takes of the processor, counted on its thread.
//!
//! To read a thread's CPU clock is a system call, as dear as what a guest does in most of its polls. The wall clock is not,
//! and nothing takes more CPU time than wall time. So the CPU clock is read for what is not short, and seldom before it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Work that is over in this time by the wall clock is counted as taking all of it.
const SHORT: Duration = Duration::from_micros(20);

/// A reading of the CPU clock this long ago will do for the beginning: what its thread has done since is counted as part of
/// the work.
const FRESH: Duration = Duration::from_micros(50);

/// A reading of both clocks.
#[derive(Clone, Copy)]
struct Reading {
    wall: Instant,
    cpu: u64,
}

thread_local! {
    /// The last one on this thread.
    static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
}

/// A piece of work, on the thread on which it has begun.
#[derive(Clone, Copy)]
pub(super) struct Work {
    began: Instant,
    /// The thread's CPU time then, in nanoseconds, or up to `FRESH` before.
    cpu: u64,
}

impl Work {
    pub(super) fn begin() -> Self {
        let began = Instant::now();
        let last = LAST.get().filter(|last| began.duration_since(last.wall) <= FRESH);
        Self { began, cpu: last.map_or_else(|| read(began), |last| last.cpu) }
    }

    /// The thread's CPU time when it began, in nanoseconds, or a little before.
    pub(super) fn began(&self) -> u64 {
        self.cpu
    }

    /// How much CPU time it has taken, in nanoseconds: never less than it did, and at most `FRESH` more, or `SHORT` in all.
    pub(super) fn end(self) -> u64 {
        let now = Instant::now();
        let wall = now.duration_since(self.began);
        if wall <= SHORT { nanoseconds(wall) } else { (read(now) - self.cpu).min(nanoseconds(wall)) }
    }
}

/// Reads the CPU clock, at this time by the wall clock.
fn read(wall: Instant) -> u64 {
    let cpu = thread_cpu();
    LAST.set(Some(Reading { wall, cpu }));
    cpu
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The CPU time of this thread, in nanoseconds.
pub(super) fn thread_cpu() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes until the CPU clock says that it was for so long.
    fn compute(time: Duration) {
        let until = thread_cpu() + u64::try_from(time.as_nanos()).expect("it is short");
        while thread_cpu() < until {}
    }

    #[test]
    fn what_computes_is_counted_at_least_as_long_as_it_did_and_little_longer() {
        for micros in [5, 100, 3_000] {
            for _ in 0..50 {
                compute(Duration::from_micros(micros));
                let (before, work) = (thread_cpu(), Work::begin());
                compute(Duration::from_micros(micros));
                let (counted, after) = (work.end(), thread_cpu());
                // The two clocks do not run exactly alike.
                assert!(counted >= micros * 990, "{counted} of {micros} µs");
                let most = after - before + u64::try_from(FRESH.as_nanos()).expect("it is short");
                assert!(counted <= most.max(20_000), "{counted} of {micros} µs, at most {most}");
            }
        }
    }

    #[test]
    fn what_waits_is_not_counted() {
        let work = Work::begin();
        std::thread::sleep(Duration::from_millis(30));
        assert!(work.end() < 5_000_000);
    }
}
