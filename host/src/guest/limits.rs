//! What one guest may use, and what becomes of one that wants more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::component::ResourceTableError;
use wasmtime::{ResourceLimiter, Trap, UpdateDeadline};

use super::asks::AskLimit;
use super::cpu::{Work, thread_cpu};
use super::engine::WASM_STACK_BYTES;
use crate::execution::Failure;
use crate::limits::Limits;

/// Core instances, and likewise memories and tables, of one component.
const INSTANCES_MAX: usize = 256;

/// Counts a guest's CPU time, and notes what it was refused.
pub(super) struct Meter {
    slice_cpu: Duration,
    attempt_cpu: Duration,
    /// Of the slice, up to the poll that runs now, in nanoseconds.
    spent: AtomicU64,
    /// Of all slices that are no replay, likewise.
    spent_live: AtomicU64,
    /// The thread's CPU time when that poll began.
    poll_began: AtomicU64,
    /// Of all its memories, in bytes.
    memory_bytes: AtomicU64,
    memory_refused: AtomicBool,
    tables_refused: AtomicBool,
    /// Whether the slice has run before, within its limit.
    is_replay: AtomicBool,
}

/// How much longer a slice may take when it is replayed: CPU time is measured, and no two measurements are the same.
const REPLAY_LENIENCE: u32 = 4;

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            slice_cpu: Duration::from_millis(limits.slice_cpu_ms),
            attempt_cpu: Duration::from_millis(limits.attempt_cpu_ms),
            spent: AtomicU64::new(0),
            spent_live: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
            memory_refused: AtomicBool::new(false),
            tables_refused: AtomicBool::new(false),
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
        let work = Work::begin();
        self.poll_began.store(work.began(), Ordering::Relaxed);
        let polled = poll();
        let took = work.end();
        self.spent.fetch_add(took, Ordering::Relaxed);
        if !self.is_replay.load(Ordering::Relaxed) {
            self.spent_live.fetch_add(took, Ordering::Relaxed);
        }
        polled
    }

    /// What happens at a tick of the epoch: the guest makes room for others, or has used up its time.
    pub(super) fn tick(&self) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_cpu().saturating_sub(self.poll_began.load(Ordering::Relaxed));
        match self.exhausted(now) {
            Some(limit) => Err(wasmtime::Error::from(limit)),
            None => Ok(UpdateDeadline::Yield(1)),
        }
    }

    /// The failure of a guest that has used up its time in slices that are each too short for a tick.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.exhausted(0).map(|limit| Failure::guest("cpu_limit", limit.to_string()))
    }

    /// Which limit is reached, when a poll has run for `now` nanoseconds.
    fn exhausted(&self, now: u64) -> Option<CpuLimit> {
        let is_replay = self.is_replay.load(Ordering::Relaxed);
        let lenience = if is_replay { REPLAY_LENIENCE } else { 1 };
        let of = |spent: &AtomicU64| Duration::from_nanos(spent.load(Ordering::Relaxed) + now);
        if of(&self.spent) > self.slice_cpu * lenience {
            return Some(CpuLimit::Slice(self.slice_cpu));
        }
        if !is_replay && of(&self.spent_live) > self.attempt_cpu {
            return Some(CpuLimit::Attempt(self.attempt_cpu));
        }
        None
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
        self.0.memory_bytes.load(Ordering::Relaxed)
    }
}

#[derive(Debug, thiserror::Error)]
enum CpuLimit {
    #[error("the component computed for more than {0:?} between two answers (limit `slice_cpu_ms`)")]
    Slice(Duration),
    #[error("the component computed for more than {0:?} in one attempt, beyond its journal (limit `attempt_cpu_ms`)")]
    Attempt(Duration),
}

/// The limiter of one store: sums over all memories and tables. Its answers depend on nothing but the limits and what
/// is asked for, so they are the same on replay.
pub(super) struct Memory {
    limits: Limits,
    meter: Arc<Meter>,
    memory_bytes: u64,
    table_elements: u64,
}

impl Memory {
    pub(super) fn new(limits: &Limits, meter: &Arc<Meter>) -> Self {
        Self { limits: limits.clone(), meter: meter.clone(), memory_bytes: 0, table_elements: 0 }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current) as u64);
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
        let total = self.table_elements.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.limits.table_elements {
            self.meter.tables_refused.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        INSTANCES_MAX
    }
}

/// Longest message about a trap, in characters.
const MESSAGE_CHARS_MAX: usize = 4_000;

/// Says why a guest ended without returning. The guest is to blame for all of it.
pub(super) fn failure(error: &wasmtime::Error, limits: &Limits, meter: &Meter, last_words: Option<String>) -> Failure {
    if let Some(limit) = reached(error, limits) {
        return limit;
    }
    let mut message = match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        Some(exit) => format!("the component exited with status {} instead of returning", exit.0),
        None => error.root_cause().to_string(),
    };
    if let Some(words) = last_words {
        message = format!("{message}; its last words: {words}");
    }
    let message = message.chars().take(MESSAGE_CHARS_MAX).collect::<String>();
    if meter.memory_refused.load(Ordering::Relaxed) {
        let why = format!("out of memory (limit `memory_bytes`: {}): {message}", limits.memory_bytes);
        return Failure::guest("memory_limit", why);
    }
    if meter.tables_refused.load(Ordering::Relaxed) {
        let why = format!("its tables are full (limit `table_elements`: {}): {message}", limits.table_elements);
        return Failure::guest("memory_limit", why);
    }
    Failure::guest("trap", message)
}

/// The limit that ended a guest, if one did.
fn reached(error: &wasmtime::Error, limits: &Limits) -> Option<Failure> {
    if let Some(limit) = error.downcast_ref::<CpuLimit>() {
        return Some(Failure::guest("cpu_limit", limit.to_string()));
    }
    if let Some(limit) = error.downcast_ref::<AskLimit>() {
        return Some(Failure::guest(limit.code(), limit.to_string()));
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref() {
        return Some(Failure::guest(
            "stack_limit",
            format!("the call stack is exhausted; it has {WASM_STACK_BYTES} bytes"),
        ));
    }
    let cause = error.root_cause().to_string();
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) || cause.contains("handle limit exceeded") {
        let why = format!("the component holds more handles than it may (limit `handles`: {})", limits.handles);
        return Some(Failure::guest("handle_limit", why));
    }
    if cause.contains("too much data") || cause.contains("fuel") {
        let max = limits.host_call_bytes;
        let why =
            format!("the component passed more to the host in one call than it may (limit `host_call_bytes`: {max})");
        return Some(Failure::guest("too_large", why));
    }
    None
}
