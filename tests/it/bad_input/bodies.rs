//! Bodies that are no JSON, or not the right JSON.

use countersign::signature::{Secret, sign};
use countersign_tests::api::{now, send};
use countersign_tests::{Api, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Victim, assert_refused, deep, not_texts, shown};

/// The routes that take JSON with a key, and a good body of each.
fn routes(pause: &str) -> Vec<(String, Value)> {
    vec![
        ("/v1/executions".into(), json!({"target": "testbed.echo", "input": 1})),
        ("/v1/keys".into(), json!({"name": "n", "role": "reviewer"})),
        ("/v1/secrets".into(), json!({"name": "n"})),
        (format!("/v1/pauses/{pause}/decision"), json!({"decision": "approved"})),
    ]
}

async fn post(api: &Api, path: &str, body: impl Into<Vec<u8>>) -> Reply {
    let request = api.request(Method::POST, path).header("content-type", "application/json");
    send(request.body(body.into())).await
}

async fn webhook(api: &Api, secret: &Secret, id: &str, body: &[u8]) -> Reply {
    let request = api.anonymous(Method::POST, "/v1/webhooks/default").header("webhook-id", id);
    let request = request.header("webhook-timestamp", now()).header("webhook-signature", sign(secret, id, now(), body));
    send(request.body(body.to_vec())).await
}

async fn open_pause(victim: &Victim) -> String {
    let id = victim.api.start("testbed.pause_once", &json!({})).await;
    victim.api.paused(&id, "only").await
}

fn no_json(good: &Value) -> Vec<Vec<u8>> {
    let good = good.to_string();
    let mut all: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "nul",
        "'a'",
        "{'a':1}",
        "{\"a\":}",
        "{\"a\"}",
        "{a:1}",
        "{,}",
        "\"",
        "\u{0}",
        "NaN",
        "-",
        "01",
        "// comment\n{}",
        "<xml/>",
        "a=b",
        "\u{feff}{}",
    ]
    .map(Into::into)
    .into();
    all.push(format!("{good}{good}").into());
    all.push(format!("{good},").into());
    all.push(good.replace('}', ",}").into());
    all.push(good.replace('"', "\"\u{1}").into());
    all.push([good.as_bytes(), b"\0"].concat());
    all.push(good.replace("\":", "\":\"\\x\",\"z\":").into());
    all.push(good.encode_utf16().flat_map(u16::to_le_bytes).collect());
    all.extend((1..good.len()).map(|length| good.as_bytes()[..length].to_vec()));
    all
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let victim = Victim::new().await;
    let (pause, secret) = (open_pause(&victim).await, victim.api.secret().await);
    let mut count = 0;
    for (path, good) in routes(&pause) {
        for body in no_json(&good) {
            let reply = post(&victim.api, &path, body.clone()).await;
            assert_refused(&reply, 400, "invalid_json", &format!("{path} {}", shown(&body)));
            count += 1;
        }
    }
    for body in no_json(&json!({"pause_id": pause, "decision": "approved"})) {
        let reply = webhook(&victim.api, &secret, "msg", &body).await;
        assert_refused(&reply, 400, "invalid_json", &format!("a webhook of {}", shown(&body)));
        count += 1;
    }
    assert!(count > 300, "{count}");
    assert_eq!(victim.api.get(&format!("/v1/pauses/{pause}")).await.expect(200)["status"], "open");
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn json_that_is_not_the_right_one_is_refused() {
    let victim = Victim::new().await;
    let (pause, secret) = (open_pause(&victim).await, victim.api.secret().await);
    let mut cases: Vec<(String, String)> = vec![];
    for (path, good) in routes(&pause) {
        for other in ["null", "1", "\"x\"", "true", "[1,2,3,4,5,6,7,8,9]", "[[]]", "1e999"] {
            cases.push((path.clone(), other.into()));
        }
        // Its values without their names.
        let values: Vec<_> = good.as_object().unwrap().values().collect();
        cases.push((path.clone(), json!(values).to_string()));
        for unknown in ["x", "Name", "tenant", "id", "", "\u{0}", "__proto__"] {
            let mut body = good.clone();
            body[unknown] = json!(1);
            cases.push((path.clone(), body.to_string()));
        }
        for (field, value) in good.as_object().unwrap() {
            let twice = good.to_string().replacen('{', &format!("{{\"{field}\":{value},"), 1);
            cases.push((path.clone(), twice));
            // `input` takes any JSON, and the name of a secret may be absent.
            let optional = path == "/v1/secrets";
            for wrong in not_texts().into_iter().filter(|wrong| field != "input" && !(optional && wrong.is_null())) {
                let mut body = good.clone();
                body[field] = wrong;
                cases.push((path.clone(), body.to_string()));
            }
            if field != "input" && !optional {
                let mut body = good.clone();
                body.as_object_mut().unwrap().remove(field);
                cases.push((path.clone(), body.to_string()));
            }
        }
        cases.push((path.clone(), deep(100_000)));
        cases.push((path.clone(), format!("{{\"x\":{}}}", deep(100_000))));
    }
    for (path, body) in &cases {
        let reply = post(&victim.api, path, body.clone()).await;
        assert_refused(&reply, 400, "invalid_request", &format!("{path} {}", shown(body.as_bytes())));
    }
    for body in ["null", "[]", "1", "{}", "{\"decision\":\"approved\"}", &deep(100_000)] {
        let reply = webhook(&victim.api, &secret, "msg", body.as_bytes()).await;
        assert_refused(&reply, 400, "invalid_request", &format!("a webhook of {}", shown(body.as_bytes())));
    }
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn a_target_must_name_a_function_that_there_is_and_its_input_fit() {
    let victim = Victim::new().await;
    let long = format!("{}.echo", "a".repeat(65));
    for target in [
        "",
        ".",
        "testbed",
        "testbed.",
        ".echo",
        "testbed.echo.x",
        "Testbed.echo",
        "testbed.Echo",
        " testbed.echo",
        "a\u{0}.b",
        "ä.b",
        "a..b",
        "a/b.c",
        "💥.b",
        "' or 1=1.x",
        &long,
    ] {
        let reply = victim.api.post("/v1/executions", &json!({"target": target})).await;
        assert_refused(&reply, 400, "invalid_request", target);
    }
    for (target, code) in [
        ("nobody.echo", "agent_not_found"),
        ("testbed2.echo", "agent_not_found"),
        ("testbed.nothing", "function_not_found"),
        ("testbed.describe", "function_not_found"),
        ("testbed.run", "function_not_found"),
    ] {
        assert_refused(&victim.api.post("/v1/executions", &json!({"target": target})).await, 404, code, target);
    }
    for (function, input) in [
        ("pauses", json!(null)),
        ("pauses", json!({})),
        ("pauses", json!({"n": "1"})),
        ("pauses", json!({"n": -1})),
        ("pauses", json!({"n": 1.5})),
        ("pauses", json!({"n": null})),
        ("pauses", json!([1])),
        ("pause_once", json!({"choices": "ship"})),
        ("pause_once", json!({"choices": [1]})),
        ("pause_once", json!({"expires_in_ms": "soon"})),
        ("pause_once", json!({"unknown": 1})),
        ("wait", json!({"timeout_ms": 1})),
        ("call", json!({"target": 1, "input": 1})),
    ] {
        let body = json!({"target": format!("testbed.{function}"), "input": input});
        let reply = victim.api.post("/v1/executions", &body).await;
        assert_refused(&reply, 422, "invalid_input", &body.to_string());
        assert!(reply.body["error"]["message"].as_str().unwrap().starts_with("`input`"), "{}", reply.body);
    }
    assert_eq!(victim.api.get("/v1/executions").await.expect(200)["items"], json!([]), "none was started");
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn what_is_too_long_or_too_deep_is_refused_and_what_is_just_not_is_taken() {
    let victim = Victim::new().await;
    let pause = open_pause(&victim).await;
    let decision = format!("/v1/pauses/{pause}/decision");
    let mib = 1 << 20;
    let echo = |input: &str| format!("{{\"target\":\"testbed.echo\",\"input\":{input}}}");
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let name = |bytes: usize| json!({"name": "n".repeat(bytes), "role": "reviewer"}).to_string();
    let decide = |field: &str, value: &str| format!("{{\"decision\":\"approved\",\"{field}\":{value}}}");
    for (path, body, status, code) in [
        ("/v1/executions", echo(&text(mib + 1)), 413, "too_large"),
        ("/v1/executions", echo(&text(2 * mib)), 413, "too_large"),
        ("/v1/executions", " ".repeat(8 * mib), 413, "too_large"),
        ("/v1/executions", echo(&deep(100_000)), 400, "invalid_request"),
        ("/v1/executions", echo(&deep(500)), 400, "invalid_request"),
        ("/v1/executions", echo(&"[".repeat(100_000)), 400, "invalid_json"),
        ("/v1/executions", echo("\"\\ud800\""), 400, "invalid_request"),
        ("/v1/executions", echo("1e999"), 400, "invalid_request"),
        ("/v1/executions", json!({"target": "t".repeat(mib)}).to_string(), 400, "invalid_request"),
        ("/v1/keys", name(129), 400, "invalid_request"),
        ("/v1/keys", name(mib), 400, "invalid_request"),
        ("/v1/keys", name(0), 400, "invalid_request"),
        ("/v1/keys", json!({"name": " \n", "role": "reviewer"}).to_string(), 400, "invalid_request"),
        ("/v1/keys", json!({"name": "a\u{0}", "role": "reviewer"}).to_string(), 400, "invalid_request"),
        ("/v1/keys", json!({"name": "n", "role": "root"}).to_string(), 400, "invalid_request"),
        ("/v1/keys", json!({"name": "n", "role": "runner", "expires_in_days": 0}).to_string(), 400, "invalid_request"),
        ("/v1/keys", json!({"name": "n", "role": "runner", "expires_in_days": -1}).to_string(), 400, "invalid_request"),
        (
            "/v1/keys",
            json!({"name": "n", "role": "runner", "expires_in_days": 3_654}).to_string(),
            400,
            "invalid_request",
        ),
        (
            "/v1/keys",
            json!({"name": "n", "role": "runner", "expires_in_days": 1.5}).to_string(),
            400,
            "invalid_request",
        ),
        ("/v1/secrets", json!({"name": "s".repeat(129)}).to_string(), 400, "invalid_request"),
        ("/v1/secrets", json!({"name": "\u{0}"}).to_string(), 400, "invalid_request"),
        (&decision, json!({"decision": "d".repeat(65)}).to_string(), 400, "invalid_request"),
        (&decision, json!({"decision": "a\u{0}"}).to_string(), 400, "invalid_request"),
        (&decision, decide("feedback", &text((64 << 10) + 3)), 400, "invalid_request"),
        (&decision, decide("feedback", "\"\\u0000\""), 400, "invalid_request"),
        (&decision, decide("feedback", "\"\\ud800\""), 400, "invalid_request"),
        (&decision, decide("response", &text(mib + 1)), 413, "too_large"),
        (&decision, decide("response", &deep(100_000)), 400, "invalid_request"),
    ] {
        let reply = post(&victim.api, path, body.clone()).await;
        assert_refused(&reply, status, code, &format!("{path} {}", shown(body.as_bytes())));
    }
    for input in [text(mib), deep(100), "\"\\u0000\"".into(), "-0.0e-5".into(), "{\"a\":1,\"a\":2}".into()] {
        let started = post(&victim.api, "/v1/executions", echo(&input)).await.expect(202);
        let execution = victim.api.finished(started["id"].as_str().unwrap()).await;
        assert_eq!(execution["status"], "succeeded", "{:.300}", execution["error"]);
    }
    post(&victim.api, "/v1/keys", name(128)).await.expect(201);
    post(&victim.api, &decision, decide("response", &text(mib))).await.expect(200);
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn a_webhook_within_its_signature_is_checked_like_any_other_body() {
    let victim = Victim::new().await;
    let (pause, secret) = (open_pause(&victim).await, victim.api.secret().await);
    let with = |field: &str, value: Value| {
        let mut body = json!({"pause_id": pause, "decision": "approved"});
        body[field] = value;
        body.to_string()
    };
    let large = format!("{{\"decision\":\"{}\"}}", "x".repeat(256 << 10));
    for (body, status, code) in [
        (with("reviewer", json!("r".repeat(257))), 400, "invalid_request"),
        (with("reviewer", json!("\u{0}")), 400, "invalid_request"),
        (with("feedback", json!("f".repeat((64 << 10) + 1))), 400, "invalid_request"),
        (with("decision", json!("d".repeat(65))), 400, "invalid_request"),
        (with("response", json!("x".repeat(200 << 10))).replace("\"x", "\"\\ud800"), 400, "invalid_request"),
        (with("pause_id", json!("\u{0}")), 404, "pause_not_found"),
        (large, 413, "too_large"),
    ] {
        let reply = webhook(&victim.api, &secret, "msg", body.as_bytes()).await;
        assert_refused(&reply, status, code, &shown(body.as_bytes()));
    }
    let encoded = victim.api.anonymous(Method::POST, "/v1/webhooks/default").header("content-encoding", "gzip");
    assert_refused(&send(encoded.body("x")).await, 415, "unsupported_media_type", "a compressed webhook");
    assert_eq!(victim.api.get(&format!("/v1/pauses/{pause}")).await.expect(200)["status"], "open");
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn json_must_be_called_json_and_come_plain() {
    let victim = Victim::new().await;
    let pause = open_pause(&victim).await;
    for (path, good) in routes(&pause) {
        let request = || victim.api.request(Method::POST, &path).body(good.to_string());
        let reply = send(request()).await;
        assert_refused(&reply, 415, "unsupported_media_type", &format!("{path} without a type"));
        for kind in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "json",
            "application/jsonx",
            "application/wasm",
            "application",
            "/",
            "application/json+x",
            "*/*",
        ] {
            let reply = send(request().header("content-type", kind)).await;
            assert_refused(&reply, 415, "unsupported_media_type", &format!("{path} as {kind}"));
        }
        for encoding in ["gzip", "br", "identity", "x"] {
            let request = request().header("content-type", "application/json").header("content-encoding", encoding);
            let reply = send(request).await;
            assert_refused(&reply, 415, "unsupported_media_type", &format!("{path} as {encoding}"));
        }
    }
    let echo = json!({"target": "testbed.echo"}).to_string();
    for kind in ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;x=y"] {
        let request = victim.api.request(Method::POST, "/v1/executions").header("content-type", kind);
        send(request.body(echo.clone())).await.expect(202);
    }
    victim.assert_unharmed().await;
}
