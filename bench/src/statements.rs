//! How many statements Postgres is asked, as its own log has them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_tests::Database;
use sqlx::{Connection as _, PgConnection};

/// The log of the private Postgres, which has each statement from now on.
pub(crate) struct Statements {
    connection: PgConnection,
    log: PathBuf,
    /// How long the log was.
    from: usize,
}

impl Statements {
    pub(crate) async fn watch(database: &Database) -> Self {
        let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
        let cluster: String =
            sqlx::query_scalar("show data_directory").fetch_one(&mut connection).await.expect("a folder");
        let log = Path::new(&cluster).parent().expect("a home").join("postgres.log");
        log_all(&mut connection, true).await;
        let from = read(&log).len();
        Self { connection, log, from }
    }

    /// How many there were.
    pub(crate) async fn count(mut self) -> usize {
        let all = read(&self.log);
        log_all(&mut self.connection, false).await;
        let of_statement = |line: &&str| line.contains("LOG:  execute ") || line.contains("LOG:  statement: ");
        all[self.from..].lines().filter(of_statement).count()
    }
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).expect("the log of Postgres")).into_owned()
}

async fn log_all(connection: &mut PgConnection, is_on: bool) {
    let set = if is_on { "alter system set log_statement = 'all'" } else { "alter system reset log_statement" };
    // Not in one transaction, as `alter system` wants it.
    for text in [set, "select pg_reload_conf()"] {
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&mut *connection).await.expect("a setting of Postgres");
    }
    // Its processes read it when they next do something.
    tokio::time::sleep(Duration::from_millis(500)).await;
}
