//! Links that are not to be believed. All of them get the same page.

use std::time::Duration;

use countersign_tests::until;
use reqwest::Method;
use serde_json::json;

use super::{Desk, Seen, path_of, seen};

const OLD: &str = "cmk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "cmk_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// What nobody has made.
async fn bad(desk: &Desk) -> Seen {
    let page = desk.get("/r/no-link").await;
    page.shows(404, &["This link is not valid"]).lacks(&["testbed", "<form"]);
    page
}

#[tokio::test]
async fn every_link_that_is_altered_foreign_or_stale_gets_the_same_page() {
    let desk = Desk::new(&[]).await;
    let bad = bad(&desk).await;
    let bad_post = desk.send("/r/no-link", &[("decision", "approved")]).await;
    assert_eq!((bad_post.status, &bad_post.html), (bad.status, &bad.html));
    let [one, two] = [desk.open(&json!({})).await, desk.open(&json!({})).await];
    let [link, same_pause, other_pause] =
        [desk.link(&one, "zoe").await, desk.link(&one, "zof").await, desk.link(&two, "zoe").await];
    let other = desk.host.tenant("other");
    other.deploy("testbed", countersign_tests::build::guest("testbed")).await;
    let id = other.start("testbed.approve", &json!({})).await;
    let theirs = other.paused(&id, "only").await;
    let made = other.post(&format!("/v1/pauses/{theirs}/links"), &json!({"reviewer": "zoe"})).await.expect(201);
    let foreign = path_of(made["url"].as_str().expect("a link"));
    let stale = json!({"reviewer": "zoe", "expires_in_seconds": 1});
    let stale = desk.api.post(&format!("/v1/pauses/{one}/links"), &stale).await.expect(201);
    let stale = path_of(stale["url"].as_str().expect("a link"));

    let mac = |path: &str| path.rsplit_once('.').expect("a link has a MAC").1.to_owned();
    let with = |fields: &str, mac: &str| format!("{}.{mac}", fields.rsplit_once('.').expect("a link has a MAC").0);
    let mut forged = vec!["/r/%FF".into(), "/r/csl_.".into(), format!("/r/csl_{}", "A".repeat(8_000))];
    for other in [&same_pause, &other_pause, &foreign] {
        forged.extend([with(other, &mac(&link)), with(&link, &mac(other))]);
    }
    let (fields, end) = link.split_at(link.len() - 1);
    forged.extend([fields.into(), format!("{link}A"), format!("{link}="), with(&link, ""), with(&link, "redacted")]);
    forged.push(format!("{fields}{}", if end == "A" { "E" } else { "A" }));
    for place in "/r/".len()..link.len() {
        let other = if &link[place..=place] == "b" { "c" } else { "b" };
        forged.push(format!("{}{other}{}", &link[..place], &link[place + 1..]));
    }
    until("the link is stale", async || (desk.get(&stale).await.status == 404).then_some(())).await;
    forged.push(stale);
    for path in forged {
        assert_eq!(desk.get(&path).await, bad, "{path}");
        assert_eq!(desk.send(&path, &[("decision", "approved")]).await, bad_post, "{path}");
    }
    for pause in [&one, &two] {
        assert_eq!(desk.pause(pause).await["status"], "open");
    }
    for good in [&link, &same_pause, &other_pause, &foreign] {
        desk.get(good).await.shows(200, &["<form"]);
    }
    desk.host.assert_unharmed();
}

#[tokio::test]
async fn a_link_is_good_for_as_long_as_the_host_has_its_master_key() {
    let mut desk = Desk::new(&[("COUNTERSIGN_MASTER_KEY", OLD)]).await;
    let pause = desk.open(&json!({})).await;
    let old = desk.link(&pause, "zoe").await;
    for (keys, is_good) in [(format!("{NEW},{OLD}"), true), (NEW.into(), false), (format!("{OLD},{NEW}"), true)] {
        desk.host.stop().await;
        desk.host.restart(&[("COUNTERSIGN_MASTER_KEY", &keys)]).await;
        desk.api = desk.host.api();
        let page = desk.get(&old).await;
        if is_good {
            page.shows(200, &["<form"]);
        } else {
            assert_eq!(page, bad(&desk).await);
        }
    }
    desk.decide(&old, &[("decision", "approved")]).await.shows(200, &["Decided: approved"]);
}

#[tokio::test]
async fn a_body_that_no_form_sends_is_refused_on_a_page() {
    let desk = Desk::new(&[]).await;
    let pause = desk.open(&json!({})).await;
    let link = desk.link(&pause, "zoe").await;
    let post = |kind: &'static str| desk.browser(Method::POST, &link).header("content-type", kind);
    let json = seen(post("application/json").body(r#"{"decision":"approved"}"#)).await;
    json.shows(415, &["Programs decide by the API"]);
    let form = "application/x-www-form-urlencoded";
    seen(post(form).header("content-encoding", "gzip").body("x")).await.shows(415, &["<h1>"]);
    let large = format!("decision=approved&feedback={}", "x".repeat(4 << 20));
    seen(post(form).timeout(Duration::from_secs(20)).body(large)).await.shows(413, &["too large"]);
    seen(post(form).body("a=b&".repeat(5_000))).await.shows(413, &["too large"]);
    let long = "x".repeat((64 << 10) + 1);
    desk.send(&link, &[("decision", "approved"), ("feedback", &long)]).await.shows(422, &["at most 65536 bytes"]);
    desk.send(&link, &[("decision", "approved"), ("feedback", "a\0")]).await.shows(422, &["holds what no text does"]);
    for decision in ["aproved", "expired", "a\0", &"x".repeat(100_000)] {
        desk.send(&link, &[("decision", decision)]).await.shows(422, &["Decide by one of the buttons"]);
    }
    assert_eq!(desk.pause(&pause).await["status"], "open");
    desk.host.assert_unharmed();
}
