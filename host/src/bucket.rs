//! How often something may be done: token buckets that fill as time goes on. Pure: the time is passed in.
//!
//! Of a bucket only the moment is kept at which it will be full again. One that is full says nothing, and is forgotten
//! first; one that is not is never thrown out to make room. So nobody empties the table, and his own bucket with it, by
//! coming under many names: who finds no room shares one bucket with all others who find none.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// How often the table is looked through for buckets that are full again, at the most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How many in a second, over longer; and as many as in so many seconds at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u64,
    pub burst_seconds: u64,
}

/// Too often: what may be done again after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

/// A bucket for each key. Times count from any moment that is always the same.
#[derive(Debug)]
pub struct Buckets<K> {
    full_at: HashMap<K, Duration>,
    /// How many are kept.
    max: usize,
    /// Of all for whom there was no room.
    shared_full_at: Duration,
    swept_at: Option<Duration>,
}

impl<K: Eq + Hash> Buckets<K> {
    pub fn new(max: usize) -> Self {
        Self { full_at: HashMap::new(), max, shared_full_at: Duration::ZERO, swept_at: None }
    }

    /// Whether something could be taken now.
    pub fn look(&self, key: &K, rate: Rate, now: Duration) -> Result<(), Wait> {
        let full_at = match self.full_at.get(key) {
            Some(full_at) => *full_at,
            None if self.full_at.len() < self.max => Duration::ZERO,
            None => self.shared_full_at,
        };
        rate.take(full_at, now).map(|_| ())
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, key: K, rate: Rate, now: Duration) -> Result<(), Wait> {
        if let Some(full_at) = self.full_at.get_mut(&key) {
            *full_at = rate.take(*full_at, now)?;
            return Ok(());
        }
        if self.full_at.len() >= self.max && self.swept_at.is_none_or(|swept_at| swept_at + SWEEP_EVERY <= now) {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.swept_at = Some(now);
        }
        if self.full_at.len() >= self.max {
            self.shared_full_at = rate.take(self.shared_full_at, now)?;
            return Ok(());
        }
        self.full_at.insert(key, rate.take(Duration::ZERO, now)?);
        Ok(())
    }
}

impl Rate {
    /// When a bucket will be full that would have been at `full_at`, and of which one is taken now.
    fn take(self, full_at: Duration, now: Duration) -> Result<Duration, Wait> {
        let one = Duration::from_secs(1) / u32::try_from(self.per_second.max(1)).unwrap_or(u32::MAX);
        let (taken, most) = (full_at.max(now) + one, now + Duration::from_secs(self.burst_seconds));
        if taken > most { Err(Wait(taken - most)) } else { Ok(taken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Rate = Rate { per_second: 10, burst_seconds: 2 };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// How many are taken at once.
    fn burst(buckets: &mut Buckets<u32>, key: u32, now: Duration) -> usize {
        (0..1_000).take_while(|_| buckets.take(key, TEN, now).is_ok()).count()
    }

    #[test]
    fn a_burst_is_given_at_once_and_then_as_many_as_the_rate_says() {
        let mut buckets = Buckets::new(10);
        assert_eq!(burst(&mut buckets, 1, at(0)), 20);
        assert_eq!(buckets.take(1, TEN, at(0)), Err(Wait(at(100))));
        assert_eq!(buckets.look(&1, TEN, at(40)), Err(Wait(at(60))));
        assert_eq!(burst(&mut buckets, 1, at(100)), 1);
        assert_eq!(burst(&mut buckets, 1, at(600)), 5);
        assert_eq!(burst(&mut buckets, 1, at(60_000)), 20, "no more is saved up than a burst");
        assert_eq!(burst(&mut buckets, 2, at(60_000)), 20, "another key has a bucket of its own");
    }

    #[test]
    fn looking_takes_nothing_and_what_is_refused_costs_nothing() {
        let mut buckets = Buckets::new(10);
        for _ in 0..100 {
            assert_eq!(buckets.look(&1, TEN, at(0)), Ok(()));
        }
        assert_eq!(burst(&mut buckets, 1, at(0)), 20);
        for _ in 0..100 {
            buckets.take(1, TEN, at(50)).unwrap_err();
        }
        assert_eq!(buckets.take(1, TEN, at(100)), Ok(()));
    }

    #[test]
    fn whoever_comes_under_many_names_gets_no_fresh_bucket_for_the_first() {
        let mut buckets = Buckets::new(100);
        assert_eq!(burst(&mut buckets, 0, at(0)), 20);
        let mut taken = 0;
        for key in 1..10_000 {
            taken += usize::from(buckets.take(key, TEN, at(0)).is_ok());
        }
        assert_eq!(taken, 99 + 20, "the room that there was, and one shared bucket");
        assert!(buckets.full_at.len() <= 100);
        assert!(buckets.take(0, TEN, at(0)).is_err());
        // Those of one each are full again after 100 ms and make room, but the first still waits.
        assert_eq!(burst(&mut buckets, 0, at(1_500)), 15);
        assert_eq!(burst(&mut buckets, 50_000, at(1_500)), 20);
        assert!(buckets.full_at.len() < 10);
    }
}
