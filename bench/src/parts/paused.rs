//! What an execution costs while it waits: rows, and nothing else.

use std::sync::Arc;
use std::time::Instant;

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, until};
use futures::stream::{self, StreamExt as _};
use serde_json::json;

use crate::report;

const FEW: usize = 1_000;
const MANY: usize = 20_000;
const WARM_UP: usize = 5_000;
const AT_ONCE: usize = 16;

pub(crate) async fn measure() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start_with(&database, &model, &[("COUNTERSIGN_LOG", "info")]).await;
    crate::lift_quotas(&database).await;
    let api = Arc::new(host.api());
    api.deploy("testbed", guest("testbed")).await;
    let bytes = "select pg_database_size(current_database())";

    warm_up(&api).await;
    pause(&api, &database, 0, FEW).await;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (memory_few, rows_few) = (host.memory(), database.number(bytes).await);
    report("the host's memory with 1000 paused", &format!("{:.1} MiB", mib(memory_few)), "");
    let began = Instant::now();
    let mut paused = FEW;
    for next in [5_000, 10_000, 15_000, MANY] {
        pause(&api, &database, paused, next).await;
        paused = next;
        report(&format!("the host's memory with {paused} paused"), &format!("{:.1} MiB", mib(host.memory())), "");
    }
    let rate = (MANY - FEW) as f64 / began.elapsed().as_secs_f64();
    sqlx::query("checkpoint").execute(&database.pool).await.expect("a checkpoint");
    let (memory_many, rows_many) = (host.memory(), database.number(bytes).await);

    let growth = 100.0 * (memory_many as f64 / memory_few as f64 - 1.0);
    report("growth", &format!("{growth:+.1} %"), "goal: within 5 %");
    let each = (rows_many - rows_few) as f64 / (MANY - FEW) as f64;
    report("database for each", &format!("{each:.0} bytes"), "goal: at most 2,048");
    report("started and paused", &format!("{rate:.0}/s"), "");
}

/// Has executions begin and end first, so that what the host's allocator keeps is not taken for theirs.
async fn warm_up(api: &Arc<Api>) {
    stream::iter(0..WARM_UP)
        .for_each_concurrent(AT_ONCE, async |_| {
            let id = api.start("testbed.echo", &json!({})).await;
            api.finished(&id).await;
        })
        .await;
}

/// Starts executions until so many are paused.
async fn pause(api: &Arc<Api>, database: &Database, from: usize, to: usize) {
    stream::iter(from..to)
        .for_each_concurrent(AT_ONCE, async |_| {
            api.start("testbed.pause_once", &json!({})).await;
        })
        .await;
    until("all are paused", async || {
        let waiting = database.number("select count(*) from execution where status = 'waiting'").await;
        (usize::try_from(waiting) == Ok(to)).then_some(())
    })
    .await;
}
