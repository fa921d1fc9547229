//! Where links may not be seen: in what the API gives out of an execution, in logs, and in the host's own log.

use countersign_tests::api::send;
use reqwest::{Client, Method};
use serde_json::json;

use super::{Desk, encoded, path_of};
use crate::command::{Folder, Said};

/// The path of the link that `spread_link` has told to the model.
pub(super) fn told_to_the_model(desk: &Desk) -> String {
    let asked = desk.model.asked();
    let prompt = &asked.last().expect("the model was asked").prompt;
    path_of(prompt.strip_prefix("Send this: ").expect("a link"))
}

fn mac(path: &str) -> &str {
    path.rsplit_once('.').expect("a link has a MAC").1
}

#[tokio::test]
async fn who_sees_a_journal_can_not_decide_by_a_link_in_it_and_replay_works_all_the_same() {
    let desk = Desk::new(&[]).await;
    let id = desk.api.start("testbed.spread_link", &json!({"reviewer": "zoe"})).await;
    let pause = desk.api.paused(&id, "only").await;
    let link = told_to_the_model(&desk);
    let redacted = format!("{}.redacted", link.rsplit_once('.').expect("a link has a MAC").0);
    desk.get(&link).await.shows(200, &["<form", ".redacted"]).lacks(&[mac(&link)]);
    desk.get(&redacted).await.shows(404, &["This link is not valid"]);
    desk.decide(&link, &[("decision", "approved"), ("feedback", &link)])
        .await
        .shows(200, &["Decided"])
        .lacks(&[mac(&link)]);
    desk.told(&pause).await;

    // As an input, too; and in what is refused.
    let echoed = desk.api.start("testbed.echo", &json!({"link": link})).await;
    desk.api.finished(&echoed).await;
    let all = [
        format!("/v1/executions/{id}"),
        format!("/v1/executions/{id}/journal"),
        format!("/v1/executions/{id}/logs"),
        format!("/v1/executions/{id}/events"),
        format!("/v1/executions/{echoed}"),
        format!("/v1/executions/{echoed}/events"),
        "/v1/executions".into(),
        "/v1/pauses".into(),
        format!("/v1/pauses/{pause}"),
    ];
    for role in ["operator", "deployer", "runner", "reviewer"] {
        let api = desk.api.role(role).await;
        for path in &all {
            let reply = api.get(path).await;
            let text = String::from_utf8(reply.bytes).expect("text");
            assert!(!text.contains(mac(&link)), "{role} {path}: {text}");
            if reply.status == 200 && path != "/v1/executions" {
                assert!(text.contains(&redacted), "{role} {path}: {text}");
            }
        }
    }
    let other = desk.api.decide(&pause, &json!({"decision": "rejected"})).await;
    assert_eq!(other.code(), "already_decided");
    assert!(!String::from_utf8(other.bytes).expect("text").contains(mac(&link)));

    let folder = Folder::new();
    let deployer = desk.api.role("deployer").await;
    folder.write("testbed.wasm", countersign_tests::build::guest("testbed"));
    let arguments = ["replay", &id, "--component", "testbed.wasm", "--journal", "kept.json", "--url", desk.host.url()];
    let mut command = folder.countersign(&arguments);
    command.env("COUNTERSIGN_API_KEY", deployer.key());
    let said = Said::by(command).await.ok();
    assert!(said.starts_with("replays 3 entries"), "{said}");
    let kept = folder.read("kept.json");
    assert!(kept.contains(&redacted) && !kept.contains(mac(&link)), "{kept}");
    desk.host.assert_unharmed();
}

#[tokio::test]
async fn an_agent_is_given_the_same_link_on_every_replay() {
    let mut desk = Desk::new(&[]).await;
    let id = desk.api.start("testbed.spread_link", &json!({"reviewer": "zoe"})).await;
    desk.api.paused(&id, "only").await;
    let link = told_to_the_model(&desk);
    desk.host.kill();
    desk.host.restart(&[]).await;
    desk.api = desk.host.api();
    desk.decide(&link, &[("decision", "approved")]).await.shows(200, &["Decided: approved"]);
    assert_eq!(desk.api.finished(&id).await["status"], "succeeded");
    assert_eq!(desk.model.calls(), 1);
}

#[tokio::test]
async fn an_agent_that_asks_for_no_good_link_is_told_why() {
    let desk = Desk::new(&[]).await;
    for (reviewer, to, why) in
        [("@editors", "only", "reviewer"), ("", "only", "reviewer"), ("zoe", "a b", "approval-request-id")]
    {
        let id = desk.api.start("testbed.link_then_pause", &json!({"reviewer": reviewer, "to": to})).await;
        let execution = desk.api.finished(&id).await;
        assert_eq!(execution["status"], "failed", "{execution}");
        assert!(execution["error"]["message"].as_str().is_some_and(|message| message.contains(why)), "{execution}");
    }
}

#[tokio::test]
async fn a_link_is_never_in_the_hosts_log_however_much_it_says() {
    let desk = Desk::new(&[("COUNTERSIGN_LOG", "trace")]).await;
    let id = desk.api.start("testbed.spread_link", &json!({"reviewer": "zoe"})).await;
    let pause = desk.api.paused(&id, "only").await;
    let (agents, made) = (told_to_the_model(&desk), desk.link(&pause, "ben").await);
    let second = Client::builder().http2_prior_knowledge().build().expect("a client");
    for link in [&agents, &made] {
        for path in [link.clone(), format!("{link}/"), format!("/x{link}"), format!("{link}A"), format!("{link}?a=b")] {
            desk.get(&path).await;
            desk.send(&path, &[("decision", "nothing")]).await;
            send(second.request(Method::GET, format!("{}{path}", desk.host.url()))).await;
        }
        desk.browser(Method::PUT, link).body(encoded("x")).send().await.expect("an answer");
    }
    desk.decide(&made, &[("decision", "approved")]).await.shows(200, &["Decided: approved"]);
    let told = desk.told(&pause).await;
    assert_eq!(told["review"]["reviewer"], "ben");
    let log = desk.host.log().join("\n");
    assert!(log.contains("/r/{token}"), "requests are logged by their route");
    for secret in [mac(&agents), mac(&made), "csl_", "Send this: "] {
        assert!(!log.contains(secret), "the log has {secret:?}");
    }
}
