//! The rows: the only place with SQL. One function per transition or query; each says what is true once it returns.
//!
//! Three rules make the races go away:
//!
//! 1. **Who brings an answer first updates the row of the execution that waits for it**: it counts the answer there, and
//!    makes the execution claimable if it waits. So a suspend, which updates the same row, either comes first and is
//!    seen by the one who brings the answer, or sees that there is one that it has not looked at.
//! 2. **Locks are taken from the parent to the child, and from the execution to its pauses.**
//! 3. **Every write of an attempt carries its claim token**, in the statement that writes.
//!
//! A commit whose acknowledgement was lost is never guessed at: every transition can be asked again, and finds out
//! whether it has already happened.

use std::future::Future;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

pub mod agents;
pub mod answers;
pub mod asked;
pub mod audit;
pub mod bell;
pub mod claims;
pub mod decisions;
pub mod deliveries;
pub mod embedded;
pub mod endpoints;
pub mod entries;
pub mod executions;
pub mod keys;
pub mod logs;
pub mod outbox;
pub mod outcomes;
pub mod pauses;
pub mod reviewers;
pub mod secrets;
pub mod tenants;
pub mod times;
pub mod votes;

use bell::Bell;

/// How many connections one host holds at the most.
const CONNECTIONS_MAX: u32 = 24;
const RELAXED_CONNECTIONS_MAX: u32 = 8;

/// How long a request waits for one of them.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was used this long ago is taken to be alive.
const FRESH: Duration = Duration::from_secs(1);

/// How often a statement is asked again after a failure that may pass, and the pause before the first repetition, which
/// then doubles: 20 ms … 2.5 s, five seconds in all.
const RETRIES: u32 = 8;
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What can go wrong with the database. A transition's own outcomes are not errors; it returns them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not reachable, restarting, or out of connections. Trying again may help.
    #[error("the database is not available: {0}")]
    Unavailable(sqlx::Error),
    /// A row that could not be read, a statement that could not be carried out: a bug, or a foreign hand.
    #[error("the database refused: {0}")]
    Refused(sqlx::Error),
    /// A row holds what this version cannot read.
    #[error("{what} cannot be read: {why}")]
    Unreadable { what: &'static str, why: String },
    #[error("the database could not be migrated: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if may_pass(&error) { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

/// Whether the same statement may succeed later: the connection was lost, the server is starting or stopping, or two
/// transactions stood in each other's way.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection failures, no resources, operator intervention; serialization failure, deadlock, lock timeout.
            ["08", "53", "57"].iter().any(|class| code.starts_with(class))
                || ["40001", "40P01", "55P03"].contains(&&*code)
        }),
        _ => false,
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The database, and the bell that rings when something in it changed.
#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
    /// Connections that do not wait for the disk, for what may be lost in a crash of Postgres.
    relaxed: PgPool,
    bell: Bell,
}

impl Db {
    /// Connects and brings the schema up to date. Hosts that start at the same time wait for each other.
    ///
    /// Over connections of a host that `sends_mail`, what happens to a pause also becomes mail for those whom it asks;
    /// over others nothing would ever send that.
    pub async fn connect(url: &str, sends_mail: bool) -> Result<Self> {
        let options: PgConnectOptions = url.parse().map_err(Error::from)?;
        let options = options.application_name("countersign").options([
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "10s"),
            // For the triggers that fill the outbox.
            ("countersign.mail", if sends_mail { "on" } else { "off" }),
            // Every statement finds its rows by an index, whatever the values are: planning it anew each time is lost
            // time, and a plan that was made while a table was small must not scan it when it has grown.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
        ]);
        // A ping before each statement would double the round trips; one that was used just now needs none.
        let of = |connections| {
            let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
            pool.test_before_acquire(false).before_acquire(|connection, used| {
                Box::pin(async move { Ok(used.idle_for < FRESH || connection.ping().await.is_ok()) })
            })
        };
        let (pool, relaxed) = (of(CONNECTIONS_MAX), of(RELAXED_CONNECTIONS_MAX));
        let relaxed = relaxed.connect_lazy_with(options.clone().options([("synchronous_commit", "off")]));
        let pool = pool.connect_with(options).await?;
        sqlx::migrate!("../migrations").run(&pool).await?;
        Ok(Self { bell: Bell::start(&pool, &relaxed), pool, relaxed })
    }

    /// Rings when a row changed that somebody may wait for.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Whether the database answers.
    pub async fn is_reachable(&self) -> bool {
        sqlx::query("select 1").execute(&self.pool).await.is_ok()
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
        self.relaxed.close().await;
    }
}

/// Asks again while the database is not available, with growing pauses.
///
/// `ask` must be safe to repeat even if it took effect and only its acknowledgement was lost.
async fn retry<T, F>(mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut pause = RETRY_PAUSE;
    for _ in 0..RETRIES {
        match ask().await {
            Err(Error::Unavailable(error)) => {
                tracing::debug!(%error, pause_ms = pause.as_millis() as u64, "the database is not available, asking again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            done => return done,
        }
    }
    ask().await
}

/// One page of a list, and where the next begins.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it as `after` to get the next page; none on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` items from a query that asked for one more.
    fn cut(mut items: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() as i64 > limit;
        items.truncate(usize::try_from(limit).unwrap_or(0));
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}
