//! The main job: an agent pauses, its host dies, a signed decision resumes it exactly where it stopped.

use countersign_tests::api::try_send;
use countersign_tests::build::guest;
use countersign_tests::{Database, Host, Model, until};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn an_agent_whose_host_is_killed_at_both_pauses_ends_as_if_nothing_had_happened() {
    let (database, model) = (Database::new().await, Model::start().await);
    let mut host = Host::start(&database, &model).await;
    let api = host.api();
    let secret = api.secret().await;
    api.deploy("content-pipeline", guest("publish_with_review")).await;
    api.deploy("publisher", guest("publisher")).await;
    let id = api.start("content-pipeline.publish_with_review", &json!({"brief": "a launch"})).await;

    let draft = api.paused(&id, "draft-review").await;
    host.kill();
    host.restart(&[]).await;
    let api = host.api();
    let approval = json!({"pause_id": draft, "decision": "approved", "feedback": "Shorter."});
    assert_eq!(api.webhook("default", &secret, "msg_1", &approval).await.expect(200)["outcome"], "accepted");

    let sign_off = api.paused(&id, "final-approval").await;
    host.kill();
    host.restart(&[]).await;
    let api = host.api();
    let approval = json!({"pause_id": sign_off, "decision": "approved"});
    api.webhook("default", &secret, "msg_2", &approval).await.expect(200);

    let execution = api.finished(&id).await;
    assert_eq!(execution["status"], "succeeded", "{execution}");
    assert_eq!(execution["result"], json!({"status": "approved"}));
    let prompts: Vec<String> = model.asked().into_iter().map(|asked| asked.prompt).collect();
    assert_eq!(prompts, ["a launch", "Draft: echo: a launch\nFeedback: Shorter."], "the model is asked twice in all");
    let journal = api.journal(&id).await;
    let kinds: Vec<_> = journal.iter().map(|entry| entry["ask"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ai", "pause", "ai", "pause", "call"]);
}

#[tokio::test]
async fn a_called_agent_that_is_decided_and_then_calls_has_both_in_its_journal_once() {
    for crash_at in ["", "after_call", "before_call"] {
        let (database, model) = (Database::new().await, Model::start().await);
        let mut host = Host::start(&database, &model).await;
        for (agent, name) in
            [("content-pipeline", "publish_with_review"), ("publisher", "publisher"), ("testbed", "testbed")]
        {
            host.api().deploy(agent, guest(name)).await;
        }
        let input = json!({"target": "content-pipeline.publish_with_review", "input": {"brief": "a launch"}});
        let root = host.api().start("testbed.call", &input).await;
        let called = until("it has called", async || {
            Some(host.api().execution(&root).await["waiting_for"]["calls"].get(0)?.as_str()?.to_owned())
        })
        .await;
        for (n, pause) in ["draft-review", "final-approval"].into_iter().enumerate() {
            host.api().paused(&called, pause).await;
            if n == 1 {
                host.kill();
                host.restart(&[("COUNTERSIGN_CRASH_AT", crash_at)]).await;
            }
            let decision = json!({"decision": "approved"});
            let path = format!("/v1/pauses/{called}:{pause}/decision");
            // The host may die before it answers, but not before it has taken the decision.
            let _ = try_send(host.api().request(Method::POST, &path).json(&decision)).await;
        }
        if !crash_at.is_empty() {
            until("it dies", async || host.is_dead().then_some(())).await;
            host.kill();
            host.restart(&[]).await;
        }
        let execution = host.api().finished(&root).await;
        assert_eq!(execution["result"]["ok"]["status"], "approved", "{crash_at}: {execution}");
        let journal = host.api().journal(&called).await;
        let kinds: Vec<_> = journal.iter().map(|entry| entry["ask"]["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["ai", "pause", "ai", "pause", "call"], "{crash_at}");
        assert_eq!(database.number("select count(*) from execution").await, 3, "{crash_at}");
        assert_eq!(model.asked().len(), 2, "{crash_at}");
    }
}

#[tokio::test]
async fn journals_of_any_length_are_replayed_whole_by_whoever_resumes() {
    let (database, model) = (Database::new().await, Model::start().await);
    let mut host = Host::start(&database, &model).await;
    host.api().deploy("testbed", guest("testbed")).await;
    // Around what is recalled at once, and what is read at a time after it.
    let mut runs = vec![];
    for steps in [255, 256, 257, 1_255, 1_256, 1_257, 2_600] {
        let id = host.api().start("testbed.ticks", &json!({"n": steps, "pauses": 2})).await;
        runs.push((steps, id));
    }
    for pause in ["p0", "p1"] {
        for (_, id) in &runs {
            host.api().paused(id, pause).await;
        }
        // First by the host that has opened the pauses, then by another that knows nothing.
        if pause == "p1" {
            host.kill();
            host.restart(&[]).await;
        }
        for (_, id) in &runs {
            let decision = json!({"decision": "approved"});
            host.api().post(&format!("/v1/pauses/{id}:{pause}/decision"), &decision).await.expect(200);
        }
    }
    for (steps, id) in &runs {
        let execution = host.api().finished(id).await;
        assert_eq!(
            (&execution["status"], &execution["result"]["n"]),
            (&json!("succeeded"), &json!(steps)),
            "{execution}"
        );
        let entries: i64 =
            sqlx::query_scalar("select count(*) from journal_entry where execution_id = $1 and seq <= $2")
                .bind(id)
                .bind(steps + 1)
                .fetch_one(&database.pool)
                .await
                .expect("a count");
        assert_eq!(entries, i64::from(steps + 2));
    }
    host.assert_unharmed();
}
