//! Requests and guests that are wrong: each is refused by its name, and the host goes on as if nothing had been.

mod addresses;
mod bodies;
mod components;
mod generated;
mod guests;
mod malformed;
mod strangers;
mod wire;

use std::sync::LazyLock;

use countersign_tests::build::{guest, root};
use countersign_tests::{Api, Database, Host, Model, Reply};
use serde_json::{Value, json};

/// A host with the testbed.
struct Victim {
    host: Host,
    api: Api,
    _model: Model,
    _database: Database,
}

impl Victim {
    async fn new() -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start(&database, &model).await;
        let api = host.api();
        api.deploy("testbed", guest("testbed")).await;
        Self { host, api, _model: model, _database: database }
    }

    /// Fails unless the host still works, and nothing went wrong inside of it.
    async fn assert_unharmed(&self) {
        let id = self.api.start("testbed.many_ai", &json!({"n": 1})).await;
        assert_eq!(self.api.finished(&id).await["result"]["last"], "echo: tick 0");
        self.host.assert_unharmed();
    }
}

/// Fails unless it is an error in the one shape of all errors, or in that of AgentField's routes, with a code that
/// docs/api.md lists.
#[track_caller]
fn assert_error(reply: &Reply, what: &str) {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| std::fs::read_to_string(root().join("docs/api.md")).unwrap());
    let shown = String::from_utf8_lossy(&reply.bytes[..reply.bytes.len().min(2_000)]).into_owned();
    assert!((400..500).contains(&reply.status), "{what}: {} {shown}", reply.status);
    let is_flat = reply.body["error"].is_string();
    let (error, expected) = if is_flat { (&reply.body, "error") } else { (&reply.body["error"], "code") };
    let error = error.as_object().unwrap_or_else(|| panic!("{what}: {} {shown}", reply.status));
    let fields: Vec<&str> = error.keys().take(3).map(String::as_str).collect();
    assert_eq!(fields, [expected, "message", "blame"], "{what}: {shown}");
    assert!(!is_flat || what.contains("/api/v1/"), "{what}: {shown}");
    assert_eq!(reply.headers["content-type"], "application/json", "{what}");
    let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| {} |", reply.status)));
    let row = row.unwrap_or_else(|| panic!("{what}: docs/api.md has no status {}", reply.status));
    assert!(row.contains(&format!("`{}`", reply.code())), "{what}: docs/api.md has no {} {shown}", reply.status);
    let message = reply.message();
    assert!(!message.is_empty() && message.len() < 5_000, "{what}: {} bytes", message.len());
    for leak in ["panicked", "sqlx", ".rs:", "select ", "insert ", "/.cargo/", "/home/", env!("CARGO_MANIFEST_DIR")] {
        assert!(!message.contains(leak), "{what}: {message}");
    }
}

/// Fails unless it is this error.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_error(reply, what);
    assert_eq!((reply.status, reply.code()), (status, code), "{what}: {}", reply.body);
    let of_components =
        ["invalid_component", "component_", "too_many_", "forbidden_", "memory_", "table_", "describe_"];
    let is_guests = status == 422 && of_components.iter().any(|part| code.starts_with(part));
    assert_eq!(reply.blame(), if is_guests { "guest" } else { "client" }, "{what}");
}

/// The id of an execution that there is not.
fn nowhere() -> String {
    format!("exec_{}", "0".repeat(32))
}

/// JSON nested this deep, for which a careless reader needs a stack as deep.
fn deep(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

/// Shortens what a case was, to be shown.
fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned()
}

/// What a text field may not hold, whatever it is for.
fn not_texts() -> Vec<Value> {
    vec![json!(null), json!(1), json!(true), json!([]), json!(["x"]), json!({}), json!({"x": 1})]
}
