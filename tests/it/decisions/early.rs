//! Decisions that arrive before the agent has paused.

use countersign_tests::until;
use serde_json::{Value, json};

use super::{DOORS, Desk, Door};

#[tokio::test]
async fn an_early_decision_is_kept_and_given_to_the_agent_when_it_pauses() {
    let desk = Desk::new(&[]).await;
    for door in DOORS {
        let id = desk.api.start("testbed.pauses", &json!({"n": 2})).await;
        let first = desk.api.paused(&id, "p0").await;
        let second = format!("{id}:p1");

        let decision = json!({"decision": "rejected", "feedback": "Too soon."});
        let accepted = desk.decide(door, &second, &decision).await.expect(200);
        assert_eq!((&accepted["outcome"], &accepted["pause"]["status"]), (&json!("accepted"), &json!("early")));
        assert_eq!(accepted["pause"]["opened_at"], Value::Null);
        let listed = desk.api.get(&format!("/v1/pauses?status=early&execution={id}")).await.expect(200);
        assert_eq!(listed["items"], json!([accepted["pause"]]));

        // It is decided like any other.
        for again in DOORS {
            let reply = desk.decide(again, &second, &decision).await.expect(200);
            assert_eq!((&reply["outcome"], &reply["pause"]), (&json!("duplicate"), &accepted["pause"]));
            let reply = desk.decide(again, &second, &json!({"decision": "approved"})).await;
            assert_eq!((reply.status, reply.code()), (409, "already_decided"));
            assert_eq!(reply.body["decided"], accepted["pause"]["decision"]);
        }
        let execution = desk.api.execution(&id).await;
        assert_eq!(execution["waiting_for"]["pauses"], json!([first]), "an early decision is not waited for");

        desk.decide(door, &first, &json!({"decision": "approved"})).await.expect(200);
        assert_eq!(desk.api.finished(&id).await["result"], json!(["approved", "rejected"]));
        let taken = desk.pause(&second).await;
        assert_eq!(taken["status"], "decided");
        assert!(taken["opened_at"].is_string());
        assert_eq!(taken["decision"], accepted["pause"]["decision"], "who decided, and when, stays");
    }
}

/// Starts an execution that no worker takes before the model is released.
async fn held(desk: &Desk, request: &Value) -> String {
    let calls = desk.model.calls();
    desk.model.hold();
    desk.api.start("testbed.many_ai", &json!({"n": 1})).await;
    until("the model is asked", async || (desk.model.calls() > calls).then_some(())).await;
    desk.api.start("testbed.pause_once", request).await
}

#[tokio::test]
async fn an_early_decision_that_does_not_fit_is_dropped_and_the_pause_opens() {
    let desk = Desk::new(&[("COUNTERSIGN_CONCURRENCY", "1")]).await;
    let request = json!({"choices": ["ship", "hold"], "response_schema": {"type": "integer", "maximum": 9}});
    for (door, unfit) in [
        (Door::Key, json!({"decision": "approved", "response": 1})),
        (Door::Webhook, json!({"decision": "ship", "response": 10})),
        (Door::Webhook, json!({"decision": "ship"})),
        (Door::Key, json!({"decision": "expired", "response": 1})),
    ] {
        let id = held(&desk, &request).await;
        let pause = format!("{id}:only");
        let kept = desk.decide(door, &pause, &unfit).await.expect(200);
        assert_eq!((&kept["outcome"], &kept["pause"]["status"]), (&json!("accepted"), &json!("early")));

        desk.model.release();
        desk.api.paused(&id, "only").await;
        let open = desk.pause(&pause).await;
        assert_eq!((&open["status"], &open["decision"]), (&json!("open"), &Value::Null), "{unfit}");
        assert_eq!(open["choices"], json!(["ship", "hold"]));
        assert_eq!(desk.decide(door, &pause, &unfit).await.code(), "invalid_decision", "now it is checked at once");
        desk.decide(door, &pause, &json!({"decision": "hold", "response": 9})).await.expect(200);
        let told = desk.told(&pause).await;
        assert_eq!((&told["decision"], &told["response"]), (&json!("hold"), &json!(9)));
    }
}

#[tokio::test]
async fn an_early_decision_that_fits_the_form_needs_no_second_one() {
    let desk = Desk::new(&[("COUNTERSIGN_CONCURRENCY", "1")]).await;
    let id = held(&desk, &json!({"choices": ["ship"], "response_schema": {"type": "integer"}})).await;
    let pause = format!("{id}:only");
    let early = json!({"decision": "ship", "response": 7});
    desk.decide(Door::Webhook, &pause, &early).await.expect(200);
    desk.model.release();
    let told = desk.told(&pause).await;
    assert_eq!((&told["decision"], &told["response"]), (&json!("ship"), &json!(7)));
    assert_eq!(desk.decide(Door::Key, &pause, &early).await.expect(200)["outcome"], "duplicate");
}

#[tokio::test]
async fn an_early_decision_survives_a_crash_of_the_host() {
    let mut desk = Desk::new(&[]).await;
    let id = desk.api.start("testbed.pauses", &json!({"n": 2})).await;
    let first = desk.api.paused(&id, "p0").await;
    desk.decide(Door::Webhook, &format!("{id}:p1"), &json!({"decision": "rejected"})).await.expect(200);
    desk.host.kill();
    desk.host.restart(&[]).await;
    desk.api = desk.host.api();
    desk.decide(Door::Webhook, &first, &json!({"decision": "approved"})).await.expect(200);
    assert_eq!(desk.api.finished(&id).await["result"], json!(["approved", "rejected"]));
}

#[tokio::test]
async fn an_execution_keeps_a_bounded_number_of_early_decisions() {
    let desk = Desk::new(&[]).await;
    let id = desk.api.start("testbed.pauses", &json!({"n": 1})).await;
    let pause = desk.api.paused(&id, "p0").await;
    for n in 0..100 {
        desk.decide(Door::Key, &format!("{id}:x{n}"), &json!({"decision": "approved"})).await.expect(200);
    }
    let reply = desk.decide(Door::Key, &format!("{id}:x100"), &json!({"decision": "approved"})).await;
    assert_eq!((reply.status, reply.code()), (422, "invalid_decision"));
    desk.decide(Door::Key, &pause, &json!({"decision": "approved"})).await.expect(200);
    assert_eq!(desk.api.finished(&id).await["result"], json!(["approved"]));
}
