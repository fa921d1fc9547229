use countersign_sdk::testing::{self, Trace, approved, rejected};
use countersign_sdk::{Value, json};

use crate::testbed::Agent;

#[test]
fn a_request_is_asked_as_it_is_given_and_the_review_has_every_vote() {
    let request = json!({
        "approval_request_id": "contract", "approval_request_url": "https://x.example", "expires_in_ms": 9_000,
        "default_decision": "rejected", "title": "T", "payload": {"n": 1}, "editable": true,
        "response_schema": {"type": "object"}, "choices": ["approved", "rejected"], "feedback_required": ["rejected"],
        "stages": [{"reviewers": ["@legal"], "required": 2}, {"reviewers": [], "required": 1}],
        "rejection": "majority", "forbid_self_approval": true, "reminders_ms": [1_000],
        "escalations": [{"after_ms": 2_000, "reviewers": ["@leads"], "notify": ["pager"]}], "notify": ["legal-slack"],
    });
    let votes = ["kim", "lee", "max"].map(|name| approved().reviewer(name));
    let trace = testing::start(Agent, "approve", request.clone()).answer(approved().votes(votes)).finish();

    let mut asked = trace.asks[0].clone();
    for name in ["payload", "response_schema"] {
        asked[name] = document(&asked[name]);
    }
    let mut expected = request;
    expected["kind"] = json!("pause");
    assert_eq!(asked, expected);

    let review = trace.result.expect("it was decided");
    assert_eq!((&review["decision"], &review["response"]), (&json!("approved"), &json!({"n": 1})));
    let vote = |stage: u32, reviewer: &str| {
        json!({"reviewer": reviewer, "claimed": false, "stage": stage, "decision": "approved", "feedback": null,
               "response": {"n": 1}, "voted_at_ms": review["decided_at_ms"]})
    };
    assert_eq!(review["votes"], json!([vote(0, "kim"), vote(0, "lee"), vote(1, "max")]));
}

#[test]
fn three_pauses_under_one_name_are_three() {
    let trace = testing::start(Agent, "rounds", json!({"n": 3}));
    let trace = trace.answer(approved()).answer(rejected()).answer(approved()).finish();
    assert_eq!(trace.result, Ok(json!(["approved", "rejected", "approved"])));
}

#[test]
fn a_link_is_got_before_its_pause_is_open() {
    let input = json!({"reviewer": "ana", "request": {"stages": [{"reviewers": ["ana"], "required": 1}]}});
    let trace = testing::start(Agent, "link_then_pause", input).answer(approved().reviewer("ana")).finish();
    let kinds = |trace: &Trace| trace.asks.iter().map(|ask| ask["kind"].clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&trace), ["review_link", "pause"]);
    let result = trace.result.expect("it was decided");
    assert_eq!(result["link"], "https://countersign.invalid/r/only/ana");
    assert_eq!(result["review"]["votes"][0]["reviewer"], "ana");
}

/// The document that a JSON string holds.
fn document(text: &Value) -> Value {
    text.as_str().and_then(|text| text.parse().ok()).expect("JSON text")
}
