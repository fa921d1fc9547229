//! What this host drives now, counted by tenant.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::metrics;
use crate::tally::Tally;

/// The slots of a host: each execution that it drives has one. Cheap to clone.
#[derive(Clone)]
pub(super) struct Slots(Arc<Inner>);

struct Inner {
    count: usize,
    running: Mutex<Tally>,
    ended: Notify,
}

/// The slot of one execution; free again when this is dropped.
pub(super) struct Slot {
    slots: Slots,
    tenant: String,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Inner { count, running: Mutex::default(), ended: Notify::new() }))
    }

    pub(super) fn count(&self) -> usize {
        self.0.count
    }

    /// How many executions of each tenant this host drives.
    pub(super) fn running(&self) -> Tally {
        self.lock().clone()
    }

    /// How many slots nobody has; and how many the tenant has that has most.
    pub(super) fn free_and_most(&self) -> (usize, usize) {
        let running = self.lock();
        let free = self.0.count.saturating_sub(running.all());
        (free, running.most())
    }

    pub(super) fn take(&self, tenant: &str) -> Slot {
        let mut running = self.lock();
        running.add(tenant);
        metrics::running(running.all());
        drop(running);
        Slot { slots: self.clone(), tenant: tenant.to_owned() }
    }

    /// Takes a slot, if one is free and the tenant has fewer than `most`. Tells how many it has then.
    pub(super) fn try_take(&self, tenant: &str, most: usize) -> Option<(Slot, usize)> {
        let mut running = self.lock();
        let count = running.of(tenant) + 1;
        if running.all() >= self.0.count || count > most {
            return None;
        }
        running.add(tenant);
        metrics::running(running.all());
        drop(running);
        Some((Slot { slots: self.clone(), tenant: tenant.to_owned() }, count))
    }

    /// Returns when a slot has become free, at once if one has since the last time.
    pub(super) async fn ended(&self) {
        self.0.ended.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.slots.lock();
        running.remove(&self.tenant);
        metrics::running(running.all());
        drop(running);
        self.slots.0.ended.notify_one();
    }
}
