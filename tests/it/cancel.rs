//! What is cancelled stops for good, with everything that it had called and asked; and what lost a race is closed.

use std::time::Duration;

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, until};
use serde_json::{Value, json};

struct Scene {
    _database: Database,
    model: Model,
    host: Host,
    api: Api,
}

async fn scene() -> Scene {
    scene_with_lease("3").await
}

async fn scene_with_lease(seconds: &str) -> Scene {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start_with(&database, &model, &[("COUNTERSIGN_LEASE_SECONDS", seconds)]).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    Scene { _database: database, model, host, api }
}

async fn cancel(api: &Api, id: &str) -> countersign_tests::Reply {
    api.post(&format!("/v1/executions/{id}/cancel"), &json!({})).await
}

/// Waits until the execution waits for a call, and returns the child.
async fn child_of(api: &Api, id: &str) -> String {
    until(&format!("{id} waits for a call"), async || {
        let execution = api.execution(id).await;
        let child = execution["waiting_for"]["calls"][0].as_str()?.to_owned();
        (execution["status"] == "waiting").then_some(child)
    })
    .await
}

/// A parent, its child and its grandchild, which waits for a person. With the pause.
async fn family(api: &Api) -> ([String; 3], String) {
    let below = json!({"target": "testbed.pause_once", "input": {}});
    let parent = api.start("testbed.call", &json!({"target": "testbed.call", "input": below})).await;
    let child = child_of(api, &parent).await;
    let grandchild = child_of(api, &child).await;
    let pause = api.paused(&grandchild, "only").await;
    ([parent, child, grandchild], pause)
}

async fn assert_closed(api: &Api, pause: &str) {
    let reply = api.decide(pause, &json!({"decision": "approved"})).await;
    assert_eq!((reply.status, reply.code()), (410, "pause_closed"), "{}", reply.body);
    let pause = api.get(&format!("/v1/pauses/{pause}")).await.expect(200);
    assert_eq!((&pause["status"], &pause["decision"]), (&json!("cancelled"), &Value::Null));
}

#[tokio::test]
async fn a_cancelled_parent_takes_everything_below_it_along_and_their_pauses_are_closed() {
    let scene = scene().await;
    let (family, pause) = family(&scene.api).await;
    let cancelled = cancel(&scene.api, &family[0]).await.expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    for id in &family {
        let execution = scene.api.execution(id).await;
        assert_eq!((&execution["status"], &execution["entries"]), (&json!("cancelled"), &json!(0)), "{execution}");
        assert!(execution["result"].is_null() && execution["error"].is_null() && !execution["finished_at"].is_null());
    }
    assert_closed(&scene.api, &pause).await;
    let early = scene.api.decide(&format!("{}:other", family[2]), &json!({"decision": "approved"})).await;
    assert_eq!((early.status, early.code()), (410, "pause_closed"), "nor is an early decision kept");
    scene.host.assert_unharmed();
}

#[tokio::test]
async fn the_parent_of_a_cancelled_child_is_told_so_and_goes_on() {
    let scene = scene().await;
    let ([parent, child, grandchild], pause) = family(&scene.api).await;
    cancel(&scene.api, &child).await.expect(200);
    let execution = scene.api.finished(&parent).await;
    assert_eq!(execution["status"], "succeeded", "{execution}");
    assert_eq!(execution["result"]["error"]["code"], "call_cancelled", "{execution}");
    assert_eq!(scene.api.journal(&parent).await.len(), 1);
    assert_eq!(scene.api.execution(&grandchild).await["status"], "cancelled");
    assert_closed(&scene.api, &pause).await;
}

/// Starts an execution and cancels it while the model works at its second ask, then looks at it and its journal.
async fn cancelled_at_work(scene: &Scene) -> (String, Value, Vec<Value>) {
    scene.model.hold_from(2);
    let id = scene.api.start("testbed.many_ai", &json!({"n": 3})).await;
    until("the model is asked", async || (scene.model.calls() == 2).then_some(())).await;
    let cancelled = cancel(&scene.api, &id).await.expect(200);
    let journal = scene.api.journal(&id).await;
    assert_eq!((cancelled["status"].as_str(), journal.len()), (Some("cancelled"), 1));
    (id, cancelled, journal)
}

async fn attempt_is_lost(host: &Host) {
    until("the attempt is lost", async || host.log().iter().any(|line| line.contains("end=\"lost\"")).then_some(()))
        .await;
}

#[tokio::test]
async fn an_execution_that_is_cancelled_while_it_runs_writes_nothing_more() {
    // The host learns of it only when it wants to write.
    let scene = scene_with_lease("300").await;
    let (id, cancelled, journal) = cancelled_at_work(&scene).await;
    scene.model.release();
    attempt_is_lost(&scene.host).await;
    assert_eq!(scene.api.execution(&id).await, cancelled);
    assert_eq!(scene.api.journal(&id).await, journal);
    assert_eq!(scene.model.calls(), 2, "nor is the model asked again");
    scene.host.assert_unharmed();
}

#[tokio::test]
async fn a_host_stops_driving_what_was_cancelled_even_while_its_model_is_busy() {
    let scene = scene_with_lease("1").await;
    let (id, cancelled, journal) = cancelled_at_work(&scene).await;
    attempt_is_lost(&scene.host).await;
    scene.model.release();
    let next = scene.api.start("testbed.many_ai", &json!({"n": 1})).await;
    scene.api.finished(&next).await;
    assert_eq!((scene.api.execution(&id).await, scene.api.journal(&id).await), (cancelled, journal));
    scene.host.assert_unharmed();
}

#[tokio::test]
async fn cancelling_again_changes_nothing_and_what_has_finished_cannot_be_cancelled() {
    let scene = scene().await;
    let id = scene.api.start("testbed.pause_once", &json!({})).await;
    scene.api.paused(&id, "only").await;
    let once = cancel(&scene.api, &id).await.expect(200);
    assert_eq!(cancel(&scene.api, &id).await.expect(200), once);

    for target in ["testbed.echo", "testbed.fail"] {
        let id = scene.api.start(target, &json!({})).await;
        let finished = scene.api.finished(&id).await;
        let reply = cancel(&scene.api, &id).await;
        assert_eq!((reply.status, reply.code()), (409, "already_finished"), "{}", reply.body);
        assert_eq!(scene.api.execution(&id).await, finished);
    }
    let reply = cancel(&scene.api, &format!("exec_{}", "0".repeat(32))).await;
    assert_eq!((reply.status, reply.code()), (404, "execution_not_found"));
}

#[tokio::test]
async fn a_cancel_and_a_decision_at_once_agree_on_who_was_first() {
    let scene = scene().await;
    let mut cancelled = 0;
    for round in 0..50 {
        let id = scene.api.start("testbed.pause_once", &json!({})).await;
        let pause = scene.api.paused(&id, "only").await;
        let approval = json!({"decision": "approved"});
        let cancel = async {
            // There is nothing to await: both are to come at any moment of the other.
            tokio::time::sleep(Duration::from_millis(round % 25)).await;
            cancel(&scene.api, &id).await
        };
        let (cancel, decision) = futures::join!(cancel, scene.api.decide(&pause, &approval));
        let execution = scene.api.finished(&id).await;
        match (cancel.status, decision.status, execution["status"].as_str()) {
            // Accepted, and then cancelled before the agent was given it; or cancelled first.
            (200, 200 | 410, Some("cancelled")) => cancelled += 1,
            (409, 200, Some("succeeded")) => {}
            other => panic!("{other:?}"),
        }
        if decision.status == 410 {
            assert_closed(&scene.api, &pause).await;
        }
    }
    println!("{cancelled} of 50 were cancelled");
    scene.host.assert_unharmed();
}

#[tokio::test]
async fn a_pause_that_loses_a_race_is_closed() {
    let scene = scene().await;
    let id = scene.api.start("testbed.race", &json!({"timeout_ms": 300})).await;
    let pause = scene.api.paused(&id, "race").await;
    let execution = scene.api.finished(&id).await;
    assert_eq!(execution["result"], json!({"winner": "sleep", "decision": null}), "{execution}");
    assert_closed(&scene.api, &pause).await;
}

#[tokio::test]
async fn a_call_that_loses_a_race_is_cancelled_with_its_pause() {
    let scene = scene().await;
    let input = json!({"target": "testbed.pause_once", "input": {}, "timeout_ms": 500});
    let id = scene.api.start("testbed.race_call", &input).await;
    let child = child_of(&scene.api, &id).await;
    let pause = scene.api.paused(&child, "only").await;
    let execution = scene.api.finished(&id).await;
    assert_eq!(execution["result"], json!({"winner": "sleep", "result": null}), "{execution}");
    assert_eq!(scene.api.execution(&child).await["status"], "cancelled");
    assert_closed(&scene.api, &pause).await;

    let input = json!({"target": "testbed.echo", "input": 7, "timeout_ms": 60_000});
    let id = scene.api.start("testbed.race_call", &input).await;
    let execution = scene.api.finished(&id).await;
    assert_eq!(execution["result"], json!({"winner": "call", "result": {"ok": 7}}), "{execution}");
}
