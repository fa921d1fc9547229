//! Uploads of tenants who do not trust each other: bounded, compiled apart, charged to who sends them.

mod bombs;
mod compilers;
mod twins;

use countersign_tests::api::send;
use countersign_tests::{Api, Database, Host, Model, Reply};
use reqwest::Method;

/// A host with two tenants.
struct Shared {
    host: Host,
    one: Api,
    other: Api,
    database: Database,
    model: Model,
}

impl Shared {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(environment: &[(&str, &str)]) -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, environment).await;
        let (one, other) = (host.api(), host.tenant("other"));
        Self { host, one, other, database, model }
    }

    /// CPU time that a tenant has been charged for compiling, in seconds.
    async fn charged(&self, tenant: &str) -> f64 {
        let spent = sqlx::query_scalar("select spent from compile_budget where tenant_id = $1").bind(tenant);
        spent.fetch_optional(&self.database.pool).await.expect("the table is there").unwrap_or(0.0)
    }
}

async fn upload(api: &Api, agent: &str, wasm: Vec<u8>) -> Reply {
    send(api.request(Method::PUT, &format!("/v1/agents/{agent}")).body(wasm)).await
}

/// A component that does the same, and that nobody has uploaded yet.
fn unique(mut wasm: Vec<u8>) -> Vec<u8> {
    const CUSTOM_SECTION: u8 = 0;
    let name = uuid::Uuid::new_v4().simple().to_string();
    let length = u8::try_from(name.len()).expect("32 characters");
    wasm.extend([CUSTOM_SECTION, length + 1, length]);
    wasm.extend(name.as_bytes());
    wasm
}
