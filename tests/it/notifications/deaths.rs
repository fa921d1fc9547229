//! `kill -9` around every step of a delivery: nothing is lost, and nothing is told under two ids.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Post, until};

/// The points that a delivery passes, and whether what was on its way when the host died is surely sent twice.
pub(crate) const POINTS: [(&str, bool); 4] = [
    ("before_outbox_claim", false),
    ("after_outbox_claim", false),
    ("after_outbox_send", true),
    ("after_outbox_record", false),
];

#[tokio::test]
async fn a_host_killed_at_any_step_of_a_delivery_loses_none_and_tells_none_under_two_ids() {
    let mut post = Post::new().await;
    post.webhook("all", json!(["pause.opened", "pause.decided"])).await;
    let mut pauses: Vec<String> = vec![];
    for (point, twice) in POINTS {
        // Not before the first notification, for a look that finds nothing passes the first point, too.
        let nth = if point == "before_outbox_claim" { "3" } else { "1" };
        post.host.kill();
        post.host.restart(&[("COUNTERSIGN_CRASH_AT", &format!("{point}:{nth}"))]).await;
        post.api = post.host.api();
        let before = post.receiver.received("/all").len();
        let started = post.api.request(reqwest::Method::POST, "/v1/executions");
        let body = json!({"target": "testbed.approve", "input": {}});
        // The host may die before it has answered; then nothing was promised.
        let reply = countersign_tests::api::try_send(started.header("idempotency-key", point).json(&body)).await;
        assert!(post.host.died().await, "{point}");
        post.host.restart(&[]).await;
        post.api = post.host.api();
        let id = match reply {
            Ok(reply) => reply.body["id"].as_str().expect("an id").to_owned(),
            Err(_) => post.api.start("testbed.approve", &json!({})).await,
        };
        let pause = post.api.paused(&id, "only").await;
        let opened = |received: &[countersign_tests::receiver::Received]| {
            received.iter().filter(|one| one.json()["data"]["id"] == pause.as_str()).count()
        };
        until(&format!("{point}: the pause is told"), async || {
            let told = opened(&post.receiver.received("/all")[before..]);
            (told >= if twice { 2 } else { 1 }).then_some(())
        })
        .await;
        pauses.push(pause);
        // Or the next host that dies would die of what is sent again because this one was killed before it had noted that.
        until(&format!("{point}: it is noted"), async || all_delivered(&post).await.then_some(())).await;
    }
    for pause in &pauses {
        post.api.decide(pause, &json!({"decision": "approved"})).await.expect(200);
    }
    until("everything is delivered", async || {
        let list = post.api.get("/v1/deliveries?limit=100").await.expect(200);
        let is_all = list["items"].as_array()?.len() >= 2 * pauses.len();
        (is_all && all_delivered(&post).await).then_some(())
    })
    .await;
    // Each event of each pause has one id and one body, however often it was sent.
    let mut ids: BTreeMap<(String, String), Vec<(String, String)>> = BTreeMap::new();
    for received in post.receiver.received("/all") {
        let pause = received.json()["data"]["id"].as_str().unwrap_or_default().to_owned();
        ids.entry((pause, received.kind())).or_default().push((received.id().into(), received.body.clone()));
    }
    for pause in &pauses {
        for kind in ["pause.opened", "pause.decided"] {
            let told =
                ids.get(&(pause.clone(), kind.to_owned())).unwrap_or_else(|| panic!("{kind} of {pause} is lost"));
            assert!(told.iter().all(|one| one == &told[0]), "{kind} of {pause}: {told:?}");
        }
    }
}

async fn all_delivered(post: &Post) -> bool {
    let list = post.api.get("/v1/deliveries?limit=100").await.expect(200);
    list["items"].as_array().is_some_and(|items| items.iter().all(|one| one["state"] == "delivered"))
}

#[tokio::test]
async fn what_a_host_had_taken_when_it_died_another_one_delivers() {
    let post = Post::new().await;
    post.webhook("all", json!(["pause.opened"])).await;
    let mut other = countersign_tests::Host::start_with(
        &post.database,
        &post.model,
        &[("COUNTERSIGN_ALLOW_PRIVATE_ENDPOINTS", "true")],
    )
    .await;
    let pauses: Vec<String> = {
        let mut pauses = vec![];
        for _ in 0..10 {
            pauses.push(post.ask(&json!({})).await);
        }
        pauses
    };
    other.kill();
    let told = until("all are told", async || {
        let told: std::collections::BTreeSet<String> = post
            .receiver
            .received("/all")
            .iter()
            .filter_map(|received| received.json()["data"]["id"].as_str().map(ToOwned::to_owned))
            .collect();
        (told.len() == pauses.len()).then_some(told)
    })
    .await;
    assert!(pauses.iter().all(|pause| told.contains(pause)));
    let list = post.api.get("/v1/deliveries?limit=100").await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(10));
    assert_eq!(list["next"], Value::Null);
}
