//! Pauses by the execution that waits: how they stand, and decisions by API key.

use serde_json::{Value, json};

use super::Desk;

fn address(execution: &str, what: &str) -> String {
    format!("/api/v1/executions/{execution}/approval-{what}")
}

/// Whether this is a time as AgentField writes it.
fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 20 && text.ends_with('Z'))
}

#[tokio::test]
async fn a_client_asks_how_an_approval_stands_until_it_is_decided() {
    let desk = Desk::new().await;
    let execution = desk.open(&json!({"expires_in_ms": 3_600_000})).await;
    let pending = desk.api.get(&address(&execution, "status")).await.expect(200);
    assert_eq!((&pending["status"], &pending["approval_request_id"]), (&json!("pending"), &json!("only")));
    assert!(is_time(&pending["requested_at"]) && is_time(&pending["expires_at"]), "{pending}");
    assert!(pending.get("response").is_none() && pending.get("responded_at").is_none(), "{pending}");

    let body = json!({"decision": "request_changes", "reason": "Shorter.", "response": {"n": 1, "feedback": "kept"}});
    let reply = desk.api.post(&address(&execution, "response"), &body).await.expect(200);
    let expected = json!({"status": "processed", "execution_id": execution, "decision": "request_changes",
                          "new_status": "running"});
    assert_eq!(reply, expected);
    let decided = desk.api.get(&address(&execution, "status")).await.expect(200);
    assert_eq!(decided["status"], "request_changes");
    assert_eq!(decided["response"], json!({"decision": "request_changes", "feedback": "kept", "n": 1}));
    assert!(is_time(&decided["responded_at"]), "{decided}");
    let scoped = desk.api.get(&format!("/api/v1/agents/testbed/executions/{execution}/approval-status")).await;
    assert_eq!(scoped.expect(200), decided, "the address that its SDKs use");
    let scoped = desk.api.get(&format!("/api/v1/agents/other/executions/{execution}/approval-status")).await;
    assert_eq!((scoped.status, scoped.code()), (404, "execution_not_found"));

    let told = desk.told(&execution).await;
    assert_eq!((&told["decision"], &told["feedback"]), (&json!("request_changes"), &json!("Shorter.")));
    let decision = &desk.pause(&execution, "only").await["decision"];
    assert!(decision["via"].as_str().unwrap().starts_with("key:") && decision["reviewer"].is_string(), "{decision}");
}

#[tokio::test]
async fn a_response_is_an_object_to_its_clients_whatever_it_was() {
    let desk = Desk::new().await;
    for (sent, shown) in [
        (json!({"decision": "approve"}), json!({"decision": "approved"})),
        (json!({"decision": "approved", "feedback": "F"}), json!({"decision": "approved", "feedback": "F"})),
        (json!({"decision": " approved", "response": [1]}), json!({"decision": "approved", "response": [1]})),
    ] {
        let execution = desk.open(&json!({})).await;
        desk.api.post(&address(&execution, "response"), &sent).await.expect(200);
        let status = desk.api.get(&address(&execution, "status")).await.expect(200);
        assert_eq!(status["response"], shown, "{sent}");
        assert_eq!(desk.told(&execution).await["feedback"], shown["feedback"], "`feedback` is not lost");
    }
}

#[tokio::test]
async fn what_nobody_decided_says_so() {
    let desk = Desk::new().await;
    let expired = desk.api.start("testbed.pause_once", &json!({"expires_in_ms": 1})).await;
    desk.api.finished(&expired).await;
    let cancelled = desk.open(&json!({})).await;
    desk.api.post(&format!("/api/v1/executions/{cancelled}/cancel"), &json!({})).await.expect(200);
    for (execution, status) in [(&expired, "expired"), (&cancelled, "cancelled")] {
        let shown = desk.api.get(&address(execution, "status")).await.expect(200);
        assert_eq!(shown["status"], status);
        assert!(shown.get("response").is_none(), "{shown}");
        let reply = desk.api.post(&address(execution, "response"), &json!({"decision": "approved"})).await;
        assert_eq!((reply.status, reply.code()), (410, "pause_closed"), "{status}");
    }
    let never = desk.api.start("testbed.echo", &json!({})).await;
    desk.api.finished(&never).await;
    for reply in [
        desk.api.get(&address(&never, "status")).await,
        desk.api.post(&address(&never, "response"), &json!({"decision": "approved"})).await,
    ] {
        assert_eq!((reply.status, reply.code()), (404, "pause_not_found"));
    }
    for execution in [&format!("exec_{}", "0".repeat(32)), "exec_1"] {
        let reply = desk.api.get(&address(execution, "status")).await;
        assert_eq!((reply.status, reply.code()), (404, "execution_not_found"));
        let reply = desk.api.post(&address(execution, "response"), &json!({"decision": "approved"})).await;
        assert_eq!((reply.status, reply.code()), (404, "execution_not_found"));
    }
}

#[tokio::test]
async fn the_same_again_is_already_processed_and_another_decision_a_conflict() {
    let desk = Desk::new().await;
    let execution = desk.open(&json!({})).await;
    let body = json!({"decision": "rejected", "reason": "No."});
    let reply = desk.api.post(&address(&execution, "response"), &body).await.expect(200);
    assert_eq!(reply["new_status"], "running", "a rejection cancels nothing");
    assert_eq!(desk.told(&execution).await["decision"], "rejected");
    let again = desk.api.post(&address(&execution, "response"), &body).await.expect(200);
    let expected = json!({"status": "already_processed", "execution_id": execution, "current_status": "succeeded",
                          "approval_status": "rejected"});
    assert_eq!(again, expected);
    let reply = desk.api.post(&address(&execution, "response"), &json!({"decision": "approved"})).await;
    assert_eq!((reply.status, reply.code()), (409, "already_decided"));
    assert_eq!(reply.body["decided"]["decision"], "rejected");
}

#[tokio::test]
async fn an_execution_with_several_open_pauses_needs_to_be_told_which() {
    let desk = Desk::new().await;
    let execution = desk.api.start("testbed.pauses_and_wait", &json!({"expires_in_ms": 3_600_000})).await;
    desk.api.paused(&execution, "b").await;
    let candidates = json!([format!("{execution}:a"), format!("{execution}:b")]);
    for reply in [
        desk.api.get(&address(&execution, "status")).await,
        desk.api.post(&address(&execution, "response"), &json!({"decision": "approved"})).await,
    ] {
        assert_eq!((reply.status, reply.code()), (409, "ambiguous_pause"));
        assert_eq!(reply.body["candidates"], candidates);
    }
    let status = async |name: &str| {
        let path = format!("{}?approval_request_id={name}", address(&execution, "status"));
        desk.api.get(&path).await.expect(200)["status"].clone()
    };
    assert_eq!((status("a").await, status(&format!("{execution}:b")).await), (json!("pending"), json!("pending")));
    let by_name = json!({"decision": "approved", "approval_request_id": "b"});
    desk.api.post(&address(&execution, "response"), &by_name).await.expect(200);
    assert_eq!((status("a").await, status("b").await), (json!("pending"), json!("approved")));
    // Now there is only one.
    desk.api.post(&address(&execution, "response"), &json!({"decision": "rejected"})).await.expect(200);
    assert_eq!(desk.told(&execution).await, json!(["rejected", "approved", "approved"]));
}

#[tokio::test]
async fn a_named_pause_may_be_decided_early_and_only_in_its_own_execution() {
    let desk = Desk::new().await;
    let (one, two) = (desk.open(&json!({})).await, desk.api.start("testbed.pauses", &json!({"n": 2})).await);
    desk.api.paused(&two, "p0").await;
    let early = json!({"decision": "rejected", "requestId": format!("{two}:p1")});
    let reply = desk.api.post(&address(&one, "response"), &early).await;
    assert_eq!((reply.status, reply.code()), (404, "pause_not_found"));
    desk.api.post(&address(&two, "response"), &early).await.expect(200);
    let path = format!("{}?approval_request_id=p1", address(&two, "status"));
    assert_eq!(desk.api.get(&path).await.expect(200)["status"], "pending", "the pause may not take it");
    desk.api.post(&address(&two, "response"), &json!({"decision": "approved"})).await.expect(200);
    assert_eq!(desk.told(&two).await, json!(["approved", "rejected"]));
}

#[tokio::test]
async fn what_contradicts_itself_or_does_not_fit_is_refused() {
    let desk = Desk::new().await;
    let execution = desk.open(&json!({})).await;
    for (body, status, code) in [
        (json!({"decision": "approved", "reason": "a", "feedback": "b"}), 400, "invalid_request"),
        (json!({"decision": "approved", "requestId": "a", "approval_request_id": "b"}), 400, "invalid_request"),
        (json!({"reason": "a"}), 400, "invalid_request"),
        (json!({"decision": "expired"}), 422, "invalid_decision"),
        (json!({"decision": "maybe"}), 422, "invalid_decision"),
    ] {
        let reply = desk.api.post(&address(&execution, "response"), &body).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{body}: {}", reply.body);
    }
    let body = json!({"decision": "approved", "reason": "Good.", "feedback": "", "unknown": {}});
    desk.api.post(&address(&execution, "response"), &body).await.expect(200);
    assert_eq!(desk.told(&execution).await["feedback"], "Good.");
}
