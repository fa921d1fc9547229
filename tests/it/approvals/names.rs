//! Pauses under one name, and programs that wait for a decision.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Office, approve};

#[tokio::test]
async fn each_pause_of_a_loop_has_an_id_of_its_own_and_takes_only_its_own_decision() {
    let office = Office::new().await;
    let id = office.api.start("testbed.rounds", &json!({"n": 3})).await;
    let mut told = vec![];
    for (number, name) in ["round", "round%232", "round%233"].into_iter().enumerate() {
        office.api.paused(&id, &name.replace("%23", "#")).await;
        let decision = ["approved", "request_changes", "rejected"][number];
        office.api.decide(&format!("{id}:{name}"), &json!({"decision": decision})).await.expect(200);
        told.push(decision);
        // A late one for the round before does not become one for this.
        let late = office.api.decide(&format!("{id}:round"), &json!({"decision": "rejected"})).await;
        assert_eq!(late.code(), "already_decided");
    }
    let execution = office.api.finished(&id).await;
    assert_eq!(execution["result"], json!(told), "{execution}");
}

#[tokio::test]
async fn a_decision_by_webhook_names_the_second_pause_of_a_name() {
    let office = Office::new().await;
    let id = office.api.start("testbed.rounds", &json!({"n": 2})).await;
    office.api.paused(&id, "round").await;
    // Early, for the one that is not open yet.
    let second = json!({"execution_id": id, "approval_request_id": "round#2", "decision": "rejected"});
    office.api.webhook("default", &office.secret, "msg_2", &second).await.expect(200);
    let first = json!({"approval_request_id": "round", "decision": "approved"});
    office.api.webhook("default", &office.secret, "msg_1", &first).await.expect(200);
    assert_eq!(office.api.finished(&id).await["result"], json!(["approved", "rejected"]));
    for bad in ["round#1", "round#", "round#02", "round#2#3", "#2"] {
        let body = json!({"execution_id": id, "approval_request_id": bad, "decision": "approved"});
        assert_eq!(office.api.webhook("default", &office.secret, "msg_3", &body).await.status, 404, "{bad}");
    }
}

#[tokio::test]
async fn a_program_that_waits_for_a_pause_is_answered_when_it_is_decided() {
    let office = Office::new().await;
    let ana = office.person("ana").await;
    let pause = office.ask(&json!({})).await;
    let path = format!("/v1/pauses/{pause}?wait=30");
    let began = Instant::now();
    let (waited, decided) = tokio::join!(office.api.get(&path), async {
        // It is asked for first, as far as this can be seen from outside.
        tokio::task::yield_now().await;
        approve(&ana, &pause).await
    });
    decided.expect(200);
    assert_eq!(waited.expect(200)["status"], "decided");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let open = office.ask(&json!({})).await;
    assert_eq!(office.api.get(&format!("/v1/pauses/{open}?wait=0")).await.expect(200)["status"], "open");
    assert_eq!(office.api.get(&format!("/v1/pauses/{open}?wait=1")).await.expect(200)["status"], "open");
    assert_eq!(office.api.get(&format!("/v1/pauses/{open}?wait=soon")).await.status, 400);
}
