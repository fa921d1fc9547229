//! Who computes next, when guests want more of the processor than there is.
//!
//! A slice is short as a rule, and runs at once. What computes on after its first moments, or does so as a rule and belongs
//! to a tenant that has computed much lately, needs a *turn*: a thread of those few that get little of the processor while
//! others want it. A turn is given up at each tick of the epoch; tenants take turns one after the other, and so do the
//! guests of one tenant. So guests that spin wait for each other, one tenant's no longer than another's, and never hold the
//! threads that everybody else needs.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::cpu::nanoseconds;

/// The CPU time of a slice that needs no turn. It may go on to the next tick of the epoch, at which it is looked at.
const FREE: Duration = Duration::from_millis(5);

/// The CPU time of a slice for which changing to another thread and back is not too dear.
const SHORT: Duration = Duration::from_micros(500);

/// How long a guest computes, in one slice or in many, until the other tasks of its thread may go on.
const STINT: Duration = Duration::from_millis(1);

/// What a tenant may compute without turns, in all its guests together: so much at once, and then this part of a core.
const BURST: Duration = Duration::from_millis(100);
const SHARE: f64 = 0.1;

/// How much less than others the threads of turns are let run: a tenth of a core that others want too. At 19 it would be a
/// seventieth, and on a machine with other work of low priority guests that compute would hardly ever come to their end.
const NICE: i32 = 10;

/// How many tenants' accounts are kept before those are forgotten that are settled.
const ACCOUNTS_MAX: usize = 1_024;

/// The turns of one engine. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns {
    queue: Arc<Mutex<Queue>>,
    are_needed: bool,
}

struct Queue {
    /// The threads of turns that nobody has.
    free: Vec<Thread>,
    waiting: Round<oneshot::Sender<Turn>>,
    accounts: HashMap<Arc<str>, Account>,
}

/// The right to compute until the next tick, and the thread for it. Dropped, it goes to the next.
pub(super) struct Turn {
    turns: Turns,
    thread: Option<Thread>,
}

/// A thread that does one thing after the other, from the first on. It ends when this is dropped.
#[derive(Default)]
struct Thread(Option<mpsc::Sender<Job>>);

type Job = Box<dyn FnOnce() + Send>;

impl Turns {
    /// One turn less than there are cores, so that one is left for all that is short; but one at least.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::of((cores - 1).max(1))
    }

    fn of(count: usize) -> Self {
        let free = std::iter::repeat_with(Thread::default).take(count).collect();
        let queue = Queue { free, waiting: Round::default(), accounts: HashMap::new() };
        Self { queue: Arc::new(Mutex::new(queue)), are_needed: true }
    }

    /// Everybody may compute without one.
    pub(super) fn not_needed() -> Self {
        Self { are_needed: false, ..Self::of(0) }
    }

    /// A tenant's place among those who take turns.
    pub(super) fn seat(&self, tenant: &str) -> Seat {
        Seat { turns: self.clone(), tenant: tenant.into(), usual: AtomicU64::new(0), stint: AtomicU64::new(0) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self, tenant: &Arc<str>) -> Option<Turn> {
        let (sender, mut receiver) = oneshot::channel();
        self.queue().waiting.push(tenant, sender);
        self.pass_on(None);
        if let Ok(turn) = receiver.try_recv() {
            return Some(turn);
        }
        // The sender is kept until it is used.
        receiver.await.ok()
    }

    /// Gives out what is free, and what is returned.
    fn pass_on(&self, returned: Option<Thread>) {
        self.queue().free.extend(returned);
        loop {
            let (thread, next) = {
                let mut queue = self.queue();
                let Some(thread) = queue.free.pop() else { return };
                let Some(next) = queue.waiting.pop() else { return queue.free.push(thread) };
                (thread, next)
            };
            if let Err(mut unwanted) = next.send(Turn { turns: self.clone(), thread: Some(thread) }) {
                // Whoever waited is gone.
                self.queue().free.extend(unwanted.thread.take());
            }
        }
    }
}

impl Turn {
    /// Does this on the thread of the turn, with the runtime of the caller at hand. None if it panics.
    ///
    /// If nobody waits for it any more, it is done nevertheless, and what it returns is dropped there.
    pub(super) async fn run<T: Send + 'static>(&mut self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let job = Box::new(move || {
            let _inside = runtime.enter();
            // Nobody may wait for it any more.
            let _ = sender.send(job());
        });
        self.thread.get_or_insert_default().run(job);
        receiver.await.ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.turns.pass_on(Some(thread));
        }
    }
}

impl Thread {
    fn run(&mut self, job: Job) {
        // One that has panicked is gone.
        let unsent = match &self.0 {
            Some(jobs) => jobs.send(job).err().map(|unsent| unsent.0),
            None => Some(job),
        };
        let Some(job) = unsent else { return };
        let (jobs, received) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new().name("turn".into()).spawn(move || {
            if let Err(why) = rustix::process::nice(NICE) {
                tracing::warn!(%why, "guests that compute for long are not held back for others");
            }
            received.into_iter().for_each(|job| job());
        });
        match thread {
            Ok(_) => {
                let _ = jobs.send(job);
                self.0 = Some(jobs);
            }
            Err(why) => {
                tracing::warn!(%why, "there is no thread for guests that compute for long; they hold up others");
                job();
            }
        }
    }
}

/// A guest's place among those who take turns: that of its tenant.
pub(super) struct Seat {
    turns: Turns,
    tenant: Arc<str>,
    /// What its polls take lately, in nanoseconds: a moving average.
    usual: AtomicU64,
    /// What it has computed since others could go on, and its tenant is not yet charged for, in nanoseconds.
    stint: AtomicU64,
}

impl Seat {
    /// Waits for a turn, if one is needed by a slice that has computed for `spent`. Lets others go on first, if it is time.
    pub(super) async fn turn(&self, spent: Duration) -> Option<Turn> {
        if !self.turns.are_needed {
            return None;
        }
        if duration(&self.stint) >= STINT {
            self.settle();
            tokio::task::yield_now().await;
        }
        if spent < FREE && (self.usual() < SHORT || !self.turns.queue().is_over(&self.tenant, Instant::now())) {
            return None;
        }
        self.turns.take(&self.tenant).await
    }

    /// Counts the CPU time of a poll. Most are short, so the tenant is charged for a stint of them.
    pub(super) fn charge(&self, spent: Duration) {
        let usual = (self.usual() * 3 + spent) / 4;
        self.usual.store(nanoseconds(usual), Ordering::Relaxed);
        self.stint.fetch_add(nanoseconds(spent), Ordering::Relaxed);
    }

    /// Ends a stint.
    fn settle(&self) {
        let spent = Duration::from_nanos(self.stint.swap(0, Ordering::Relaxed));
        self.turns.queue().charge(&self.tenant, spent, Instant::now());
    }

    fn usual(&self) -> Duration {
        duration(&self.usual)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.settle();
    }
}

fn duration(nanoseconds: &AtomicU64) -> Duration {
    Duration::from_nanos(nanoseconds.load(Ordering::Relaxed))
}

impl Queue {
    fn charge(&mut self, tenant: &Arc<str>, spent: Duration, now: Instant) {
        if self.accounts.len() >= ACCOUNTS_MAX && !self.accounts.contains_key(tenant) {
            self.accounts.retain(|_, account| account.owed(now) > Duration::ZERO);
        }
        let account = self.accounts.entry(tenant.clone()).or_insert(Account { owed: Duration::ZERO, at: now });
        *account = Account { owed: account.owed(now) + spent, at: now };
    }

    fn is_over(&self, tenant: &str, now: Instant) -> bool {
        self.accounts.get(tenant).is_some_and(|account| account.owed(now) > BURST)
    }
}

/// What a tenant has computed lately: it leaks away as fast as the tenant's share allows.
struct Account {
    owed: Duration,
    at: Instant,
}

impl Account {
    fn owed(&self, now: Instant) -> Duration {
        self.owed.saturating_sub(now.saturating_duration_since(self.at).mul_f64(SHARE))
    }
}

/// Lines of those who wait, one of each tenant, served one after the other.
struct Round<T>(VecDeque<(Arc<str>, VecDeque<T>)>);

impl<T> Default for Round<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Round<T> {
    fn push(&mut self, tenant: &Arc<str>, item: T) {
        match self.0.iter_mut().find(|(of, _)| of == tenant) {
            Some((_, line)) => line.push_back(item),
            None => self.0.push_back((tenant.clone(), VecDeque::from([item]))),
        }
    }

    fn pop(&mut self) -> Option<T> {
        let (tenant, mut line) = self.0.pop_front()?;
        let item = line.pop_front();
        if !line.is_empty() {
            self.0.push_back((tenant, line));
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures::poll;

    use super::*;

    #[test]
    fn tenants_are_served_in_turn_and_the_guests_of_one_in_the_order_of_asking() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut round = Round::default();
        for item in 1..=4 {
            round.push(&a, item);
        }
        round.push(&b, 10);
        round.push(&b, 11);
        let served: Vec<i32> = std::iter::from_fn(|| round.pop()).collect();
        assert_eq!(served, [1, 10, 2, 11, 3, 4]);
    }

    #[test]
    fn an_account_leaks_at_the_share_of_its_tenant() {
        let (a, now): (Arc<str>, _) = ("a".into(), Instant::now());
        let turns = Turns::of(1);
        turns.queue().charge(&a, BURST * 2, now);
        let is_over = |after: Duration| turns.queue().is_over("a", now + after);
        assert!(is_over(Duration::ZERO) && is_over(BURST.mul_f64(0.9 / SHARE)));
        assert!(!is_over(BURST.mul_f64(1.1 / SHARE)) && !turns.queue().is_over("b", now));
    }

    #[tokio::test]
    async fn a_short_slice_never_waits_and_a_long_one_waits_for_its_turn() {
        let turns = Turns::of(1);
        let (spinner, other) = (turns.seat("a"), turns.seat("b"));
        let turn = spinner.turn(FREE).await;
        assert!(turn.is_some());
        assert!(other.turn(Duration::ZERO).await.is_none(), "a short slice needs none");
        let mut waiting = std::pin::pin!(other.turn(FREE));
        assert!(matches!(poll!(&mut waiting), Poll::Pending));
        drop(turn);
        assert!(matches!(poll!(&mut waiting), Poll::Ready(Some(_))));
    }

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_any_more_is_not_lost() {
        let turns = Turns::of(1);
        let seat = turns.seat("a");
        let turn = seat.turn(FREE).await;
        {
            let mut given_up = std::pin::pin!(seat.turn(FREE));
            assert!(poll!(&mut given_up).is_pending());
        }
        drop(turn);
        assert!(seat.turn(FREE).await.is_some());
        let again = seat.turn(FREE).await;
        let mut handed = Box::pin(seat.turn(FREE));
        assert!(poll!(&mut handed).is_pending());
        // It is handed over, and its receiver is dropped before it has looked.
        drop(again);
        drop(handed);
        assert!(poll!(std::pin::pin!(seat.turn(FREE))).is_ready());
    }

    #[tokio::test]
    async fn a_turn_is_a_thread_of_its_own_that_others_go_before() {
        let turns = Turns::of(1);
        let mut turn = turns.seat("a").turn(FREE).await.unwrap();
        let of_this_thread = || (std::thread::current().id(), rustix::process::getpriority_process(None).unwrap());
        let (here, nice) = of_this_thread();
        let (there, nicer) = turn.run(of_this_thread).await.unwrap();
        assert_ne!(there, here);
        assert!(nicer > nice, "{nicer}");
        drop(turn);
        let mut again = turns.seat("b").turn(FREE).await.unwrap();
        assert_eq!(again.run(of_this_thread).await.unwrap().0, there, "it is the same thread");
    }

    #[tokio::test]
    async fn a_turn_that_panics_costs_its_thread_and_no_other_turn() {
        let turns = Turns::of(1);
        let mut turn = turns.seat("a").turn(FREE).await.unwrap();
        assert_eq!(turn.run(|| panic!("on purpose")).await, None::<()>);
        drop(turn);
        let mut again = turns.seat("b").turn(FREE).await.unwrap();
        // The channel closes only when the thread is gone, which takes a moment.
        while again.run(|| 7).await != Some(7) {}
    }

    #[tokio::test]
    async fn many_very_short_slices_need_no_turn_however_much_they_are_together() {
        let turns = Turns::of(1);
        let (quick, slow) = (turns.seat("a"), turns.seat("a"));
        for _ in 0..1_000 {
            quick.charge(SHORT / 2);
        }
        assert!(quick.turn(Duration::ZERO).await.is_none());
        slow.charge(SHORT * 8);
        assert!(slow.turn(Duration::ZERO).await.is_some());
    }
}
