//! Tenants beside each other: what one floods, spins or takes costs itself, and hardly its neighbours.

mod claims;
mod memory;
mod turns;

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model};
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};

/// How many requests are under way at once.
const AT_ONCE: usize = 16;

/// One host with two tenants that have nothing to do with each other, and the testbed each.
struct Street {
    database: Database,
    model: Model,
    host: Host,
    /// Whatever it does must be its own trouble.
    noisy: Api,
    quiet: Api,
}

impl Street {
    async fn new(environment: &[(&str, &str)]) -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, environment).await;
        let (noisy, quiet) = (host.tenant("noisy"), host.tenant("quiet"));
        noisy.deploy("testbed", guest("testbed")).await;
        quiet.deploy("testbed", guest("testbed")).await;
        Self { database, model, host, noisy, quiet }
    }

    /// Has the noisy tenant start so many executions, and returns their ids.
    async fn flood(&self, count: usize, target: &str, input: &Value) -> Vec<String> {
        let starts = stream::iter(0..count).map(async |_| self.noisy.start(target, input).await);
        starts.buffer_unordered(AT_ONCE).collect().await
    }

    /// Has the quiet tenant run so many executions, one after the other.
    async fn quiet_ones(&self, count: usize) {
        for number in 0..count {
            let id = self.quiet.start("testbed.echo", &json!(number)).await;
            assert_eq!(self.quiet.finished(&id).await["result"], json!(number));
        }
    }

    /// What an operator does to the noisy tenant: sets these columns.
    async fn set(&self, columns: &'static str) {
        let update = format!("update tenant set {columns} where tenant_id = 'noisy'");
        sqlx::query(sqlx::AssertSqlSafe(update)).execute(&self.database.pool).await.expect("columns of tenants");
    }

    async fn finished_of_noisy(&self) -> i64 {
        let query = "select count(*) from execution where tenant_id = 'noisy' and finished_at is not null";
        self.database.number(query).await
    }
}
