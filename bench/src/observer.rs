//! Sees, in the rows, that a run is paused or has finished: the same look for whatever is measured.
//!
//! To ask over HTTP would measure the asking; to have Postgres tell would serialise its commits. So one connection looks
//! for all runs that somebody waits for, again and again, on a thread of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::sync::oneshot;

/// How long it sleeps between two looks. A look takes about as long.
const EVERY: Duration = Duration::from_micros(250);

/// What a run has come to, and when that was seen: the name of the pause that is open, or none when it has finished.
pub(crate) type Seen = (Option<String>, Instant);

/// By the id of the run: the pause that it is known to have, which is no news, and who waits.
type Waiting = Arc<Mutex<HashMap<String, (Option<String>, oneshot::Sender<Seen>)>>>;

/// Dropped, it stops.
#[derive(Clone)]
pub(crate) struct Observer(Waiting);

impl Observer {
    /// `query` has the ids of runs as its parameter, and returns of those that are paused or finished: the id, and the
    /// name of the open pause.
    pub(crate) fn start(url: &str, query: &'static str) -> Self {
        let waiting = Waiting::default();
        let (url, of) = (url.to_owned(), Arc::downgrade(&waiting));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let mut connection = runtime.block_on(connect(&url));
            while let Some(waiting) = of.upgrade() {
                let ids: Vec<String> = lock(&waiting).keys().cloned().collect();
                if !ids.is_empty() {
                    let look = sqlx::query_as(query).bind(&ids).fetch_all(&mut connection);
                    let seen: Vec<(String, Option<String>)> = runtime.block_on(look).expect("the observer looks");
                    let now = Instant::now();
                    for (id, pause) in seen {
                        let mut waiting = lock(&waiting);
                        if waiting.get(&id).is_some_and(|(known, _)| known.is_none() || *known != pause)
                            && let Some((_, waits)) = waiting.remove(&id)
                        {
                            let _ = waits.send((pause, now));
                        }
                    }
                }
                drop(waiting);
                std::thread::sleep(EVERY);
            }
        });
        Self(waiting)
    }

    /// Sees the next pause, or the end, of a run that is known to have come so far.
    pub(crate) fn next(&self, run: &str, known: Option<&str>) -> oneshot::Receiver<Seen> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.0).insert(run.to_owned(), (known.map(ToOwned::to_owned), sender));
        receiver
    }
}

async fn connect(url: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    // By the primary keys, however much or little the planner knows of the tables; and planned once.
    let settings = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off;
                    set plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(settings).execute(&mut connection).await.expect("settings");
    connection
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
