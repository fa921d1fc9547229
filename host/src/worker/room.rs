//! The memory of a host that instances share: what is set aside before one is made, and what is done when they grow.
//!
//! What an instance may use depends on its recorded limits alone, never on this: a replay would be refused what was
//! granted before. So what is expected of an instance is set aside, and when all together outgrow the budget, the one that
//! is furthest beyond what was expected of it is dropped, to be made again when there is room for it.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::guest::MemoryUse;
use crate::metrics;

/// What an instance costs beside its memories: the stack of its fiber, tables, what it has asked.
const OVERHEAD_BYTES: u64 = 1 << 20;

/// How often to look at what all instances use, while there are any.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long somebody waits for room before those make it who use more than was set aside for them.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many components' and executions' peaks are remembered.
const PEAKS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not 0");

/// The memory of a host that instances share. Cheap to clone.
#[derive(Clone)]
pub struct Room(Arc<Inner>);

struct Inner {
    budget: u64,
    held: Mutex<Held>,
    /// Rings when there is more room.
    freed: Notify,
    /// Rings when the first instance comes.
    entered: Notify,
}

struct Held {
    places: HashMap<u64, Use>,
    waiting: HashMap<u64, Waiting>,
    /// The number of the next place, or of the next one who waits.
    next: u64,
    /// The most that instances of a tenant's component have used lately. Not shared between tenants: one could have it
    /// that the executions of another need more than they do.
    peaks: LruCache<(String, [u8; 32]), u64>,
    /// What executions had used when they were dropped.
    outgrown: LruCache<String, u64>,
}

/// The room that one instance has.
struct Use {
    tenant: String,
    execution: String,
    set_aside: u64,
    memory: Option<MemoryUse>,
    evicted: CancellationToken,
}

impl Use {
    fn used(&self) -> u64 {
        self.memory.as_ref().map_or(0, MemoryUse::bytes) + OVERHEAD_BYTES
    }

    fn needs(&self) -> u64 {
        self.used().max(self.set_aside)
    }
}

/// An instance that there is no room for yet.
struct Waiting {
    tenant: String,
    need: u64,
    since: Instant,
}

/// Who wants to make an instance.
#[derive(Clone, Copy)]
pub(super) struct Newcomer<'a> {
    pub(super) tenant: &'a str,
    pub(super) execution: &'a str,
    pub(super) digest: &'a [u8; 32],
    /// What the component says that it begins with, in bytes.
    pub(super) at_start: u64,
}

/// One execution alone needs more than all instances of this host may use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "it needs more than {} MiB of memory, and this host has {} MiB for all that it runs; lower the agent's memory_bytes, or \
     give the host a larger --instance-memory", .needed >> 20, .budget >> 20
)]
pub(super) struct TooLarge {
    needed: u64,
    budget: u64,
}

impl Room {
    pub fn new(budget: u64) -> Self {
        let held = Held {
            places: HashMap::new(),
            waiting: HashMap::new(),
            next: 0,
            peaks: LruCache::new(PEAKS_MAX),
            outgrown: LruCache::new(PEAKS_MAX),
        };
        Self(Arc::new(Inner { budget, held: Mutex::new(held), freed: Notify::new(), entered: Notify::new() }))
    }

    /// Whether somebody waits for room.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.held().waiting.is_empty()
    }

    /// The tenants who wait for room.
    pub(super) fn waiting(&self) -> HashSet<String> {
        self.held().waiting.values().map(|waiting| waiting.tenant.clone()).collect()
    }

    /// Waits until there is room for an instance, and sets it aside.
    pub(super) async fn enter(&self, newcomer: Newcomer<'_>) -> Result<Place, TooLarge> {
        let mut line = None;
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            match self.try_enter(newcomer)? {
                Ok(place) => return Ok(place),
                Err(need) => line.get_or_insert_with(|| self.wait_in_line(newcomer.tenant, need)),
            };
            freed.await;
        }
    }

    fn wait_in_line(&self, tenant: &str, need: u64) -> InLine<'_> {
        let mut held = self.held();
        let id = held.number();
        held.waiting.insert(id, Waiting { tenant: tenant.to_owned(), need, since: Instant::now() });
        InLine { room: self, id }
    }

    /// What it needs, if there is no room for that now.
    fn try_enter(&self, newcomer: Newcomer<'_>) -> Result<Result<Place, u64>, TooLarge> {
        let (budget, mut held) = (self.0.budget, self.held());
        let component = (newcomer.tenant.to_owned(), *newcomer.digest);
        let peak = held.peaks.get(&component).copied().unwrap_or(newcomer.at_start) + OVERHEAD_BYTES;
        let outgrown = held.outgrown.get(newcomer.execution).copied().unwrap_or(0);
        if outgrown > budget {
            return Err(TooLarge { needed: outgrown, budget });
        }
        // What others of the same component have used does not keep this one out: it may be another.
        let need = peak.max(outgrown).min(budget);
        if !held.has_room(newcomer.tenant, need, budget) {
            return Ok(Err(need));
        }
        let (id, evicted) = (held.number(), CancellationToken::new());
        let of = Use {
            tenant: newcomer.tenant.to_owned(),
            execution: newcomer.execution.to_owned(),
            set_aside: need,
            memory: None,
            evicted: evicted.clone(),
        };
        held.places.insert(id, of);
        held.show();
        drop(held);
        self.0.entered.notify_one();
        Ok(Ok(Place { room: self.clone(), id, component, evicted }))
    }

    /// Looks at what instances use, for ever, and drops one when they use too much.
    pub(super) async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.look(Instant::now()) {
                self.0.entered.notified().await;
            }
        }
    }

    /// False if there is nothing to look at.
    fn look(&self, now: Instant) -> bool {
        let mut held = self.held();
        held.show();
        if let Some(largest) = held.must_go(self.0.budget, now) {
            let (execution, bytes) = (largest.execution.clone(), largest.used());
            tracing::warn!(
                tenant.id = largest.tenant,
                execution.id = execution,
                bytes,
                "instances outgrew --instance-memory; the one that grew most is dropped, and tried again with more room"
            );
            largest.evicted.cancel();
            held.outgrown.put(execution, bytes);
        }
        !held.places.is_empty()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// What instances use, or were expected to.
    fn needs(&self) -> u64 {
        self.places.values().map(Use::needs).sum()
    }

    fn needs_of(&self, tenant: &str) -> u64 {
        self.places.values().filter(|of| of.tenant == tenant).map(Use::needs).sum()
    }

    /// Whether a tenant gets so much more: there is that much, and it leaves a quarter to the others.
    fn has_room(&self, tenant: &str, need: u64, budget: u64) -> bool {
        self.needs() + need <= budget && self.is_fair(tenant, need, budget)
    }

    /// Whether so much more is no more than one tenant may have. One instance it may always have.
    fn is_fair(&self, tenant: &str, need: u64, budget: u64) -> bool {
        let own = self.needs_of(tenant);
        own == 0 || own + need <= most_of(budget)
    }

    /// The instance that is furthest beyond what was set aside for it, when all together use a quarter more than the
    /// budget; or when somebody has waited for room that others have taken so.
    fn must_go(&self, budget: u64, now: Instant) -> Option<&Use> {
        let beyond = |of: &&Use| (of.used().saturating_sub(of.set_aside), of.used());
        let staying = self.places.values().filter(|of| !of.evicted.is_cancelled());
        let used: u64 = staying.clone().map(Use::used).sum();
        if used > budget + budget / 4 {
            return staying.max_by_key(beyond);
        }
        let is_due = |waiting: &Waiting| {
            now.saturating_duration_since(waiting.since) >= PATIENCE
                && self.is_fair(&waiting.tenant, waiting.need, budget)
        };
        if !self.waiting.values().any(is_due) {
            return None;
        }
        let largest = staying.filter(|of| of.used() > of.set_aside).max_by_key(beyond)?;
        (used > budget || self.needs_of(&largest.tenant) > most_of(budget)).then_some(largest)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn show(&self) {
        let set_aside = self.places.values().map(|of| of.set_aside).sum();
        metrics::instance_memory(set_aside, self.places.values().map(Use::used).sum());
    }
}

/// What one tenant may have of the budget while there are others.
fn most_of(budget: u64) -> u64 {
    budget / 4 * 3
}

/// One who waits for room, for as long as this lives.
struct InLine<'a> {
    room: &'a Room,
    id: u64,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.room.held().waiting.remove(&self.id);
    }
}

/// The room of one instance; free again when this is dropped.
pub(super) struct Place {
    room: Room,
    id: u64,
    component: (String, [u8; 32]),
    evicted: CancellationToken,
}

impl Place {
    /// From now on, this is what the instance uses.
    pub(super) fn is_of(&self, memory: MemoryUse) {
        if let Some(of) = self.room.held().places.get_mut(&self.id) {
            of.memory = Some(memory);
        }
    }

    /// Returns when the instance must go, so that the others may stay.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.room.held();
        let of = held.places.remove(&self.id);
        if let Some(peak) = of.and_then(|of| of.memory).map(|memory| memory.bytes()) {
            // Larger ones count at once, and are forgotten little by little.
            let lately = held.peaks.get(&self.component).copied().unwrap_or(0);
            held.peaks.put(self.component.clone(), peak.max(lately - lately.saturating_sub(peak) / 8));
        }
        held.show();
        drop(held);
        self.room.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn newcomer(tenant: &str, mib: u64) -> Newcomer<'_> {
        Newcomer { tenant, execution: "", digest: &[0; 32], at_start: (mib - 1) * MIB }
    }

    fn fits(room: &Room, tenant: &str, mib: u64) -> Option<Place> {
        room.try_enter(newcomer(tenant, mib)).unwrap().ok()
    }

    #[test]
    fn one_tenant_leaves_a_quarter_of_the_room_to_others_unless_it_has_but_one_instance() {
        let room = Room::new(100 * MIB);
        let first = fits(&room, "a", 50).unwrap();
        assert!(fits(&room, "a", 26).is_none() && fits(&room, "b", 51).is_none());
        let (second, other) = (fits(&room, "a", 25).unwrap(), fits(&room, "b", 25).unwrap());
        drop((first, second, other));
        let large = fits(&room, "a", 500).expect("others of the component may have needed more than this one will");
        assert!(fits(&room, "b", 2).is_none());
        drop(large);
        assert!(fits(&room, "b", 2).is_some());
    }

    #[test]
    fn what_was_dropped_comes_back_when_there_is_room_for_it_and_never_if_there_can_be_none() {
        let room = Room::new(100 * MIB);
        room.held().outgrown.put("large".into(), 90 * MIB);
        room.held().outgrown.put("too large".into(), 101 * MIB);
        let of = |execution: &'static str| Newcomer { execution, ..newcomer("a", 2) };
        let small = fits(&room, "b", 11).unwrap();
        assert_eq!(room.try_enter(of("large")).map(|entered| entered.map(drop)), Ok(Err(90 * MIB)));
        drop(small);
        assert!(room.try_enter(of("large")).unwrap().is_ok());
        assert!(room.try_enter(of("too large")).is_err());
    }

    #[tokio::test]
    async fn who_waits_for_room_is_known_until_it_gets_it_or_is_gone() {
        let room = Room::new(100 * MIB);
        let place = fits(&room, "a", 100).unwrap();
        {
            let mut waiting = std::pin::pin!(room.enter(newcomer("b", 2)));
            assert!(futures::poll!(&mut waiting).is_pending());
            assert_eq!(room.waiting(), HashSet::from(["b".to_owned()]));
        }
        assert!(!room.is_waited_for());
        let mut waiting = std::pin::pin!(room.enter(newcomer("b", 2)));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(place);
        assert!(futures::poll!(&mut waiting).is_ready());
        assert!(!room.is_waited_for());
    }
}
