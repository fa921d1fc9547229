//! The libraries that people verify and sign with agree with the host.

use std::io::Write as _;
use std::process::{Command, Stdio};

use countersign_tests::api::send;
use countersign_tests::build::root;
use countersign_tests::receiver::Received;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Post, until};

/// What Python's `standardwebhooks` and `svix` make of it.
fn python(given: &Value) -> Value {
    let mut python = Command::new(root().join("target/python/bin/python"))
        .arg(root().join("tests/it/notifications/verify.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("scripts/setup-sdks has made target/python");
    let mut stdin = python.stdin.take().expect("it is piped");
    stdin.write_all(given.to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = python.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).expect("it writes JSON")
}

fn verified(secret: &str, received: &Received, body: &str) -> Value {
    let headers = json!({
        "webhook-id": received.id(),
        "webhook-timestamp": received.header("webhook-timestamp"),
        "webhook-signature": received.header("webhook-signature"),
    });
    python(&json!({"what": "verify", "secret": secret, "headers": headers, "body": body}))
}

#[tokio::test]
async fn standardwebhooks_and_svix_verify_a_notification_and_refuse_one_that_was_changed() {
    let post = Post::new().await;
    let secret = post.webhook("all", json!(["pause.opened"])).await;
    post.ask(&json!({"title": "Zoë 🦀 漢字", "payload": {"n": 1.50, "s": "a.b.c"}})).await;
    let received = post.receiver.wait_for("/all", "pause.opened").await;
    assert_eq!(verified(&secret, &received, &received.body), json!(["verified", "verified"]));
    let changed = received.body.replace("1.5", "2.5");
    assert_ne!(changed, received.body);
    let refused = verified(&secret, &received, &changed);
    assert_eq!(refused, json!(["refused", "refused"]));
}

#[tokio::test]
async fn for_a_day_after_a_rotation_notifications_bear_both_signatures() {
    let post = Post::new().await;
    let first = post.webhook("all", json!([])).await;
    let test = async || {
        let count = post.receiver.received("/all").len();
        post.api.post("/v1/endpoints/all/test", &json!({})).await.expect(202);
        post.receiver.wait("/all", count + 1).await.pop().expect("one")
    };
    let rotate = async || {
        let made = post.api.post("/v1/endpoints/all/secret", &json!({})).await.expect(201);
        made["secret"].as_str().expect("a secret").to_owned()
    };
    let second = rotate().await;
    let received = test().await;
    assert_eq!(received.header("webhook-signature").split(' ').count(), 2);
    for secret in [&first, &second] {
        assert_eq!(verified(secret, &received, &received.body), json!(["verified", "verified"]));
    }
    // Once more, and the first is no longer signed with: that is how one that has leaked is got rid of.
    let third = rotate().await;
    let received = test().await;
    let refused = verified(&first, &received, &received.body);
    assert_eq!(refused, json!(["refused", "refused"]));
    for secret in [&second, &third] {
        assert_eq!(verified(secret, &received, &received.body), json!(["verified", "verified"]));
    }
    let stored = "select count(*) from endpoint_secret where purpose = 'signing'";
    assert_eq!(post.database.number(stored).await, 2);
}

#[tokio::test]
async fn a_decision_that_a_library_has_signed_is_taken() {
    let post = Post::new().await;
    let secret = post.api.secret().await.expose();
    for (place, library) in ["standardwebhooks", "svix"].into_iter().enumerate() {
        let pause = post.ask(&json!({})).await;
        let body = json!({"pause_id": pause, "decision": "approved"}).to_string();
        let id = format!("decision-{library}");
        let signed = python(&json!({"what": "sign", "secret": secret, "id": id, "body": body}));
        let text = |field: &str| signed[place][field].as_str().expect("a text").to_owned();
        let request = post.api.anonymous(Method::POST, "/v1/webhooks/default").header("webhook-id", &id);
        let request = request.header("webhook-timestamp", text("timestamp"));
        let reply = send(request.header("webhook-signature", text("signature")).body(body)).await;
        assert_eq!(reply.expect(200)["outcome"], "accepted", "{library}");
    }
    until("both are decided", async || {
        let list = post.api.get("/v1/pauses?status=decided").await.expect(200);
        (list["items"].as_array()?.len() == 2).then_some(())
    })
    .await;
}
