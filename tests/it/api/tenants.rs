//! Tenants: made, listed, and given another operator, over HTTP and by the command line.

use countersign_tests::Api;
use countersign_tests::api::send;
use reqwest::Method;
use serde_json::{Value, json};

use super::Bench;
use crate::command::{Folder, Said};

/// The names in the list.
async fn names(host: &Api) -> Vec<Value> {
    host.all("/v1/tenants?limit=2").await.iter().map(|tenant| tenant["tenant"].clone()).collect()
}

#[tokio::test]
async fn a_tenant_is_made_once_with_an_operators_key_and_stands_in_the_list() {
    let bench = Bench::new().await;
    let host = bench.host.host_api();
    for name in ["zebra", "acme-2", "acme"] {
        let made = host.post("/v1/tenants", &json!({ "tenant": name })).await.expect(201);
        assert_eq!((&made["tenant"], &made["suspended_at"]), (&json!(name), &Value::Null));
        let operator = bench.api.with_key(made["key"].as_str().unwrap());
        assert!(operator.key().starts_with(&format!("cs_{name}_")));
        let keys = operator.get("/v1/keys").await.expect(200);
        assert_eq!((&keys["items"][0]["role"], &keys["items"][1]), (&json!("operator"), &Value::Null));
        let mut shown = made.clone();
        shown.as_object_mut().unwrap().remove("key");
        assert_eq!(host.get(&format!("/v1/tenants/{name}")).await.expect(200), shown, "the key is shown once");
    }
    assert_eq!(names(&host).await, ["acme", "acme-2", "default", "zebra"].map(Value::from));
    let again = host.post("/v1/tenants", &json!({"tenant": "acme"})).await;
    assert_eq!((again.status, again.code()), (409, "tenant_exists"));
    assert!(again.message().contains("/keys"), "{}", again.message());
}

#[tokio::test]
async fn names_that_no_tenant_can_have_are_refused_and_those_that_none_has_are_not_found() {
    let bench = Bench::new().await;
    let host = bench.host.host_api();
    for bad in [json!("host"), json!(""), json!("-a"), json!("A"), json!("a_b"), json!("a\0"), json!("a".repeat(65))] {
        let refused = host.post("/v1/tenants", &json!({ "tenant": bad })).await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_request"), "{bad}");
        assert!(refused.message().contains("not `host`"), "{}", refused.message());
    }
    host.post("/v1/tenants", &json!({"tenant": "acme", "limits": {}})).await.expect(400);
    for name in ["nobody", "host", "-", "%00", "a_b", &"a".repeat(5_000)] {
        let unknown = host.get(&format!("/v1/tenants/{name}")).await;
        assert_eq!((unknown.status, unknown.code()), (404, "tenant_not_found"), "{name}");
        for what in ["suspend", "resume", "keys"] {
            let unknown = host.post(&format!("/v1/tenants/{name}/{what}"), &json!({"name": "k"})).await;
            assert_eq!((unknown.status, unknown.code()), (404, "tenant_not_found"), "{name}/{what}");
        }
    }
    assert_eq!(names(&host).await, ["default"].map(Value::from));
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn a_tenant_that_has_lost_its_keys_is_given_another_by_the_host_and_sees_who_did_it() {
    let bench = Bench::new().await;
    let (host, acme) = (bench.host.host_api(), bench.host.tenant("acme"));
    let keys = acme.get("/v1/keys").await.expect(200);
    let path = format!("/v1/keys/{}", keys["items"][0]["id"].as_str().unwrap());
    send(acme.request(Method::DELETE, &path)).await.expect(204);
    assert_eq!(acme.get("/v1/keys").await.status, 401);

    let body = json!({"name": "Ada, who lost hers", "expires_in_days": 7});
    let made = host.post("/v1/tenants/acme/keys", &body).await.expect(201);
    assert_eq!((&made["role"], &made["name"]), (&json!("operator"), &body["name"]));
    for bad in
        [json!({"name": ""}), json!({"name": "k", "role": "reviewer"}), json!({"name": "k", "expires_in_days": 0})]
    {
        let refused = host.post("/v1/tenants/acme/keys", &bad).await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_request"), "{bad}");
    }
    let acme = acme.with_key(made["key"].as_str().unwrap());
    host.post("/v1/tenants/acme/suspend", &Value::Null).await.expect(200);
    host.post("/v1/tenants/acme/suspend", &Value::Null).await.expect(200);
    host.post("/v1/tenants/acme/resume", &Value::Null).await.expect(200);
    host.post("/v1/tenants/acme/resume", &Value::Null).await.expect(200);

    let log = acme.all("/v1/audit?limit=100").await;
    let by_host = format!("host:{}", host.get("/v1/keys").await.expect(200)["items"][0]["id"].as_str().unwrap());
    let said: Vec<(&str, &str)> =
        log.iter().map(|entry| (entry["action"].as_str().unwrap(), entry["actor"].as_str().unwrap())).collect();
    assert_eq!(said[..2], [("tenant.created", by_host.as_str()), ("key.created", by_host.as_str())]);
    assert!(said[2].0 == "key.revoked" && said[2].1.starts_with("key:"), "{said:?}");
    let changes = ["key.created", "tenant.suspended", "tenant.resumed"].map(|action| (action, by_host.as_str()));
    assert_eq!(said[3..], changes);
    assert_eq!((&log[4]["subject"], &log[4]["details"]), (&json!("acme"), &json!({})));
    let of_the_host = host.all("/v1/audit?limit=100").await;
    assert!(of_the_host.iter().all(|entry| entry["tenant"] == "host"), "{of_the_host:?}");
}

#[tokio::test]
async fn the_command_line_makes_shows_suspends_and_resumes_tenants() {
    let bench = Bench::new().await;
    let folder = Folder::new();
    let host_key = bench.host.host_api().key().to_owned();
    let tenants = async |arguments: &[&str], key: &str| {
        let mut command = folder.countersign(&["--url", bench.host.url(), "tenants"]);
        command.args(arguments).env("COUNTERSIGN_HOST_KEY", key).env("COUNTERSIGN_API_KEY", "cs_another");
        Said::by(command).await
    };
    let key = tenants(&["create", "acme"], &host_key).await.ok();
    let acme = bench.api.with_key(key.trim());
    acme.get("/v1/agents").await.expect(200);
    assert!(tenants(&["create", "acme"], &host_key).await.failed(3).contains("tenant_exists"));
    let list = tenants(&["list"], &host_key).await.ok();
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split("  ").collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["TENANT", "acme", "default"], "{list}");
    assert!(tenants(&["show", "acme"], &host_key).await.ok().trim_end().ends_with("no"));
    tenants(&["suspend", "acme"], &host_key).await.ok();
    assert_eq!(acme.get("/v1/agents").await.code(), "tenant_suspended");
    let shown: Value = serde_json::from_str(&tenants(&["show", "acme", "--json"], &host_key).await.ok()).unwrap();
    assert!(shown["suspended_at"].is_string(), "{shown}");
    tenants(&["resume", "acme"], &host_key).await.ok();
    acme.get("/v1/agents").await.expect(200);
    let another = tenants(&["operator-key", "acme", "--name", "Ada"], &host_key).await.ok();
    acme.with_key(another.trim()).get("/v1/keys").await.expect(200);
    assert!(tenants(&["show", "nobody"], &host_key).await.failed(3).contains("tenant_not_found"));
    assert!(tenants(&["list"], acme.key()).await.failed(3).contains("forbidden"));

    // Who has lost all keys of the host has the database.
    let mut command = folder.countersign(&["tenants", "host-key", "--name", "ops", "--data-dir", "data"]);
    command.env("DATABASE_URL", &bench.database.url);
    let found = Said::by(command).await.ok();
    assert!(found.starts_with("cs_host_"));
    let log = bench.api.with_key(found.trim()).all("/v1/audit?limit=100").await;
    let made = log.iter().find(|entry| entry["details"]["name"] == "ops").expect("it is in the log");
    assert_eq!((&made["action"], &made["actor"]), (&json!("key.created"), &json!("host")));
}

#[tokio::test]
async fn the_first_start_leaves_a_key_for_the_host_that_nobody_else_can_read_and_the_command_line_finds_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut bench = Bench::new().await;
    let file = bench.host.data_dir().join("host-key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut list = Folder::new().countersign(&["--url", bench.host.url(), "tenants", "list"]);
    list.current_dir("/").env("COUNTERSIGN_DATA_DIR", bench.host.data_dir());
    assert!(Said::by(list).await.ok().contains("default"));
    let mut elsewhere = Folder::new().countersign(&["--url", "http://countersign.example", "tenants", "list"]);
    elsewhere.current_dir("/");
    assert!(Said::by(elsewhere).await.failed(2).contains("COUNTERSIGN_HOST_KEY"));
    let key = std::fs::read_to_string(&file).unwrap();
    bench.host.stop().await;
    bench.host.restart(&[]).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key, "a second start makes nothing");
    assert_eq!(bench.host.host_api().get("/v1/keys").await.expect(200)["items"].as_array().unwrap().len(), 1);
}
