//! The service itself: its health, what it counts, and how it describes itself.

use std::collections::BTreeSet;

use countersign::http::ROUTES;
use countersign_tests::api::send;
use countersign_tests::build::root;
use reqwest::Method;
use serde_json::{Value, json};

use super::Bench;

/// Every route of the host: those of the table, and the only one that does not describe itself.
fn routes() -> BTreeSet<String> {
    let listed = ROUTES.iter().map(|(method, path, _)| format!("{method} {path}"));
    listed.chain(["GET /openapi.json".to_owned()]).collect()
}

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
    assert_eq!(described, routes());

    // What the sources route, they document: there is no other way to add a route but one.
    let http = root().join("host/src/http");
    let sources = [http.clone(), http.join("agentfield")].map(|folder| std::fs::read_dir(folder).unwrap());
    let sources = sources.into_iter().flatten().map(|file| file.unwrap().path());
    for file in sources.filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(".route("), "{}: routes are added by routes!(…)", file.display());
    }
}

/// What every reference of a document leads to.
fn references(value: &Value, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            all.extend(object.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
            object.values().for_each(|value| references(value, all));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, all)),
        _ => {}
    }
}

/// Of two types of one name, the document would have one.
#[tokio::test]
async fn the_document_names_each_thing_once_and_refers_to_none_that_it_has_not() {
    let bench = Bench::new().await;
    let document = bench.api.get("/openapi.json").await.expect(200);
    let mut all = BTreeSet::new();
    references(&document, &mut all);
    for reference in &all {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "two operations are called {id}");
        }
    }

    let mut described = BTreeSet::new();
    let mut folders = vec![root().join("host/src")];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            for item in text.split("ToSchema").skip(1) {
                let starts = ["struct ", "enum "].map(|word| item.find(word).map(|at| at + word.len()));
                let (head, declared) =
                    item.split_at(starts.into_iter().flatten().min().expect("what it is derived for"));
                let renamed = head.split_once("schema(as = ").map_or(declared, |(_, name)| name);
                let name = renamed.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
                assert!(described.insert(name.clone()), "two types are called {name:?}; see {}", file.display());
            }
        }
    }
    assert!(described.len() > 50, "{described:?}");
}

#[tokio::test]
async fn every_route_takes_its_methods_and_refuses_the_others() {
    let bench = Bench::new().await;
    let routes = routes();
    let paths: BTreeSet<&str> = routes.iter().map(|route| route.split_once(' ').unwrap().1).collect();
    for path in paths {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let wanted = if method == "HEAD" { "GET" } else { method };
            let is_route = routes.contains(&format!("{wanted} {path}"));
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

/// A schema with those of the document that it refers to, and that they do.
fn whole(document: &Value, schema: &Value) -> Value {
    let all = document["components"]["schemas"].as_object().expect("schemas");
    let (mut found, mut unread) = (serde_json::Map::new(), vec![schema.to_string()]);
    while let Some(text) = unread.pop() {
        for (name, other) in all {
            if text.contains(&format!("#/components/schemas/{name}\"")) && !found.contains_key(name) {
                found.insert(name.clone(), other.clone());
                unread.push(other.to_string());
            }
        }
    }
    json!({"allOf": [schema], "components": {"schemas": found}})
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
        let why =
            countersign::schema::Schema::new(whole(&document, schema)).expect("a schema").check(&body.to_string());
        assert_eq!(why, Ok(()), "{path}: {body}");
    }
}
