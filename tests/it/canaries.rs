//! Secrets that are planted in a host, and come out nowhere: not in its log, its answers, its metrics, its rows, its files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use countersign_tests::api::send;
use countersign_tests::build::guest;
use countersign_tests::canary::{AI_KEY, Canary};
use countersign_tests::host::MASTER_KEY;
use countersign_tests::{Api, Database, Host, Model, Reaction, Receiver, until};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SMTP_PASSWORD: &str = "canary-of-the-mail-server-5d1b";
const SLACK_PATH: &str = "canary-of-the-channel-c0ffee";

/// A model that tells everybody the key that it was asked with: as an error of each kind, and as an answer.
async fn talkative() -> String {
    let asked = Arc::new(AtomicUsize::new(0));
    let complete = move |headers: HeaderMap, Json(body): Json<Value>| async move { reply(&headers, &body, &asked) };
    let router = Router::new().route("/v1/chat/completions", routing::post(complete));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1/", listener.local_addr().expect("its address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn reply(headers: &HeaderMap, body: &Value, asked: &AtomicUsize) -> Response {
    let key = headers["authorization"].to_str().unwrap_or_default();
    assert!(key.contains(AI_KEY), "the model is asked with the key");
    let refusal = |status: u16| {
        let message = format!("not with {key}, or x-api-key={}", key.trim_start_matches("Bearer "));
        (StatusCode::from_u16(status).unwrap(), Json(json!({"error": {"message": message}}))).into_response()
    };
    match asked.fetch_add(1, Ordering::Relaxed) {
        0 => refusal(400),
        1 => refusal(401),
        2 => refusal(403),
        3 => refusal(422),
        _ => Json(json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": body["messages"].to_string()}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }))
        .into_response(),
    }
}

/// A good part of the story: models that refuse, decisions, a notification of each kind, a crash, errors.
async fn live(host: &mut Host, receiver: &Receiver, hook: &countersign::signature::Secret) {
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    for (path, body) in
        [("/v1/reviewers/ada", json!({"email": "ada@example.com"})), ("/v1/groups/desk", json!({"members": ["ada"]}))]
    {
        send(api.request(Method::PUT, path).json(&body)).await.expect(200);
    }
    let slack = json!({"name": "channel", "kind": "slack", "address": format!("{}/{SLACK_PATH}", receiver.url)});
    api.post("/v1/endpoints", &slack).await.expect(201);
    receiver.react(&format!("/{SLACK_PATH}"), &[Reaction::Status(500), Reaction::Status(200)]);

    for _ in 0..5 {
        let id = api.start("testbed.many_ai", &json!({"n": 1})).await;
        api.finished(&id).await;
    }
    let id = api.start("testbed.pause_once", &json!({})).await;
    let pause = api.paused(&id, "only").await;
    api.post(&format!("/v1/pauses/{pause}/links"), &json!({"reviewer": "ada"})).await.expect(201);
    let wrong = json!({"pause_id": pause, "decision": "no"});
    assert_eq!(api.webhook("default", hook, "m1", &wrong).await.status, 422);
    host.kill();
    host.restart(&[("COUNTERSIGN_CRASH_AT", "after_decide_commit")]).await;
    let api = host.api();
    let body = json!({"pause_id": pause, "decision": "approved"});
    let _ = countersign_tests::api::try_send(api.webhook_request("default", hook, "m2", &body)).await;
    assert!(host.died().await, "it dies at the crash point");
    host.restart(&[]).await;
    let api = host.api();
    assert_eq!(api.finished(&id).await["status"], "succeeded");
    api.finished(&api.start("testbed.trap", &Value::Null).await).await;
    until("mail has failed and the channel was told", async || {
        let list = api.get("/v1/deliveries").await.body["items"].as_array()?.clone();
        let is_done = |one: &Value| one["attempts"] != 0;
        (list.iter().all(is_done) && list.iter().any(|one| one["reviewer"] == "ada" || one["endpoint"] == "channel"))
            .then_some(())
    })
    .await;
}

/// Everything that the API answers an operator.
async fn answers(api: &Api) -> Vec<(String, Vec<u8>)> {
    let document = api.get("/openapi.json").await.expect(200);
    let mut paths: Vec<String> = vec!["/openapi.json".into(), "/v1/agents/nobody".into(), "/nowhere".into()];
    paths.extend(document["paths"].as_object().unwrap().keys().filter(|path| !path.contains('{')).cloned());
    for execution in api.all("/v1/executions?limit=100").await {
        let id = execution["id"].as_str().unwrap();
        let parts = ["", "/journal", "/logs", "/events"];
        paths.extend(parts.map(|part| format!("/v1/executions/{id}{part}")));
    }
    for (list, id) in [("deliveries", "id"), ("pauses", "id"), ("endpoints", "name")] {
        for item in api.all(&format!("/v1/{list}?limit=100").replace("endpoints?limit=100", "endpoints?")).await {
            paths.push(format!("/v1/{list}/{}", item[id].as_str().unwrap().replace('#', "%23")));
        }
    }
    let mut all = vec![];
    for path in paths {
        let reply = api.get(&path).await;
        let headers = format!("{:?}", reply.headers).into_bytes();
        all.push((format!("the answer to GET {path}"), [headers, reply.bytes].concat()));
    }
    all
}

/// Every row of every table, in clear.
async fn rows(database: &Database) -> Vec<(String, Vec<u8>)> {
    let tables: Vec<String> =
        sqlx::query_scalar("select table_name::text from information_schema.tables where table_schema = 'public'")
            .fetch_all(&database.pool)
            .await
            .unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    let mut all = vec![];
    for table in tables {
        let query = format!("select coalesce(string_agg(one::text, chr(10)), '') from \"{table}\" one");
        let text: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&database.pool).await.unwrap();
        all.push((format!("the rows of {table}"), text.into_bytes()));
    }
    all
}

/// Every file below, but the one that is there to hold a key.
fn files(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            files(&path, all);
        } else if name != "api-key" && name != "host-key" {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
}

#[tokio::test]
async fn planted_secrets_come_out_nowhere() {
    let (database, _model, receiver) = (Database::new().await, Model::start().await, Receiver::start().await);
    let smtp = format!("smtp://desk:{SMTP_PASSWORD}@127.0.0.1:9");
    let base_url = talkative().await;
    let temporary = std::env::temp_dir().join(format!("canaries-{}", std::process::id()));
    std::fs::create_dir_all(&temporary).unwrap();
    let environment = [
        ("COUNTERSIGN_LOG", "debug"),
        ("COUNTERSIGN_AI_BASE_URL", base_url.as_str()),
        ("COUNTERSIGN_ALLOW_PRIVATE_ENDPOINTS", "true"),
        ("COUNTERSIGN_SMTP_URL", smtp.as_str()),
        ("COUNTERSIGN_MAIL_FROM", "desk@example.com"),
        ("TMPDIR", temporary.to_str().unwrap()),
    ];
    let mut host = Host::start_with(&database, &_model, &environment).await;
    let api = host.api();
    let hook = api.secret().await;
    let webhook = json!({"name": "hook", "kind": "webhook", "address": format!("{}/hook", receiver.url)});
    let made = api.post("/v1/endpoints", &webhook).await.expect(201);
    let endpoint: countersign::signature::Secret = made["secret"].as_str().unwrap().parse().unwrap();
    let master = base64_of(MASTER_KEY.trim_start_matches("cmk_"));
    let canaries = [
        Canary::new("the key of the models", AI_KEY),
        Canary::new("a webhook secret", hook.expose().trim_start_matches("whsec_")),
        Canary::new("a webhook secret's key", base64_of(hook.expose().trim_start_matches("whsec_"))),
        Canary::new("an endpoint's secret", endpoint.expose().trim_start_matches("whsec_")),
        Canary::new("an endpoint's secret's key", base64_of(endpoint.expose().trim_start_matches("whsec_"))),
        Canary::new("an endpoint's address", SLACK_PATH),
        Canary::new("an API key", &api.key()[api.key().len() - 20..]),
        Canary::new("the master key", MASTER_KEY.trim_start_matches("cmk_")),
        Canary::new("the master key's bytes", master),
        Canary::new("the mail server's password", SMTP_PASSWORD),
    ];
    live(&mut host, &receiver, &hook).await;

    let api = host.api();
    let mut outputs = answers(&api).await;
    outputs.extend(rows(&database).await);
    files(host.data_dir(), &mut outputs);
    files(&temporary, &mut outputs);
    let log = host.log();
    assert!(log.len() > 100, "the log is at debug level");
    outputs.push(("the log".into(), log.join("\n").into_bytes()));
    for received in receiver.received("/hook") {
        outputs.push(("a notification".into(), received.body.into_bytes()));
    }
    println!("{} outputs, {} bytes", outputs.len(), outputs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
    let mut found = vec![];
    for (what, bytes) in &outputs {
        found.extend(canaries.iter().filter_map(|canary| {
            canary.found_in(bytes).map(|form| format!("{} is in {what}, as {form}", canary.what))
        }));
    }
    assert!(found.is_empty(), "{found:#?}");
    let _ = std::fs::remove_dir_all(&temporary);
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.decode(text).expect("the master key is base64")
}
