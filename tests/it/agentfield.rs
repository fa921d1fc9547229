//! AgentField's protocol, as its reviewer tools and clients speak it: their headers, their bodies, and nothing else.

mod approvals;
mod decisions;
mod executions;
mod signatures;

use countersign_tests::api::{now, send};
use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const ADDRESS: &str = "/api/v1/webhooks/approval-response";

/// A host with the testbed, a tool with the text of a secret, and a client with a key.
struct Desk {
    host: Host,
    api: Api,
    model: Model,
    secret: String,
    _database: Database,
}

impl Desk {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(environment: &[(&str, &str)]) -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, environment).await;
        let api = host.api();
        api.deploy("testbed", guest("testbed")).await;
        let secret = secret_of(&api).await;
        Self { host, api, model, secret, _database: database }
    }

    /// Starts an execution of `pause_once`, and returns its id, once its pause is open.
    async fn open(&self, request: &Value) -> String {
        let id = self.api.start("testbed.pause_once", request).await;
        self.api.paused(&id, request["id"].as_str().unwrap_or("only")).await;
        id
    }

    /// Sends what a tool sends, signed now.
    async fn deliver(&self, body: &Value) -> Reply {
        self.deliver_at(now(), body).await
    }

    /// The same, signed then.
    async fn deliver_at(&self, time: u64, body: &Value) -> Reply {
        let body = body.to_string();
        let signature = timed(&self.secret, time, body.as_bytes());
        self.post(ADDRESS, &[("x-hax-signature", &signature)], body.as_bytes()).await
    }

    /// Sends bytes without a key.
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = self.api.anonymous(Method::POST, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request.header("content-type", "application/json").body(body.to_vec())).await
    }

    async fn pause(&self, execution: &str, name: &str) -> Value {
        self.api.get(&format!("/v1/pauses/{execution}:{name}")).await.expect(200)
    }

    /// What the agent was told, once its execution has finished.
    async fn told(&self, execution: &str) -> Value {
        let execution = self.api.finished(execution).await;
        assert_eq!(execution["status"], "succeeded", "{execution}");
        execution["result"].clone()
    }

    async fn take_bare_signatures(&self, takes: bool) {
        let settings = json!({ "bare_signatures": takes });
        let request = self.api.request(Method::PUT, "/v1/settings/agentfield").json(&settings);
        assert_eq!(send(request).await.expect(200), settings);
        assert_eq!(self.api.get("/v1/settings/agentfield").await.expect(200), settings);
    }
}

/// Makes a webhook secret, and returns its text.
async fn secret_of(api: &Api) -> String {
    let made = api.post("/v1/secrets", &json!({"name": "a reviewer tool"})).await.expect(201);
    made["secret"].as_str().expect("a secret").to_owned()
}

/// The flat shape.
fn flat(request_id: &str, decision: &str) -> Value {
    json!({"requestId": request_id, "decision": decision})
}

/// The value of `X-Hax-Signature`.
pub(crate) fn timed(secret: &str, time: u64, body: &[u8]) -> String {
    let signed = [format!("{time}.").as_bytes(), body].concat();
    format!("t={time},v1={}", hmac(secret, &signed))
}

/// HMAC-SHA256 in hexadecimal, made here once more, so that host and test do not share a mistake.
fn hmac(secret: &str, message: &[u8]) -> String {
    let mut key = [0; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let inner = Sha256::new().chain_update(key.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(key.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
    countersign::execution::hex(&outer)
}
