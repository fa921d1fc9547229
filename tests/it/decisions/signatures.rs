//! Who may decide by webhook: whoever signs with a secret of the tenant that is in force.

use countersign::signature::{Secret, sign};
use countersign_tests::api::{now, send};
use countersign_tests::{Api, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Desk, addressed};

/// A webhook, as it goes over the wire.
#[derive(Clone)]
struct Wire {
    tenant: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

impl Wire {
    /// Signed rightly, at this time.
    fn signed_at(secret: &Secret, timestamp: u64, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        let headers = vec![
            ("webhook-id", b"msg_wire".to_vec()),
            ("webhook-timestamp", timestamp.to_string().into_bytes()),
            ("webhook-signature", sign(secret, "msg_wire", timestamp, &body).into_bytes()),
        ];
        Self { tenant: "default".into(), headers, body }
    }

    /// With another value of a header.
    fn with(&self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let mut wire = self.clone();
        for header in wire.headers.iter_mut().filter(|header| header.0 == name) {
            header.1 = value.as_ref().to_vec();
        }
        wire
    }

    /// Without a header.
    fn without(&self, name: &str) -> Self {
        let mut wire = self.clone();
        wire.headers.retain(|header| header.0 != name);
        wire
    }

    /// With a header twice.
    fn twice(&self, name: &str) -> Self {
        let mut wire = self.clone();
        let again = wire.headers.iter().find(|header| header.0 == name).expect("it has the header").clone();
        wire.headers.push(again);
        wire
    }

    fn to(&self, tenant: &str) -> Self {
        Self { tenant: tenant.into(), ..self.clone() }
    }

    fn value(&self, name: &str) -> String {
        let header = self.headers.iter().find(|header| header.0 == name).expect("it has the header");
        String::from_utf8(header.1.clone()).expect("it is text")
    }

    async fn send(&self, api: &Api) -> Reply {
        let mut request = api.anonymous(Method::POST, &format!("/v1/webhooks/{}", self.tenant));
        for (name, value) in &self.headers {
            request = request.header(*name, value.as_slice());
        }
        send(request.body(self.body.clone())).await
    }
}

/// Every way to sign badly.
fn forgeries(good: &Wire, secret: &Secret, foreign: &Secret, body: &Value) -> Vec<(String, Wire)> {
    let signature = good.value("webhook-signature");
    let base64 = signature.strip_prefix("v1,").expect("version 1").to_owned();
    let mut all: Vec<(String, Wire)> = vec![
        ("unsigned".into(), Wire { headers: vec![], ..good.clone() }),
        ("another tenant's secret".into(), Wire::signed_at(foreign, now(), body)),
        ("a secret of nobody".into(), Wire::signed_at(&Secret::from_bytes([9; 32]), now(), body)),
        ("stale".into(), Wire::signed_at(secret, now() - 310, body)),
        ("from the future".into(), Wire::signed_at(secret, now() + 310, body)),
        ("from 1970".into(), Wire::signed_at(secret, 1, body)),
        ("another tenant's address".into(), good.to("other")),
        ("no tenant's address".into(), good.to("nobody")),
        ("no address".into(), good.to("No%20Tenant")),
        ("an empty body".into(), Wire { body: vec![], ..good.clone() }),
        ("a body with a space more".into(), Wire { body: [&good.body[..], b" "].concat(), ..good.clone() }),
        ("another id".into(), good.with("webhook-id", "msg_wire2")),
        ("an id with a dot".into(), good.with("webhook-id", "msg.wire")),
        ("a long id".into(), good.with("webhook-id", "m".repeat(65))),
        ("another second".into(), good.with("webhook-timestamp", (now() - 1).to_string())),
    ];
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        all.push((format!("no {name}"), good.without(name)));
        all.push((format!("{name} twice"), good.twice(name)));
        all.push((format!("an empty {name}"), good.with(name, "")));
        all.push((format!("a {name} that is no text"), good.with(name, b"\xff\xfe")));
    }
    let timestamp = good.value("webhook-timestamp");
    for text in [format!("+{timestamp}"), format!("0{timestamp}"), format!("{timestamp}.0"), "-1".into(), "1e9".into()]
    {
        all.push((format!("the timestamp {text}"), good.with("webhook-timestamp", text)));
    }
    for text in [
        "v1".into(),
        "v1,".into(),
        "v1,AAAA".into(),
        "nothing".into(),
        base64.clone(),
        format!("v2,{base64}"),
        format!("v1a,{base64}"),
        format!("V1,{base64}"),
        format!("v1,{}", base64.trim_end_matches('=')),
        vec![signature.clone(); 6].join(" "),
        vec![signature; 1_000].join(" "),
    ] {
        all.push((format!("the signature {text:.40}"), good.with("webhook-signature", text)));
    }
    all
}

#[tokio::test]
async fn every_bad_signature_is_answered_with_the_same_bytes() {
    let desk = Desk::new(&[]).await;
    let foreign = desk.host.tenant("other").secret().await;
    let pause = desk.open(&json!({})).await;
    let mut answers: Vec<(String, Reply)> = vec![];
    // Whether the pause exists, and whether the body is any good, is not to be learned without a secret.
    for body in [
        addressed(&pause, &json!({"decision": "approved"})),
        addressed(&format!("exec_{}:only", "0".repeat(32)), &json!({"decision": "approved"})),
        json!({"nonsense": true}),
    ] {
        let good = Wire::signed_at(&desk.secret, now(), &body);
        for (what, wire) in forgeries(&good, &desk.secret, &foreign, &body) {
            answers.push((format!("{what}, for {body}"), wire.send(&desk.api).await));
        }
    }
    let first = answers[0].1.clone();
    assert_eq!(first.code(), "invalid_signature");
    for (what, reply) in &answers {
        assert_eq!(reply.status, 401, "{what}: {}", reply.body);
        assert_eq!(reply.bytes, first.bytes, "{what}");
        let shown = |reply: &Reply| {
            let mut headers = reply.headers.clone();
            headers.remove("date");
            headers
        };
        assert_eq!(shown(reply), shown(&first), "{what}");
    }
    assert_eq!(desk.pause(&pause).await["status"], "open", "no forgery decides");
    let good = Wire::signed_at(&desk.secret, now(), &addressed(&pause, &json!({"decision": "approved"})));
    assert_eq!(good.send(&desk.api).await.expect(200)["outcome"], "accepted", "the one that they were made from");
    desk.host.assert_unharmed();
}

#[tokio::test]
async fn a_clock_may_be_five_minutes_off_and_one_good_signature_of_five_is_enough() {
    let desk = Desk::new(&[]).await;
    for timestamp in [now() - 290, now() + 290] {
        let pause = desk.open(&json!({})).await;
        let wire = Wire::signed_at(&desk.secret, timestamp, &addressed(&pause, &json!({"decision": "approved"})));
        // Each pause gets the same webhook-id, with another body.
        let reply = wire.send(&desk.api).await;
        let expected = if timestamp < now() { (200, "") } else { (409, "webhook_id_reused") };
        assert_eq!((reply.status, reply.code()), expected, "{}", reply.body);
    }
    let pause = desk.open(&json!({})).await;
    let body = addressed(&pause, &json!({"decision": "approved"})).to_string();
    let (time, id) = (now(), "msg_many");
    let others = (0..4).map(|n| sign(&Secret::from_bytes([n; 32]), id, time, body.as_bytes()));
    let mut signatures: Vec<String> = others.collect();
    signatures.push(sign(&desk.secret, id, time, body.as_bytes()));
    let wire = Wire {
        tenant: "default".into(),
        headers: vec![
            ("webhook-id", id.into()),
            ("webhook-timestamp", time.to_string().into()),
            ("webhook-signature", signatures.join(" ").into()),
        ],
        body: body.into(),
    };
    assert_eq!(wire.send(&desk.api).await.expect(200)["outcome"], "accepted");
}

#[tokio::test]
async fn secrets_are_rotated_by_having_two_in_force_and_revoking_the_old_one() {
    let desk = Desk::new(&[]).await;
    let old_id = desk.api.get("/v1/secrets").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    let made = desk.api.post("/v1/secrets", &json!({"name": "new"})).await.expect(201);
    let new: Secret = made["secret"].as_str().unwrap().parse().unwrap();
    let approve = |pause: &str| addressed(pause, &json!({"decision": "approved"}));
    for (n, secret) in [&desk.secret, &new].into_iter().enumerate() {
        let pause = desk.open(&json!({})).await;
        let reply = desk.api.webhook("default", secret, &format!("both_{n}"), &approve(&pause)).await.expect(200);
        assert_eq!(reply["outcome"], "accepted", "while both are in force");
    }

    let revoked = send(desk.api.request(Method::DELETE, &format!("/v1/secrets/{old_id}"))).await;
    assert_eq!((revoked.status, revoked.bytes.len()), (204, 0));
    let again = send(desk.api.request(Method::DELETE, &format!("/v1/secrets/{old_id}"))).await;
    assert_eq!((again.status, again.code()), (404, "secret_not_found"));
    let pause = desk.open(&json!({})).await;
    let refused = desk.api.webhook("default", &desk.secret, "old", &approve(&pause)).await;
    assert_eq!((refused.status, refused.code()), (401, "invalid_signature"));
    assert_eq!(desk.pause(&pause).await["status"], "open");
    let accepted = desk.api.webhook("default", &new, "new", &approve(&pause)).await.expect(200);
    assert_eq!(accepted["outcome"], "accepted");
    let listed = desk.api.get("/v1/secrets").await.expect(200);
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("secret");
    let expected = json!([expected]);
    assert_eq!(listed["items"], expected, "the secret itself is shown once only");
}

#[tokio::test]
async fn a_tenant_has_at_most_ten_secrets_in_force() {
    let desk = Desk::new(&[]).await;
    let mut last = Value::Null;
    for n in 1..10 {
        last = desk.api.post("/v1/secrets", &json!({"name": format!("number {n}")})).await.expect(201);
    }
    let reply = desk.api.post("/v1/secrets", &json!({})).await;
    assert_eq!((reply.status, reply.code()), (400, "invalid_request"));
    let path = format!("/v1/secrets/{}", last["id"].as_str().unwrap());
    assert_eq!(send(desk.api.request(Method::DELETE, &path)).await.status, 204);
    desk.api.post("/v1/secrets", &json!({})).await.expect(201);
}
