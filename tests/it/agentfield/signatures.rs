//! How a tool proves who it is, and what it cannot prove.

use countersign_tests::Reply;
use countersign_tests::api::{now, send};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ADDRESS, Desk, flat, hmac, secret_of, timed};

const HEADERS: [&str; 3] = ["x-hax-signature", "x-webhook-signature", "x-hub-signature-256"];

#[tokio::test]
async fn a_signature_may_be_in_any_of_three_headers_and_the_first_that_is_not_empty_counts() {
    let desk = Desk::new().await;
    let body = flat("only", "approved").to_string().into_bytes();
    let good = timed(&desk.secret, now(), &body);
    let bad = timed("whsec_nobodys", now(), &body);
    for headers in [
        vec![(HEADERS[0], &*bad), (HEADERS[1], &good), (HEADERS[2], &good)],
        vec![(HEADERS[0], ""), (HEADERS[1], &bad), (HEADERS[2], &good)],
        vec![(HEADERS[0], &good), (HEADERS[0], &good)],
        vec![("authorization", &good)],
    ] {
        let reply = desk.post(ADDRESS, &headers, &body).await;
        assert_eq!((reply.status, reply.code()), (401, "invalid_signature"), "{headers:?}");
    }
    for (n, headers) in [
        vec![(HEADERS[0], &*good), (HEADERS[1], &bad)],
        vec![(HEADERS[0], ""), (HEADERS[1], &good), (HEADERS[2], &bad)],
        vec![(HEADERS[0], ""), (HEADERS[1], ""), (HEADERS[2], &good)],
    ]
    .into_iter()
    .enumerate()
    {
        if n == 0 {
            desk.open(&json!({})).await;
        }
        let status = if n == 0 { "processed" } else { "already_processed" };
        assert_eq!(desk.post(ADDRESS, &headers, &body).await.expect(200)["status"], status, "{headers:?}");
    }
}

/// Every way to sign badly.
fn forgeries(desk: &Desk, foreign: &str, body: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let time = now();
    let good = timed(&desk.secret, time, body);
    let digits = good.split_once("v1=").expect("it has one").1.to_owned();
    let bare = hmac(&desk.secret, body);
    let mut all = vec![
        ("a space more".to_owned(), good.clone(), [body, b" "].concat()),
        ("no body".into(), good.clone(), vec![]),
    ];
    for (what, header) in [
        ("another tenant's secret", timed(foreign, time, body)),
        ("a secret of nobody", timed("whsec_nobodys", time, body)),
        ("no secret", timed("", time, body)),
        ("stale", timed(&desk.secret, time - 310, body)),
        ("from the future", timed(&desk.secret, time + 310, body)),
        ("from 1970", timed(&desk.secret, 1, body)),
        ("another second", format!("t={},v1={digits}", time - 1)),
        ("a sign before the time", format!("t=+{time},v1={digits}")),
        ("no time", format!("v1={digits}")),
        ("no number", format!("t=now,v1={digits}")),
        ("two times", format!("t={time},t={time},v1={digits}")),
        ("the bare form", format!("sha256={bare}")),
        ("bare digits", bare.clone()),
        ("bare digits with a time", format!("t={time},v1={bare}")),
        ("timed digits without a time", digits.clone()),
        ("another version", format!("t={time},v0={digits}")),
        ("digits cut off", format!("t={time},v1={}", &digits[..63])),
        ("many signatures", format!("t={time}{}", format!(",v1={}", "0".repeat(64)).repeat(6))),
        ("nonsense", "nonsense".into()),
    ] {
        all.push((what.into(), header, body.to_vec()));
    }
    all
}

#[tokio::test]
async fn every_bad_signature_is_answered_with_the_same_bytes() {
    let desk = Desk::new().await;
    let foreign = secret_of(&desk.host.tenant("other")).await;
    let execution = desk.open(&json!({})).await;
    let mut answers: Vec<(String, Reply)> = vec![];
    for body in [flat("only", "approved"), flat("nobody", "approved"), json!({"nonsense": true})] {
        let bytes = body.to_string().into_bytes();
        for (what, header, bytes) in forgeries(&desk, &foreign, &bytes) {
            answers.push((format!("{what}: {body}"), desk.post(ADDRESS, &[(HEADERS[0], &header)], &bytes).await));
        }
        answers.push((format!("unsigned: {body}"), desk.post(ADDRESS, &[], &bytes).await));
        let good = timed(&desk.secret, now(), &bytes);
        for tenant in ["other", "nobody", "No%20Tenant"] {
            let path = format!("{ADDRESS}/{tenant}");
            answers.push((format!("{tenant}: {body}"), desk.post(&path, &[(HEADERS[0], &good)], &bytes).await));
        }
        let request = desk.api.anonymous(Method::POST, ADDRESS).header(HEADERS[0], &b"\xff\xfe"[..]).body(bytes);
        answers.push((format!("no text: {body}"), send(request).await));
    }
    let first = answers[0].1.clone();
    for (what, reply) in &answers {
        assert_eq!((reply.status, reply.code()), (401, "invalid_signature"), "{what}: {}", reply.body);
        assert_eq!(reply.bytes, first.bytes, "{what}");
    }
    assert_eq!(desk.pause(&execution, "only").await["status"], "open", "no forgery decides");
    desk.host.assert_unharmed();
}

#[tokio::test]
async fn a_signature_without_a_time_is_taken_only_from_a_tenant_that_has_switched_it_on() {
    let desk = Desk::new().await;
    let settings = desk.api.get("/v1/settings/agentfield").await.expect(200);
    assert_eq!(settings, json!({"bare_signatures": false}), "as long as nobody has");
    let first = desk.open(&json!({"id": "draft-review"})).await;
    let body = flat("draft-review", "approved").to_string().into_bytes();
    let digits = hmac(&desk.secret, &body);
    let forms = [digits.clone(), format!("sha256={digits}")];
    let deliver = async |form: &str| desk.post(ADDRESS, &[(HEADERS[2], form)], &body).await;
    for form in &forms {
        assert_eq!(deliver(form).await.status, 401, "{form}");
    }
    desk.take_bare_signatures(true).await;
    let reply = deliver(&forms[0]).await.expect(200);
    assert_eq!((&reply["status"], &reply["execution_id"]), (&json!("processed"), &json!(first)));

    // It can be sent again for ever; but it stays the delivery that it was, whatever has opened since.
    let second = desk.open(&json!({"id": "draft-review"})).await;
    for form in &forms {
        let again = deliver(form).await.expect(200);
        assert_eq!((&again["status"], &again["execution_id"]), (&json!("already_processed"), &json!(first)));
    }
    assert_eq!(desk.pause(&second, "draft-review").await["status"], "open");
    let other = flat(&format!("{second}:draft-review"), "approved").to_string().into_bytes();
    let form = format!("sha256={}", hmac(&desk.secret, &other));
    let reply = desk.post(ADDRESS, &[(HEADERS[2], &form)], &other).await.expect(200);
    assert_eq!(reply["execution_id"], json!(second));

    desk.take_bare_signatures(false).await;
    assert_eq!(deliver(&forms[0]).await.status, 401);
}

#[tokio::test]
async fn the_switch_is_an_operators_and_of_one_tenant_only() {
    let desk = Desk::new().await;
    let other = desk.host.tenant("other");
    desk.take_bare_signatures(true).await;
    assert_eq!(other.get("/v1/settings/agentfield").await.expect(200), json!({"bare_signatures": false}));
    for bad in [json!({}), json!({"bare_signatures": 1}), json!({"bare_signatures": true, "x": 1}), Value::Null] {
        let reply = send(desk.api.request(Method::PUT, "/v1/settings/agentfield").json(&bad)).await;
        assert_eq!((reply.status, reply.code()), (400, "invalid_request"), "{bad}");
    }
    for role in ["deployer", "runner", "reviewer"] {
        let reply = desk.api.role(role).await.get("/v1/settings/agentfield").await;
        assert_eq!((reply.status, reply.code()), (403, "forbidden"), "{role}");
    }
}

#[tokio::test]
async fn any_secret_in_force_will_do_and_a_revoked_one_will_not() {
    let desk = Desk::new().await;
    let old = desk.api.get("/v1/secrets").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    let new = secret_of(&desk.api).await;
    for secret in [&desk.secret, &new] {
        let execution = desk.open(&json!({})).await;
        let body = flat(&format!("{execution}:only"), "approved").to_string().into_bytes();
        let header = format!("{},v1={}", timed("whsec_nobodys", now(), &body), "0".repeat(64));
        assert_eq!(desk.post(ADDRESS, &[(HEADERS[0], &header)], &body).await.status, 401);
        let header = timed(secret, now(), &body);
        desk.post(ADDRESS, &[(HEADERS[0], &header)], &body).await.expect(200);
    }
    assert_eq!(send(desk.api.request(Method::DELETE, &format!("/v1/secrets/{old}"))).await.status, 204);
    desk.open(&json!({})).await;
    assert_eq!(desk.deliver(&flat("only", "approved")).await.status, 401);
}
