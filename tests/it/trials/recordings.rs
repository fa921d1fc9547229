//! Journal files, and their replay on this component and on another.

use countersign_tests::build::guest;
use countersign_tests::{Database, Host, Model};
use serde_json::json;

use super::Desk;

/// Tries `pause_then_ai` to its end, and leaves its journal in `recorded.json`.
fn recorded(desk: &Desk) {
    desk.testbed("pause_then_ai", &json!(null), &json!([{"decision": "approved"}, "said", {"decision": "approved"}]))
        .expect(0);
    std::fs::rename(desk.path("testbed.journal.json"), desk.path("recorded.json")).unwrap();
}

#[test]
fn replay_takes_the_component_that_was_recorded() {
    let desk = Desk::new();
    recorded(&desk);
    let said = desk.run(&["replay", "recorded.json", "--component", "testbed.wasm", "-v"]);
    assert!(said.expect(0).out.starts_with("replays 3 entries; then it returned {\"answer\":\"said\""), "{said:?}");
    assert!(said.err.contains("1  model after  → said"), "{}", said.err);
    let json = desk.run(&["--json", "replay", "recorded.json", "--component", "testbed.wasm"]).expect(0).json();
    assert_eq!((&json["replays"], &json["entries"]), (&json!(true), &json!(3)));
    assert_eq!(json["end"], json["recorded_end"]);
}

#[test]
fn replay_shows_where_another_component_asks_something_else() {
    let desk = Desk::new();
    recorded(&desk);
    let said = desk.run(&["replay", "recorded.json", "--component", "altered.wasm"]);
    let expected = "diverges at entry 1, which answers ask 1 (model)\n\n  messages[0].content\n    recorded  \"after\"\n    \
                    asked     \"afterwards\"\n";
    assert!(said.expect(1).out.starts_with(expected), "{}", said.out);
    assert!(said.out.contains("Look at how these fields are made"), "{}", said.out);
    assert!(said.err.contains("recorded with sha256:"), "{}", said.err);
    let json = desk.run(&["--json", "replay", "recorded.json", "--component", "altered.wasm"]).expect(1).json();
    assert_eq!(json["divergence"]["differences"][0]["field"], "messages[0].content");
    // A trial on a journal is as strict, and leaves no journal of its own.
    let tried = desk.run(&["try", "altered.wasm", "--answers", "recorded.json"]);
    assert!(tried.expect(1).out.starts_with(expected), "{}", tried.out);
    assert!(!desk.path("altered.journal.json").exists());
}

#[test]
fn replay_tells_more_and_fewer_asks_and_another_end_apart() {
    let desk = Desk::new();
    desk.testbed("many_ai", &json!({"n": 2}), &json!(["one", "two"])).expect(0);
    let whole = desk.read("testbed.journal.json");
    let replayed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut journal = whole.clone();
        change(&mut journal);
        desk.write("changed.json", &journal);
        desk.run(&["replay", "changed.json", "--component", "testbed.wasm"])
    };
    let fewer = replayed(&|journal| journal["input"]["n"] = json!(1));
    let text = &fewer.expect(1).out;
    assert!(
        text.contains("entry 1") && text.contains("nothing: it had returned") && text.contains("recording was changed")
    );
    let more = replayed(&|journal| journal["input"]["n"] = json!(3));
    assert!(more.expect(1).out.contains("replays 2 entries; then it asks model: tick 2\nbut"), "{}", more.out);
    let other = replayed(&|journal| journal["end"]["result"]["n"] = json!(5));
    assert!(other.expect(1).out.contains("but when it was recorded, it then returned"), "{}", other.out);
    let failed = replayed(&|journal| journal["input"] = json!({"n": -1}));
    assert!(failed.expect(1).out.contains("nothing: it had failed"), "{}", failed.out);
    let unfinished = replayed(&|journal| {
        journal["end"] = json!(null);
        journal["entries"].as_array_mut().unwrap().pop();
    });
    assert!(unfinished.expect(0).out.contains("replays 1 entry; then it asks model: tick 1"), "{}", unfinished.out);
    let moved = replayed(&|journal| journal["entries"][1]["op"] = json!(7));
    assert!(moved.expect(1).out.contains("nothing as ask 7; open are 1 (model)"), "{}", moved.out);
}

#[test]
fn replay_shows_the_log_before_the_place() {
    let desk = Desk::new();
    desk.testbed("log", &json!({"lines": 2}), &json!(["more"])).expect(0);
    let mut journal = desk.read("testbed.journal.json");
    journal["entries"][0]["ask"]["messages"][0]["content"] = json!("something else?");
    desk.write("changed.json", &journal);
    let said = desk.run(&["replay", "changed.json", "--component", "testbed.wasm"]);
    assert!(said.expect(1).out.contains("The last lines of its log:\n      │ "), "{}", said.out);
}

#[test]
fn replay_says_what_is_no_journal() {
    let desk = Desk::new();
    recorded(&desk);
    let journal = desk.read("recorded.json");
    let replayed = |name: &str| desk.run(&["replay", name, "--component", "testbed.wasm"]);
    replayed("nowhere.json").complains(2, &["cannot read nowhere.json"]);
    replayed("testbed.wasm").complains(2, &["testbed.wasm"]);
    let mut other = journal.clone();
    other["format"] = json!("countersign-journal/9");
    desk.write("other.json", &other);
    replayed("other.json").complains(2, &["\"countersign-journal/9\"; this version reads \"countersign-journal/1\""]);
    let text = journal.to_string();
    std::fs::write(desk.path("half.json"), &text[..text.len() / 2]).unwrap();
    replayed("half.json").complains(2, &["half.json: ", "EOF"]);
    let mut unknown = journal;
    unknown["function"] = json!("gone");
    desk.write("unknown.json", &unknown);
    replayed("unknown.json").complains(2, &["no function \"gone\""]);
}

#[test]
fn a_long_journal_is_written_read_and_replayed() {
    let desk = Desk::new();
    let said = desk.run(&["try", "testbed.wasm", "--function", "ticks", "--input", "{\"n\":9000}"]);
    assert_eq!(said.expect(0).json()["n"], 9_000);
    let said = desk.run(&["replay", "testbed.journal.json", "--component", "testbed.wasm"]);
    assert!(said.expect(0).out.starts_with("replays 9000 entries; then it returned"), "{}", said.out);
}

#[test]
fn a_journal_that_outgrows_a_hosts_bound_ends_the_trial_as_on_a_host() {
    let desk = Desk::new();
    let answers: Vec<String> = (0..40).map(|_| "x".repeat(1_000_000)).collect();
    let said = desk.testbed("many_ai", &json!({"n": 40}), &json!(answers));
    said.complains(1, &["the journal would have ", "at most 33554432 (limit `journal_bytes`) (journal_limit)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_downloads_an_execution_and_keeps_it_for_try() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    let random = api.start("testbed.random", &json!(null)).await;
    let random = api.finished(&random).await;
    let waits = api.start("testbed.pause_then_ai", &json!(null)).await;
    let gate = api.paused(&waits, "gate").await;
    api.decide(&gate, &json!({"decision": "approved"})).await.expect(200);
    api.paused(&waits, "end").await;

    let desk = Desk::new();
    let body = api.post("/v1/keys", &json!({"name": "ci", "role": "deployer"})).await.expect(201);
    let key = body["key"].as_str().unwrap();
    let replay = |id: &str, component: &str| {
        let client = ["--url", host.url(), "--api-key", key, "replay", id, "--component", component];
        desk.run(&[&client[..], &["--journal", "kept.json"]].concat())
    };
    // Its random numbers come out as they did on the host: the seed is the execution's.
    let id = random["id"].as_str().unwrap();
    let said = replay(id, "testbed.wasm");
    assert!(said.expect(0).out.contains(random["result"]["before"].as_str().unwrap()), "{}", said.out);
    let kept = desk.read("kept.json");
    assert_eq!(
        (&kept["execution_id"], &kept["agent"], &kept["end"]["result"]),
        (&random["id"], &json!("testbed"), &random["result"])
    );
    assert!(!said.err.contains("recorded with"), "the digest is that of its version: {}", said.err);
    let tried = desk.run(&["try", "testbed.wasm", "--answers", "kept.json", "--journal", "tried.json"]);
    assert_eq!(tried.expect(0).json(), random["result"]);
    assert_eq!(desk.read("tried.json"), kept);

    let said = replay(&waits, "testbed.wasm");
    assert!(said.expect(0).out.starts_with("replays 2 entries; then it asks pause end"), "{}", said.out);
    let said = replay(&waits, "altered.wasm");
    assert!(said.expect(1).out.contains("diverges at entry 1"), "{}", said.out);

    replay("exec_00000000000000000000000000000000", "testbed.wasm").expect(3);
    let reviewer = api.role("reviewer").await;
    assert_eq!(reviewer.get(&format!("/v1/executions/{id}/journal")).await.status, 403, "nor does it see the seed");
}
