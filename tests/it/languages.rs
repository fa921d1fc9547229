//! One agent in three languages: the same asks, the same replay, the same failures.

use std::collections::BTreeMap;

use countersign::guest::State;
use countersign::journal::{Answer, Entry};
use countersign_tests::build::guest;
use countersign_tests::drive::{PICKS, Run, call, component, result, run};
use countersign_tests::{Database, Host, Model};
use serde_json::{Value, json};

/// The example that every language has.
const PIPELINES: [&str; 3] = ["publish_with_review", "publish_with_review_python", "publish_with_review_typescript"];

async fn review(pipeline: &str, journal: &[Entry]) -> Run {
    let component = component(pipeline).await;
    let input = json!({"brief": "Ein Start: „schön“ & <neu>"});
    run(&component, call("publish_with_review", &input), journal, PICKS[0].1).await.expect("nothing to mismatch")
}

#[tokio::test]
async fn one_agent_asks_the_same_bytes_in_every_language() {
    let [rust, python, typescript] = PIPELINES;
    let rust = review(rust, &[]).await;
    assert_eq!(rust.journal.len(), 5);
    assert_eq!(result(&rust), json!({"status": "approved"}));
    for other in [python, typescript] {
        assert_eq!(review(other, &[]).await, rust, "{other}");
        // Even in the middle of an execution one could stand in for another.
        for length in 0..=rust.journal.len() {
            assert_eq!(review(other, &rust.journal[..length]).await, rust, "{other}, after {length} entries");
        }
    }
}

#[tokio::test]
async fn a_rejection_ends_it_in_the_same_way_in_every_language() {
    let mut ends = vec![];
    for pipeline in PIPELINES {
        let mut journal = review(pipeline, &[]).await.journal;
        journal.truncate(2);
        let Answer::Review(Ok(review_given)) = &mut journal[1].answer else { panic!("{journal:?}") };
        review_given.decision = "request_changes".into();
        let end = review(pipeline, &journal).await;
        assert_eq!(end.journal.len(), 2, "{pipeline}");
        ends.push(result(&end));
    }
    assert_eq!(ends, vec![json!({"status": "request_changes", "feedback": "Shorter."}); 3]);
}

#[tokio::test]
async fn an_agent_in_any_language_outlives_its_host() {
    let (database, model) = (Database::new().await, Model::start().await);
    let mut host = Host::start(&database, &model).await;
    let api = host.api();
    api.deploy("publisher", guest("publisher")).await;
    let secret = api.secret().await;
    let mut open = vec![];
    for pipeline in PIPELINES {
        let agent = pipeline.replace('_', "-");
        let version = api.deploy(&agent, guest(pipeline)).await;
        let function = &version["manifest"]["functions"][0];
        assert_eq!(function["name"], "publish_with_review", "{version}");
        assert_eq!(function["input_schema"]["required"], json!(["brief"]), "{version}");
        let id = api.start(&format!("{agent}.publish_with_review"), &json!({"brief": "a launch"})).await;
        open.push((id.clone(), api.paused(&id, "draft-review").await));
    }
    for gate in ["final-approval", ""] {
        host.kill();
        host.restart(&[]).await;
        let api = host.api();
        for (id, pause) in &mut open {
            let approval = json!({"pause_id": pause, "decision": "approved", "feedback": "Shorter."});
            api.webhook("default", &secret, &format!("{id}-{}", gate.len()), &approval).await.expect(200);
            if !gate.is_empty() {
                *pause = api.paused(id, gate).await;
            }
        }
    }
    for (id, _) in open {
        let execution = host.api().finished(&id).await;
        assert_eq!((&execution["status"], &execution["result"]), (&json!("succeeded"), &json!({"status": "approved"})));
        assert_eq!(host.api().journal(&id).await.len(), 5);
    }
    assert_eq!(model.calls(), 6, "each model call was made once");
    host.assert_unharmed();
}

#[tokio::test]
async fn a_wrong_input_is_refused_at_the_door_and_names_the_field() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    let api = host.api();
    for pipeline in PIPELINES {
        let agent = pipeline.replace('_', "-");
        api.deploy(&agent, guest(pipeline)).await;
        for input in [json!({}), json!({"brief": 1}), Value::Null] {
            let target = format!("{agent}.publish_with_review");
            let reply = api.post("/v1/executions", &json!({"target": target, "input": input})).await;
            assert_eq!(reply.status, 422, "{pipeline}, {input}: {}", reply.body);
            assert_eq!(reply.body["error"]["code"], "invalid_input", "{pipeline}: {}", reply.body);
        }
    }
}

/// Every function of a testbed, but for those that never end: each replays from every prefix, in every order.
async fn every_prefix_replays(testbed: &str, endless: &[&str]) {
    let component = component(testbed).await;
    let manifest = component.describe().await.expect("it says what it can do");
    let (mut replayed, mut ends) = (0, BTreeMap::<_, Vec<_>>::new());
    for function in manifest.functions.iter().filter(|function| !endless.contains(&&*function.name)) {
        let call = || call(&function.name, &json!({}));
        for (order, pick) in PICKS {
            let whole = run(&component, call(), &[], pick).await.expect("nothing to mismatch");
            for length in 0..=whole.journal.len() {
                let again = run(&component, call(), &whole.journal[..length], pick).await;
                let again =
                    again.unwrap_or_else(|mismatch| panic!("{} ({order}, {length}): {mismatch}", function.name));
                assert_eq!(again, whole, "{} ({order}), from {length} entries on", function.name);
                replayed += 1;
            }
            let kind = match &whole.end {
                State::Returned(Ok(_)) => "returned",
                State::Returned(Err(_)) => "failed",
                _ => "was ended",
            };
            ends.entry(kind).or_default().push(function.name.clone());
        }
    }
    assert!(replayed > 250, "{replayed} replays are too few to mean anything");
    assert!(ends["returned"].len() > 60 && ends["failed"].len() > 3, "{ends:?}");
    // That an agent waits for nothing is noticed by its SDK or by the host; QuickJS leaves the end of the stack to the
    // host. Nothing else is ended.
    let ended = ends.remove("was ended").unwrap_or_default();
    assert!(ended.iter().all(|function| function.starts_with("stuck") || function == "recurse"), "{ended:?}");
}

#[tokio::test]
async fn every_prefix_of_a_journal_replays_in_python() {
    every_prefix_replays("testbed_python", &["spin", "spin_after_ai"]).await;
}

#[tokio::test]
async fn every_prefix_of_a_journal_replays_in_typescript() {
    every_prefix_replays("testbed_typescript", &["spin", "spin_after_ai"]).await;
}
