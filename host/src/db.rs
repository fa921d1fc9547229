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
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};

pub mod agents;
pub mod answers;
pub mod asked;
pub mod audit;
pub mod bell;
pub mod calls;
pub mod claims;
pub mod compiling;
pub mod decisions;
pub mod deliveries;
pub mod embedded;
pub mod endpoints;
pub mod entries;
pub mod executions;
pub mod handover;
pub mod keys;
pub mod limits;
pub mod logs;
pub mod outbox;
pub mod outcomes;
pub mod pauses;
pub mod queue;
pub mod recall;
pub mod reviewers;
mod session;
pub mod secrets;
pub mod tenants;
pub mod times;
pub mod usage;
pub mod votes;

use crate::trust::Trusted;
use agents::Version;
use bell::Bell;
use handover::Handover;
use session::{Session, Sessions, Tx};

/// How many connections one host holds at the most: for the rows of one tenant each, and for those of all.
const CONNECTIONS_MAX: u32 = 20;
const RELAXED_CONNECTIONS_MAX: u32 = 8;
const HOST_CONNECTIONS_MAX: u32 = 6;
const HOST_RELAXED_CONNECTIONS_MAX: u32 = 3;

/// The roles under which they ask: `migrations/0014_isolation.sql` says what each may.
const TENANT_ROLE: &str = "countersign_tenant";
const HOST_ROLE: &str = "countersign_host";

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
        if may_pass(&error) {
            session::note_failure();
            Self::Unavailable(error)
        } else {
            Self::Refused(error)
        }
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
///
/// Relaxed connections do not wait for the disk, for what may be lost in a crash of Postgres.
#[derive(Clone, Debug)]
pub struct Db {
    sessions: Sessions,
    relaxed_sessions: Sessions,
    /// Connections that see the rows of all tenants, as far as a host needs them that serves all: its queues.
    host: PgPool,
    host_relaxed: PgPool,
    bell: Bell,
    handover: Handover,
    /// The active versions of agents, by tenant and name.
    active: Trusted<(String, String), Arc<Version>>,
    sets: limits::Sets,
}

impl Db {
    /// Connects and brings the schema up to date. Hosts that start at the same time wait for each other.
    ///
    /// `owner` is where to connect for the schema, if not the same. Over connections of a host that `sends_mail`, what
    /// happens to a pause also becomes mail for those whom it asks; over others nothing would ever send that.
    pub async fn connect(url: &str, owner: Option<&str>, sends_mail: bool) -> Result<Self> {
        migrate(owner.unwrap_or(url)).await?;
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
            // The index that is in order, not one that has to be sorted.
            ("enable_incremental_sort", "off"),
            // Nor is any worth being compiled, which takes longer than the longest of them runs.
            ("jit", "off"),
        ]);
        let tenants = options.clone().options([("role", TENANT_ROLE)]);
        let all = options.options([("role", HOST_ROLE)]);
        let relaxed = |options: &PgConnectOptions| options.clone().options([("synchronous_commit", "off")]);
        // A ping before each statement would double the round trips; one that was used just now needs none.
        let of = |connections| {
            let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
            pool.test_before_acquire(false).before_acquire(|connection, used| {
                Box::pin(async move { Ok(used.idle_for < FRESH || connection.ping().await.is_ok()) })
            })
        };
        let host_relaxed = of(HOST_RELAXED_CONNECTIONS_MAX).connect_lazy_with(relaxed(&all));
        let host = of(HOST_CONNECTIONS_MAX).connect_with(all).await?;
        Ok(Self {
            bell: Bell::start(&host, &host_relaxed),
            relaxed_sessions: Sessions::new(relaxed(&tenants), RELAXED_CONNECTIONS_MAX),
            sessions: Sessions::new(tenants, CONNECTIONS_MAX),
            host,
            host_relaxed,
            handover: Handover::default(),
            active: Trusted::new(),
            sets: limits::Sets::new(),
        })
    }

    /// Rings when a row changed that somebody may wait for.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Whether the database answers.
    pub async fn is_reachable(&self) -> bool {
        sqlx::query("select 1").execute(&self.host).await.is_ok()
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.sessions.close();
        self.relaxed_sessions.close();
        self.host.close().await;
        self.host_relaxed.close().await;
    }

    /// A connection that shows the rows of this tenant.
    async fn of(&self, tenant: &str) -> Result<Session> {
        self.sessions.of(tenant).await
    }

    /// The same, not waiting for the disk.
    async fn relaxed_of(&self, tenant: &str) -> Result<Session> {
        self.relaxed_sessions.of(tenant).await
    }

    /// A transaction on the rows of this tenant.
    async fn begin(&self, tenant: &str) -> Result<Tx> {
        self.sessions.begin(tenant).await
    }
}

/// Brings the schema up to date, under the role that owns it.
async fn migrate(url: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::migrate!("../migrations").run(&mut connection).await?;
    connection.close().await?;
    Ok(())
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

/// A page ends early when its items have this many bytes: some have a megabyte each.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// A row of a page, and how many rows there would be if no page ended early.
#[derive(Debug, sqlx::FromRow)]
struct Found<T> {
    #[sqlx(flatten)]
    row: T,
    found: i64,
}

/// The query for a page, given one that has the items in their order, and of each, as `bytes`, how large it is. The first
/// comes however large it is; what is beyond the page is not read from where Postgres keeps large values.
fn page_of(items: &str) -> String {
    format!(
        "select * from (
             select *, sum(bytes) over (rows unbounded preceding) - bytes as before, count(*) over () as found
             from ({items}) as item
         ) as item where before < {PAGE_BYTES_MAX}"
    )
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

    /// Makes a page of at most `limit` items from a query of `page_of` that asked for one more.
    fn cut_by_bytes(rows: Vec<Found<T>>, limit: i64, cursor: impl Fn(&T) -> String) -> Self {
        let found = rows.first().map_or(0, |row| row.found);
        let mut items: Vec<T> = rows.into_iter().map(|row| row.row).collect();
        items.truncate(usize::try_from(limit).unwrap_or(0));
        let next = if found > items.len() as i64 { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}
