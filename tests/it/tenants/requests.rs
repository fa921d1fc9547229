//! Every request that names something, made from what the host says of itself. What is not known here fails the test.

use countersign::signature::sign;
use countersign_tests::Api;
use countersign_tests::api::now;
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use super::things::{Kind, Things};
use crate::agentfield;

/// One operation of the document.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) slots: Vec<Slot>,
    /// What its body must have besides.
    body: Option<Map<String, Value>>,
}

/// A place of a request for an id.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    place: Place,
    name: String,
    pub(super) kind: Kind,
    is_required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Query,
    Header,
    Body,
}

/// All operations of the document.
pub(super) fn operations(document: &Value) -> Vec<Operation> {
    let mut all = vec![];
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            all.push(Operation::new(document, method, path, operation));
        }
    }
    all
}

impl Operation {
    fn new(document: &Value, method: &str, path: &str, operation: &Value) -> Self {
        let mut slots = vec![];
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let place = match parameter["in"].as_str().unwrap() {
                "path" => Place::Path,
                "query" => Place::Query,
                "header" => Place::Header,
                other => panic!("{path}: a parameter in {other}"),
            };
            if let Some(kind) = kind(path, place, name) {
                slots.push(Slot { place, name: name.into(), kind, is_required: parameter["required"] == true });
            }
        }
        let content = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body = content["$ref"].as_str().map(|reference| {
            let schema = document.pointer(reference.trim_start_matches('#')).expect("a schema");
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let mut body = Map::new();
            for (name, _) in schema["properties"].as_object().expect("properties") {
                let is_required = required.contains(&json!(name));
                match kind(path, Place::Body, name) {
                    Some(kind) => slots.push(Slot { place: Place::Body, name: name.clone(), kind, is_required }),
                    None if is_required => drop(body.insert(name.clone(), filler(name))),
                    None => {}
                }
            }
            body
        });
        Self { method: method.to_uppercase().parse().expect("a method"), path: path.into(), slots, body }
    }

    /// The request with these ids in their slots; those that are not given and may be left out are left out.
    pub(super) fn request(&self, api: &Api, ids: &[Option<String>], signer: &Things) -> RequestBuilder {
        let (mut path, mut query, mut headers) = (self.path.clone(), vec![], vec![]);
        let mut body = self.body.clone();
        for (slot, id) in self.slots.iter().zip(ids) {
            let Some(id) = id else { continue };
            match slot.place {
                Place::Path => path = path.replace(&format!("{{{}}}", slot.name), id),
                Place::Query => query.push(format!("{}={id}", slot.name)),
                Place::Header => headers.push((slot.name.clone(), id.clone())),
                Place::Body => {
                    let id = if slot.name == "members" { json!([id]) } else { json!(id) };
                    body.as_mut().expect("a body").insert(slot.name.clone(), id);
                }
            }
        }
        let mut request = api.request(self.method.clone(), &format!("{path}?{}", query.join("&")));
        if self.path == "/v1/agents/{agent}" && self.method == Method::PUT {
            return request.body(countersign_tests::build::guest("testbed"));
        }
        let body = body.map(|body| Value::Object(body).to_string()).unwrap_or_default();
        if self.path.starts_with("/v1/webhooks/") {
            let id = headers.iter().find(|(name, _)| name == "webhook-id").map_or("m", |(_, id)| id).to_owned();
            request = request.header("webhook-timestamp", now());
            request = request.header("webhook-signature", sign(&signer.signing, &id, now(), body.as_bytes()));
        }
        if self.path.starts_with("/api/v1/webhooks/") {
            let signature = agentfield::timed(&signer.signing.expose(), now(), body.as_bytes());
            request = request.header("x-hax-signature", signature);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        // Nobody comes: what waits is not waited for.
        if self.path == "/api/v1/execute/{target}" { request.header("prefer", "wait=0") } else { request }
    }

    /// The ids of `chosen` slots from `theirs`; of those that must be there and are not chosen, from `ours`.
    pub(super) fn ids(&self, chosen: u32, theirs: &Things, ours: &Things) -> Vec<Option<String>> {
        let id = |(n, slot): (usize, &Slot)| {
            let is_chosen = chosen & (1 << n) != 0;
            let of = if is_chosen { theirs } else { ours };
            (is_chosen || slot.is_required).then(|| of.id(slot.kind))
        };
        self.slots.iter().enumerate().map(id).collect()
    }
}

/// Which kind of id this is; none if it is no id.
fn kind(path: &str, place: Place, name: &str) -> Option<Kind> {
    let collection = path.split('/').nth(2).unwrap_or_default();
    // Numbers, each by the name of its limit.
    if place == Place::Body && path.ends_with("/limits") {
        return None;
    }
    Some(match (place, name) {
        (Place::Query, "after") => cursor(path),
        (Place::Path | Place::Query, "agent") => Kind::Agent,
        (Place::Path, "version") => Kind::Version,
        (Place::Path | Place::Body, "target") => Kind::Target,
        (Place::Path | Place::Body, "execution_id") | (Place::Query, "execution") => Kind::Execution,
        (Place::Query | Place::Body, "approval_request_id") => Kind::ApprovalRequest,
        (Place::Path, "tenant") => Kind::Tenant,
        (Place::Path, "id") => match collection {
            "executions" => Kind::Execution,
            "pauses" => Kind::Pause,
            "keys" => Kind::Key,
            "secrets" => Kind::Secret,
            "deliveries" => Kind::Delivery,
            _ => panic!("{path}: which ids are these? Say so here"),
        },
        (Place::Path, "name") => match collection {
            "endpoints" => Kind::Endpoint,
            "groups" => Kind::Group,
            "reviewers" => Kind::Reviewer,
            _ => panic!("{path}: which names are these? Say so here"),
        },
        (Place::Body, "name") if collection == "endpoints" => Kind::Endpoint,
        (Place::Body, "tenant") => Kind::Tenant,
        (Place::Query, "endpoint") => Kind::Endpoint,
        (Place::Query | Place::Body, "reviewer") | (Place::Body, "members") => Kind::Reviewer,
        (Place::Body, "pause_id" | "requestId") => Kind::Pause,
        (Place::Header, "Idempotency-Key") => Kind::IdempotencyKey,
        (Place::Header, "webhook-id") => Kind::WebhookId,
        (Place::Query, "limit" | "status" | "state" | "action" | "since" | "wait") => return None,
        (Place::Header, "Prefer" | "Last-Event-ID" | "webhook-timestamp" | "webhook-signature" | "X-Hax-Signature") => {
            return None;
        }
        (Place::Body, "name") if matches!(collection, "keys" | "secrets" | "tenants") => return None,
        (
            Place::Body,
            "input" | "webhook" | "decision" | "feedback" | "response" | "reason" | "role" | "expires_in_days"
            | "expires_in_seconds" | "email" | "kind" | "address" | "events" | "disabled" | "since" | "bare_signatures",
        ) => return None,
        _ => panic!("{path}: is {name:?} in its {place:?} an id, and of what? Say so here"),
    })
}

/// What a list's pages follow.
fn cursor(path: &str) -> Kind {
    match path {
        "/v1/agents" => Kind::Agent,
        "/v1/agents/{agent}/versions" | "/v1/executions/{id}/journal" | "/v1/audit" => Kind::Number,
        "/v1/executions/{id}/logs" => Kind::LogCursor,
        "/v1/executions" => Kind::ExecutionCursor,
        "/v1/pauses" => Kind::PauseCursor,
        "/v1/deliveries" => Kind::Delivery,
        "/v1/groups" => Kind::Group,
        "/v1/reviewers" => Kind::Reviewer,
        "/v1/tenants" => Kind::Tenant,
        _ => panic!("{path}: what does `after` follow? Say so here"),
    }
}

/// Something good for a field that must be there and is no id.
fn filler(name: &str) -> Value {
    match name {
        "name" => json!("made by a stranger"),
        "role" => json!("reviewer"),
        "decision" => json!("approved"),
        "email" => json!("nobody@example.com"),
        "kind" => json!("webhook"),
        "address" => json!("http://127.0.0.1:9/nobody"),
        "since" => json!("2026-01-01T00:00:00Z"),
        "bare_signatures" => json!(false),
        _ => panic!("what is good for {name:?}? Say so here"),
    }
}
