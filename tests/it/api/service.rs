//! The service itself: its health, what it counts, and how it describes itself.

use std::collections::BTreeSet;

use countersign_tests::api::send;
use countersign_tests::build::root;
use reqwest::Method;
use serde_json::{Value, json};

use super::Bench;

/// Every route of the host.
const ROUTES: &[&str] = &[
    "DELETE /v1/endpoints/{name}",
    "DELETE /v1/groups/{name}",
    "DELETE /v1/keys/{id}",
    "DELETE /v1/reviewers/{name}",
    "DELETE /v1/secrets/{id}",
    "GET /api/v1/agents/{agent}/executions/{execution_id}/approval-status",
    "GET /api/v1/executions/{execution_id}",
    "GET /api/v1/executions/{execution_id}/approval-status",
    "GET /healthz",
    "GET /metrics",
    "GET /readyz",
    "GET /v1/agents",
    "GET /v1/agents/{agent}",
    "GET /v1/agents/{agent}/versions",
    "GET /v1/audit",
    "GET /v1/audit/export",
    "GET /v1/deliveries",
    "GET /v1/deliveries/{id}",
    "GET /v1/endpoints",
    "GET /v1/endpoints/{name}",
    "GET /v1/executions",
    "GET /v1/executions/{id}",
    "GET /v1/executions/{id}/events",
    "GET /v1/executions/{id}/journal",
    "GET /v1/executions/{id}/logs",
    "GET /v1/groups",
    "GET /v1/groups/{name}",
    "GET /v1/keys",
    "GET /v1/pauses",
    "GET /v1/pauses/{id}",
    "GET /v1/reviewers",
    "GET /v1/reviewers/{name}",
    "GET /v1/secrets",
    "GET /v1/settings/agentfield",
    "PATCH /v1/endpoints/{name}",
    "POST /api/v1/execute/async/{target}",
    "POST /api/v1/execute/{target}",
    "POST /api/v1/executions/{execution_id}/approval-response",
    "POST /api/v1/executions/{execution_id}/cancel",
    "POST /api/v1/webhooks/approval-response",
    "POST /api/v1/webhooks/approval-response/{tenant}",
    "POST /v1/agents/{agent}/versions/{version}/activate",
    "POST /v1/deliveries/{id}/redeliver",
    "POST /v1/endpoints",
    "POST /v1/endpoints/{name}/redeliver",
    "POST /v1/endpoints/{name}/secret",
    "POST /v1/endpoints/{name}/test",
    "POST /v1/executions",
    "POST /v1/executions/{id}/cancel",
    "POST /v1/keys",
    "POST /v1/pauses/{id}/decision",
    "POST /v1/pauses/{id}/links",
    "POST /v1/secrets",
    "POST /v1/webhooks/{tenant}",
    "PUT /v1/agents/{agent}",
    "PUT /v1/groups/{name}",
    "PUT /v1/reviewers/{name}",
    "PUT /v1/settings/agentfield",
    // The only one that does not describe itself.
    "GET /openapi.json",
];

#[tokio::test]
async fn the_document_describes_every_route_and_no_other() {
    let bench = Bench::new().await;
    let reply = send(bench.api.anonymous(Method::GET, "/openapi.json")).await;
    assert_eq!(reply.headers["content-type"], "application/json");
    let document = reply.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let mut described = BTreeSet::from(["GET /openapi.json".to_owned()]);
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let expected: BTreeSet<String> = ROUTES.iter().copied().map(Into::into).collect();
    assert_eq!(described, expected);

    // What the sources route, they document: there is no other way to add a route but one.
    let http = root().join("host/src/http");
    let sources = [http.clone(), http.join("agentfield")].map(|folder| std::fs::read_dir(folder).unwrap());
    let sources = sources.into_iter().flatten().map(|file| file.unwrap().path());
    for file in sources.filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(".route("), "{}: routes are added by routes!(…)", file.display());
    }
}

#[tokio::test]
async fn every_route_takes_its_methods_and_refuses_the_others() {
    let bench = Bench::new().await;
    let paths: BTreeSet<&str> = ROUTES.iter().map(|route| route.split_once(' ').unwrap().1).collect();
    for path in paths {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let wanted = if method == "HEAD" { "GET" } else { method };
            let is_route = ROUTES.contains(&&*format!("{wanted} {path}"));
            let request = bench.api.anonymous(Method::from_bytes(method.as_bytes()).unwrap(), path);
            let reply = send(request).await;
            assert_eq!(reply.status == 405, !is_route, "{method} {path}: {}", reply.status);
            if !is_route {
                // What answers HEAD has no body.
                assert!(method == "HEAD" || reply.code() == "method_not_allowed", "{method} {path}");
                assert!(reply.headers.contains_key("allow"), "{method} {path}");
            }
            assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{method} {path}");
            assert_eq!(reply.headers["cache-control"], "no-store", "{method} {path}");
        }
    }
    for path in ["/", "/v1", "/v1/", "/v1/agents/", "/v2/agents", "/v1/executions/x/y", "/V1/agents", "//v1/agents"] {
        let reply = bench.api.get(path).await;
        assert_eq!((reply.status, reply.code()), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn the_host_says_how_it_is_and_what_it_counted() {
    let bench = Bench::new().await;
    for path in ["/healthz", "/readyz"] {
        let reply = send(bench.api.anonymous(Method::GET, path)).await;
        assert_eq!(reply.expect(200), json!({"status": "ok"}));
    }
    let metric = async |name: &str| {
        let text = bench.host.metrics().await;
        assert!(text.ends_with("# EOF\n"), "OpenMetrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |number| number.parse::<f64>().unwrap())
    };
    assert_eq!(metric("countersign_open_pauses").await, 0.0);
    let id = bench.api.start("testbed.pauses", &json!({"n": 1})).await;
    let pause = bench.api.paused(&id, "p0").await;
    assert_eq!(metric("countersign_open_pauses").await, 1.0);
    assert!(metric("countersign_oldest_pause_seconds").await > 0.0);
    assert_eq!(bench.api.decide(&pause, &json!({"decision": "no"})).await.code(), "invalid_decision");
    for _ in 0..2 {
        bench.api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    }
    bench.api.finished(&id).await;
    for (name, expected) in [
        ("countersign_open_pauses", 0.0),
        ("countersign_oldest_pause_seconds", 0.0),
        ("countersign_decisions_total{outcome=\"accepted\"}", 1.0),
        ("countersign_decisions_total{outcome=\"duplicate\"}", 1.0),
        ("countersign_decisions_total{outcome=\"invalid\"}", 1.0),
        ("countersign_attempts_total{outcome=\"suspended\"}", 1.0),
        ("countersign_attempts_total{outcome=\"settled\"}", 1.0),
    ] {
        countersign_tests::until(name, async || (metric(name).await == expected).then_some(())).await;
    }
}

#[tokio::test]
async fn every_answer_has_the_form_that_the_document_gives_it() {
    let bench = Bench::new().await;
    let document = bench.api.get("/openapi.json").await.expect(200);
    let id = bench.api.start("testbed.pauses", &json!({"n": 1})).await;
    let pause = bench.api.paused(&id, "p0").await;
    bench.api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    bench.api.finished(&id).await;
    let failed = bench.api.start("testbed.fail", &Value::Null).await;
    bench.api.finished(&failed).await;
    bench.api.secret().await;
    let nothing = "/v1/executions/exec_none";
    for (path, operation, status) in [
        ("/v1/agents", "/v1/agents", "200"),
        ("/v1/agents/testbed", "/v1/agents/{agent}", "200"),
        ("/v1/agents/testbed/versions", "/v1/agents/{agent}/versions", "200"),
        ("/v1/executions", "/v1/executions", "200"),
        (&format!("/v1/executions/{id}"), "/v1/executions/{id}", "200"),
        (&format!("/v1/executions/{failed}"), "/v1/executions/{id}", "200"),
        (&format!("/v1/executions/{id}/journal"), "/v1/executions/{id}/journal", "200"),
        (&format!("/v1/executions/{id}/logs"), "/v1/executions/{id}/logs", "200"),
        ("/v1/pauses", "/v1/pauses", "200"),
        (&format!("/v1/pauses/{pause}"), "/v1/pauses/{id}", "200"),
        ("/v1/keys", "/v1/keys", "200"),
        ("/v1/secrets", "/v1/secrets", "200"),
        ("/v1/settings/agentfield", "/v1/settings/agentfield", "200"),
        (&format!("/api/v1/executions/{id}"), "/api/v1/executions/{execution_id}", "200"),
        (&format!("/api/v1/executions/{failed}"), "/api/v1/executions/{execution_id}", "200"),
        (
            &format!("/api/v1/executions/{id}/approval-status"),
            "/api/v1/executions/{execution_id}/approval-status",
            "200",
        ),
        ("/api/v1/executions/exec_none", "/api/v1/executions/{execution_id}", "4XX"),
        ("/healthz", "/healthz", "200"),
        (nothing, "/v1/executions/{id}", "4XX"),
        ("/v1/executions?limit=0", "/v1/executions", "4XX"),
    ] {
        let body = bench.api.get(path).await.body;
        let response = &document["paths"][operation]["get"]["responses"][status];
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path}: {response}");
        // Its references go to the components of the document.
        let whole = json!({"allOf": [schema], "components": document["components"]});
        let why = countersign::schema::Schema::new(whole).expect("a schema").check(&body.to_string());
        assert_eq!(why, Ok(()), "{path}: {body}");
    }
}
