//! One private Postgres for all tests of a process; a database of its own for each.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use countersign::db::Db;
use countersign::db::embedded::Embedded;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::build::root;

/// A migrated, empty database.
pub struct Database {
    pub url: String,
    /// For looking into the rows.
    pub pool: PgPool,
}

struct Server {
    url: String,
    template: String,
    /// Stops the server when this process is gone, however it went.
    _watchdog: Child,
}

static SERVER: OnceCell<Server> = OnceCell::const_new();

impl Database {
    pub async fn new() -> Self {
        let server = SERVER.get_or_init(start).await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut admin = PgConnection::connect(&server.url).await.expect("the test server takes connections");
        let create = format!("create database {name} template {}", server.template);
        sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut admin).await.expect("a database from the template");
        let url = server.url.replace("/countersign?", &format!("/{name}?"));
        let pool = PgPoolOptions::new().max_connections(4).connect(&url).await.expect("the new database");
        Self { url, pool }
    }

    /// Counts rows, or adds up something: a query that gives one number.
    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap_or_else(|why| panic!("{query}: {why}"))
    }
}

async fn start() -> Server {
    let directory = root().join(format!("target/test-postgres/{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a folder for the test server");
    let server = Embedded::start(&directory).await.expect("a private Postgres for the tests");
    let url = server.url().to_owned();
    // Not stopped by us, but by the watchdog, which is there even when this process is not.
    std::mem::forget(server);
    let mut admin = PgConnection::connect(&url).await.expect("the test server takes connections");
    let cluster: String =
        sqlx::query_scalar("show data_directory").fetch_one(&mut admin).await.expect("where the cluster is");
    let watchdog = watchdog(&directory, Path::new(&cluster));
    let template = "template_countersign".to_owned();
    let create = format!("create database {template}");
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut admin).await.expect("a template database");
    let db = Db::connect(&url.replace("/countersign?", &format!("/{template}?")), None, false)
        .await
        .expect("migrations apply");
    db.close().await;
    // The listener's connection closes on its own; a template must have none.
    crate::until("nobody is connected to the template", async || {
        let others: i64 =
            sqlx::query_scalar("select count(*) from pg_stat_activity where datname like 'template\\_c%'")
                .fetch_one(&mut PgConnection::connect(&url).await.ok()?)
                .await
                .ok()?;
        (others == 0).then_some(())
    })
    .await;
    Server { url, template, _watchdog: watchdog }
}

/// A shell that waits for its input to end, which it does when this process is gone, and then ends the server and
/// removes what it kept.
fn watchdog(directory: &Path, cluster: &Path) -> Child {
    let script = r#"cat >/dev/null
        pid=$(head -1 "$2/postmaster.pid") && kill -INT "$pid"
        while kill -0 "$pid"; do sleep 0.1; done
        rm -rf "$(dirname "$2")" "$1""#;
    Command::new("sh")
        .args(["-c", script, "watchdog"])
        .args([directory, cluster])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell")
}
