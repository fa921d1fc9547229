//! What becomes of a decision that a tool delivers: every row of the table in docs/agentfield.md.

use std::time::Duration;

use countersign_tests::api::now;
use countersign_tests::until;
use serde_json::{Value, json};

use super::{ADDRESS, Desk, flat, secret_of, timed};

#[tokio::test]
async fn a_tool_decides_in_either_of_its_shapes() {
    let desk = Desk::new().await;
    let form = json!({"amount": 3, "note": "Zoë 🦀"});
    let filled = json!({"decision": "request_changes", "feedback": "Shorter.", "amount": 3, "note": "Zoë 🦀"});
    for (shape, response) in [
        (
            json!({"decision": "request_changes", "feedback": "Shorter.", "response": form, "reviewer": "zoe@example.com",
                "timestamp": "2026-01-01T00:00:00Z", "userId": 7, "metadata": {"a": [1]}}),
            &form,
        ),
        (
            json!({"id": "evt_1", "type": "completed", "createdAt": "2026-01-01T00:00:00Z", "apiVersion": 2,
                "data": {"response": filled, "reviewer": "zoe@example.com", "projectId": "p"}}),
            &filled,
        ),
    ] {
        let execution = desk.open(&json!({"id": "draft-review"})).await;
        let mut body = shape.clone();
        let named = if body["data"].is_object() { &mut body["data"] } else { &mut body };
        named["requestId"] = json!("draft-review");
        let reply = desk.deliver(&body).await.expect(200);
        let expected = json!({"status": "processed", "execution_id": execution, "decision": "request_changes",
                              "new_status": "running"});
        assert_eq!(reply, expected, "{body}");
        let told = desk.told(&execution).await;
        assert_eq!((&told["decision"], &told["feedback"]), (&json!("request_changes"), &json!("Shorter.")));
        assert_eq!(told["response"], *response);
        let decided = &desk.pause(&execution, "draft-review").await["decision"];
        assert_eq!(decided["reviewer"], "zoe@example.com");
        assert!(decided["via"].as_str().unwrap().starts_with("webhook:af_"), "{decided}");
    }
}

#[tokio::test]
async fn a_rejection_is_told_to_the_agent_and_cancels_nothing() {
    let desk = Desk::new().await;
    let execution = desk.open(&json!({})).await;
    let reply = desk.deliver(&flat("only", "rejected")).await.expect(200);
    assert_eq!((&reply["status"], &reply["new_status"]), (&json!("processed"), &json!("running")));
    assert_eq!(desk.told(&execution).await["decision"], "rejected");
}

#[tokio::test]
async fn its_other_words_mean_the_choice_that_they_stand_for_unless_they_are_one() {
    let desk = Desk::new().await;
    for (word, meant) in [
        ("approve", "approved"),
        ("continue", "approved"),
        ("confirm", "approved"),
        ("reject", "rejected"),
        ("deny", "rejected"),
        ("abort", "rejected"),
        ("cancel", "rejected"),
    ] {
        let execution = desk.open(&json!({})).await;
        let event = json!({"type": "completed", "data": {"requestId": "only", "response": {"action": word}}});
        assert_eq!(desk.deliver(&event).await.expect(200)["decision"], meant, "{word}");
        assert_eq!(desk.told(&execution).await["decision"], meant, "{word}");

        let execution = desk.open(&json!({"choices": [word, "later"]})).await;
        assert_eq!(desk.deliver(&flat("only", word)).await.expect(200)["decision"], word);
        assert_eq!(desk.told(&execution).await["decision"], word);
    }
    let execution = desk.open(&json!({"choices": ["ship", "hold"]})).await;
    assert_eq!(desk.deliver(&flat("only", "ship")).await.expect(200)["decision"], "ship");
    assert_eq!(desk.told(&execution).await["decision"], "ship");
}

#[tokio::test]
async fn the_same_again_is_already_processed_and_another_decision_a_conflict() {
    let desk = Desk::new().await;
    let execution = desk.open(&json!({})).await;
    let (id, time) = (format!("{execution}:only"), now());
    let body = json!({"requestId": id, "decision": "approved", "feedback": "Good."});
    assert_eq!(desk.deliver_at(time, &body).await.expect(200)["status"], "processed");
    desk.api.finished(&execution).await;
    let again = json!({"status": "already_processed", "execution_id": execution, "current_status": "succeeded",
                       "approval_status": "approved"});
    assert_eq!(desk.deliver_at(time, &body).await.expect(200), again, "the same delivery");
    assert_eq!(desk.deliver_at(time - 1, &body).await.expect(200), again, "signed anew");
    let other_word = json!({"requestId": id, "decision": "approve", "feedback": "Good.", "timestamp": "x"});
    assert_eq!(desk.deliver(&other_word).await.expect(200), again, "the same decision in another delivery");

    let reply = desk.deliver(&flat(&id, "rejected")).await;
    assert_eq!((reply.status, reply.code()), (409, "already_decided"));
    assert_eq!(reply.body["decided"]["decision"], "approved", "{}", reply.body);
    assert!(reply.message().contains("the first decision stands"), "{}", reply.body);
    assert_eq!(reply.body["blame"], "client");
}

#[tokio::test]
async fn a_late_decision_is_refused() {
    let desk = Desk::new().await;
    let expired = desk.api.start("testbed.pause_once", &json!({"expires_in_ms": 1})).await;
    assert_eq!(desk.told(&expired).await["decision"], "expired");
    let cancelled = desk.open(&json!({})).await;
    desk.api.post(&format!("/v1/executions/{cancelled}/cancel"), &json!({})).await.expect(200);
    for execution in [&expired, &cancelled] {
        for name in ["only", "never-opened"] {
            let reply = desk.deliver(&flat(&format!("{execution}:{name}"), "approved")).await;
            assert_eq!((reply.status, reply.code()), (410, "pause_closed"), "{name}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn a_decision_after_the_expiry_is_refused_even_if_no_worker_has_looked() {
    let desk = Desk::with(&[("COUNTERSIGN_CONCURRENCY", "1")]).await;
    let execution = desk.open(&json!({"expires_in_ms": 2_500})).await;
    let over = tokio::time::sleep(Duration::from_millis(2_500));
    desk.model.hold();
    desk.api.start("testbed.many_ai", &json!({"n": 1})).await;
    until("the only worker is busy", async || (desk.model.calls() == 1).then_some(())).await;
    over.await;
    let reply = desk.deliver(&flat(&format!("{execution}:only"), "approved")).await;
    assert_eq!((reply.status, reply.code()), (410, "pause_closed"));
    desk.model.release();
    assert_eq!(desk.told(&execution).await["decision"], "expired");
}

#[tokio::test]
async fn what_is_unknown_unfit_or_says_nothing_is_refused_and_decides_nothing() {
    let desk = Desk::new().await;
    let request = json!({"choices": ["approved", "hold"], "response_schema": {"type": "integer", "minimum": 1}});
    let execution = desk.open(&request).await;
    let event =
        |kind: &str, response: Value| json!({"type": kind, "data": {"requestId": "only", "response": response}});
    let nowhere = format!("exec_{}:only", "0".repeat(32));
    for (body, status, code, why) in [
        (flat("nobody", "approved"), 404, "pause_not_found", ""),
        (flat("a b", "approved"), 404, "pause_not_found", ""),
        (flat("exec_1:only", "approved"), 404, "pause_not_found", ""),
        (flat(&nowhere, "approved"), 404, "pause_not_found", ""),
        (flat("only", "rejected"), 422, "invalid_decision", "approved, hold"),
        (flat("only", "aproved"), 422, "invalid_decision", "approved, hold"),
        (flat("only", "approved"), 422, "invalid_decision", "response"),
        (flat("only", "expired"), 422, "invalid_decision", "only the host"),
        (event("expired", json!({"decision": "approved"})), 422, "invalid_decision", "only the host"),
        (event("completed", json!({"signature": "…"})), 422, "invalid_decision", "silence is no approval"),
        (event("completed", json!({"decision": "approved"})), 422, "invalid_decision", "schema"),
        (json!({"requestId": "only"}), 400, "invalid_request", "decision"),
        (json!({"requestId": "only", "decision": ""}), 400, "invalid_request", "decision"),
        (json!({"requestId": "only", "decision": 7}), 400, "invalid_request", "integer"),
        (
            json!({"requestId": "only", "decision": "approved", "feedback": "a\u{0}"}),
            400,
            "invalid_request",
            "feedback",
        ),
        (
            json!({"requestId": "only", "decision": "hold", "response": 1, "reviewer": "r".repeat(257)}),
            400,
            "invalid_request",
            "reviewer",
        ),
        (json!({"decision": "approved"}), 400, "invalid_request", "requestId"),
        (json!([]), 400, "invalid_request", ""),
    ] {
        let reply = desk.deliver(&body).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{body}: {}", reply.body);
        assert!(reply.message().contains(why), "{body}: {}", reply.body);
    }
    let signature = timed(&desk.secret, now(), b"{");
    assert_eq!(desk.post(ADDRESS, &[("x-hax-signature", &signature)], b"{").await.code(), "invalid_json");
    let large = format!("{{\"requestId\":\"only\",\"decision\":\"approved\",\"x\":\"{}\"}}", "y".repeat(256 << 10));
    let signature = timed(&desk.secret, now(), large.as_bytes());
    let reply = desk.post(ADDRESS, &[("x-hax-signature", &signature)], large.as_bytes()).await;
    assert_eq!((reply.status, reply.code()), (413, "too_large"));

    assert_eq!(desk.pause(&execution, "only").await["status"], "open");
    let fits = json!({"requestId": "only", "decision": "hold", "response": 1});
    assert_eq!(desk.deliver(&fits).await.expect(200)["status"], "processed");
    assert_eq!(desk.told(&execution).await["response"], 1);
    desk.host.assert_unharmed();
}

#[tokio::test]
async fn an_early_decision_is_kept_for_a_pause_that_is_named_with_its_execution() {
    let desk = Desk::new().await;
    let execution = desk.api.start("testbed.pauses", &json!({"n": 2})).await;
    desk.api.paused(&execution, "p0").await;
    let reply = desk.deliver(&flat("p1", "rejected")).await;
    assert_eq!((reply.status, reply.code()), (404, "pause_not_found"), "by its name alone nobody knows whose it is");
    let early = flat(&format!("{execution}:p1"), "deny");
    assert_eq!(desk.deliver(&early).await.expect(200)["decision"], "rejected");
    assert_eq!(desk.pause(&execution, "p1").await["status"], "early");
    desk.deliver(&flat("p0", "approved")).await.expect(200);
    assert_eq!(desk.told(&execution).await, json!(["approved", "rejected"]));
}

#[tokio::test]
async fn two_executions_with_the_same_request_id_never_take_each_others_decision() {
    let desk = Desk::new().await;
    let request = json!({"id": "draft-review"});
    let (one, two) = (desk.open(&request).await, desk.open(&request).await);
    let by_name = flat("draft-review", "approved");
    let reply = desk.deliver(&by_name).await;
    assert_eq!((reply.status, reply.code()), (409, "ambiguous_pause"));
    let candidates = [&one, &two].map(|execution| format!("{execution}:draft-review"));
    assert_eq!(reply.body["candidates"], json!(candidates));

    let time = now();
    let body = flat(&candidates[0], "rejected");
    assert_eq!(desk.deliver_at(time, &body).await.expect(200)["execution_id"], json!(one));
    assert_eq!(desk.told(&one).await["decision"], "rejected");
    assert_eq!(desk.pause(&two, "draft-review").await["status"], "open");
    let reply = desk.deliver_at(time, &by_name).await.expect(200);
    assert_eq!(reply["execution_id"], json!(two), "now there is only one");
    assert_eq!(desk.told(&two).await["decision"], "approved");

    // The same delivery again means the same pause as before, whatever has opened since.
    let three = desk.open(&request).await;
    let again = desk.deliver_at(time, &by_name).await.expect(200);
    assert_eq!((&again["status"], &again["execution_id"]), (&json!("already_processed"), &json!(two)));
    assert_eq!(desk.pause(&three, "draft-review").await["status"], "open");
}

#[tokio::test]
async fn an_event_that_is_signed_anew_and_sent_again_decides_nothing_else() {
    let desk = Desk::new().await;
    let request = json!({"id": "draft-review"});
    let event = |id: &str| {
        json!({"id": id, "type": "completed",
        "data": {"requestId": "draft-review", "response": {"decision": "approved"}}})
    };
    let one = desk.open(&request).await;
    assert_eq!(desk.deliver_at(now() - 60, &event("evt_1")).await.expect(200)["status"], "processed");
    let two = desk.open(&request).await;
    let again = desk.deliver(&event("evt_1")).await.expect(200);
    assert_eq!((&again["status"], &again["execution_id"]), (&json!("already_processed"), &json!(one)));
    let mut altered = event("evt_1");
    altered["data"]["response"]["decision"] = json!("rejected");
    let reply = desk.deliver(&altered).await;
    assert_eq!((reply.status, reply.code()), (409, "webhook_id_reused"));
    assert_eq!(desk.pause(&two, "draft-review").await["status"], "open");
    let next = desk.deliver(&event("evt_2")).await.expect(200);
    assert_eq!((&next["status"], &next["execution_id"]), (&json!("processed"), &json!(two)));
}

#[tokio::test]
async fn the_address_names_the_tenant() {
    let desk = Desk::new().await;
    let other = desk.host.tenant("other");
    other.deploy("testbed", countersign_tests::build::guest("testbed")).await;
    let secret = secret_of(&other).await;
    let theirs = other.start("testbed.pause_once", &json!({})).await;
    other.paused(&theirs, "only").await;
    let ours = desk.open(&json!({})).await;

    let body = flat(&format!("{theirs}:only"), "approved");
    let reply = desk.deliver(&body).await;
    assert_eq!((reply.status, reply.code()), (404, "pause_not_found"), "a tenant decides nothing of another's");
    let bytes = flat("only", "approved").to_string().into_bytes();
    let signature = timed(&secret, now(), &bytes);
    let headers = [("x-hax-signature", signature.as_str())];
    let reply = desk.post(&format!("{ADDRESS}/other"), &headers, &bytes).await.expect(200);
    assert_eq!(reply["execution_id"], json!(theirs));
    assert_eq!(desk.pause(&ours, "only").await["status"], "open");
    let reply = desk.post(&format!("{ADDRESS}/default"), &headers, &bytes).await;
    assert_eq!((reply.status, reply.code()), (401, "invalid_signature"));
    let signature = timed(&desk.secret, now(), &bytes);
    let reply = desk.post(&format!("{ADDRESS}/default"), &[("x-hax-signature", &signature)], &bytes).await;
    assert_eq!(reply.expect(200)["execution_id"], json!(ours), "both addresses of the tenant `default` are the same");
}
