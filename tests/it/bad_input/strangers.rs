//! Ids of another tenant: answered in the same bytes as ids of nothing.

use countersign_tests::api::send;
use countersign_tests::{Api, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Victim, assert_refused, nowhere};

/// One request of each route that names something.
fn requests(agent: &str, execution: &str, name: &str, key: &str, secret: &str) -> Vec<(Method, String, Value)> {
    let none = Value::Null;
    let decision = json!({"decision": "approved"});
    vec![
        (Method::GET, format!("/v1/agents/{agent}"), none.clone()),
        (Method::GET, format!("/v1/agents/{agent}/versions"), none.clone()),
        (Method::POST, format!("/v1/agents/{agent}/versions/1/activate"), none.clone()),
        (Method::POST, "/v1/executions".into(), json!({"target": format!("{agent}.echo")})),
        (Method::GET, format!("/v1/executions/{execution}"), none.clone()),
        (Method::GET, format!("/v1/executions/{execution}/journal"), none.clone()),
        (Method::GET, format!("/v1/executions/{execution}/logs"), none.clone()),
        (Method::GET, format!("/v1/executions/{execution}/events"), none.clone()),
        (Method::POST, format!("/v1/executions/{execution}/cancel"), none.clone()),
        (Method::POST, format!("/api/v1/execute/{agent}.echo"), json!({})),
        (Method::POST, format!("/api/v1/execute/async/{agent}.echo"), json!({})),
        (Method::GET, format!("/api/v1/executions/{execution}"), none.clone()),
        (Method::GET, format!("/api/v1/executions/{execution}/approval-status"), none.clone()),
        (Method::GET, format!("/api/v1/agents/{agent}/executions/{execution}/approval-status"), none.clone()),
        (Method::POST, format!("/api/v1/executions/{execution}/approval-response"), decision.clone()),
        (Method::POST, format!("/api/v1/executions/{execution}/cancel"), none.clone()),
        (Method::GET, format!("/v1/pauses/{execution}:{name}"), none.clone()),
        (Method::POST, format!("/v1/pauses/{execution}:{name}/decision"), decision.clone()),
        (Method::POST, format!("/v1/pauses/{execution}:never-opened/decision"), decision),
        (Method::DELETE, format!("/v1/keys/{key}"), none.clone()),
        (Method::DELETE, format!("/v1/secrets/{secret}"), none),
    ]
}

async fn call(api: &Api, method: &Method, path: &str, body: &Value) -> Reply {
    let request = api.request(method.clone(), path);
    send(if body.is_null() { request } else { request.json(body) }).await
}

#[tokio::test]
async fn a_thing_of_another_tenant_is_answered_like_one_that_does_not_exist() {
    let victim = Victim::new().await;
    let execution = victim.api.start("testbed.pause_once", &json!({})).await;
    let pause = victim.api.paused(&execution, "only").await;
    let made = victim.api.post("/v1/secrets", &json!({})).await.expect(201);
    let keys = victim.api.get("/v1/keys").await.expect(200);
    let key = keys["items"][0]["id"].as_str().unwrap();
    let stranger = victim.host.tenant("stranger");
    stranger.secret().await;

    let foreign = requests("testbed", &execution, "only", key, made["id"].as_str().unwrap());
    let unknown = requests("nobodys", &nowhere(), "only", "00000000", "sec_0");
    for ((method, path, body), (_, unknown, nothing)) in foreign.iter().zip(&unknown) {
        let (of_other, of_nobody) =
            (call(&stranger, method, path, body).await, call(&stranger, method, unknown, nothing).await);
        assert_refused(&of_nobody, 404, of_nobody.code(), path);
        assert_eq!(of_other.status, 404, "{method} {path}: {}", of_other.body);
        // The name that was asked for is repeated, and has the same length.
        let said = String::from_utf8(of_other.bytes).unwrap().replace("testbed", "nobodys");
        assert_eq!(said, String::from_utf8(of_nobody.bytes).unwrap(), "{method} {path}");
    }

    assert_eq!(victim.api.execution(&execution).await["status"], "waiting");
    assert_eq!(victim.api.get(&format!("/v1/pauses/{pause}")).await.expect(200)["decision"], Value::Null);
    assert_eq!(victim.api.get("/v1/keys").await.expect(200), keys);
    assert_eq!(victim.api.get("/v1/secrets").await.expect(200)["items"].as_array().unwrap().len(), 1);
    let listed = stranger.get(&format!("/v1/pauses?execution={execution}")).await.expect(200);
    assert_eq!(listed["items"], json!([]));
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn a_stranger_with_a_good_signature_reaches_only_its_own_pauses() {
    let victim = Victim::new().await;
    let execution = victim.api.start("testbed.pause_once", &json!({})).await;
    let pause = victim.api.paused(&execution, "only").await;
    let stranger = victim.host.tenant("stranger");
    let secret = stranger.secret().await;
    let (mut said, addresses) = (
        vec![],
        [
            json!({"pause_id": pause}),
            json!({"execution_id": execution, "approval_request_id": "only"}),
            json!({"approval_request_id": "only"}),
            json!({"pause_id": format!("{}:only", nowhere())}),
        ],
    );
    for (n, address) in addresses.into_iter().enumerate() {
        let mut body = address.clone();
        body["decision"] = json!("approved");
        let reply = stranger.webhook("stranger", &secret, &format!("m{n}"), &body).await;
        assert_refused(&reply, 404, "pause_not_found", &body.to_string());
        said.push(reply.bytes);
        let reply = stranger.webhook("default", &secret, &format!("m{n}"), &body).await;
        assert_refused(&reply, 401, "invalid_signature", &body.to_string());
    }
    assert!(said.iter().all(|bytes| *bytes == said[0]), "the same words for foreign and unknown");
    assert_eq!(victim.api.get(&format!("/v1/pauses/{pause}")).await.expect(200)["status"], "open");
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn two_tenants_may_use_the_same_names_without_meeting() {
    let victim = Victim::new().await;
    let stranger = victim.host.tenant("stranger");
    stranger.deploy("testbed", countersign_tests::build::guest("altered")).await;
    let start = json!({"target": "testbed.pause_once", "input": {"id": "draft"}});
    let mut pauses = vec![];
    for api in [&victim.api, &stranger] {
        let request = api.request(Method::POST, "/v1/executions").header("idempotency-key", "same").json(&start);
        let id = send(request).await.expect(202)["id"].as_str().unwrap().to_owned();
        pauses.push(api.paused(&id, "draft").await);
    }
    assert_ne!(pauses[0], pauses[1]);
    let body = json!({"approval_request_id": "draft", "decision": "approved"});
    for (tenant, api, pause) in [("default", &victim.api, &pauses[0]), ("stranger", &stranger, &pauses[1])] {
        let secret = api.secret().await;
        let reply = api.webhook(tenant, &secret, "same", &body).await.expect(200);
        assert_eq!((&reply["outcome"], &reply["pause"]["id"]), (&json!("accepted"), &json!(pause)));
    }
    // A call reaches the caller's own agents only.
    let call = json!({"target": "testbed.echo", "input": 1});
    stranger.deploy("caller", countersign_tests::build::guest("testbed")).await;
    let id = victim.api.start("testbed.call", &json!({"target": "caller.echo", "input": 1})).await;
    assert_eq!(victim.api.finished(&id).await["result"]["error"]["code"], "call_not_found");
    let id = stranger.start("caller.call", &call).await;
    assert_eq!(stranger.finished(&id).await["result"], json!({"ok": 1}));
    victim.assert_unharmed().await;
}
