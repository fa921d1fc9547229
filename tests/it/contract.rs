//! The host against the document that it serves, by Schemathesis: all its checks, on requests that fit the document and
//! on requests that do not.

use std::process::Stdio;

use countersign_tests::api::send;
use countersign_tests::build::{guest, root};
use countersign_tests::{Api, Database, Host, Model};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

/// How long it tries, in seconds. `SCHEMATHESIS_SECONDS` says otherwise.
const SECONDS: u64 = 40;

/// One of everything, so that not all ids are of nothing: lines of its configuration.
async fn dictionaries(api: &Api) -> String {
    let pausing = api.start("testbed.pause_once", &json!({})).await;
    let pause = api.paused(&pausing, "only").await;
    let done = api.start("testbed.echo", &Value::Null).await;
    api.finished(&done).await;
    for (path, body) in
        [("/v1/groups/desk", json!({"members": ["ada"]})), ("/v1/reviewers/ada", json!({"email": "ada@example.com"}))]
    {
        send(api.request(Method::PUT, path).json(&body)).await.expect(200);
    }
    let desk = json!({"name": "desk", "kind": "webhook", "address": "http://127.0.0.1:9/"});
    api.post("/v1/endpoints", &desk).await.expect(201);
    let told = api.post("/v1/endpoints/desk/test", &Value::Null).await.expect(202);
    format!(
        "executions = {{ values = [{pausing:?}, {done:?}] }}\npauses = {{ values = [{pause:?}] }}\n\
         deliveries = {{ values = [{}] }}\n",
        told["id"]
    )
}

#[tokio::test]
async fn the_host_does_what_its_document_says_and_refuses_what_it_does_not_allow() {
    let (database, model) = (Database::new().await, Model::start().await);
    let environment = [("COUNTERSIGN_ALLOW_PRIVATE_ENDPOINTS", "true"), ("COUNTERSIGN_LOG", "info")];
    let host = Host::start_with(&database, &model, &environment).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;

    let made = std::process::Command::new("sh").arg("scripts/setup-schemathesis").current_dir(root()).status();
    assert!(made.is_ok_and(|status| status.success()), "scripts/setup-schemathesis");
    let folder = root().join("tests/schemathesis");
    let settings = std::fs::read_to_string(folder.join("schemathesis.toml")).unwrap();
    let settings = format!("hooks = {:?}\n{settings}{}", folder.join("hooks.py"), dictionaries(&api).await);
    let place = root().join("target/test-hosts").join(uuid::Uuid::now_v7().simple().to_string());
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("schemathesis.toml"), settings).unwrap();

    host.tenant("other");
    let secret = api.post("/v1/secrets", &json!({})).await.expect(201);
    let seconds = std::env::var("SCHEMATHESIS_SECONDS").unwrap_or_else(|_| SECONDS.to_string());
    let run = Command::new(root().join("target/schemathesis/bin/schemathesis"))
        .args(["run", &format!("{}/openapi.json", host.url()), "--checks", "all", "--no-color"])
        .args(["--max-time", &seconds, "--request-timeout", "15", "--generation-database", "none"])
        .current_dir(&place)
        .env("API_KEY", api.role("operator").await.key())
        .env("HOST_KEY", host.host_api().key())
        .env("WEBHOOK_SECRET", secret["secret"].as_str().unwrap())
        .env("WEBHOOK_SECRET_ID", secret["id"].as_str().unwrap())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("schemathesis starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    let cases = said.lines().find(|line| line.contains("generated,")).unwrap_or_default();
    println!("{cases}");
    let tested = said.lines().find_map(|line| line.trim().strip_prefix("Tested: ")?.parse::<usize>().ok());
    let document = api.get("/openapi.json").await.expect(200);
    let operations = document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(tested, Some(operations), "not every operation was tested: {said}");
    let _ = std::fs::remove_dir_all(&place);
    host.assert_unharmed();
}
