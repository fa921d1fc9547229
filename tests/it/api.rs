//! The API apart from decisions: what is answered when a request is a good one.

mod agents;
mod events;
mod executions;
mod keys;
mod lists;
mod roles;
mod service;
mod suspended;
mod tenants;

use std::time::{Duration, Instant};

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, Reply, until};

/// A host with the testbed.
struct Bench {
    host: Host,
    api: Api,
    model: Model,
    database: Database,
}

impl Bench {
    async fn new() -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start(&database, &model).await;
        let api = host.api();
        api.deploy("testbed", guest("testbed")).await;
        Self { host, api, model, database }
    }
}

/// What a key is told once its host has noticed that it is not to be served any more.
async fn refused_within_a_second(api: &Api) -> Reply {
    let began = Instant::now();
    let refused = until("the key is refused", async || {
        let reply = api.get("/v1/keys").await;
        (reply.status != 200).then_some(reply)
    });
    let refused = refused.await;
    assert!(began.elapsed() < Duration::from_secs(1), "it was taken for {:?} more", began.elapsed());
    refused
}
