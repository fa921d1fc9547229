//! Mail to reviewers and endpoints, and messages to Slack.

use countersign_tests::{MailServer, Reaction};
use serde_json::json;

use super::{Post, patch, person, put, until};

async fn post(server: &MailServer) -> Post {
    let settings = [
        ("COUNTERSIGN_SMTP_URL", server.url.as_str()),
        ("COUNTERSIGN_MAIL_FROM", "Countersign <desk@example.com>"),
        ("COUNTERSIGN_OUTBOX_HASTE", "100000"),
    ];
    Post::with(&settings).await
}

async fn mails_to(server: &MailServer, to: &str, count: usize) -> Vec<countersign_tests::mail::Mail> {
    until(&format!("{to} has got {count} mails"), async || {
        let mails: Vec<_> = server.mails().into_iter().filter(|mail| mail.to == [to]).collect();
        (mails.len() >= count).then_some(mails)
    })
    .await
}

#[tokio::test]
async fn each_reviewer_who_is_asked_and_has_an_address_gets_a_mail_of_their_own() {
    let server = MailServer::start().await;
    let post = post(&server).await;
    for name in ["ana", "bob", "eve"] {
        put(&post.api, &format!("/v1/reviewers/{name}"), &json!({"email": format!("{name}@example.com")}))
            .await
            .expect(200);
    }
    put(&post.api, "/v1/groups/desk", &json!({"members": ["Bob", "carla"]})).await.expect(200);
    let ana = person(&post.api, "ana").await;
    let request = json!({
        "title": "Ship it?\u{a0}Zoë",
        "stages": [{"reviewers": ["ANA", "@desk"], "required": 2}],
        "reminders_ms": [1_500],
    });
    let pause = post.ask(&request).await;
    let mail = mails_to(&server, "ana@example.com", 1).await.remove(0);
    assert_eq!(mail.from, "desk@example.com");
    assert!(mail.data.contains("Subject: ") && mail.data.contains("A decision is needed."), "{}", mail.data);
    mails_to(&server, "bob@example.com", 1).await;
    ana.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    // Who has decided is not reminded.
    mails_to(&server, "bob@example.com", 2).await;
    let mails = server.mails();
    assert_eq!(mails.iter().filter(|mail| mail.to == ["ana@example.com"]).count(), 1);
    assert_eq!(mails.iter().filter(|mail| mail.to == ["eve@example.com"]).count(), 0, "she is not asked");
    let list = post.api.get("/v1/deliveries").await.expect(200);
    let ids: Vec<&str> =
        list["items"].as_array().unwrap().iter().filter_map(|one| one["webhook_id"].as_str()).collect();
    assert!(ids.iter().any(|id| mail.data.contains(&format!("Message-ID: <{id}."))), "{}", mail.data);
    assert!(!post.host.log().iter().any(|line| line.contains("example.com")), "no addresses in logs");
}

#[tokio::test]
async fn mail_that_is_refused_for_now_is_tried_again_and_for_good_is_not() {
    let server = MailServer::start().await;
    let post = post(&server).await;
    for (name, email) in [("busy", "busy@example.com"), ("nobody", "nobody@example.com")] {
        put(&post.api, &format!("/v1/reviewers/{name}"), &json!({ "email": email })).await.expect(200);
    }
    post.ask(&json!({"stages": [{"reviewers": ["busy", "nobody"], "required": 1}]})).await;
    let find = async |name: &str| {
        until(&format!("mail to {name} has failed"), async || {
            let list = post.api.get("/v1/deliveries?state=failed").await.expect(200);
            list["items"].as_array()?.iter().find(|one| one["reviewer"] == name).cloned()
        })
        .await
    };
    let nobody = find("nobody").await;
    assert_eq!((&nobody["attempts"], &nobody["last_status"]), (&json!(1), &json!(550)), "{nobody}");
    let busy = find("busy").await;
    assert_eq!((&busy["attempts"], &busy["last_status"]), (&json!(10), &json!(450)), "{busy}");
}

#[tokio::test]
async fn without_a_mail_server_no_mail_is_put_into_the_outbox() {
    let post = Post::new().await;
    put(&post.api, "/v1/reviewers/ana", &json!({"email": "ana@example.com"})).await.expect(200);
    post.ask(&json!({"stages": [{"reviewers": ["ana"], "required": 1}]})).await;
    assert_eq!(post.database.number("select count(*) from notification").await, 0);
}

#[tokio::test]
async fn an_endpoint_may_be_a_mailbox_or_a_channel() {
    let server = MailServer::start().await;
    let post = post(&server).await;
    let mailbox = json!({"name": "ops", "kind": "email", "address": "ops@example.com", "events": ["pause.opened"]});
    post.api.post("/v1/endpoints", &mailbox).await.expect(201);
    let channel = format!("{}/channel", post.receiver.url);
    let channel = json!({"name": "channel", "kind": "slack", "address": channel, "events": ["pause.opened"]});
    post.api.post("/v1/endpoints", &channel).await.expect(201);
    post.receiver.react("/channel", &[Reaction::Status(500), Reaction::Status(200)]);
    post.ask(&json!({"title": "<!channel> & co", "approval_request_url": "https://example.com/draft"})).await;
    let mail = mails_to(&server, "ops@example.com", 1).await.remove(0);
    assert!(mail.data.contains("https://example.com/draft"), "{}", mail.data);
    let messages = post.receiver.wait("/channel", 2).await;
    let message = messages[1].json();
    assert_eq!(message["text"], "&lt;!channel&gt; &amp; co — A decision is needed. <https://example.com/draft|Open>");
    assert_eq!(messages[0].header("webhook-signature"), "", "whoever knows the address may post there");
    let off = patch(&post.api, "/v1/endpoints/ops", &json!({"disabled": true})).await.expect(200);
    assert_eq!(off["address"], "ops@example.com");
}
