//! What an ask does outside the sandbox. `ai` is done by this host, in memory; `call`, `pause` and `sleep` are durable:
//! the execution can be suspended while it waits for them.

use crate::execution::WAIT_MS_MAX;
use crate::journal::Millis;

pub mod ai;
pub mod call;
pub mod pause;

/// When a wait of `duration_ms` that began at `asked_at` is over. The same on every replay.
pub fn deadline(asked_at: Millis, duration_ms: u64) -> Millis {
    asked_at.saturating_add(duration_ms.min(WAIT_MS_MAX))
}
