//! Every route, every kind of id and every role: another's id is answered like that of nothing.

use std::collections::BTreeSet;

use countersign_tests::api::send;
use countersign_tests::{Api, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use super::Two;
use super::requests::{Operation, operations};
use super::things::Things;

/// B's, and that of who runs the host.
const ROLES: [&str; 5] = ["operator", "deployer", "runner", "reviewer", "host"];

/// All that a tenant's operator can look at.
async fn seen(api: &Api, things: &Things, operations: &[Operation]) -> Vec<(String, Value)> {
    let mut all = vec![];
    for operation in operations.iter().filter(|operation| operation.method == Method::GET) {
        let what = operation.path.clone();
        // What the host counts, and what is the host's, is no tenant's.
        if matches!(what.as_str(), "/healthz" | "/readyz" | "/metrics") || what.starts_with("/v1/tenants") {
            continue;
        }
        let ids = operation.ids(0, things, things);
        // Events end with their execution, which has not ended.
        if what.ends_with("/events") {
            continue;
        }
        let reply = send(operation.request(api, &ids, things)).await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.body);
        let mut body = if reply.body.is_null() { json!(String::from_utf8_lossy(&reply.bytes)) } else { reply.body };
        // What an hour is allowed comes back with time.
        if let Some(items) = body.get_mut("items").and_then(Value::as_array_mut) {
            items.retain(|item| item["name"] != "compile_seconds_per_hour");
        }
        // It uses its own key, here and before.
        for item in
            body.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
        {
            item.remove("last_used_at");
        }
        all.push((what, body));
    }
    all
}

/// What is left of an answer when the ids that were sent are taken out.
fn without(reply: &Reply, ids: &[Option<String>]) -> (u16, String, String) {
    let mut sent: Vec<&String> = ids.iter().flatten().filter(|id| id.len() > 3).collect();
    sent.sort_by_key(|id| std::cmp::Reverse(id.len()));
    let take_out = |text: &str| {
        let mut text = text.to_owned();
        for id in &sent {
            text = text.replace(*id, "…");
        }
        // A target is told apart into its agent and its function.
        for agent in sent.iter().filter_map(|id| id.strip_suffix(".pause_once")) {
            text = text.replace(agent, "…");
        }
        text
    };
    // Those of the connection and of chance are as they are.
    let headers = reply.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "date" | "content-length"));
    let headers: Vec<String> = headers
        .map(|(name, value)| take_out(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    (reply.status, headers.join("\n"), take_out(&String::from_utf8_lossy(&reply.bytes)))
}

/// What an answer has only from some moment of an execution on.
const IN_TIME: [&str; 7] =
    [".waiting_for", ".approval_", ".result", ".error", ".completed_at", ".finished_at", ".duration_ms"];

/// The names of all fields of an answer, however deep.
fn fields(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let name = format!("{at}.{name}");
                if !IN_TIME.iter().any(|part| name.contains(part)) {
                    fields(value, &name, into);
                    into.insert(name);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, at, into)),
        _ => {}
    }
}

/// The other tenant's ids, and none of anybody's.
struct Trial<'a> {
    two: &'a Two,
    nobody: Things,
    sent: usize,
}

impl Trial<'_> {
    /// One request of B's with ids of A's in these slots, and the same with ids of nothing.
    async fn compare(&mut self, api: &Api, role: &str, operation: &Operation, chosen: u32) {
        let (a, b) = (&self.two.a.things, &self.two.b.things);
        let kinds = operation.slots.iter().enumerate().filter(|(n, _)| chosen & (1 << n) != 0);
        let kinds: Vec<_> = kinds.map(|(_, slot)| slot.kind).collect();
        let what = format!("{role} {} {} with {kinds:?} of another", operation.method, operation.path);
        let (foreign, unknown) = (operation.ids(chosen, a, b), operation.ids(chosen, &self.nobody, b));
        let of_other = send(operation.request(api, &foreign, b)).await;
        let of_nobody = send(operation.request(api, &unknown, b)).await;
        self.sent += 2;

        let (status, headers, text) = without(&of_other, &foreign);
        let (expected, expected_headers, expected_text) = without(&of_nobody, &unknown);
        assert_eq!(status, expected, "{what}: {text}\nas of nobody: {expected_text}");
        assert!(status < 500, "{what}: {text}");
        for mark in a.marks() {
            assert!(!format!("{headers}{text}").contains(&mark), "{what}: there is {mark:?} in {text}");
        }
        if status >= 400 {
            assert_eq!((headers, text), (expected_headers, expected_text), "{what}");
            return;
        }
        // What B has made under a name of A's, or has itself, is as what it makes under any other.
        let mut both = [BTreeSet::new(), BTreeSet::new()];
        fields(&of_other.body, "", &mut both[0]);
        fields(&of_nobody.body, "", &mut both[1]);
        let is_list = of_other.body["items"].is_array();
        assert!(is_list || both[0] == both[1], "{what}: {text}\nas of nobody: {expected_text}");
    }
}

#[tokio::test]
async fn an_id_of_another_tenant_is_answered_like_one_of_nothing_on_every_route_by_every_role() {
    let two = Two::new().await;
    let document = two.a.api.get("/openapi.json").await.expect(200);
    let operations = operations(&document);
    let before = seen(&two.a.api, &two.a.things, &operations).await;

    let mut trial = Trial { nobody: two.a.things.nobodys(), two: &two, sent: 0 };
    for role in ROLES {
        let api = if role == "host" { two.host.host_api() } else { two.b.api.role(role).await };
        for operation in &operations {
            // Tenants are all that who runs the host may see of one.
            if role == "host" && operation.path.starts_with("/v1/tenants") {
                continue;
            }
            // Every choice of slots; what names nothing is asked as well, once.
            let choices = 1_u32 << operation.slots.len();
            for chosen in if choices == 1 { 0..1 } else { 1..choices } {
                trial.compare(&api, role, operation, chosen).await;
            }
        }
    }
    assert!(trial.sent > 4 * 2 * operations.len(), "only {} requests", trial.sent);
    let (asked, named) = (trial.sent, operations.iter().filter(|operation| !operation.slots.is_empty()).count());
    println!("{asked} requests, {named} of {} routes name something", operations.len());

    let after = seen(&two.a.api, &two.a.things, &operations).await;
    for ((what, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before, after, "{what}: it is otherwise than before");
    }
    two.host.assert_unharmed();
}

/// If the ids were of nothing, every answer to a stranger would be right.
#[tokio::test]
async fn by_the_same_ids_their_own_tenant_is_shown_what_they_are_of() {
    let two = Two::new().await;
    let document = two.a.api.get("/openapi.json").await.expect(200);
    let operations = operations(&document);
    let nobody = two.a.things.nobodys();
    let mut found = 0;
    for operation in
        operations.iter().filter(|operation| operation.path.contains('{') && operation.method == Method::GET)
    {
        if operation.path.ends_with("/events") || operation.path.starts_with("/v1/tenants") {
            continue;
        }
        let (own, none) = (operation.ids(0, &nobody, &two.a.things), operation.ids(0, &two.a.things, &nobody));
        let reply = send(operation.request(&two.a.api, &own, &two.a.things)).await;
        assert_eq!(reply.status, 200, "{}: {}", operation.path, reply.body);
        let reply = send(operation.request(&two.a.api, &none, &two.a.things)).await;
        assert_eq!(reply.status, 404, "{}: {}", operation.path, reply.body);
        found += 1;
    }
    assert!(found >= 12, "only {found} routes show one thing");
    let bytes = two.a.api.get("/v1/pauses").await.bytes;
    assert!(
        String::from_utf8_lossy(&bytes).contains(&two.a.things.marks()[0]),
        "the marker is in what is to be hidden"
    );
}
