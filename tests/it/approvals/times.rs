//! What time brings about for a pause: it expires, with its default decision; others are asked; nothing of it twice.

use countersign_tests::until;
use serde_json::{Value, json};

use super::{Office, approve};

#[tokio::test]
async fn a_default_decision_is_taken_when_nobody_decides_in_time() {
    let office = Office::new().await;
    let request = json!({"expires_in_ms": 700, "default_decision": "approved", "payload": {"n": 1}, "editable": true});
    let pause = office.ask(&request).await;
    let told = office.told(&pause).await;
    assert_eq!((&told["decision"], &told["response"]), (&json!("approved"), &json!({"n": 1})), "{told}");
    assert!(told.get("reviewer").is_none_or(Value::is_null), "nobody has decided: {told}");
    let expired = office.pause(&pause).await;
    assert_eq!(expired["status"], "expired");
    assert_eq!((&expired["decision"]["decision"], &expired["decision"]["via"]), (&json!("approved"), &Value::Null));
    let reply = office.api.decide(&pause, &json!({"decision": "approved"})).await;
    assert_eq!((reply.status, reply.code()), (410, "pause_closed"), "{}", reply.body);
}

#[tokio::test]
async fn pauses_expire_to_the_second_even_if_no_worker_is_free() {
    let mut office = Office::new().await;
    office.host.kill();
    office.host.restart(&[("COUNTERSIGN_CONCURRENCY", "1")]).await;
    office.api = office.host.api();
    let request = json!({"expires_in_ms": 4_000});
    let mut pauses = vec![];
    for _ in 0..3 {
        pauses.push(office.ask(&request).await);
    }
    // The one worker is kept busy by an agent that computes.
    let busy = office.api.start("testbed.loop_forever", &json!({})).await;
    for pause in &pauses {
        until("it has expired", async || (office.pause(pause).await["status"] == "expired").then_some(())).await;
    }
    let late = "select max(extract(epoch from clock_timestamp() - expires_at))::bigint from pause";
    assert!(office.database.number(late).await <= 3);
    office.api.post(&format!("/v1/executions/{busy}/cancel"), &json!({})).await;
}

#[tokio::test]
async fn an_escalation_asks_others_too_and_they_count() {
    let office = Office::new().await;
    office.group("leads", &["dan"]).await;
    let (ana, dan) = (office.person("ana").await, office.person("dan").await);
    let request = json!({
        "stages": [{"reviewers": ["ana", "bob"], "required": 2}],
        "reminders_ms": [300, 600],
        "escalations": [{"after_ms": 1_200, "reviewers": ["@leads"]}]
    });
    let pause = office.ask(&request).await;
    approve(&ana, &pause).await.expect(200);
    assert_eq!(approve(&dan, &pause).await.code(), "not_asked", "not yet");
    until("others are asked", async || {
        (office.pause(&pause).await["asked"] == json!(["ana", "bob", "@leads"])).then_some(())
    })
    .await;
    let counts = "select (reminders_sent * 10 + escalations_done)::bigint from pause";
    assert_eq!(office.database.number(counts).await, 21, "each reminder and each escalation once");
    assert_eq!(approve(&dan, &pause).await.expect(200)["outcome"], "accepted");
    assert_eq!(office.told(&pause).await["decision"], "approved");
}

#[tokio::test]
async fn what_was_due_while_no_host_was_there_is_done_when_one_is() {
    let mut office = Office::new().await;
    let request = json!({
        "stages": [{"reviewers": ["ana"], "required": 1}], "expires_in_ms": 3_600_000,
        "reminders_ms": [1_500, 1_600, 1_700], "escalations": [{"after_ms": 1_800, "reviewers": ["bob"]}]
    });
    let pause = office.ask(&request).await;
    office.host.kill();
    let over = "select count(*) from pause where opened_at + interval '2 seconds' < clock_timestamp()";
    until("all of it is due", async || (office.database.number(over).await == 1).then_some(())).await;
    office.host.restart(&[]).await;
    office.api = office.host.api();
    until("it is done", async || (office.pause(&pause).await["asked"] == json!(["ana", "bob"])).then_some(())).await;
    let counts = "select (reminders_sent * 10 + escalations_done)::bigint from pause";
    assert_eq!(office.database.number(counts).await, 11, "three reminders at once are one");
}
