//! One agent in three languages: the same asks, the same replay, the same failures.

use std::collections::BTreeMap;

use countersign::guest::State;
use countersign::journal::{Answer, Entry, Review, Vote};
use countersign_tests::build::guest;
use countersign_tests::drive::{PICKS, Run, call, component, result, run};
use countersign_tests::{Database, Host, Model};
use serde_json::{Value, json};

/// The example that every language has.
const PIPELINES: [&str; 3] = ["publish_with_review", "publish_with_review_python", "publish_with_review_typescript"];

/// The agents that use everything that their language has. What they ask of people they ask alike.
const TESTBEDS: [&str; 3] = ["testbed", "testbed_python", "testbed_typescript"];

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

#[tokio::test]
async fn every_language_asks_people_in_the_same_bytes_and_is_told_every_vote() {
    let request = json!({
        "approval_request_id": "contract", "approval_request_url": "https://x.example", "expires_in_ms": 9_000,
        "default_decision": "rejected", "title": "„schön“", "payload": {"n": 1}, "editable": true,
        "response_schema": {"type": "object"}, "choices": ["approved", "rejected"], "feedback_required": ["rejected"],
        "stages": [{"reviewers": ["@legal", "ana"], "required": 2}, {"reviewers": [], "required": 1}],
        "rejection": "majority", "forbid_self_approval": true, "reminders_ms": [1_000, 2_000],
        "escalations": [{"after_ms": 3_000, "reviewers": ["@leads"]}, {"after_ms": 4_000, "notify": ["pager"]}],
        "notify": ["legal-slack"],
    });
    let vote = |reviewer: &str, stage, claimed, feedback: Option<&str>| Vote {
        reviewer: reviewer.into(),
        claimed,
        stage,
        decision: "approved".into(),
        feedback: feedback.map(Into::into),
        response: Some(r#"{"n":2}"#.into()),
        voted_at_ms: 1_767_225_600_123,
    };
    let told = Review {
        decision: "approved".into(),
        feedback: None,
        response: Some(r#"{"n":2}"#.into()),
        reviewer: Some("bo".into()),
        decided_at_ms: 1_767_225_600_456,
        votes: vec![vote("ana", 0, true, Some("Gut.")), vote("bo", 1, false, None)],
    };
    let mut runs = vec![];
    for testbed in TESTBEDS {
        let component = component(testbed).await;
        let call = || call("approve", &request);
        let mut journal = run(&component, call(), &[], PICKS[0].1).await.expect("nothing to mismatch").journal;
        assert_eq!(journal.len(), 1, "{testbed}");
        journal[0].answer = Answer::Review(Ok(told.clone()));
        let told = run(&component, call(), &journal, PICKS[0].1).await.expect("it asks the same");
        runs.push((journal[0].ask.clone(), result(&told)));
    }
    let ask: Value = serde_json::from_str(&runs[0].0).expect("an ask is JSON");
    assert_eq!((&ask["stages"], &ask["escalations"]), (&request["stages"], &request["escalations"]));
    assert_eq!(runs[0].1["votes"][0]["feedback"], "Gut.");
    assert_eq!((&runs[1], &runs[2]), (&runs[0], &runs[0]));
}

#[tokio::test]
async fn in_every_language_a_loop_may_pause_under_one_name_and_a_link_is_had_before_its_pause() {
    for testbed in TESTBEDS {
        let component = component(testbed).await;
        let of = async |function, input| run(&component, call(function, &input), &[], PICKS[0].1).await.unwrap();
        let rounds = of("rounds", json!({"n": 3})).await;
        assert_eq!(result(&rounds), json!(["approved", "approved", "approved"]), "{testbed}");
        let linked = of("link_then_pause", json!({"reviewer": "ana"})).await;
        let (link, review) = (&result(&linked)["link"], &result(&linked)["review"]);
        assert!(link.as_str().is_some_and(|link| link.starts_with("https://")), "{testbed}: {link}");
        assert_eq!(review["decision"], "approved", "{testbed}");
        assert!(linked.journal[0].ask.contains(r#""kind":"review_link""#), "{testbed}: {}", linked.journal[0].ask);
        let refused = of("link_then_pause", json!({"reviewer": "@legal"})).await;
        let State::Returned(Err(error)) = &refused.end else { panic!("{testbed}: {:?}", refused.end) };
        assert!(error.contains("pause_invalid_request"), "{testbed}: {error}");
    }
}

#[tokio::test]
async fn in_every_language_two_people_decide_together_and_the_agent_is_told_both() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    let api = host.api();
    let secret = api.secret().await;
    for testbed in TESTBEDS {
        let agent = testbed.replace('_', "-");
        api.deploy(&agent, guest(testbed)).await;
        let request = json!({
            "payload": {"cents": 5}, "editable": true, "stages": [{"reviewers": ["ana", "bo", "cy"], "required": 2}]
        });
        let id = api.start(&format!("{agent}.approve"), &request).await;
        let pause = api.paused(&id, "only").await;
        let vote = async |reviewer: &str, response: Value| {
            let body = json!({"pause_id": pause, "decision": "approved", "reviewer": reviewer, "response": response});
            api.webhook("default", &secret, &format!("{agent}-{reviewer}"), &body).await.expect(200)
        };
        assert_eq!(vote("ana", json!({"cents": 4})).await["outcome"], "recorded", "{testbed}");
        assert_eq!(vote("cy", json!({"cents": 3})).await["outcome"], "accepted", "{testbed}");
        let told = api.finished(&id).await["result"].clone();
        let votes = told["votes"].as_array().expect("votes");
        let said = votes.iter().map(|vote| json!([vote["reviewer"], vote["claimed"], vote["response"]["cents"]]));
        assert_eq!(said.collect::<Vec<_>>(), [json!(["ana", true, 4]), json!(["cy", true, 3])], "{testbed}: {told}");
        assert_eq!((&told["reviewer"], &told["response"]), (&json!("cy"), &json!({"cents": 3})), "{testbed}");
    }
    host.assert_unharmed();
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
