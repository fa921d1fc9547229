//! Two things at once: a decision and the pause it is for, two decisions, the same decision twice, many calls.

use std::time::Duration;

use countersign::signature::Secret;
use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model};
use futures::future::join_all;
use futures::join;
use serde_json::{Value, json};

/// How many executions race their decision.
const RACES: usize = 1_000;

/// How many of them at a time.
const RUNNERS: usize = 20;

/// How many equal deliveries arrive at once.
const DELIVERIES: usize = 20;

struct Scene {
    database: Database,
    model: Model,
    host: Host,
    api: Api,
}

async fn scene() -> Scene {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    Scene { database, model, host, api }
}

/// Another host on the same database, and a client with the same key.
async fn second(scene: &Scene) -> (Host, Api) {
    let host = Host::start(&scene.database, &scene.model).await;
    let api = host.api();
    (host, api)
}

/// Decides after a time that nothing tells but chance, and returns the status of the pause that this led to.
async fn decide_after(api: &Api, pause: &str, feedback: &str, offset: Duration) -> String {
    tokio::time::sleep(offset).await;
    let body = json!({"decision": "rejected", "feedback": feedback});
    let reply = api.decide(pause, &body).await.expect(200);
    assert_eq!(reply["outcome"], "accepted", "{reply}");
    reply["pause"]["status"].as_str().expect("a status").to_owned()
}

/// How the races of one runner went.
#[derive(Default)]
struct Met {
    early: usize,
    open: usize,
    /// The executions, with the feedback that each must end with.
    ids: Vec<(String, String)>,
}

/// Races `count` executions against their decisions. Moves the moment of deciding to and fro around the one at which
/// the pause opens: earlier after a decision that found it open, later after one that came early.
async fn race(api: &Api, runner: usize, count: usize) -> Met {
    let (mut offset_us, mut met) = (10_000_u64, Met::default());
    for round in 0..count {
        let id = api.start("content-pipeline.publish_with_review", &json!({"brief": "x"})).await;
        // Every tenth decision comes at once.
        let offset = if round % 10 == 0 { 0 } else { offset_us };
        let feedback = format!("{runner}-{round}");
        match &*decide_after(api, &format!("{id}:draft-review"), &feedback, Duration::from_micros(offset)).await {
            "early" => {
                met.early += 1;
                offset_us = offset_us * 5 / 4 + 100;
            }
            "decided" => {
                met.open += 1;
                offset_us = offset_us * 4 / 5;
            }
            other => panic!("{id} is {other}"),
        }
        met.ids.push((id, feedback));
    }
    met
}

#[tokio::test]
async fn a_thousand_decisions_that_race_their_pause_each_end_their_execution() {
    let scene = scene().await;
    scene.api.deploy("content-pipeline", guest("publish_with_review")).await;
    // The agent asks it before it pauses, so a decision can come first, however fast the host is.
    scene.model.delay(Duration::from_millis(10));
    let all = join_all((0..RUNNERS).map(|runner| race(&scene.api, runner, RACES / RUNNERS))).await;
    let (early, open) = all.iter().fold((0, 0), |(early, open), met| (early + met.early, open + met.open));
    println!("{early} decisions came early, {open} found their pause open");
    assert!(early + open == RACES && early.min(open) >= RACES / 10, "hardly a race: {early}, {open}");

    for (id, feedback) in all.iter().flat_map(|met| &met.ids) {
        let execution = scene.api.finished(id).await;
        let result = &execution["result"];
        assert_eq!(*result, json!({"status": "rejected", "feedback": feedback}), "{execution}");
    }
    let number = async |query| scene.database.number(query).await;
    assert_eq!(number("select count(*) from execution where status = 'succeeded'").await, RACES as i64);
    assert_eq!(number("select count(*) from execution").await, RACES as i64, "none is left waiting");
    assert_eq!(number("select count(*) from pause where status = 'decided'").await, RACES as i64);
    assert_eq!(number("select count(*) from pause").await, RACES as i64);
    assert_eq!(number("select count(*) from journal_entry").await, 2 * RACES as i64);
    assert_eq!(scene.model.calls(), RACES, "each asked the model once");
    scene.host.assert_unharmed();
}

#[tokio::test]
async fn of_conflicting_decisions_sent_to_two_hosts_at_once_one_is_accepted_and_the_others_are_told_which() {
    let scene = scene().await;
    let (_other, other) = second(&scene).await;
    let mut winners = [0; 3];
    for _ in 0..20 {
        let id = scene.api.start("testbed.pause_once", &json!({})).await;
        let pause = scene.api.paused(&id, "only").await;
        let choices = ["approved", "rejected", "request_changes"];
        let decide = async |turn: usize| {
            let api = if turn.is_multiple_of(2) { &scene.api } else { &other };
            api.decide(&pause, &json!({"decision": choices[turn % 3], "feedback": turn.to_string()})).await
        };
        let replies = join_all((0..6).map(decide)).await;

        let accepted: Vec<_> = (0..6).filter(|&turn| replies[turn].status == 200).collect();
        let [winner] = accepted[..] else { panic!("accepted: {accepted:?}") };
        assert_eq!(replies[winner].body["outcome"], "accepted");
        for (_, loser) in replies.iter().enumerate().filter(|(turn, _)| *turn != winner) {
            assert_eq!((loser.status, loser.code()), (409, "already_decided"));
            assert_eq!(loser.body["decided"], replies[winner].body["pause"]["decision"], "the first decision");
        }
        let result = scene.api.finished(&id).await["result"].clone();
        assert_eq!(
            (&result["decision"], &result["feedback"]),
            (&json!(choices[winner % 3]), &json!(winner.to_string()))
        );
        winners[winner % 3] += 1;
    }
    println!("won by approval, rejection, request: {winners:?}");
}

#[tokio::test]
async fn two_executions_with_the_same_approval_request_id_never_take_each_others_decision() {
    let scene = scene().await;
    let same = json!({"id": "same"});
    for round in 0..20 {
        let (a, b) = join!(scene.api.start("testbed.pause_once", &same), scene.api.start("testbed.pause_once", &same));
        // In every second round while both may still be on their way to the pause.
        if round % 2 == 0 {
            join!(scene.api.paused(&a, "same"), scene.api.paused(&b, "same"));
        }
        let decide = async |id: &str, decision: &str| {
            scene.api.decide(&format!("{id}:same"), &json!({"decision": decision, "feedback": id})).await.expect(200)
        };
        join!(decide(&a, "approved"), decide(&b, "rejected"));
        for (id, decision) in [(&a, "approved"), (&b, "rejected")] {
            let result = scene.api.finished(id).await["result"].clone();
            assert_eq!((&result["decision"], &result["feedback"]), (&json!(decision), &json!(id)));
        }
    }
}

/// Sends the same delivery many times at once, to either host.
async fn deliver_at_once(apis: [&Api; 2], secret: &Secret, id: &str, body: &Value) -> Vec<Value> {
    let deliver = async |turn: usize| apis[turn % 2].webhook("default", secret, id, body).await.expect(200);
    join_all((0..DELIVERIES).map(deliver)).await
}

#[tokio::test]
async fn of_twenty_equal_deliveries_at_once_one_is_accepted_and_the_rest_are_duplicates() {
    let scene = scene().await;
    let (_other, other) = second(&scene).await;
    let secret = scene.api.secret().await;
    for round in 0..10 {
        let id = scene.api.start("testbed.pause_once", &json!({})).await;
        let pause = scene.api.paused(&id, "only").await;
        let (name, value) = if round % 2 == 0 { ("pause_id", &*pause) } else { ("approval_request_id", "only") };
        let body = json!({name: value, "decision": "approved", "feedback": "once"});
        let replies = deliver_at_once([&scene.api, &other], &secret, &format!("msg_{round}"), &body).await;
        let count = |outcome: &str| replies.iter().filter(|reply| reply["outcome"] == outcome).count();
        assert_eq!((count("accepted"), count("duplicate")), (1, DELIVERIES - 1));
        assert!(replies.iter().all(|reply| reply["pause"]["decision"] == replies[0]["pause"]["decision"]));
        assert_eq!(scene.api.finished(&id).await["result"]["feedback"], "once");
        assert_eq!(scene.api.journal(&id).await.len(), 1);
    }
}

#[tokio::test]
async fn a_delivery_that_names_its_pause_by_the_approval_request_alone_is_a_duplicate_when_it_comes_again() {
    let scene = scene().await;
    let secret = scene.api.secret().await;
    let first = scene.api.start("testbed.pause_once", &json!({})).await;
    scene.api.paused(&first, "only").await;
    let body = json!({"approval_request_id": "only", "decision": "approved"});
    let reply = scene.api.webhook("default", &secret, "msg_1", &body).await.expect(200);
    assert_eq!(reply["outcome"], "accepted");
    scene.api.finished(&first).await;
    let reply = scene.api.webhook("default", &secret, "msg_1", &body).await.expect(200);
    assert_eq!((&reply["outcome"], &reply["pause"]["execution"]), (&json!("duplicate"), &json!(first)));

    // Nor is it taken for a decision of the next pause that bears the name.
    let next = scene.api.start("testbed.pause_once", &json!({})).await;
    let pause = scene.api.paused(&next, "only").await;
    let reply = scene.api.webhook("default", &secret, "msg_1", &body).await.expect(200);
    assert_eq!((&reply["outcome"], &reply["pause"]["execution"]), (&json!("duplicate"), &json!(first)));
    assert_eq!(scene.api.get(&format!("/v1/pauses/{pause}")).await.expect(200)["status"], "open");
}

#[tokio::test]
async fn twenty_calls_at_once_each_run_once_and_are_answered_in_their_order() {
    let scene = scene().await;
    let (_other, _) = second(&scene).await;
    // The n-th child asks the model a prompt of n bytes.
    let inputs: Vec<Value> = (1..=20).map(|bytes| json!({"bytes": bytes})).collect();
    let id = scene.api.start("testbed.fan_out", &json!({"target": "testbed.big_ask", "inputs": inputs})).await;
    let execution = scene.api.finished(&id).await;
    let expected: Vec<Value> = (1..=20).map(|bytes| json!({"ok": {"answer_bytes": "echo: ".len() + bytes}})).collect();
    assert_eq!(execution["result"], json!(expected), "{execution}");

    let mut asked: Vec<usize> = scene.model.asked().iter().map(|asked| asked.prompt.len()).collect();
    asked.sort_unstable();
    assert_eq!(asked, (1..=20).collect::<Vec<_>>(), "each child asks once");
    assert_eq!(scene.database.number("select count(*) from execution where parent_id is not null").await, 20);
    let journal = scene.api.journal(&id).await;
    let mut ops: Vec<u64> = journal.iter().map(|entry| entry["op"].as_u64().expect("a number")).collect();
    ops.sort_unstable();
    assert_eq!(ops, (0..20).collect::<Vec<_>>(), "each call is answered once");
}
