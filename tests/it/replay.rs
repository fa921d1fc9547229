//! Replay: what has been answered is answered again, in the same order, and nothing is asked twice.

use countersign::journal::Answer;
use countersign_tests::build::guest;
use countersign_tests::drive::{self, PICKS, call, component, run};
use countersign_tests::{Database, Host, Model};
use serde_json::{Value, json};

/// Every function of every example that ends by itself, with an input.
fn examples() -> Vec<(&'static str, &'static str, Value)> {
    let testbed = |function, input| ("testbed", function, input);
    vec![
        ("publish_with_review", "publish_with_review", json!({"brief": "a launch"})),
        ("publisher", "publish", json!({"content": "text"})),
        ("deployment_approval", "deploy", json!({"service": "shop", "version": "1"})),
        ("daily_digest", "run", json!({"topics": ["night trains"], "to": "ann@example.com", "rounds": 3})),
        ("expense_approval", "submit", json!({"employee": "Ada", "purpose": "train", "amount": 2_400})),
        ("refund_desk", "handle", json!({"message": "My tent leaks."})),
        testbed("echo", json!({"a": [1, 2.5, "ü"]})),
        testbed("join", json!(null)),
        testbed("race", json!({"timeout_ms": 1_000})),
        testbed("ticks", json!({"n": 25})),
        testbed("many_ai", json!({"n": 25})),
        testbed("pause_once", json!({})),
        testbed("pauses", json!({"n": 6})),
        testbed("rounds", json!({"n": 3})),
        testbed("approve", json!({"stages": [{"reviewers": ["ana", "@legal"], "required": 2}], "reminders_ms": [5]})),
        testbed("link_then_pause", json!({"reviewer": "ana"})),
        testbed("pauses_and_wait", json!({"expires_in_ms": 5})),
        testbed("pause_then_ai", json!(null)),
        testbed("wait", json!({"id": "x"})),
        testbed("call", json!({"target": "a.b", "input": {"x": 1}})),
        testbed("fan_out", json!({"target": "a.b", "inputs": [1, 2, 3, 4, 5]})),
        testbed("race_call", json!({"target": "a.b", "input": 1, "timeout_ms": 5})),
        testbed("sleep", json!({"ms": 30})),
        testbed("std_sleep", json!({"ms": 30})),
        testbed("clock", json!(null)),
        testbed("random", json!(null)),
        testbed("log", json!({"lines": 3})),
        testbed("fail", json!(null)),
        testbed("trap_after_ai", json!(null)),
    ]
}

#[tokio::test]
async fn every_prefix_of_every_journal_replays_to_the_same_end() {
    let mut replayed = 0;
    for (name, function, input) in examples() {
        let component = component(name).await;
        for (order, pick) in PICKS {
            let whole = run(&component, call(function, &input), &[], pick).await.expect("nothing to mismatch");
            for length in 0..=whole.journal.len() {
                let again = run(&component, call(function, &input), &whole.journal[..length], pick).await;
                let again = again.unwrap_or_else(|mismatch| panic!("{function} ({order}, {length}): {mismatch}"));
                assert_eq!(again, whole, "{function} ({order}), from {length} entries on");
                replayed += 1;
            }
        }
    }
    assert!(replayed > 300, "{replayed} replays are too few to mean anything");
}

#[tokio::test]
async fn join_and_race_see_the_order_of_delivery() {
    let testbed = component("testbed").await;
    let [(_, oldest), (_, newest), _] = PICKS;
    let join = |pick| run(&testbed, call("join", &json!(null)), &[], pick);
    assert_eq!(drive::result(&join(oldest).await.unwrap())["order"], json!(["a", "b"]));
    assert_eq!(drive::result(&join(newest).await.unwrap())["order"], json!(["b", "a"]));
    let race = |pick| run(&testbed, call("race", &json!({"timeout_ms": 1_000})), &[], pick);
    assert_eq!(drive::result(&race(oldest).await.unwrap())["winner"], "pause");
    assert_eq!(drive::result(&race(newest).await.unwrap())["winner"], "sleep");
}

#[tokio::test]
async fn clocks_stand_still_between_two_answers() {
    let testbed = component("testbed").await;
    let clock = drive::result(&run(&testbed, call("clock", &json!(null)), &[], PICKS[0].1).await.unwrap());
    let wall = |when: &str, which: usize| clock[when][which]["wall_ms"].as_u64().unwrap();
    assert_eq!((wall("before", 0), wall("before", 1)), (drive::STARTED, drive::STARTED));
    assert_eq!((wall("after", 0), wall("after", 1)), (drive::STARTED + 10, drive::STARTED + 10));
}

#[tokio::test]
async fn random_numbers_come_from_the_seed() {
    let testbed = component("testbed").await;
    let random = async |seed| {
        let call = countersign::guest::Call { seed, ..call("random", &json!(null)) };
        drive::result(&run(&testbed, call, &[], PICKS[0].1).await.unwrap())
    };
    let (one, same, other) = (random([1; 32]).await, random([1; 32]).await, random([2; 32]).await);
    assert_eq!(one, same);
    assert_ne!(one["before"], other["before"]);
    assert_ne!(one["order"], other["order"], "the order of a hash map depends on the seed, too");
}

#[tokio::test]
async fn an_entry_that_answers_another_ask_is_a_mismatch_and_shows_both() {
    let testbed = component("testbed").await;
    let whole = run(&testbed, call("many_ai", &json!({"n": 3})), &[], PICKS[0].1).await.unwrap();
    let mut journal = whole.journal.clone();
    journal[1].ask = journal[1].ask.replace("tick 1", "tock");
    let mismatch = run(&testbed, call("many_ai", &json!({"n": 3})), &journal, PICKS[0].1).await.unwrap_err();
    let text = mismatch.to_string();
    assert!(text.contains("tock") && text.contains("tick 1") && text.contains("entry 1"), "{text}");

    let mut journal = whole.journal.clone();
    journal[2].op = 9;
    assert!(run(&testbed, call("many_ai", &json!({"n": 3})), &journal, PICKS[0].1).await.is_err());
    let mut journal = whole.journal;
    journal[0].answer = Answer::Slept;
    assert!(run(&testbed, call("many_ai", &json!({"n": 3})), &journal, PICKS[0].1).await.is_err());
}

#[tokio::test]
async fn a_component_that_asks_something_else_on_replay_fails_its_execution_with_both_asks() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    let id = api.start("testbed.pause_then_ai", &json!(null)).await;
    let gate = api.paused(&id, "gate").await;
    api.decide(&gate, &json!({"decision": "approved"})).await.expect(200);
    let end = api.paused(&id, "end").await;

    // What no upload can do: another component under the version that the execution is pinned to.
    api.deploy("altered", guest("altered")).await;
    sqlx::query(
        "update agent_version set digest = (select digest from agent_version where agent = 'altered')
         where agent = 'testbed'",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    api.decide(&end, &json!({"decision": "approved"})).await.expect(200);

    let execution = api.finished(&id).await;
    assert_eq!(execution["status"], "failed");
    assert_eq!((&execution["error"]["code"], &execution["error"]["blame"]), (&json!("mismatch"), &json!("guest")));
    let message = execution["error"]["message"].as_str().unwrap();
    assert!(message.contains("\"after\"") && message.contains("\"afterwards\""), "{message}");
    assert_eq!(model.calls(), 1, "a replay asks no model");
}

#[tokio::test]
async fn a_replay_takes_time_in_proportion_to_its_length() {
    // Not a timed test: the work is counted in slices, which are what a replay does.
    let testbed = component("testbed").await;
    let long = run(&testbed, call("ticks", &json!({"n": 5_000})), &[], PICKS[0].1).await.unwrap();
    assert_eq!(long.journal.len(), 5_000);
    let again = run(&testbed, call("ticks", &json!({"n": 5_000})), &long.journal, PICKS[0].1).await.unwrap();
    assert_eq!(again, long);
}
