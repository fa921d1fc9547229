//! What a reviewer fills in: defaults, feedback that is needed, payloads that are edited.

use serde_json::json;

use super::Office;

#[tokio::test]
async fn what_the_form_leaves_out_has_its_default() {
    let office = Office::new().await;
    let schema = json!({"type": "object", "required": ["amount"], "properties": {
        "amount": {"type": "number", "default": 10}, "note": {"type": "string"}}});
    let request = json!({"response_schema": schema});
    for (sent, told) in [
        (json!({"decision": "approved"}), json!({"amount": 10})),
        (json!({"decision": "approved", "response": {"note": "x"}}), json!({"amount": 10, "note": "x"})),
        (json!({"decision": "approved", "response": {"amount": 3}}), json!({"amount": 3})),
        (json!({"decision": "rejected"}), json!(null)),
    ] {
        let pause = office.ask(&request).await;
        let reply = office.api.decide(&pause, &sent).await.expect(200);
        assert_eq!(reply["pause"]["decision"]["response"], told);
        assert_eq!(office.told(&pause).await["response"], told);
        assert_eq!(office.api.decide(&pause, &sent).await.expect(200)["outcome"], "duplicate");
    }
    let pause = office.ask(&request).await;
    let reply = office.api.decide(&pause, &json!({"decision": "approved", "response": {"amount": "ten"}})).await;
    assert_eq!((reply.status, reply.code()), (422, "invalid_decision"));
    assert!(reply.body["error"]["message"].as_str().unwrap().contains("/amount"), "{}", reply.body);
}

#[tokio::test]
async fn a_choice_that_needs_feedback_is_not_taken_without() {
    let office = Office::new().await;
    let pause = office.ask(&json!({"feedback_required": ["rejected"]})).await;
    for feedback in [None, Some(""), Some("  \n")] {
        let reply = office.api.decide(&pause, &json!({"decision": "rejected", "feedback": feedback})).await;
        assert_eq!((reply.status, reply.code()), (422, "invalid_decision"), "{feedback:?}");
        assert!(reply.body["error"]["message"].as_str().unwrap().contains("feedback"), "{}", reply.body);
    }
    office.api.decide(&pause, &json!({"decision": "rejected", "feedback": "Too dear."})).await.expect(200);
    assert_eq!(office.told(&pause).await["feedback"], "Too dear.");
}

#[tokio::test]
async fn an_editable_payload_comes_back_as_it_was_approved() {
    let office = Office::new().await;
    let draft = json!({"text": "Hello", "to": ["a@example.org"]});
    let schema = json!({"properties": {"text": {"type": "string", "maxLength": 8}}});
    let request = json!({"payload": draft, "editable": true, "response_schema": schema});
    let edited = json!({"text": "Hi", "to": []});
    for (sent, told) in [
        (json!({"decision": "approved"}), draft.clone()),
        (json!({"decision": "approved", "response": edited}), edited.clone()),
        (json!({"decision": "request_changes", "feedback": "Shorter"}), json!(null)),
    ] {
        let pause = office.ask(&request).await;
        office.api.decide(&pause, &sent).await.expect(200);
        assert_eq!(office.told(&pause).await["response"], told);
        assert_eq!(office.api.decide(&pause, &sent).await.expect(200)["outcome"], "duplicate");
        let other = json!({"decision": "approved", "response": {"text": "other"}});
        assert_eq!(office.api.decide(&pause, &other).await.code(), "already_decided");
    }
    let pause = office.ask(&request).await;
    let reply = office.api.decide(&pause, &json!({"decision": "approved", "response": {"text": "far too long"}})).await;
    assert_eq!((reply.status, reply.code()), (422, "invalid_decision"));
}

#[tokio::test]
async fn a_request_that_cannot_be_is_an_error_for_the_agent() {
    let office = Office::new().await;
    for (request, about) in [
        (json!({"stages": [{"reviewers": ["ana"], "required": 2}]}), "stages"),
        (json!({"stages": [{"reviewers": ["ana"], "required": 1}, {"reviewers": ["Ana"], "required": 1}]}), "stages"),
        (json!({"stages": [{"reviewers": ["@nobody"], "required": 1}]}), "@nobody"),
        (json!({"escalations": [{"after_ms": 5, "reviewers": ["@nobody"]}]}), "@nobody"),
        (json!({"notify": ["nowhere"]}), "nowhere"),
        (json!({"rejection": "majority"}), "rejection"),
        (json!({"editable": true}), "editable"),
        (json!({"default_decision": "expired"}), "default-decision"),
        (json!({"feedback_required": ["ship"]}), "feedback-required"),
        (json!({"reminders_ms": vec![1; 17]}), "reminders-ms"),
    ] {
        let id = office.api.start("testbed.approve", &request).await;
        let execution = office.api.finished(&id).await;
        let told = execution["result"].to_string();
        assert!(told.contains("invalid_request") && told.contains(about), "{request}: {execution}");
    }
    office.group("small", &["ana"]).await;
    let request = json!({"stages": [{"reviewers": ["@small", "ANA"], "required": 2}]});
    let id = office.api.start("testbed.approve", &request).await;
    let told = office.api.finished(&id).await["result"].to_string();
    assert!(told.contains("requires 2 reviewers of 1"), "{told}");
}
