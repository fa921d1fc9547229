//! Answers files: a list of bare answers.

use serde_json::{Value, json};

use super::Desk;

#[test]
fn a_list_answers_every_kind_of_ask() {
    let desk = Desk::new();
    let said = desk.testbed(
        "pause_once",
        &json!({}),
        &json!([{"decision": "rejected", "feedback": "No.", "reviewer": "Ann"}]),
    );
    let review = said.expect(0).json();
    assert_eq!(
        (&review["decision"], &review["feedback"], &review["reviewer"]),
        (&json!("rejected"), &json!("No."), &json!("Ann"))
    );

    let call = json!({"target": "a.b", "input": 1});
    assert_eq!(desk.testbed("call", &call, &json!([{"result": {"x": 1}}])).json(), json!({"ok": {"x": 1}}));
    let failed = json!([{"error": {"failed": {"code": "x"}}}]);
    assert_eq!(desk.testbed("call", &call, &failed).json()["failed"], json!({"code": "x"}));

    let answers = json!(["plain", {"text": "full", "model": "m", "input_tokens": 1}, {"json": {"a": 1}}]);
    assert_eq!(desk.testbed("many_ai", &json!({"n": 3}), &answers).json()["last"], "{\"a\":1}");
    let completion = &desk.read("testbed.journal.json")["entries"][1]["answer"]["ai"]["Ok"];
    assert_eq!((&completion["model"], &completion["input_tokens"]), (&json!("m"), &json!(1)));
    let refused = desk.testbed("many_ai", &json!({"n": 1}), &json!([{"error": {"refused": "too rude"}}]));
    refused.complains(1, &["too rude"]);

    let form = json!({"response_schema": {"type": "object", "required": ["n"]}});
    let said = desk.testbed("pause_once", &form, &json!([{"decision": "approved", "response": {"n": 7}}]));
    assert_eq!(said.expect(0).json()["response"], json!({"n": 7}), "{said:?}");
}

#[test]
fn answers_are_delivered_in_the_order_of_the_list() {
    let desk = Desk::new();
    let order = |answers| desk.testbed("join", &json!(null), &answers).expect(0).json()["order"].clone();
    assert_eq!(order(json!(["to a", "to b"])), json!(["a", "b"]));
    assert_eq!(order(json!([{"text": "to b", "op": 1}, "to a"])), json!(["b", "a"]));

    let race = |answers| desk.testbed("race", &json!({"timeout_ms": 1}), &answers).expect(0).json()["winner"].clone();
    assert_eq!(race(json!([{"decision": "approved"}])), "pause");
    assert_eq!(race(json!([])), "sleep");
    assert_eq!(race(json!([{"slept": true}, {"decision": "approved"}])), "sleep");
    // Nothing comes after the time of an ask that is still open: the pause was decided before the sleep was over.
    let at = |place: usize| desk.read("testbed.journal.json")["entries"][place]["at"].clone();
    assert_eq!(race(json!([{"decision": "approved"}])), "pause");
    let decided = chrono_millis(&at(0)) - chrono_millis(&desk.read("testbed.journal.json")["started"]);
    assert!(decided <= 1, "{decided}");
}

/// The milliseconds within the minute; good enough for two times that are next to each other.
fn chrono_millis(time: &Value) -> i64 {
    let seconds = time.as_str().and_then(|time| time.get(17..)).map(|rest| rest.trim_end_matches('Z'));
    let millis = seconds.and_then(|seconds| seconds.parse::<f64>().ok()).expect("a time") * 1_000.0;
    millis.round() as i64
}

#[test]
fn one_decision_answers_the_pause_and_the_waits_for_it() {
    let desk = Desk::new();
    let answers = json!([{"decision": "rejected"}, {"decision": "approved"}]);
    let said = desk.testbed("pauses_and_wait", &json!({"expires_in_ms": 60_000}), &answers);
    assert_eq!(said.expect(0).json(), json!(["rejected", "approved", "approved"]));
    let expired = json!([{"decision": "expired"}, {"decision": "approved"}]);
    let said = desk.testbed("pauses_and_wait", &json!({"expires_in_ms": 60_000}), &expired);
    assert_eq!(said.expect(0).json(), json!(["expired", "approved", "approved"]));
}

#[test]
fn what_a_host_refuses_the_agent_is_refused_without_an_answer() {
    let desk = Desk::new();
    let said = desk.testbed("pause_once", &json!({"title": "two\nlines"}), &json!([]));
    assert!(said.expect(0).out.contains("title: at most 512 bytes, no control characters"), "{said:?}");
    let said = desk.testbed("call", &json!({"target": "nobody", "input": 1}), &json!([]));
    assert!(said.expect(0).out.contains("a target is `agent.function`"), "{said:?}");
    let entries = desk.read("testbed.journal.json")["entries"].clone();
    assert!(entries[0]["answer"]["call"]["Err"]["not_found"].is_string(), "{entries}");
}

#[test]
fn a_list_that_runs_out_says_which_ask_is_unanswered_and_what_is_left() {
    let desk = Desk::new();
    let said = desk.testbed("pause_then_ai", &json!(null), &json!([{"decision": "approved"}, {"result": 1}]));
    said.complains(2, &["nobody answers ask 1 (model)"]);
    let said = desk.testbed("many_ai", &json!({"n": 1}), &json!(["one", {"result": 1}, "two"]));
    assert!(said.expect(0).err.contains("not used of the answers: 1, 2"), "{said:?}");
}

#[test]
fn a_bad_answer_is_told_by_its_place() {
    let desk = Desk::new();
    let input = json!({"choices": ["yes"], "response_schema": {"type": "object", "required": ["amount"]}});
    for (answers, words) in [
        (json!(["fine", 7]), "answers[1]: it must be a text"),
        (json!([{"decision": "yes", "comment": "x"}]), "answers[0]: beside `decision`"),
        (json!([{"decision": "no"}]), "answers[0] for ask 0 (pause): `decision` is \"no\"; this pause takes yes"),
        (json!([{"decision": "yes"}]), "needs a `response`"),
        (json!([{"decision": "yes", "response": {}}]), "does not satisfy the pause's schema"),
        (json!([{"decision": "expired"}]), "it has no expiry"),
        (json!(7), "neither a journal file nor a JSON list"),
        (json!({"answers": []}), "no journal file: it has no \"format\""),
        (json!([{"seq": 0, "ask": {"kind": "dance"}}]), "entries[0]: "),
    ] {
        desk.testbed("pause_once", &input, &answers).complains(2, &[words]);
    }
}

#[test]
fn entries_alone_answer_in_the_order_of_their_seq() {
    let desk = Desk::new();
    desk.testbed("join", &json!(null), &json!([{"text": "to b", "op": 1}, "to a"])).expect(0);
    let entries = desk.read("testbed.journal.json")["entries"].clone();
    let again = desk.testbed("join", &json!(null), &entries);
    assert_eq!(again.expect(0).json()["order"], json!(["b", "a"]));
    let mut swapped = entries;
    swapped.as_array_mut().unwrap().swap(0, 1);
    desk.testbed("join", &json!(null), &swapped).complains(2, &["entries[0]: its `seq` is 1, not 0"]);
}
