//! What browsers are told.

use countersign_tests::Reply;
use countersign_tests::api::send;
use reqwest::Method;
use serde_json::json;

use super::{Door, rest};

const APP: &str = "https://app.example";

async fn from_origin(door: &Door, method: Method, path: &str, origin: &str) -> Reply {
    send(door.api.request(method, path).header("origin", origin)).await
}

fn allows(reply: &Reply) -> Option<&str> {
    reply.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn no_other_sites_script_may_use_the_api_unless_it_is_named() {
    let door = Door::new(&[]).await;
    for path in ["/v1/agents", "/healthz", "/openapi.json"] {
        let reply = from_origin(&door, Method::GET, path, APP).await;
        assert_eq!((reply.status, allows(&reply)), (200, None), "{path}");
        let asked = from_origin(&door, Method::OPTIONS, path, APP).await;
        assert_eq!((asked.status, allows(&asked)), (405, None), "{path}");
    }
}

#[tokio::test]
async fn a_site_that_is_named_may_use_the_api_and_not_the_pages() {
    let door = Door::new(&[("COUNTERSIGN_CORS_ORIGINS", "https://app.example,http://localhost:3000")]).await;
    for origin in [APP, "http://localhost:3000"] {
        let reply = from_origin(&door, Method::GET, "/v1/agents", origin).await;
        assert_eq!((reply.status, allows(&reply)), (200, Some(origin)));
        assert!(!reply.headers.contains_key("access-control-allow-credentials"));
        assert!(reply.headers["vary"].to_str().unwrap().contains("origin"));
        let asked = from_origin(&door, Method::OPTIONS, "/v1/executions/x/cancel", origin).await;
        assert_eq!((asked.status, allows(&asked)), (200, Some(origin)));
        let headers = asked.headers["access-control-allow-headers"].to_str().unwrap();
        for header in ["authorization", "content-type", "idempotency-key"] {
            assert!(headers.contains(header), "{headers}");
        }
        assert_eq!(asked.headers["x-content-type-options"], "nosniff");
        let wrong = send(door.api.anonymous(Method::GET, "/v1/agents").header("origin", origin)).await;
        assert_eq!((wrong.status, allows(&wrong)), (401, Some(origin)), "a script can read what is wrong");
    }
    let others = [
        "https://app.example.evil.example",
        "http://app.example",
        "https://app.example:8443",
        "null",
        "https://APP.example",
    ];
    for origin in others {
        let reply = from_origin(&door, Method::GET, "/v1/agents", origin).await;
        assert_eq!((reply.status, allows(&reply)), (200, None), "{origin}");
    }
    for path in ["/r/style.css", "/r/nothing"] {
        let page = from_origin(&door, Method::GET, path, APP).await;
        assert_eq!(allows(&page), None, "{path}");
        assert_eq!(from_origin(&door, Method::OPTIONS, path, APP).await.status, 405, "{path}");
    }
}

#[tokio::test]
async fn every_kind_of_answer_has_the_headers_that_keep_browsers_from_harm() {
    let door = Door::new(&[("COUNTERSIGN_CORS_ORIGINS", APP), ("COUNTERSIGN_HTTP_PATIENCE_MS", "2000")]).await;
    let api = &door.api;
    let long = format!("/{}", "a".repeat(9_000));
    let answers = [
        ("a list", 200, api.get("/v1/agents").await),
        ("health", 200, send(api.anonymous(Method::GET, "/healthz")).await),
        ("the document", 200, api.get("/openapi.json").await),
        ("what is asked before", 200, from_origin(&door, Method::OPTIONS, "/v1/agents", APP).await),
        ("bad JSON", 400, api.post("/v1/keys", &json!([])).await),
        ("no key", 401, send(api.anonymous(Method::GET, "/v1/agents")).await),
        ("no right", 403, api.role("runner").await.get("/v1/keys").await),
        ("no route", 404, api.get("/nowhere").await),
        ("no page", 404, send(api.anonymous(Method::GET, "/r/nothing")).await),
        ("no method", 405, api.post("/healthz", &json!({})).await),
        ("a style", 200, send(api.anonymous(Method::GET, "/r/style.css")).await),
        ("too large", 413, send(api.anonymous(Method::POST, "/v1/webhooks/default").body(vec![b' '; 1 << 20])).await),
        ("too long", 414, api.get(&long).await),
        ("another type", 415, send(api.request(Method::POST, "/v1/keys").body("{}")).await),
    ];
    for (what, status, reply) in &answers {
        assert_eq!(reply.status, *status, "{what}: {}", reply.body);
        let header = |name: &str| reply.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(header("cache-control"), "no-store", "{what}");
        assert_eq!(header("x-frame-options"), "DENY", "{what}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{what}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{what}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{what}: {policy}");
        assert!(!policy.contains("unsafe"), "{what}: {policy}");
        assert!(!reply.headers.contains_key("strict-transport-security"), "{what}: there is no TLS");
        assert!(!reply.headers.contains_key("server") && !reply.headers.contains_key("x-powered-by"), "{what}");
    }
    assert!(answers[12].2.message().contains("8192"), "{}", answers[12].2.message());

    // What never gets as far as a route.
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "a".repeat(100_000));
    for (request, status, code) in [
        ("hello\r\n\r\n", 400, "invalid_request"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "invalid_request"),
        (&many, 431, "headers_too_large"),
        (&large, 431, "headers_too_large"),
    ] {
        let answer = rest(&mut door.sent(request.as_bytes()).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        for header in ["x-content-type-options: nosniff", "cache-control: no-store", "content-type: application/json"] {
            assert!(head.contains(header), "{answer}");
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["error"]["code"], &body["error"]["blame"]), (&json!(code), &json!("client")));
    }
}

#[tokio::test]
async fn where_browsers_use_tls_they_are_told_to_use_nothing_else() {
    let door = Door::new(&[("COUNTERSIGN_PUBLIC_URL", "https://countersign.example")]).await;
    for path in ["/healthz", "/r/nothing", "/nowhere"] {
        let reply = send(door.api.anonymous(Method::GET, path)).await;
        assert_eq!(reply.headers["strict-transport-security"], "max-age=31536000", "{path}");
    }
}
