//! Executions as its clients start, follow and stop them.

use countersign_tests::api::send;
use countersign_tests::{Api, Reply, until};
use reqwest::Method;
use serde_json::{Value, json};

use super::Desk;

/// Sends it with the header that AgentField's clients send, and no other.
async fn with_x_api_key(desk: &Desk, key: &str, method: Method, path: &str, body: Option<&Value>) -> Reply {
    let request = desk.api.anonymous(method, path).header("x-api-key", key);
    send(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

/// A key of this role, as text.
async fn key(api: &Api, role: &str) -> String {
    let made = api.post("/v1/keys", &json!({"name": format!("a {role}"), "role": role})).await.expect(201);
    made["key"].as_str().expect("a key").to_owned()
}

#[tokio::test]
async fn a_client_submits_polls_and_reads_the_result() {
    let desk = Desk::new().await;
    let runner = key(&desk.api, "runner").await;
    // Byte for byte what its Python SDK sends, and what it needs back.
    let body = json!({"input": {"a": [1.5, null]}});
    let path = "/api/v1/execute/async/testbed.echo";
    let reply = with_x_api_key(&desk, &runner, Method::POST, path, Some(&body)).await;
    let id = reply.body["execution_id"].as_str().expect("an id").to_owned();
    assert_eq!(reply.headers["x-execution-id"], *id);
    assert_eq!(reply.headers["x-run-id"], *id);
    let submitted = reply.expect(202);
    assert_eq!((&submitted["run_id"], &submitted["workflow_id"]), (&json!(id), &json!(id)));
    assert_eq!((&submitted["status"], &submitted["type"]), (&json!("queued"), &json!("reasoner")));
    assert_eq!((&submitted["target"], &submitted["webhook_registered"]), (&json!("testbed.echo"), &json!(false)));
    assert!(submitted["created_at"].as_str().unwrap().ends_with('Z') && submitted.get("webhook_error").is_none());

    let path = format!("/api/v1/executions/{id}");
    let done = until("it has succeeded", async || {
        let reply = with_x_api_key(&desk, &runner, Method::GET, &path, None).await.expect(200);
        (reply["status"] == "succeeded").then_some(reply)
    })
    .await;
    assert_eq!((&done["result"], &done["run_id"]), (&body["input"], &json!(id)));
    assert!(done["completed_at"].as_str().unwrap().ends_with('Z') && done["duration_ms"].as_i64().unwrap() >= 0);
    assert!(done.get("error").is_none() && done.get("approval_request_id").is_none(), "{done}");
}

#[tokio::test]
async fn input_that_is_absent_is_an_empty_object_and_other_fields_are_passed_over() {
    let desk = Desk::new().await;
    for body in ["{}", r#"{"input":null}"#, r#"{"input":{},"context":{"session":1},"authority":{}}"#] {
        // As curl sends it, if nobody tells it what it sends.
        let request = desk.api.request(Method::POST, "/api/v1/execute/testbed.echo");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        assert_eq!(send(request).await.expect(200)["result"], json!({}), "{body}");
    }
    let body = json!({"webhook": {"url": "https://example.com"}});
    let reply = desk.api.post("/api/v1/execute/async/testbed.echo", &body).await.expect(202);
    assert_eq!(reply["webhook_registered"], false);
    assert!(reply["webhook_error"].as_str().unwrap().contains("no webhooks"), "{reply}");
}

#[tokio::test]
async fn who_waits_is_told_how_it_ended() {
    let desk = Desk::new().await;
    let reply = desk.api.post("/api/v1/execute/testbed.echo", &json!({"input": 7})).await;
    assert_eq!(reply.headers["x-execution-id"], *reply.body["execution_id"].as_str().unwrap());
    let done = reply.expect(200);
    assert_eq!((&done["status"], &done["result"]), (&json!("succeeded"), &json!(7)));
    assert_eq!(done["finished_at"], done["completed_at"]);

    let failed = desk.api.post("/api/v1/execute/testbed.fail", &json!({"input": {}})).await.expect(502);
    assert_eq!((&failed["status"], &failed["error_category"]), (&json!("failed"), &json!("agent_error")));
    assert_eq!(failed["error"], failed["error_message"]);
    assert!(failed["error"].is_string() && failed["error_details"].is_object(), "{failed}");
}

#[tokio::test]
async fn who_waits_in_vain_is_told_what_for_and_that_it_goes_on() {
    let desk = Desk::new().await;
    let request = desk.api.request(Method::POST, "/api/v1/execute/testbed.pause_once").header("prefer", "wait=1");
    let reply = send(request.json(&json!({"input": {"id": "draft-review"}}))).await;
    let waits = reply.expect(202);
    assert_eq!((&waits["status"], &waits["approval_request_id"]), (&json!("waiting"), &json!("draft-review")));
    assert_eq!(waits["approval_status"], "pending");
    let id = waits["execution_id"].as_str().unwrap();
    let path = format!("/api/v1/executions/{id}/approval-response");
    desk.api.post(&path, &json!({"decision": "approved"})).await.expect(200);
    assert_eq!(desk.told(id).await["decision"], "approved");
}

#[tokio::test]
async fn who_waits_is_told_when_the_decision_comes() {
    let desk = Desk::new().await;
    let body = json!({"input": {"id": "here"}});
    let waiting = desk.api.post("/api/v1/execute/testbed.pause_once", &body);
    let deciding = async {
        until("the pause is open", async || {
            let reply = desk.deliver(&json!({"requestId": "here", "decision": "approved"})).await;
            (reply.status == 200).then_some(())
        })
        .await;
    };
    let (reply, ()) = futures::join!(waiting, deciding);
    assert_eq!(reply.expect(200)["result"]["decision"], "approved");
}

#[tokio::test]
async fn the_same_submission_finds_the_same_execution() {
    let desk = Desk::new().await;
    let submit = async |input: i32| {
        let request = desk.api.request(Method::POST, "/api/v1/execute/async/testbed.echo");
        send(request.header("idempotency-key", "once").json(&json!({ "input": input }))).await
    };
    let first = submit(1).await.expect(202);
    desk.api.finished(first["execution_id"].as_str().unwrap()).await;
    let again = submit(1).await.expect(202);
    assert_eq!((&again["execution_id"], &again["status"]), (&first["execution_id"], &json!("succeeded")));
    let other = submit(2).await;
    assert_eq!((other.status, other.code()), (409, "idempotency_key_reused"));
}

#[tokio::test]
async fn a_cancelled_execution_says_what_it_was() {
    let desk = Desk::new().await;
    let execution = desk.open(&json!({})).await;
    let path = format!("/api/v1/executions/{execution}/cancel");
    let stopped = desk.api.post(&path, &json!({"reason": "No longer needed."})).await.expect(200);
    assert_eq!((&stopped["previous_status"], &stopped["status"]), (&json!("waiting"), &json!("cancelled")));
    assert!(stopped["cancelled_at"].is_string() && stopped["execution_id"] == *execution, "{stopped}");
    let again = send(desk.api.request(Method::POST, &path)).await.expect(200);
    assert_eq!(again["previous_status"], "cancelled", "without a body, and again");
    let done = desk.api.start("testbed.echo", &json!({})).await;
    desk.api.finished(&done).await;
    let reply = desk.api.post(&format!("/api/v1/executions/{done}/cancel"), &json!({})).await;
    assert_eq!((reply.status, reply.code()), (409, "already_finished"));
    let reply = send(desk.api.request(Method::POST, &path).body("{")).await;
    assert_eq!((reply.status, reply.code()), (400, "invalid_json"));
}

#[tokio::test]
async fn a_run_is_all_that_followed_from_what_a_client_started() {
    let desk = Desk::new().await;
    let input = json!({"target": "testbed.pause_once", "input": {}});
    let parent = desk.api.start("testbed.call", &input).await;
    let child = until("the call is made", async || {
        desk.api.execution(&parent).await["waiting_for"]["calls"][0].as_str().map(ToOwned::to_owned)
    })
    .await;
    let shown = desk.api.get(&format!("/api/v1/executions/{child}")).await.expect(200);
    assert_eq!((&shown["execution_id"], &shown["run_id"]), (&json!(child), &json!(parent)));
}

#[tokio::test]
async fn a_key_may_come_in_either_header_but_must_be_one() {
    let desk = Desk::new().await;
    let (runner, reviewer) = (key(&desk.api, "runner").await, key(&desk.api, "reviewer").await);
    let execution = desk.open(&json!({})).await;
    let path = format!("/api/v1/executions/{execution}");
    assert_eq!(with_x_api_key(&desk, &runner, Method::GET, &path, None).await.status, 200);
    let reply = with_x_api_key(&desk, &reviewer, Method::GET, &path, None).await;
    assert_eq!((reply.status, reply.code()), (403, "forbidden"));
    let decide = format!("{path}/approval-response");
    let decision = json!({"decision": "approved"});
    let reply = with_x_api_key(&desk, &runner, Method::POST, &decide, Some(&decision)).await;
    assert_eq!((reply.status, reply.code()), (403, "forbidden"));
    for bad in ["", "cs_default_x", &runner[1..]] {
        let reply = with_x_api_key(&desk, bad, Method::GET, &path, None).await;
        assert_eq!((reply.status, reply.code()), (401, "unauthenticated"), "{bad:?}");
    }
    // The one that is AgentField's own counts, whatever else its clients send.
    let request = desk.api.request(Method::GET, &path).header("x-api-key", "nonsense");
    assert_eq!(send(request).await.status, 401);
    let request = desk.api.anonymous(Method::GET, &path).header("x-api-key", &runner).header("x-api-key", &runner);
    assert_eq!(send(request).await.status, 401);
    let request = desk.api.anonymous(Method::GET, &format!("{path}?api_key={runner}"));
    assert_eq!(send(request).await.status, 401, "an address is written down in too many places");
    let request = desk.api.anonymous(Method::GET, &format!("/v1/executions/{execution}")).header("x-api-key", &runner);
    assert_eq!(send(request).await.status, 401, "only here");
    with_x_api_key(&desk, &reviewer, Method::POST, &decide, Some(&decision)).await.expect(200);
}

#[tokio::test]
async fn a_target_or_an_input_that_is_wrong_is_refused() {
    let desk = Desk::new().await;
    for (target, body, status, code) in [
        ("testbed", json!({}), 400, "invalid_request"),
        ("nobody.echo", json!({}), 404, "agent_not_found"),
        ("testbed.nothing", json!({}), 404, "function_not_found"),
        ("testbed.sleep", json!({"input": {"ms": "x"}}), 422, "invalid_input"),
        ("testbed.echo", json!([]), 400, "invalid_request"),
        ("testbed.echo", json!({"input": "x".repeat(1 << 20)}), 413, "too_large"),
    ] {
        for way in ["execute", "execute/async"] {
            let reply = desk.api.post(&format!("/api/v1/{way}/{target}"), &body).await;
            assert_eq!((reply.status, reply.code()), (status, code), "{way} {target}: {}", reply.body);
            assert_eq!(reply.body["blame"], "client");
        }
    }
}
