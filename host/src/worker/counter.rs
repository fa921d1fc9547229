//! Where executions are handed over that became due on this host: see `db::handover`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::slots::{Slot, Slots};
use super::{Worker, share};
use crate::crash;
use crate::db::claims::Claim;
use crate::db::handover::{Bid, Place, Taker};
use crate::db::recall::Recalled;

/// What drives executions: each has a slot, and is waited for when the host stops. Cheap to clone.
#[derive(Clone)]
pub(super) struct Counter(Arc<Inner>);

struct Inner {
    worker: Worker,
    name: Arc<str>,
    slots: Slots,
    attempts: TaskTracker,
    stop: CancellationToken,
    /// Whether the last look at the queue has left something there, whose turn comes first.
    is_behind: AtomicBool,
}

/// A slot that is kept for an execution that this host is about to claim.
struct Kept {
    counter: Counter,
    slot: Slot,
    /// A host that stops waits for this, too: what is claimed at this moment has to be given back.
    _attempt: tokio_util::task::task_tracker::TaskTrackerToken,
}

impl Counter {
    pub(super) fn new(worker: Worker, slots: Slots, attempts: TaskTracker, stop: CancellationToken) -> Self {
        let name = worker.name.as_str().into();
        Self(Arc::new(Inner { worker, name, slots, attempts, stop, is_behind: AtomicBool::new(false) }))
    }

    pub(super) fn is_behind(&self, is_behind: bool) {
        self.0.is_behind.store(is_behind, Ordering::Relaxed);
    }

    /// Drives an execution that was claimed, until it waits, has ended, or the host stops.
    pub(super) fn drive(&self, claim: Claim, recalled: Option<Recalled>, slot: Slot) {
        crash::point("after_claim");
        let Inner { worker, attempts, stop, .. } = &*self.0;
        let (worker, stop) = (worker.clone(), stop.clone());
        attempts.spawn(async move {
            worker.attempt(claim, recalled, &stop).await;
            drop(slot);
        });
    }
}

impl Taker for Counter {
    fn place(&self, tenant: &str) -> Option<Bid> {
        let Inner { worker, name, slots, attempts, stop, is_behind } = &*self.0;
        let attempt = attempts.token();
        if stop.is_cancelled() || is_behind.load(Ordering::Relaxed) || worker.room.is_waited_for() {
            return None;
        }
        let (slot, running) = slots.try_take(tenant, share::most_of(slots.count()))?;
        let place = Box::new(Kept { counter: self.clone(), slot, _attempt: attempt });
        Some(Bid { worker: name.clone(), lease: worker.lease, running, place })
    }
}

impl Place for Kept {
    fn drive(self: Box<Self>, claim: Claim, recalled: Option<Recalled>) {
        let Self { counter, slot, _attempt } = *self;
        counter.drive(claim, recalled, slot);
    }
}
