//! How fast the outbox is emptied, beside bare POSTs to the same receiver.

use std::time::{Duration, Instant};

use countersign_tests::build::guest;
use countersign_tests::{Database, Host, Model, Receiver, until};
use futures::stream::{self, StreamExt as _};
use serde_json::json;

use crate::report;

/// How many are delivered, for how many tenants, and how many of each tenant are sent at once.
const EVENTS: usize = 2_000;
const TENANTS: usize = 8;
const AT_ONCE: usize = 4;

pub(crate) async fn measure() {
    let (database, model, receiver) = (Database::new().await, Model::start().await, Receiver::start().await);
    let settings = [("COUNTERSIGN_LOG", "info"), ("COUNTERSIGN_ALLOW_PRIVATE_ENDPOINTS", "true")];
    let host = Host::start_with(&database, &model, &settings).await;
    let tenants: Vec<_> = (0..TENANTS).map(|number| host.tenant(&format!("t{number}"))).collect();
    for tenant in &tenants {
        tenant.deploy("testbed", guest("testbed")).await;
        let address = format!("{}/hook", receiver.url);
        tenant.post("/v1/endpoints", &json!({"name": "hook", "kind": "webhook", "address": address})).await.expect(201);
    }
    bare(&receiver, EVENTS / 4).await;
    let bare = bare(&receiver, EVENTS).await;
    // All of them are delivered once, and then again at once: asking for that is eight requests.
    stream::iter(0..EVENTS)
        .for_each_concurrent(16, async |number| {
            tenants[number % TENANTS].post("/v1/endpoints/hook/test", &json!({})).await.expect(202);
        })
        .await;
    let settled = "select count(*) from delivery where state = 'delivered'";
    until("all are delivered", async || (database.number(settled).await >= EVENTS as i64).then_some(())).await;
    sqlx::query("update delivery set state = 'failed'").execute(&database.pool).await.expect("an update");
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let began = Instant::now();
    for tenant in &tenants {
        tenant.post("/v1/endpoints/hook/redeliver", &since).await.expect(202);
    }
    until("the outbox is empty", async || (database.number(settled).await >= EVENTS as i64).then_some(())).await;
    let emptied = began.elapsed();
    let rate = |time: Duration| EVENTS as f64 / time.as_secs_f64();
    report("bare POSTs", &format!("{:.0}/s", rate(bare)), "");
    report("deliveries", &format!("{:.0}/s", rate(emptied)), "");
    report("ratio", &format!("{:.2}", rate(emptied) / rate(bare)), "");
}

/// How long so many POSTs of the same size take, as many at once as the host sends.
async fn bare(receiver: &Receiver, count: usize) -> Duration {
    let (client, url) = (reqwest::Client::new(), format!("{}/bare", receiver.url));
    let body = "x".repeat(130);
    let began = Instant::now();
    stream::iter(0..count)
        .for_each_concurrent(TENANTS * AT_ONCE, async |_| {
            let sent = client.post(&url).body(body.clone()).send().await.expect("it is received");
            assert!(sent.status().is_success());
        })
        .await;
    began.elapsed()
}
