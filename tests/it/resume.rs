//! The main job: an agent pauses, its host dies, a signed decision resumes it exactly where it stopped.

use countersign_tests::build::guest;
use countersign_tests::{Database, Host, Model};
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
