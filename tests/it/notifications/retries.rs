//! What becomes of a delivery that is not taken.

use std::time::Duration;

use countersign_tests::Reaction;
use serde_json::{Value, json};

use super::{Post, delete, patch, until};

/// Makes the schedule of three days one of half a minute.
const HASTE: [(&str, &str); 1] = [("COUNTERSIGN_OUTBOX_HASTE", "100000")];

#[tokio::test]
async fn a_delivery_is_tried_ten_times_under_one_id_and_then_given_up_and_can_be_made_again() {
    let post = Post::with(&HASTE).await;
    post.receiver.react("/down", &[Reaction::Status(500)]);
    post.webhook("down", json!(["pause.opened"])).await;
    post.ask(&json!({})).await;
    let delivery = post.delivery("down", "failed").await;
    assert_eq!((&delivery["attempts"], &delivery["last_status"]), (&json!(10), &json!(500)), "{delivery}");
    let received = post.receiver.received("/down");
    assert_eq!(received.len(), 10);
    assert!(received.iter().all(|one| one.id() == delivery["webhook_id"] && one.body == received[0].body));
    assert!(received.iter().any(|one| one.header("webhook-timestamp") != received[0].header("webhook-timestamp")));
    let log = delivery["log"].as_array().expect("a log");
    assert_eq!((log.len(), &log[9]["status"], &log[9]["response"]), (10, &json!(500), &json!("seen")));

    post.receiver.react("/down", &[Reaction::Status(200)]);
    let path = format!("/v1/deliveries/{}", delivery["id"].as_str().expect("an id"));
    assert_eq!(post.api.post(&format!("{path}/redeliver"), &json!({})).await.expect(202)["state"], "pending");
    let delivery = post.delivery("down", "delivered").await;
    assert_eq!((&delivery["attempts"], &delivery["last_error"]), (&json!(11), &Value::Null));
    assert_eq!(post.receiver.received("/down")[10].id(), received[0].id());
}

#[tokio::test]
async fn the_second_try_comes_after_five_seconds_or_when_the_receiver_asks_for_it() {
    let post = Post::new().await;
    post.receiver.react("/usual", &[Reaction::Status(503), Reaction::Status(200)]);
    post.receiver.react("/asks", &[Reaction::With(429, "retry-after", "7".into()), Reaction::Status(200)]);
    post.webhook("usual", json!(["pause.opened"])).await;
    post.webhook("asks", json!(["pause.opened"])).await;
    post.ask(&json!({})).await;
    for (path, seconds) in [("/usual", 5.0..7.0), ("/asks", 7.0..9.0)] {
        let received = post.receiver.wait(path, 2).await;
        let waited = (received[1].at - received[0].at).as_secs_f64();
        assert!(seconds.contains(&waited), "{path}: {waited} s");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let post = Post::with(&HASTE).await;
    let to = format!("{}/elsewhere", post.receiver.url);
    post.receiver.react("/moved", &[Reaction::With(307, "location", to)]);
    post.webhook("moved", json!(["pause.opened"])).await;
    post.ask(&json!({})).await;
    let delivery = post.delivery("moved", "failed").await;
    assert_eq!(delivery["last_error"], "redirects are not followed");
    assert_eq!(post.receiver.received("/elsewhere").len(), 0);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_until_it_is_enabled_again() {
    let post = Post::new().await;
    post.receiver.react("/gone", &[Reaction::Status(410), Reaction::Status(200)]);
    post.webhook("gone", json!(["pause.opened"])).await;
    post.ask(&json!({})).await;
    let endpoint = until("it is disabled", async || {
        let endpoint = post.api.get("/v1/endpoints/gone").await.expect(200);
        (!endpoint["disabled_at"].is_null()).then_some(endpoint)
    })
    .await;
    assert_eq!(endpoint["disabled_reason"], "it answered 410 Gone");
    assert_eq!(post.delivery("gone", "failed").await["attempts"], 1);
    for path in ["/v1/endpoints/gone/test", "/v1/endpoints/gone/redeliver"] {
        let reply = post.api.post(path, &json!({"since": "2020-01-01T00:00:00Z"})).await;
        assert_eq!((reply.status, reply.code()), (409, "endpoint_disabled"), "{path}: {}", reply.body);
    }
    patch(&post.api, "/v1/endpoints/gone", &json!({"disabled": false})).await.expect(200);
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let again = post.api.post("/v1/endpoints/gone/redeliver", &since).await.expect(202);
    assert_eq!(again, json!({"redelivered": 1}));
    post.delivery("gone", "delivered").await;
    let received = post.receiver.received("/gone");
    assert_eq!((received.len(), received[0].id()), (2, received[1].id()));
}

#[tokio::test]
async fn what_is_on_its_way_to_an_endpoint_that_is_removed_is_given_up() {
    let post = Post::new().await;
    post.receiver.react("/down", &[Reaction::Status(500)]);
    post.webhook("down", json!(["pause.opened"])).await;
    post.ask(&json!({})).await;
    post.receiver.wait("/down", 1).await;
    until("its try is recorded", async || {
        let list = post.api.get("/v1/deliveries").await.expect(200);
        (list["items"][0]["last_status"] == 500).then_some(())
    })
    .await;
    assert_eq!(delete(&post.api, "/v1/endpoints/down").await.status, 204);
    let delivery = post.delivery("down", "failed").await;
    assert_eq!(delivery["last_error"], "the endpoint was disabled or removed");
    let id = delivery["id"].as_str().expect("an id");
    let reply = post.api.post(&format!("/v1/deliveries/{id}/redeliver"), &json!({})).await;
    assert_eq!((reply.status, reply.code()), (409, "endpoint_disabled"));
}

#[tokio::test]
async fn receivers_that_hang_hold_up_no_other_tenant_and_no_answer_is_read_to_its_end() {
    let post = Post::new().await;
    let other = post.host.tenant("other");
    for reaction in ["hang", "flood", "stall"] {
        post.webhook(reaction, json!(["execution.succeeded"])).await;
    }
    post.receiver.react("/hang", &[Reaction::Hang]);
    post.receiver.react("/flood", &[Reaction::Flood]);
    post.receiver.react("/stall", &[Reaction::Stall]);
    let address = format!("{}/other", post.receiver.url);
    other.post("/v1/endpoints", &json!({"name": "all", "kind": "webhook", "address": address})).await.expect(201);
    for _ in 0..8 {
        post.api.start("testbed.echo", &json!({})).await;
    }
    post.receiver.wait("/hang", 1).await;
    let began = std::time::Instant::now();
    other.post("/v1/endpoints/all/test", &json!({})).await.expect(202);
    post.receiver.wait_for("/other", "endpoint.test").await;
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    let flooded = post.delivery("flood", "delivered").await;
    assert_eq!(flooded["log"][0]["response"].as_str().map(str::len), Some(1_024));
    let stalled = post.delivery("stall", "delivered").await;
    assert_eq!(stalled["last_status"], 200, "its status says that it was received");
    let hung = until("a hanging delivery is given up for now", async || {
        let list = post.api.get("/v1/deliveries?endpoint=hang&state=pending").await.expect(200);
        list["items"].as_array()?.iter().find(|delivery| !delivery["last_error"].is_null()).cloned()
    })
    .await;
    assert_eq!(hung["last_error"], "no answer in time");
    assert!(post.host.memory() < 600 << 20, "a flood is not kept");
}

#[tokio::test]
async fn an_endpoint_that_hangs_holds_up_no_other_of_its_tenant_however_much_waits_for_it() {
    let post = Post::new().await;
    post.webhook("hang", json!([])).await;
    post.webhook("well", json!([])).await;
    post.receiver.react("/hang", &[Reaction::Hang]);
    for _ in 0..12 {
        post.api.post("/v1/endpoints/hang/test", &json!({})).await.expect(202);
    }
    post.receiver.wait("/hang", 2).await;
    for _ in 0..6 {
        post.api.post("/v1/endpoints/well/test", &json!({})).await.expect(202);
    }
    post.receiver.wait("/well", 6).await;
    assert_eq!(post.receiver.received("/hang").len(), 2, "two at once, and neither has had its fifteen seconds");
}

#[tokio::test]
async fn a_delivery_that_never_comes_to_an_end_is_given_up_after_a_hundred_tries() {
    let post = Post::new().await;
    post.webhook("hook", json!([])).await;
    post.receiver.react("/hook", &[Reaction::Hang, Reaction::Status(500)]);
    post.api.post("/v1/endpoints/hook/test", &json!({})).await.expect(202);
    post.receiver.wait("/hook", 1).await;
    // As if ninety-nine hosts had died of it, and this one, too.
    let died = "update delivery set attempts = 100, claim = null, host = null, next_at = now()";
    sqlx::query(died).execute(&post.database.pool).await.expect("an update");
    let delivery = post.delivery("hook", "failed").await;
    assert!(delivery["last_error"].as_str().is_some_and(|why| why.contains("100 times")), "{delivery}");
    assert_eq!(post.receiver.received("/hook").len(), 1);
}

#[tokio::test]
async fn deliveries_that_were_settled_a_month_ago_are_forgotten_with_their_notifications() {
    let mut post = Post::new().await;
    post.webhook("hook", json!([])).await;
    post.api.post("/v1/endpoints/hook/test", &json!({})).await.expect(202);
    post.delivery("hook", "delivered").await;
    for rows in [
        "insert into notification (tenant_id, notification_id, type, body)
         select tenant_id, fresh_id('msg_'), 'endpoint.test', '{}' from tenant, generate_series(1, 2500)",
        "insert into delivery (tenant_id, delivery_id, notification_id, endpoint, state, settled_at)
         select tenant_id, fresh_id('dlv_'), notification_id, 'hook', 'failed', now() - interval '31 days'
         from notification, generate_series(1, 2) where body = '{}'",
    ] {
        sqlx::query(rows).execute(&post.database.pool).await.expect("rows");
    }
    post.host.kill();
    post.host.restart(&[]).await;
    post.api = post.host.api();
    until("all that is old is forgotten", async || {
        (post.database.number("select count(*) from notification").await == 1).then_some(())
    })
    .await;
    assert_eq!(post.database.number("select count(*) from delivery").await, 1, "what is younger is kept");
}
