//! Who may do what: every operation that the API describes, with a key of every role and with none. The table is that of
//! `countersign::http::ROUTES`, which docs/api.md shows.

use countersign::api_key::Role;
use countersign::http::{Access, ROUTES};
use countersign_tests::api::send;
use countersign_tests::{Api, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use super::Bench;

/// What the table of routes asks of who calls this.
fn access(method: &str, path: &str) -> Access {
    let row = ROUTES.iter().find(|(of, route, _)| of.as_str().eq_ignore_ascii_case(method) && *route == path);
    row.unwrap_or_else(|| panic!("{method} {path} is not in the table")).2
}

/// Sends a well-formed request for things that do not exist.
async fn call(api: &Api, method: &str, path: &str, role: Option<Role>) -> Reply {
    let concrete = path
        .replace("/v1/tenants/{tenant}", "/v1/tenants/nobody")
        .replace("{agent}", "nobody")
        .replace("{version}", "1")
        .replace("{tenant}", "default")
        .replace("{target}", "nobody.nothing")
        .replace("{name}", "nobody")
        .replace("{execution_id}", &format!("exec_{}", "0".repeat(32)))
        .replace("/v1/pauses/{id}", &format!("/v1/pauses/exec_{}:x", "0".repeat(32)))
        .replace("{id}", &format!("exec_{}", "0".repeat(32)));
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
    let request =
        if role.is_some() { api.request(method.clone(), &concrete) } else { api.anonymous(method.clone(), &concrete) };
    send(match path {
        "/v1/executions" => request.json(&json!({"target": "nobody.nothing"})),
        "/v1/keys" => {
            let role = if role == Some(Role::Host) { "host" } else { "reviewer" };
            request.json(&json!({"name": "made by the test", "role": role}))
        }
        "/v1/tenants" => request.json(&json!({"tenant": "made-by-the-test"})),
        "/v1/tenants/{tenant}/keys" => request.json(&json!({"name": "made by the test"})),
        "/v1/secrets" | "/api/v1/execute/{target}" | "/api/v1/execute/async/{target}" => request.json(&json!({})),
        "/v1/endpoints" => request.json(&json!({"name": "x", "kind": "webhook", "address": "https://127.0.0.1/"})),
        "/v1/endpoints/{name}/redeliver" => request.json(&json!({"since": "2026-01-01T00:00:00Z"})),
        "/v1/endpoints/{name}" if method == Method::PATCH => request.json(&json!({"disabled": true})),
        "/v1/groups/{name}" if method == Method::PUT => request.json(&json!({"members": []})),
        "/v1/reviewers/{name}" if method == Method::PUT => request.json(&json!({"email": "nobody@example.com"})),
        "/v1/settings/agentfield" if method == Method::PUT => request.json(&json!({"bare_signatures": false})),
        "/api/v1/executions/{execution_id}/approval-response" => request.json(&json!({"decision": "approved"})),
        "/v1/pauses/{id}/decision" => request.json(&json!({"decision": "approved"})),
        "/v1/pauses/{id}/links" => request.json(&json!({"reviewer": "zoe"})),
        _ => request,
    })
    .await
}

/// Every method and path that /openapi.json names.
async fn operations(api: &Api) -> Vec<(String, String, Value)> {
    let document = api.get("/openapi.json").await.expect(200);
    let mut all = vec![];
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            all.push((method.clone(), path.clone(), operation.clone()));
        }
    }
    assert!(all.len() > 20, "{all:?}");
    all
}

#[tokio::test]
async fn every_operation_is_for_the_roles_of_the_table_and_nobody_else() {
    let bench = Bench::new().await;
    let operations = operations(&bench.api).await;
    for role in Role::ALL {
        let maker = if role == Role::Host { bench.host.host_api() } else { bench.api.clone() };
        let (api, name) = (maker.role(role.as_str()).await, role.as_str());
        for (method, path, _) in &operations {
            let reply = call(&api, method, path, Some(role)).await;
            let may = match access(method, path) {
                Access::Key(action) => role.may(action),
                Access::Open | Access::Signature => true,
            };
            if may {
                assert!(!matches!(reply.status, 403 | 405 | 500..), "{name} {method} {path}: {}", reply.body);
                assert_ne!(reply.code(), "unauthenticated", "{name} {method} {path}");
                assert_ne!(reply.code(), "not_found", "{name} {method} {path}: no such route");
            } else {
                assert_eq!((reply.status, reply.code()), (403, "forbidden"), "{name} {method} {path}");
                assert!(reply.message().contains(name), "{}", reply.body);
            }
        }
    }
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn without_a_key_only_what_is_open_to_all_is_answered() {
    let bench = Bench::new().await;
    for (method, path, operation) in operations(&bench.api).await {
        let reply = call(&bench.api, &method, &path, None).await;
        let is_open = !matches!(access(&method, &path), Access::Key(_));
        if is_open {
            assert_ne!(reply.code(), "unauthenticated", "{method} {path}");
        } else {
            assert_eq!((reply.status, reply.code()), (401, "unauthenticated"), "{method} {path}");
        }
        let described_open = operation["security"].as_array().is_some_and(|all| all.contains(&json!({})));
        assert_eq!(described_open, is_open, "{method} {path}: /openapi.json says {}", operation["security"]);
    }
}

#[tokio::test]
async fn a_key_of_another_tenant_sees_and_changes_nothing_of_this_one() {
    let bench = Bench::new().await;
    let id = bench.api.start("testbed.pause_once", &json!({})).await;
    let pause = bench.api.paused(&id, "only").await;
    let other = bench.host.tenant("other");
    for list in ["agents", "executions", "pauses", "secrets", "groups", "reviewers", "endpoints", "deliveries"] {
        let page = other.get(&format!("/v1/{list}")).await.expect(200);
        assert_eq!(page, json!({"items": [], "next": null}), "{list}");
    }
    assert_eq!(other.get("/v1/keys").await.expect(200)["items"].as_array().unwrap().len(), 1, "its own");
    let start = other.post("/v1/executions", &json!({"target": "testbed.echo"})).await;
    assert_eq!((start.status, start.code()), (404, "agent_not_found"));
    let decision = other.decide(&pause, &json!({"decision": "approved"})).await;
    assert_eq!((decision.status, decision.code()), (404, "pause_not_found"));
    let cancel = other.post(&format!("/v1/executions/{id}/cancel"), &Value::Null).await;
    assert_eq!((cancel.status, cancel.code()), (404, "execution_not_found"));
    assert_eq!(bench.api.execution(&id).await["status"], "waiting");
}
