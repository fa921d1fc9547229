//! Connections on which Postgres shows the rows of one tenant, and no others.
//!
//! Every statement in `db` names its tenant. This is the second line, for the day on which one is written that does not:
//! the tables' policies (`migrations/0014_isolation.sql`) compare `tenant_id` with the setting `countersign.tenant` of the
//! connection. A [`Session`] is only handed out for a tenant, after the setting was made, so there is no way to ask with
//! none, or with that of somebody else. A connection keeps its setting, and is told anew only when the next tenant is
//! another one: on a host of one tenant this costs nothing.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

use deadpool::managed::{self, Metrics, Object, Pool, PoolError, QueueMode, RecycleResult, Timeouts};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use super::{ACQUIRE_TIMEOUT, FRESH, Result};

/// How often a connection of this process has failed.
///
/// Postgres may have gone, and with it all connections: those that have not been asked since are asked whether they live.
static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Takes note that some connection has failed.
pub(super) fn note_failure() {
    FAILURES.fetch_add(1, Ordering::Relaxed);
}

/// The connections of one host for the rows of tenants, one at a time each.
#[derive(Clone)]
pub(super) struct Sessions(Pool<Manager>);

impl Sessions {
    /// At most `connections`, each made when it is first needed.
    pub(super) fn new(options: PgConnectOptions, connections: u32) -> Self {
        let timeouts =
            Timeouts { wait: Some(ACQUIRE_TIMEOUT), create: Some(ACQUIRE_TIMEOUT), recycle: Some(ACQUIRE_TIMEOUT) };
        let pool = Pool::builder(Manager(options)).max_size(connections as usize).timeouts(timeouts);
        // The one that was used last: what its server process knows is still in the processor's cache, and its statements
        // are prepared. The others are there for when there is more to do.
        let pool = pool.runtime(deadpool::Runtime::Tokio1).queue_mode(QueueMode::Lifo).build();
        Self(pool.expect("a runtime is given, which is all that a pool with timeouts needs"))
    }

    /// A connection that shows the rows of this tenant.
    pub(super) async fn of(&self, tenant: &str) -> Result<Session> {
        let mut session = self.next().await?;
        if session.connection().show(tenant).await.is_err() {
            // It broke while nobody used it, and perhaps all did.
            note_failure();
            session = self.next().await?;
            session.connection().show(tenant).await?;
        }
        Ok(session)
    }

    async fn next(&self) -> Result<Session> {
        let connection = self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(_) => sqlx::Error::PoolTimedOut,
            PoolError::Closed => sqlx::Error::PoolClosed,
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => sqlx::Error::WorkerCrashed,
        })?;
        Ok(Session(Some(connection)))
    }

    /// A transaction on the rows of this tenant. Undone unless it is committed.
    pub(super) async fn begin(&self, tenant: &str) -> Result<Tx> {
        let mut session = self.of(tenant).await?;
        // From before it begins, since this may be given up while Postgres is about to.
        session.connection().is_in_transaction = true;
        session.execute("begin").await?;
        Ok(Tx(session))
    }

    pub(super) fn close(&self) {
        self.0.close();
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

/// One connection, for the rows of one tenant. Goes back to the others when it is dropped.
pub(super) struct Session(Option<Object<Manager>>);

impl Session {
    fn connection(&mut self) -> &mut Shown {
        self.0.as_mut().expect("only dropping takes it")
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0.as_ref().expect("only dropping takes it").postgres
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection().postgres
    }
}

impl Drop for Session {
    /// A transaction that was not ended is undone at once: it holds locks.
    fn drop(&mut self) {
        let Some(mut connection) = self.0.take() else { return };
        if connection.is_in_transaction
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { connection.undo().await });
        }
    }
}

/// A transaction on the rows of one tenant.
pub(super) struct Tx(Session);

impl Tx {
    /// Once this returns, what was written is durable. After an error, it may be or not.
    pub(super) async fn commit(self) -> Result<()> {
        self.end("commit").await
    }

    /// Once this returns, nothing was written.
    pub(super) async fn rollback(self) -> Result<()> {
        self.end("rollback").await
    }

    async fn end(mut self, statement: &'static str) -> Result<()> {
        self.0.execute(statement).await?;
        self.0.connection().is_in_transaction = false;
        Ok(())
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// A connection, and what is known of it.
struct Shown {
    postgres: PgConnection,
    /// Whose rows it shows; none if that is not known.
    tenant: Option<String>,
    is_in_transaction: bool,
    /// `FAILURES`, when it was last found alive.
    failures: u64,
}

impl Shown {
    /// Has Postgres show the rows of this tenant from now on.
    async fn show(&mut self, tenant: &str) -> Result<(), sqlx::Error> {
        if self.tenant.as_deref() == Some(tenant) {
            return Ok(());
        }
        // Nobody knows what a connection shows whose setting is under way, should this be given up here.
        self.tenant = None;
        let show = sqlx::query("select set_config('countersign.tenant', $1, false)");
        show.bind(tenant).execute(&mut self.postgres).await?;
        self.tenant = Some(tenant.into());
        Ok(())
    }

    /// Undoes a transaction that nobody ended. If that fails, so does the next look at this connection.
    async fn undo(&mut self) {
        if self.postgres.execute("rollback").await.is_ok() {
            self.is_in_transaction = false;
        }
    }
}

struct Manager(PgConnectOptions);

impl managed::Manager for Manager {
    type Type = Shown;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Shown, sqlx::Error> {
        let failures = FAILURES.load(Ordering::Relaxed);
        let postgres = self.0.connect().await?;
        Ok(Shown { postgres, tenant: None, is_in_transaction: false, failures })
    }

    /// A ping before each statement would double the round trips; a connection that was used just now needs none.
    async fn recycle(&self, shown: &mut Shown, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if shown.is_in_transaction {
            shown.undo().await;
        }
        if shown.is_in_transaction {
            return Err(managed::RecycleError::message("a transaction could not be undone"));
        }
        let failures = FAILURES.load(Ordering::Relaxed);
        if metrics.last_used() >= FRESH || shown.failures != failures {
            shown.postgres.ping().await?;
            shown.failures = failures;
        }
        Ok(())
    }
}
