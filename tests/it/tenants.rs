//! Two tenants on one host, who don't trust each other.

mod matrix;
mod requests;
mod things;

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, Receiver};

use things::Things;

/// A host with two tenants, each with one of everything.
struct Two {
    host: Host,
    /// Whose things hold the marker.
    a: Tenant,
    b: Tenant,
    _receiver: Receiver,
    _model: Model,
    _database: Database,
}

/// A tenant, as its operator.
struct Tenant {
    api: Api,
    things: Things,
}

impl Two {
    async fn new() -> Self {
        let (database, model, receiver) = (Database::new().await, Model::start().await, Receiver::start().await);
        let host = Host::start_with(&database, &model, &[("COUNTERSIGN_ALLOW_PRIVATE_ENDPOINTS", "true")]).await;
        let (a, b) = (host.tenant("zebra"), host.tenant("quagga"));
        for (api, word) in [(&a, "zebra"), (&b, "quagga")] {
            api.deploy(&format!("{word}-agent"), guest("testbed")).await;
        }
        let a = Tenant { things: Things::make(&a, "zebra", &receiver.url).await, api: a };
        let b = Tenant { things: Things::make(&b, "quagga", &receiver.url).await, api: b };
        Self { host, a, b, _receiver: receiver, _model: model, _database: database }
    }
}
