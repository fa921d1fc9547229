//! The API apart from decisions: what is answered when a request is a good one.

mod agents;
mod events;
mod executions;
mod keys;
mod lists;
mod roles;
mod service;

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model};

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
