//! What one guest may use, and what becomes of one that wants more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::asks::AskLimit;
use crate::execution::Failure;

/// What one guest may use. Its own execution fails if it wants more; nothing else happens.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Linear memory, summed over the whole instance, in bytes. `memory.grow` beyond it returns -1.
    pub memory_bytes: usize,
    /// Elements of all its tables together.
    pub table_elements: usize,
    /// Core instances, and likewise memories and tables, of one component.
    pub instances: usize,
    /// What it may pass to the host in one call, in bytes.
    pub host_call_bytes: usize,
    /// CPU time between two answers.
    pub slice_cpu: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            table_elements: 50_000,
            instances: 256,
            host_call_bytes: 2 << 20,
            slice_cpu: Duration::from_secs(10),
        }
    }
}

/// Counts a guest's CPU time, and notes what it was refused.
pub(super) struct Meter {
    limit: Duration,
    /// Of the slice, up to the poll that runs now, in nanoseconds.
    spent: AtomicU64,
    /// The thread's CPU time when that poll began.
    poll_began: AtomicU64,
    /// Of all its memories, in bytes.
    memory_bytes: AtomicUsize,
    memory_refused: AtomicBool,
    /// Whether the slice has run before, within its limit.
    is_replay: AtomicBool,
}

/// How much longer a slice may take when it is replayed: CPU time is measured, and no two measurements are the same.
const REPLAY_LENIENCE: u32 = 4;

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.slice_cpu,
            spent: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            memory_bytes: AtomicUsize::new(0),
            memory_refused: AtomicBool::new(false),
            is_replay: AtomicBool::new(false),
        }
    }

    pub(super) fn set_replay(&self, is_replay: bool) {
        self.is_replay.store(is_replay, Ordering::Relaxed);
    }

    pub(super) fn start_slice(&self) {
        self.spent.store(0, Ordering::Relaxed);
    }

    /// The CPU time of the slice, up to the poll that runs now.
    pub(super) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// Runs one poll of the guest and counts the CPU time of this thread.
    pub(super) fn measure<T>(&self, poll: impl FnOnce() -> T) -> T {
        let began = thread_cpu();
        self.poll_began.store(began, Ordering::Relaxed);
        let polled = poll();
        self.spent.fetch_add(thread_cpu() - began, Ordering::Relaxed);
        polled
    }

    /// What happens at a tick of the epoch: the guest makes room for others, or has used up its time.
    pub(super) fn tick(&self) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_cpu().saturating_sub(self.poll_began.load(Ordering::Relaxed));
        let spent = Duration::from_nanos(self.spent.load(Ordering::Relaxed) + now);
        let lenience = if self.is_replay.load(Ordering::Relaxed) { REPLAY_LENIENCE } else { 1 };
        if spent > self.limit * lenience {
            return Err(wasmtime::Error::from(CpuLimit(self.limit)));
        }
        Ok(UpdateDeadline::Yield(1))
    }
}

/// The memory that one instance uses, to be looked at from outside while it runs.
#[derive(Clone)]
pub struct MemoryUse(Arc<Meter>);

impl MemoryUse {
    pub(super) fn new(meter: &Arc<Meter>) -> Self {
        Self(meter.clone())
    }

    /// Of all its memories. It only grows, so at the end it is the peak.
    pub fn bytes(&self) -> u64 {
        self.0.memory_bytes.load(Ordering::Relaxed) as u64
    }
}

/// The CPU time of this thread, in nanoseconds.
fn thread_cpu() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[derive(Debug, thiserror::Error)]
#[error("the component computed for more than {0:?} between two answers")]
struct CpuLimit(Duration);

/// The limiter of one store: sums over all memories and tables. Its answers depend on nothing but the limits and what
/// is asked for, so they are the same on replay.
pub(super) struct Memory {
    limits: Limits,
    meter: Arc<Meter>,
    memory_bytes: usize,
    table_elements: usize,
}

impl Memory {
    pub(super) fn new(limits: &Limits, meter: &Arc<Meter>) -> Self {
        Self { limits: limits.clone(), meter: meter.clone(), memory_bytes: 0, table_elements: 0 }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory_bytes {
            self.meter.memory_refused.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory_bytes = total;
        self.meter.memory_bytes.store(total, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.limits.table_elements || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }
}

/// Longest message about a trap, in characters.
const MESSAGE_CHARS_MAX: usize = 4_000;

/// Says why a guest ended without returning. The guest is to blame for all of it.
pub(super) fn failure(error: &wasmtime::Error, meter: &Meter, last_words: Option<String>) -> Failure {
    if let Some(limit) = error.downcast_ref::<CpuLimit>() {
        return Failure::guest("cpu_limit", limit.to_string());
    }
    if let Some(limit) = error.downcast_ref::<AskLimit>() {
        return Failure::guest("ask_limit", limit.to_string());
    }
    let cause = error.root_cause().to_string();
    if cause.contains("too much data") || cause.contains("fuel") {
        return Failure::guest("too_large", "the component passed more to the host in one call than it may");
    }
    let mut message = match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        Some(exit) => format!("the component exited with status {} instead of returning", exit.0),
        None => cause,
    };
    if let Some(words) = last_words {
        message = format!("{message}; its last words: {words}");
    }
    let message = message.chars().take(MESSAGE_CHARS_MAX).collect::<String>();
    if meter.memory_refused.load(Ordering::Relaxed) {
        return Failure::guest("memory_limit", format!("out of memory: {message}"));
    }
    Failure::guest("trap", message)
}
