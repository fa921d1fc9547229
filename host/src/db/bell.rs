//! A hint that a row changed, within this host at once, and across hosts by `NOTIFY`.
//!
//! Only a hint: whoever waits for it also looks by itself now and then. `NOTIFY` takes a lock that serialises all
//! commits, so it is never part of a transition's transaction; one task sends at most one each 10 ms.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// At most one `NOTIFY` in this time.
const COALESCE: Duration = Duration::from_millis(10);

/// How long to wait before listening again after the connection was lost.
const RECONNECT: Duration = Duration::from_secs(1);

const CHANNEL: &str = "countersign";

/// How many ends of executions are kept for one who is slow to hear of them.
const ENDS_KEPT: usize = 256;

/// The result of an execution that is longer than this is not told with its end.
const TOLD_BYTES_MAX: usize = 4 << 10;

#[derive(Clone, Debug)]
pub struct Bell {
    rung: Arc<watch::Sender<u64>>,
    /// Rung with it when something became due.
    due: Arc<watch::Sender<u64>>,
    /// Rung when a pause was opened about which something is to be done soon.
    soon: Arc<watch::Sender<u64>>,
    abroad: Arc<Notify>,
    /// What this host's own notes bear, which are no news to it.
    name: Arc<str>,
    ends: broadcast::Sender<Ended>,
}

/// The end of an execution that this host has driven. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ended {
    pub execution: Arc<str>,
    /// JSON text, of one that succeeded and whose result is short; and when that was.
    pub result: Option<(Arc<str>, DateTime<Utc>)>,
}

/// One who waits for the ends of executions that this host drives. Hears of all since it listens.
pub struct Ends(broadcast::Receiver<Ended>);

/// One who waits for the bell. Hears every ring since it last listened.
pub struct Ear(watch::Receiver<u64>);

impl Bell {
    /// Starts to listen, and to tell the other hosts over a connection that does not wait for the disk, until the pools
    /// are closed.
    pub(super) fn start(pool: &PgPool, relaxed: &PgPool) -> Self {
        let bell = Self {
            rung: Arc::new(watch::Sender::new(0)),
            due: Arc::new(watch::Sender::new(0)),
            soon: Arc::new(watch::Sender::new(0)),
            abroad: Arc::default(),
            name: Uuid::new_v4().simple().to_string().into(),
            ends: broadcast::Sender::new(ENDS_KEPT),
        };
        tokio::spawn(listen(pool.clone(), bell.clone()));
        tokio::spawn(tell(relaxed.clone(), bell.clone()));
        bell
    }

    /// Wakes everybody who waits, here and on the other hosts. Call it after the commit.
    pub(super) fn ring(&self) {
        self.ring_here();
        self.abroad.notify_one();
    }

    /// The same, for what makes nothing due: workers of this host need not look.
    pub(super) fn ring_for_news(&self) {
        self.rung.send_modify(|count| *count += 1);
        self.abroad.notify_one();
    }

    /// Has the worker of this host look when the next execution becomes due, which may be sooner than it knows.
    pub(super) fn ring_for_time(&self) {
        self.due.send_modify(|count| *count += 1);
    }

    /// Has the timekeeper of this host look when the next time of a pause comes, likewise.
    pub(super) fn ring_for_pause(&self) {
        self.soon.send_modify(|count| *count += 1);
    }

    fn ring_here(&self) {
        self.rung.send_modify(|count| *count += 1);
        self.due.send_modify(|count| *count += 1);
    }

    /// Hears every ring from now on that may be about something due.
    pub fn listen_for_due(&self) -> Ear {
        Ear(self.due.subscribe())
    }

    /// Hears of every pause from now on that was opened here and about which something is to be done soon.
    pub fn listen_for_pauses(&self) -> Ear {
        Ear(self.soon.subscribe())
    }

    /// Tells those who listen, on this host, that an execution has ended. Call it after the commit.
    pub(super) fn tell_end(&self, execution: &str, result: Option<(&str, DateTime<Utc>)>) {
        let result = result.filter(|(json, _)| json.len() <= TOLD_BYTES_MAX);
        let result = result.map(|(json, at)| (json.into(), at));
        // None may listen.
        let _ = self.ends.send(Ended { execution: execution.into(), result });
    }

    /// Hears of every end from now on.
    pub fn listen_for_ends(&self) -> Ends {
        Ends(self.ends.subscribe())
    }

    /// Hears every ring from now on.
    pub fn listen(&self) -> Ear {
        Ear(self.rung.subscribe())
    }
}

impl Ear {
    /// Returns at the next ring, at once if there was one since the last time, or after `at_the_latest`.
    pub async fn wait(&mut self, at_the_latest: Duration) {
        // An error means that no bell is left to ring; the timeout then paces the caller.
        let rung = async {
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(at_the_latest, rung).await;
    }

    /// The same, and `gather` later, by when there may be more to do at once.
    pub async fn wait_and_gather(&mut self, gather: Duration, at_the_latest: Duration) {
        self.wait(at_the_latest.saturating_sub(gather)).await;
        tokio::time::sleep(gather).await;
    }
}

impl Ends {
    /// Returns when one of these has ended. None if one may have: some ends were missed.
    pub async fn of(&mut self, is_one: impl Fn(&str) -> bool) -> Option<Ended> {
        loop {
            match self.0.recv().await {
                Ok(ended) if is_one(&ended.execution) => return Some(ended),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return None,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

async fn listen(pool: PgPool, bell: Bell) {
    while !pool.is_closed() {
        if let Ok(mut listener) = PgListener::connect_with(&pool).await
            && listener.listen(CHANNEL).await.is_ok()
        {
            // What was told while nobody listened is lost, so everybody looks once.
            bell.ring_here();
            while let Ok(Some(note)) = listener.try_recv().await {
                if note.payload() != &*bell.name {
                    bell.ring_here();
                }
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn tell(pool: PgPool, bell: Bell) {
    while !pool.is_closed() {
        bell.abroad.notified().await;
        tokio::time::sleep(COALESCE).await;
        let note = sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(&*bell.name);
        if let Err(error) = note.execute(&pool).await {
            tracing::debug!(%error, "the other hosts could not be told; they will see by themselves");
        }
    }
}
