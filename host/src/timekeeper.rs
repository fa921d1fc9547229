//! Does what the time brings about for pauses that wait: they expire, their reviewers are reminded, others are asked.
//!
//! Every host keeps the time of all pauses; the rows say what is left to do, and whoever comes first does it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db::{Db, Result};

/// How often to look at the least, and at the most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How many pauses expire in one transaction, and for how many the steps are taken before the next look.
const EXPIRE_MAX: i64 = 500;
const STEPS_MAX: i64 = 100;

/// Keeps the times of all pauses until `stop`.
pub async fn run(db: Db, stop: CancellationToken) {
    let mut bell = db.bell().listen_for_pauses();
    while !stop.is_cancelled() {
        let wait = match keep(&db).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "the times of pauses could not be kept; trying again");
                LOOK_EVERY
            }
        };
        tokio::select! {
            () = bell.wait(wait) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Does what is due, and says how long to wait before the next look.
async fn keep(db: &Db) -> Result<Duration> {
    let due = db.next_pause_due().await?.unwrap_or(LOOK_EVERY);
    if !due.is_zero() {
        return Ok(due.clamp(LOOK_AGAIN, LOOK_EVERY));
    }
    let expired = db.expire_due(EXPIRE_MAX).await?;
    let stepped = db.take_due_steps(STEPS_MAX).await?;
    if expired.is_full || stepped.is_full {
        return Ok(Duration::ZERO);
    }
    if expired.count + stepped.count > 0 {
        tracing::debug!(expired = expired.count, stepped = stepped.count, "kept the times of pauses");
    }
    Ok(db.next_pause_due().await?.unwrap_or(LOOK_EVERY).clamp(LOOK_AGAIN, LOOK_EVERY))
}
