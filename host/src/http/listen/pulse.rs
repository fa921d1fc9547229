//! What happens on one connection, and for how long nothing has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Version;

/// How long a client may keep a connection without using it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// To shake hands by TLS.
    pub(super) handshake: Duration,
    /// To send a request up to its body, once it has begun; the first one, once it is connected.
    pub(super) head: Duration,
    /// Between two requests. Longer than the 60 seconds of usual proxies, so that it is they who close first.
    pub(super) idle: Duration,
    /// To send more of a body.
    pub(super) chunk: Duration,
    /// To take more of an answer.
    pub(super) answer: Duration,
}

impl Patience {
    pub(super) const USUAL: Self = Self {
        handshake: Duration::from_secs(10),
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        chunk: Duration::from_secs(15),
        answer: Duration::from_secs(30),
    };

    /// The usual one. A test may shorten all of it, of builds with debug assertions only.
    pub(super) fn new() -> Self {
        let set = std::env::var("COUNTERSIGN_HTTP_PATIENCE_MS").ok().filter(|_| cfg!(debug_assertions));
        match set.and_then(|ms| ms.parse().ok()).map(Duration::from_millis) {
            Some(all) => Self { handshake: all, head: all, idle: 2 * all, chunk: all, answer: all },
            None => Self::USUAL,
        }
    }

    /// How often to look.
    pub(super) fn look_every(&self) -> Duration {
        (self.head / 4).min(Duration::from_secs(1))
    }
}

/// What a client has kept the host waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// The rest of a request's head.
    Head,
    /// Another request.
    Idle,
    /// To take what it has asked for.
    Answer,
}

/// Shared by all that see a part of what happens on a connection.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests whose body is still being sent, or their answer.
    requests: usize,
    has_served: bool,
    /// Of HTTP/2: between two requests something may come that begins none.
    is_multiplexed: bool,
    /// Since when there has been no request.
    idle_since: Instant,
    /// When the first bytes came since then.
    head_since: Option<Instant>,
    /// Since when nothing more can be written to the connection.
    blocked_since: Option<Instant>,
    /// The answers of which the client has not yet taken what there is, and since when.
    owed: HashMap<u64, Instant>,
    answers: u64,
}

impl Pulse {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            requests: 0,
            has_served: false,
            is_multiplexed: false,
            idle_since: Instant::now(),
            head_since: None,
            blocked_since: None,
            owed: HashMap::new(),
            answers: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come.
    pub(super) fn received(&self) {
        let mut state = self.lock();
        if state.requests == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// Whether the client takes what is written.
    pub(super) fn wrote(&self, is_blocked: bool) {
        let mut state = self.lock();
        match (is_blocked, state.blocked_since) {
            (true, None) => state.blocked_since = Some(Instant::now()),
            (false, Some(_)) => state.blocked_since = None,
            _ => {}
        }
    }

    /// Whether there is no request now.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().requests == 0
    }

    /// What the client is late with.
    pub(super) fn late(&self, patience: &Patience) -> Option<Late> {
        let state = self.lock();
        let is_over = |since: Instant, patience: Duration| since.elapsed() > patience;
        if state.blocked_since.is_some_and(|since| is_over(since, patience.answer))
            || state.owed.values().any(|since| is_over(*since, patience.answer))
        {
            return Some(Late::Answer);
        }
        if state.requests > 0 {
            return None;
        }
        let head_since = if state.has_served { state.head_since } else { Some(state.idle_since) };
        if head_since.is_some_and(|since| is_over(since, patience.head)) && !(state.has_served && state.is_multiplexed)
        {
            return Some(Late::Head);
        }
        is_over(state.idle_since, patience.idle).then_some(Late::Idle)
    }
}

/// A request, until it has been read and its answer was given to the connection, or dropped.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Pulse>);

impl Exchange {
    pub(super) fn begin(pulse: &Arc<Pulse>, version: Version) -> Arc<Self> {
        let mut state = pulse.lock();
        state.requests += 1;
        state.has_served = true;
        state.is_multiplexed = version == Version::HTTP_2;
        state.head_since = None;
        drop(state);
        Arc::new(Self(pulse.clone()))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}

/// Whose turn it is in an answer: the host's, to make more of it, or the client's, to take what there is.
#[derive(Debug)]
pub(super) struct Turn {
    exchange: Arc<Exchange>,
    id: u64,
}

impl Turn {
    pub(super) fn new(exchange: Arc<Exchange>) -> Self {
        let mut state = exchange.0.lock();
        state.answers += 1;
        let id = state.answers;
        drop(state);
        Self { exchange, id }
    }

    /// There is something for the client.
    pub(super) fn is_clients(&self) {
        self.exchange.0.lock().owed.insert(self.id, Instant::now());
    }

    /// It has been taken.
    pub(super) fn is_hosts(&self) {
        self.exchange.0.lock().owed.remove(&self.id);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.is_hosts();
    }
}
