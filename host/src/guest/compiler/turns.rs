//! Whose turn it is to compile: so many at once, one of a tenant, and tenants one after the other.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The turns of one host. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    /// Whose turn it is now.
    running: HashSet<String>,
    /// Those of a tenant who wait, tenant by tenant, in the order of their turns. None of them is empty.
    waiting: VecDeque<(String, VecDeque<oneshot::Sender<Turn>>)>,
}

/// The turn of a tenant. The next one's begins when it is dropped.
pub(in crate::guest) struct Turn {
    turns: Turns,
    tenant: String,
}

impl Turns {
    /// So many at once.
    pub(super) fn new(width: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: width, running: HashSet::new(), waiting: VecDeque::new() })))
    }

    /// Waits for a turn of this tenant. None if as many as `queued_max` wait already.
    pub(super) async fn take(&self, tenant: &str, queued_max: usize) -> Option<Turn> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.state();
            state.forget_the_gone();
            if state.waiting.iter().map(|(_, queue)| queue.len()).sum::<usize>() >= queued_max {
                return None;
            }
            match state.waiting.iter_mut().find(|(name, _)| name == tenant) {
                Some((_, queue)) => queue.push_back(sender),
                None => state.waiting.push_back((tenant.to_owned(), VecDeque::from([sender]))),
            }
        }
        self.go_on();
        receiver.await.ok()
    }

    /// Gives out the turns that are free.
    fn go_on(&self) {
        loop {
            let next = self.state().next();
            let Some((tenant, sender)) = next else { return };
            // Whoever has gone meanwhile drops the turn, and it is the next one's. Not under the lock, which that takes.
            let _ = sender.send(Turn { turns: self.clone(), tenant });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who has waited longest, of the tenant whose turn is next; with its turn taken.
    fn next(&mut self) -> Option<(String, oneshot::Sender<Turn>)> {
        if self.free == 0 {
            return None;
        }
        let next = self.waiting.iter().position(|(tenant, _)| !self.running.contains(tenant))?;
        let (tenant, mut queue) = self.waiting.remove(next)?;
        let sender = queue.pop_front()?;
        if !queue.is_empty() {
            self.waiting.push_back((tenant.clone(), queue));
        }
        self.free -= 1;
        self.running.insert(tenant.clone());
        Some((tenant, sender))
    }

    fn forget_the_gone(&mut self) {
        for (_, queue) in &mut self.waiting {
            queue.retain(|sender| !sender.is_closed());
        }
        self.waiting.retain(|(_, queue)| !queue.is_empty());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.turns.state();
            state.running.remove(&self.tenant);
            state.free += 1;
        }
        self.turns.go_on();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn tenants_take_turns_and_none_has_two_at_once() {
        let turns = Turns::new(2);
        let first = turns.take("a", 9).await.expect("a turn");
        let mut flood: Vec<_> = (0..3).map(|_| Box::pin(turns.take("a", 9))).collect();
        assert!(flood.iter_mut().all(|waits| waits.now_or_never().is_none()));
        let other = turns.take("b", 9).now_or_never().flatten().expect("the second place is another tenant's");
        let mut third = Box::pin(turns.take("c", 9));
        assert!((&mut third).now_or_never().is_none(), "there are two places");
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "a waited before c");
        let second = (&mut flood[0]).now_or_never().flatten().expect("a's turn");
        drop(second);
        assert!((&mut flood[1]).now_or_never().is_none(), "c's turn, though more of a have waited longer");
        let third = third.now_or_never().flatten().expect("c's turn");
        drop((third, other));
        assert!((&mut flood[1]).now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn who_has_gone_takes_no_turn_and_too_many_are_not_let_in() {
        let turns = Turns::new(1);
        let first = turns.take("a", 9).await.expect("a turn");
        let mut gone = Box::pin(turns.take("b", 9));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        let mut waits = Box::pin(turns.take("c", 1));
        assert!((&mut waits).now_or_never().is_none(), "who has gone does not count");
        assert!(turns.take("d", 1).await.is_none(), "one waits already");
        drop(first);
        assert!(waits.now_or_never().flatten().is_some());
    }
}
