//! Paths, queries and headers that mean nothing.

use countersign_tests::api::send;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Victim, assert_refused, nowhere};

/// Ids that no thing has, as they stand in a path.
fn odd_ids() -> Vec<String> {
    let hex = "0123456789abcdef0123456789abcdef";
    let mut all: Vec<String> = [
        "x",
        "0",
        "-1",
        "null",
        "exec_",
        "exec_1",
        "EXEC_0",
        "%20",
        "%00",
        "a%00b",
        "%0D%0A",
        "%27%20or%201=1--",
        "%2E%2E%2F",
        "%2Fv1%2Fkeys",
        "%25",
        "%F0%9F%A6%80",
        "%E2%80%AE",
        "*",
        "a,b",
        "a;b",
        "(select)",
        "$1",
        "{id}",
        "~",
        "exec_:",
        ":",
        "::",
        "%3A",
        "undefined",
    ]
    .map(Into::into)
    .into();
    all.extend([
        format!("exec_{}", &hex[1..]),
        format!("exec_{hex}0"),
        format!("exec_{}", hex.to_uppercase()),
        format!("exec_{hex}%20"),
        format!("%20exec_{hex}"),
        format!("exec_{}g", &hex[1..]),
        "x".repeat(5_000),
    ]);
    all
}

#[tokio::test]
async fn an_odd_id_is_not_found_in_the_same_words_as_an_unknown_one() {
    let victim = Victim::new().await;
    let pause = format!("{}:x", nowhere());
    let mut count = 0;
    for (method, path, unknown, code) in [
        (Method::GET, "/v1/executions/ID", nowhere(), "execution_not_found"),
        (Method::GET, "/v1/executions/ID/journal", nowhere(), "execution_not_found"),
        (Method::GET, "/v1/executions/ID/logs", nowhere(), "execution_not_found"),
        (Method::GET, "/v1/executions/ID/events", nowhere(), "execution_not_found"),
        (Method::POST, "/v1/executions/ID/cancel", nowhere(), "execution_not_found"),
        (Method::GET, "/v1/pauses/ID", pause.clone(), "pause_not_found"),
        (Method::POST, "/v1/pauses/ID/decision", pause, "pause_not_found"),
        (Method::DELETE, "/v1/keys/ID", "00000000".into(), "key_not_found"),
        (Method::DELETE, "/v1/secrets/ID", "sec_0".into(), "secret_not_found"),
    ] {
        let call = async |id: &str| {
            let path = path.replace("ID", id);
            let request = victim.api.request(method.clone(), &path);
            send(if path.ends_with("decision") { request.json(&json!({"decision": "approved"})) } else { request })
                .await
        };
        let first = call(&unknown).await;
        assert_refused(&first, 404, code, path);
        for id in odd_ids() {
            let reply = call(&id).await;
            assert_refused(&reply, 404, code, &format!("{method} {path} of {id:.60}"));
            assert_eq!(reply.bytes, first.bytes, "{method} {path} of {id:.60}");
            count += 1;
        }
    }
    assert!(count > 300, "{count}");
    for version in ["0", "-1", "2", "x", "1.0", "%00", "+1x", "2147483648", "99999999999999999999", "%F0%9F%A6%80"] {
        let path = format!("/v1/agents/testbed/versions/{version}/activate");
        assert_refused(&victim.api.post(&path, &Value::Null).await, 404, "version_not_found", version);
    }
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused() {
    let victim = Victim::new().await;
    for (method, path) in [
        (Method::GET, "/v1/agents/%FF"),
        (Method::PUT, "/v1/agents/a%C3"),
        (Method::GET, "/v1/agents/%FF/versions"),
        (Method::POST, "/v1/agents/testbed/versions/%FE/activate"),
        (Method::GET, "/v1/executions/exec_%80"),
        (Method::GET, "/v1/executions/%FF/journal"),
        (Method::GET, "/v1/executions/%FF/logs"),
        (Method::GET, "/v1/executions/%FF/events"),
        (Method::POST, "/v1/executions/%FF/cancel"),
        (Method::GET, "/v1/pauses/%FF"),
        (Method::POST, "/v1/pauses/%FF/decision"),
        (Method::DELETE, "/v1/keys/%FF"),
        (Method::DELETE, "/v1/secrets/%ED%A0%80"),
        (Method::POST, "/v1/webhooks/%FF"),
    ] {
        let request = victim.api.request(method.clone(), path).json(&json!({"decision": "approved"}));
        assert_refused(&send(request).await, 400, "invalid_request", &format!("{method} {path}"));
    }
    victim.assert_unharmed().await;
}

/// Queries that no list takes.
fn bad_queries() -> Vec<String> {
    let mut queries: Vec<String> = [
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=",
        "limit=x",
        "limit=1.5",
        "limit=1e1",
        "limit=%00",
        "limit=+1x",
        "limit=99999999999999999999",
        "limit=1&limit=2",
        "limit",
        "Limit=1",
        "unknown=1",
        "offset=1",
        "status=x%00",
        "&x",
        "status=Open",
        "page=2",
        "limit[]=1",
        "after=x&after=y",
    ]
    .map(Into::into)
    .into();
    // No list of those that have pages gives such a `next`.
    for cursor in [
        "",
        "%00",
        "x%00",
        ".",
        "..",
        "-",
        "1.2.3.4",
        "1.",
        ".1",
        "x.y",
        "x.y.z",
        "1.5x",
        "%F0%9F%A6%80",
        "99999999999999999999999",
        "1.exec_0",
        "NaN",
        "A",
        "-.-",
        "' or 1=1",
        "%FF",
    ] {
        queries.push(format!("after={cursor}"));
    }
    queries.push(format!("after={}", "9".repeat(5_000)));
    queries
}

#[tokio::test]
async fn a_query_that_means_nothing_is_refused() {
    let victim = Victim::new().await;
    let id = victim.api.start("testbed.log", &json!({"lines": 1})).await;
    victim.api.finished(&id).await;
    let lists = [
        "/v1/agents".to_owned(),
        "/v1/agents/testbed/versions".into(),
        "/v1/executions".into(),
        format!("/v1/executions/{id}/journal"),
        format!("/v1/executions/{id}/logs"),
        "/v1/pauses".into(),
    ];
    for path in &lists {
        for query in &bad_queries() {
            let reply = victim.api.get(&format!("{path}?{query}")).await;
            assert_refused(&reply, 400, "invalid_request", &format!("{path}?{query:.60}"));
        }
    }
    for (path, code, status) in [
        ("/v1/executions?agent=Not%20a%20name", "invalid_request", 400),
        ("/v1/executions?agent=", "invalid_request", 400),
        ("/v1/executions?status=open", "invalid_request", 400),
        ("/v1/executions?status=", "invalid_request", 400),
        ("/v1/pauses?status=waiting", "invalid_request", 400),
        ("/v1/pauses?execution=x", "execution_not_found", 404),
        ("/v1/pauses?execution=%00", "execution_not_found", 404),
    ] {
        assert_refused(&victim.api.get(path).await, status, code, path);
    }
    victim.assert_unharmed().await;
}

/// Times that chrono can hold, but Postgres cannot, or only just.
#[tokio::test]
async fn a_cursor_at_the_end_of_time_is_an_empty_page_or_refused() {
    let victim = Victim::new().await;
    for micros in [
        "-62167219200000000",
        "0",
        "-1",
        "253402300800000000",
        "-210866803200000001",
        "-8334601228800000000",
        "8210266876799999999",
        "8210298412799999999",
        "9223371331200000000",
        "9223372036854775807",
        "-9223372036854775808",
    ] {
        for path in [
            format!("/v1/executions?after={micros}.{}", nowhere()),
            format!("/v1/pauses?after={micros}.{}.x", nowhere()),
        ] {
            let reply = victim.api.get(&path).await;
            if reply.status == 200 {
                assert_eq!(reply.body["items"], json!([]), "{path}");
            } else {
                assert_refused(&reply, 400, "invalid_request", &path);
            }
        }
    }
    for path in ["journal", "logs", "events"] {
        let id = victim.api.start("testbed.log", &json!({"lines": 1})).await;
        victim.api.finished(&id).await;
        let (least, most) = (i32::MIN, i32::MAX);
        for after in [format!("{least}"), format!("{most}"), format!("{least}.{most}"), format!("{most}.{least}")] {
            let request = victim.api.request(Method::GET, &format!("/v1/executions/{id}/{path}?limit=1"));
            let reply = match path {
                "events" => send(request.header("last-event-id", format!("{after}.{after}"))).await,
                _ => victim.api.get(&format!("/v1/executions/{id}/{path}?after={after}")).await,
            };
            assert!(matches!(reply.status, 200 | 400), "{path} {after}: {}", reply.status);
        }
    }
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn a_header_that_means_nothing_is_refused() {
    let victim = Victim::new().await;
    let request = || victim.api.request(Method::POST, "/v1/executions").json(&json!({"target": "testbed.echo"}));
    for key in ["", " ", "a b", "a\tb", &"k".repeat(129), &"k".repeat(5_000)] {
        let reply = send(request().header("idempotency-key", key)).await;
        assert_refused(&reply, 400, "invalid_request", &format!("the key {key:.40}"));
    }
    let reply = send(request().header("idempotency-key", "ä".as_bytes())).await;
    assert_refused(&reply, 400, "invalid_request", "a key that is not ASCII");
    let reply = send(request().header("idempotency-key", "a").header("idempotency-key", "a")).await;
    assert_refused(&reply, 400, "invalid_request", "two keys");
    for prefer in ["wait=", "wait=x", "wait=-1", "wait=1.5", "wait=1s", "wait=99999999999999999999", "wait= 1"] {
        assert_refused(&send(request().header("prefer", prefer)).await, 400, "invalid_request", prefer);
    }
    assert_eq!(victim.api.get("/v1/executions").await.expect(200)["items"], json!([]), "none was started");
    victim.assert_unharmed().await;
}
