//! A tenant that is suspended: nothing of it is served, nobody is told of anything, and nothing is lost.

use countersign_tests::api::{now, send};
use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, Receiver, Reply, until};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, refused_within_a_second};
use crate::agentfield::timed;

async fn suspend(host: &Host, tenant: &str) {
    let suspended = host.host_api().post(&format!("/v1/tenants/{tenant}/suspend"), &Value::Null).await.expect(200);
    assert!(suspended["suspended_at"].is_string());
}

async fn resume(host: &Host, tenant: &str) {
    let resumed = host.host_api().post(&format!("/v1/tenants/{tenant}/resume"), &Value::Null).await.expect(200);
    assert_eq!(resumed["suspended_at"], Value::Null);
}

#[track_caller]
fn assert_suspended(reply: &Reply) {
    assert_eq!((reply.status, reply.code()), (403, "tenant_suspended"), "{}", reply.body);
    assert!(reply.message().contains("suspended") && reply.blame() == "client", "{}", reply.body);
}

#[tokio::test]
async fn no_key_of_a_suspended_tenant_is_served_on_any_host_a_second_later_until_it_is_resumed() {
    let bench = Bench::new().await;
    let other = Host::start(&bench.database, &bench.model).await;
    let there = other.api().with_key(bench.api.key());
    let neighbour = bench.host.tenant("neighbour");
    there.get("/v1/keys").await.expect(200);
    bench.api.get("/v1/keys").await.expect(200);
    suspend(&bench.host, "default").await;
    assert_suspended(&bench.api.get("/v1/keys").await);
    assert_suspended(&refused_within_a_second(&there).await);
    let unknown = format!("/v1/executions/exec_{}", "0".repeat(32));
    for api in [&bench.api, &there] {
        assert_suspended(&api.get(&unknown).await);
        assert_suspended(&api.post("/v1/executions", &json!({"target": "testbed.echo"})).await);
        assert_suspended(&api.post("/api/v1/execute/testbed.echo", &json!({})).await);
        let by_header = api.anonymous(Method::GET, &format!("/api{unknown}")).header("x-api-key", api.key());
        assert_suspended(&send(by_header).await);
        for path in ["/healthz", "/readyz"] {
            send(api.anonymous(Method::GET, path)).await.expect(200);
        }
    }
    let wrong = bench.api.with_key(&countersign::api_key::generate("default", [1; 32]));
    assert_eq!(wrong.get("/v1/keys").await.status, 401, "only who has a good key learns of it");
    neighbour.get("/v1/keys").await.expect(200);
    resume(&other, "default").await;
    there.get("/v1/keys").await.expect(200);
    until("the other host serves it, too", async || (bench.api.get("/v1/keys").await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_revoked_or_its_tenant_suspended() {
    let bench = Bench::new().await;
    let id = bench.api.start("testbed.pause_once", &json!({})).await;
    bench.api.paused(&id, "only").await;
    let streams = async |api: &Api| {
        let stream = api.request(Method::GET, &format!("/v1/executions/{id}/events")).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream
    };
    let made = bench.api.post("/v1/keys", &json!({"name": "k", "role": "runner"})).await.expect(201);
    let stream = streams(&bench.api.with_key(made["key"].as_str().unwrap())).await;
    let other = streams(&bench.api).await;
    send(bench.api.request(Method::DELETE, &format!("/v1/keys/{}", made["id"].as_str().unwrap()))).await.expect(204);
    let text = async |stream: reqwest::Response| {
        let read = tokio::time::timeout(countersign_tests::PATIENCE, stream.text());
        read.await.expect("the stream ends").expect("in good order")
    };
    assert!(text(stream).await.contains("event: status"));
    suspend(&bench.host, "default").await;
    assert!(text(other).await.contains("event: status"));
}

#[tokio::test]
async fn a_signed_webhook_of_a_suspended_tenant_decides_nothing_and_a_forged_one_learns_nothing() {
    let bench = Bench::new().await;
    let id = bench.api.start("testbed.pause_once", &json!({})).await;
    let pause = bench.api.paused(&id, "only").await;
    let secret = bench.api.secret().await;
    suspend(&bench.host, "default").await;
    let body = json!({"pause_id": pause, "decision": "approved"});
    let standard = async |secret| bench.api.webhook("default", secret, "msg_1", &body).await;
    let agentfield = async |secret: &str| {
        let body = json!({"requestId": pause, "decision": "approved"}).to_string();
        let request = bench.api.anonymous(Method::POST, "/api/v1/webhooks/approval-response");
        send(request.header("x-hax-signature", timed(secret, now(), body.as_bytes())).body(body)).await
    };
    assert_suspended(&standard(&secret).await);
    assert_suspended(&agentfield(&secret.expose()).await);
    let forged = countersign::signature::Secret::from_bytes([1; 32]);
    assert_eq!(standard(&forged).await.code(), "invalid_signature");
    assert_eq!(agentfield(&forged.expose()).await.code(), "invalid_signature");
    resume(&bench.host, "default").await;
    assert_eq!(bench.api.get(&format!("/v1/pauses/{pause}")).await.expect(200)["status"], "open");
    assert_eq!(standard(&secret).await.expect(200)["outcome"], "accepted");
}

#[tokio::test]
async fn a_link_of_a_suspended_tenant_shows_and_decides_nothing_and_works_again_later() {
    let bench = Bench::new().await;
    let id = bench.api.start("testbed.pause_once", &json!({"title": "Night trains"})).await;
    let pause = bench.api.paused(&id, "only").await;
    let made = bench.api.post(&format!("/v1/pauses/{pause}/links"), &json!({"reviewer": "ana"})).await.expect(201);
    let link = made["url"].as_str().unwrap().to_owned();
    let path = &link[link.find("/r/").unwrap()..];
    let page = async |method: Method, path: &str| {
        let request = bench.api.anonymous(method, path).header("content-type", "application/x-www-form-urlencoded");
        let reply = send(request.body("decision=approved")).await;
        (reply.status, String::from_utf8(reply.bytes).unwrap())
    };
    suspend(&bench.host, "default").await;
    for method in [Method::GET, Method::POST] {
        let (status, html) = page(method, path).await;
        assert!(status == 403 && html.contains("Not available") && !html.contains("Night trains"), "{status} {html}");
    }
    let altered = format!("{}x", &path[..path.len() - 1]);
    assert_eq!(page(Method::GET, &altered).await.0, 404, "only who has a good link learns of it");
    resume(&bench.host, "default").await;
    assert!(page(Method::GET, path).await.1.contains("Night trains"));
    assert_eq!(bench.api.get(&format!("/v1/pauses/{pause}")).await.expect(200)["status"], "open");
}

#[tokio::test]
async fn nobody_is_told_of_a_suspended_tenant_until_it_is_resumed_and_then_once() {
    let (database, model, receiver) = (Database::new().await, Model::start().await, Receiver::start().await);
    let host = Host::start_with(&database, &model, &[("COUNTERSIGN_ALLOW_PRIVATE_ENDPOINTS", "true")]).await;
    let (api, neighbour) = (host.api(), host.tenant("zebra"));
    api.deploy("testbed", guest("testbed")).await;
    for (api, name) in [(&api, "ours"), (&neighbour, "theirs")] {
        let address = format!("{}/{name}", receiver.url);
        let body = json!({"name": name, "kind": "webhook", "address": address, "events": ["pause.expired"]});
        api.post("/v1/endpoints", &body).await.expect(201);
    }
    let id = api.start("testbed.approve", &json!({"expires_in_ms": 1_500})).await;
    api.paused(&id, "only").await;
    suspend(&host, "default").await;
    // Its clocks go on.
    let due = "select count(*) from delivery where tenant_id = 'default' and next_at <= now()";
    until("it would be told", async || (database.number(due).await == 1).then_some(())).await;
    // What comes later of another tenant is told, by as many looks as it takes.
    for told in 1..=3 {
        neighbour.post("/v1/endpoints/theirs/test", &Value::Null).await.expect(202);
        receiver.wait("/theirs", told).await;
    }
    assert_eq!((receiver.received("/ours").len(), database.number(due).await), (0, 1));
    resume(&host, "default").await;
    assert_eq!(receiver.wait("/ours", 1).await[0].kind(), "pause.expired");
    api.finished(&id).await;
    let delivered = "select count(*) from delivery where tenant_id = 'default' and state = 'delivered'";
    until("it is settled", async || (database.number(delivered).await == 1).then_some(())).await;
    assert_eq!(receiver.received("/ours").len(), 1);
}
