//! Notifications: who is told what, how often, and that nothing is lost and nothing told under two ids.

mod addresses;
mod deaths;
mod libraries;
mod mail;
mod people;
mod retries;

use countersign_tests::api::send;
use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, Receiver, Reply, until};
use reqwest::Method;
use serde_json::{Value, json};

/// A host that may send to this machine, the testbed on it, and somebody who receives.
struct Post {
    host: Host,
    api: Api,
    receiver: Receiver,
    model: Model,
    database: Database,
}

impl Post {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these environment variables of the host.
    async fn with(environment: &[(&str, &str)]) -> Self {
        let (database, model, receiver) = (Database::new().await, Model::start().await, Receiver::start().await);
        let mut all = vec![("COUNTERSIGN_ALLOW_PRIVATE_ENDPOINTS", "true")];
        all.extend(environment);
        let host = Host::start_with(&database, &model, &all).await;
        let api = host.api();
        api.deploy("testbed", guest("testbed")).await;
        Self { host, api, receiver, model, database }
    }

    /// Adds a webhook for a path of the receiver's; returns its secret.
    async fn webhook(&self, name: &str, events: Value) -> String {
        let address = format!("{}/{name}", self.receiver.url);
        let body = json!({"name": name, "kind": "webhook", "address": address, "events": events});
        let made = self.api.post("/v1/endpoints", &body).await.expect(201);
        made["secret"].as_str().expect("a secret").to_owned()
    }

    /// Starts an execution that asks for this, and returns the id of its open pause.
    async fn ask(&self, request: &Value) -> String {
        let id = self.api.start("testbed.approve", request).await;
        self.api.paused(&id, "only").await
    }

    /// Waits until the only delivery to an endpoint is in this state, and returns it with its log.
    async fn delivery(&self, endpoint: &str, state: &str) -> Value {
        let path = format!("/v1/deliveries?endpoint={endpoint}");
        let id = until(&format!("a delivery to {endpoint} is {state}"), async || {
            let list = self.api.get(&path).await.expect(200);
            let found = list["items"].as_array()?.iter().find(|delivery| delivery["state"] == state)?;
            Some(found["id"].as_str()?.to_owned())
        })
        .await;
        self.api.get(&format!("/v1/deliveries/{id}")).await.expect(200)
    }
}

async fn put(api: &Api, path: &str, body: &Value) -> Reply {
    send(api.request(Method::PUT, path).json(body)).await
}

async fn patch(api: &Api, path: &str, body: &Value) -> Reply {
    send(api.request(Method::PATCH, path).json(body)).await
}

async fn delete(api: &Api, path: &str) -> Reply {
    send(api.request(Method::DELETE, path)).await
}

#[tokio::test]
async fn an_endpoint_is_told_of_a_pause_from_its_opening_to_the_end_of_its_execution() {
    let post = Post::new().await;
    post.webhook("all", Value::Null).await;
    let request = json!({"title": "Ship it?", "payload": {"version": 7}, "choices": ["approved", "rejected"]});
    let pause = post.ask(&request).await;
    let opened = post.receiver.wait_for("/all", "pause.opened").await.json();
    let shown = post.api.get(&format!("/v1/pauses/{pause}")).await.expect(200);
    for field in shown.as_object().expect("an object").keys().filter(|field| !field.ends_with("_at")) {
        assert_eq!(opened["data"][field], shown[field], "{field}: {opened}");
    }
    assert_eq!(opened["data"]["payload_omitted"], false);

    post.api.decide(&pause, &json!({"decision": "approved", "feedback": "Fine."})).await.expect(200);
    let decided = post.receiver.wait_for("/all", "pause.decided").await.json();
    assert_eq!(decided["data"]["decision"]["decision"], "approved");
    assert_eq!(decided["data"]["decision"]["feedback"], "Fine.");
    let ended = post.receiver.wait_for("/all", "execution.succeeded").await.json();
    assert_eq!(pause.split_once(':').map(|(execution, _)| execution), ended["data"]["id"].as_str());
    assert_eq!(ended["data"]["result"]["decision"], "approved", "{ended}");
    let ids: std::collections::BTreeSet<String> =
        post.receiver.received("/all").iter().map(|received| received.id().to_owned()).collect();
    assert_eq!(ids.len(), 3, "one id each, one delivery each");
    assert_eq!(post.receiver.received("/all").len(), 3);
    assert_eq!(post.model.calls(), 0);
    post.host.assert_unharmed();
}

#[tokio::test]
async fn stages_reminders_escalations_expiry_and_withdrawal_are_told() {
    let post = Post::new().await;
    let events = ["pause.advanced", "pause.reminded", "pause.escalated", "pause.expired", "pause.cancelled"];
    post.webhook("some", json!(events)).await;
    post.webhook("named", json!([])).await;
    let (ana, _) = (person(&post.api, "ana").await, person(&post.api, "bob").await);
    let request = json!({
        "stages": [{"reviewers": ["ana"], "required": 1}, {"reviewers": ["bob"], "required": 1}],
        "reminders_ms": [1], "expires_in_ms": 4_000,
        "escalations": [{"after_ms": 1_500, "reviewers": ["eve"], "notify": ["named"]}],
    });
    let pause = post.ask(&request).await;
    let reminded = post.receiver.wait_for("/some", "pause.reminded").await.json();
    assert_eq!(reminded["data"]["asked"], json!(["ana"]));
    ana.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    let advanced = post.receiver.wait_for("/some", "pause.advanced").await.json();
    assert_eq!((&advanced["data"]["asked"], &advanced["data"]["stage"]), (&json!(["bob"]), &json!(1)));
    assert_eq!(advanced["data"]["votes"][0]["reviewer"], "ana");
    let escalated = post.receiver.wait_for("/some", "pause.escalated").await.json();
    assert_eq!(escalated["data"]["asked"], json!(["bob", "eve"]));
    // Named only by the escalation, and told of whatever happens to the pause from then on.
    post.receiver.wait_for("/named", "pause.escalated").await;
    let expired = post.receiver.wait_for("/named", "pause.expired").await.json();
    assert_eq!(expired["data"]["status"], "expired");
    let kinds: Vec<String> = post.receiver.received("/named").iter().map(|received| received.kind()).collect();
    assert_eq!(kinds, ["pause.escalated", "pause.expired"]);

    let pause = post.ask(&json!({})).await;
    let execution = pause.split_once(':').expect("two parts").0;
    post.api.post(&format!("/v1/executions/{execution}/cancel"), &json!({})).await.expect(200);
    let cancelled = post.receiver.wait_for("/some", "pause.cancelled").await.json();
    assert_eq!(cancelled["data"]["id"], pause.as_str());
}

#[tokio::test]
async fn what_is_too_long_is_left_out_and_said_to_be() {
    let post = Post::new().await;
    post.webhook("all", Value::Null).await;
    post.ask(&json!({"payload": "x".repeat(70_000)})).await;
    let opened = post.receiver.wait_for("/all", "pause.opened").await.json();
    assert_eq!((&opened["data"]["payload"], &opened["data"]["payload_omitted"]), (&Value::Null, &json!(true)));
    post.api.start("testbed.big_result", &json!({"bytes": 70_000})).await;
    let ended = post.receiver.wait_for("/all", "execution.succeeded").await.json();
    assert_eq!((&ended["data"]["result"], &ended["data"]["result_omitted"]), (&Value::Null, &json!(true)));
    post.api.start("testbed.fail", &json!({})).await;
    let failed = post.receiver.wait_for("/all", "execution.failed").await.json();
    assert_eq!(failed["data"]["error"]["code"], "agent_error", "{failed}");
}

#[tokio::test]
async fn whoever_has_no_endpoints_writes_no_outbox_and_tenants_are_told_of_their_own() {
    let post = Post::new().await;
    let other = post.host.tenant("other");
    let address = format!("{}/other", post.receiver.url);
    other.post("/v1/endpoints", &json!({"name": "all", "kind": "webhook", "address": address})).await.expect(201);
    let pause = post.ask(&json!({})).await;
    post.api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    post.api.finished(pause.split_once(':').expect("two parts").0).await;
    assert_eq!(post.database.number("select count(*) from notification").await, 0);
    other.post("/v1/endpoints/all/test", &json!({})).await.expect(202);
    let test = post.receiver.wait_for("/other", "endpoint.test").await;
    assert_eq!(test.json()["data"], json!({"endpoint": "all"}));
    let list = post.api.get("/v1/deliveries").await.expect(200);
    assert_eq!(list["items"], json!([]), "a delivery is shown to its tenant alone");
}

async fn person(api: &Api, name: &str) -> Api {
    let key = api.post("/v1/keys", &json!({"name": name, "role": "reviewer"})).await.expect(201);
    api.with_key(key["key"].as_str().expect("a key"))
}
