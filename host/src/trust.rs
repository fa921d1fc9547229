//! What was looked up just now, and is taken to be so for a moment without another look.

use std::borrow::Borrow;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// How long. What is changed on another host is seen here after this time.
pub(crate) const TRUST: Duration = Duration::from_millis(500);

/// How many answers are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("4,096 is not 0");

/// Answers that are trusted for `TRUST`. Cheap to clone.
pub(crate) struct Trusted<K, V>(Arc<Mutex<Known<K, V>>>);

struct Known<K, V> {
    answers: LruCache<K, (Instant, V)>,
    /// How often all was forgotten.
    age: u64,
}

/// When a question was asked. Its answer is as old as this.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    at: Instant,
    age: u64,
}

impl<K, V> Clone for Trusted<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> std::fmt::Debug for Trusted<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trusted")
    }
}

impl<K: Hash + Eq, V: Clone> Trusted<K, V> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Known { answers: LruCache::new(REMEMBERED), age: 0 })))
    }

    /// Trusts nothing that was asked before. Call it when something was changed here.
    pub(crate) fn forget(&self) {
        let mut known = self.lock();
        known.answers.clear();
        known.age += 1;
    }

    /// The answer that is trusted, if there is one.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut known = self.lock();
        let (asked, answer) = known.answers.get(key)?;
        (asked.elapsed() < TRUST).then(|| answer.clone())
    }

    /// Whether there was an answer, however long ago.
    pub(crate) fn knows<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.lock().answers.contains(key)
    }

    /// Call it before the question is asked.
    pub(crate) fn ask(&self) -> Asked {
        Asked { at: Instant::now(), age: self.lock().age }
    }

    /// Trusts an answer, unless all was forgotten since it was asked for.
    pub(crate) fn put(&self, asked: Asked, key: K, answer: V) {
        let mut known = self.lock();
        if known.age == asked.age {
            known.answers.put(key, (asked.at, answer));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_trusted_until_all_is_forgotten_also_one_that_was_under_way() {
        let trusted = Trusted::<String, u32>::new();
        let asked = trusted.ask();
        trusted.put(asked, "a".into(), 1);
        assert_eq!((trusted.get("a"), trusted.get("b")), (Some(1), None));
        let under_way = trusted.ask();
        trusted.forget();
        trusted.put(under_way, "a".into(), 1);
        assert_eq!((trusted.get("a"), trusted.knows("a")), (None, false));
    }

    #[test]
    fn an_answer_is_as_old_as_its_question() {
        let trusted = Trusted::<String, u32>::new();
        let asked = Asked { at: Instant::now().checked_sub(TRUST).unwrap(), ..trusted.ask() };
        trusted.put(asked, "a".into(), 1);
        assert_eq!((trusted.get("a"), trusted.knows("a")), (None, true));
    }
}
