//! The served description of the API: what the types say of themselves, and what they cannot say.

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::extract::PAGE_MAX;
use super::keys::EXPIRES_IN_DAYS_MAX;
use crate::api_key::HOST_TENANT;
use crate::audit::Action;
use crate::limits::{Bound, Limits, Quotas};
use crate::link::LIFE_SECONDS_MAX;
use crate::notification::{EVENTS, MEMBERS_MAX};

const AGENT: &str = "^[a-z][a-z0-9_-]{0,63}$";
const TARGET: &str = r"^[a-z][a-z0-9_-]{0,63}\.[a-z][a-z0-9_-]{0,63}$";
const TENANT: &str = "^[a-z0-9][a-z0-9-]{0,63}$";
/// Of groups and of endpoints.
const GROUP: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";
/// Also at most 256 bytes, which a pattern does not count.
const REVIEWER: &str = r"^[^@\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$";
const EXECUTION: &str = "^exec_[0-9a-f]{32}$";
const PAUSE: &str = r"^exec_[0-9a-f]{32}:[A-Za-z0-9._~-]{1,128}(#([2-9]|[1-9][0-9]{1,4}|1[0-9]{5}|200000))?$";
const DELIVERY: &str = "^dlv_[0-9a-f]{32}$";
const IDEMPOTENCY_KEY: &str = "^[!-~]{1,128}$";
/// What Postgres keeps as text.
const TEXT: &str = r"^[^\x00]*$";
/// One line, of which something can be seen.
const NAME: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";

/// The cursors of the lists: what is a `next`, and what may stand in its place.
const NUMBER: &str = "^[0-9]{1,9}$";
const LONG_NUMBER: &str = "^[0-9]{1,18}$";
const EXECUTION_CURSOR: &str = r"^[0-9]{1,16}\.exec_[0-9a-f]{32}$";
const PAUSE_CURSOR: &str =
    r"^[0-9]{1,16}\.exec_[0-9a-f]{32}\.[A-Za-z0-9._~-]{1,128}(#([2-9]|[1-9][0-9]{1,4}|1[0-9]{5}|200000))?$";
const LOG_CURSOR: &str = r"^[0-9]{1,9}\.[0-9]{1,9}$";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Countersign",
        description = "A durable host for agents that wait for people. Prose, and the tables of who may do what and of \
                       what becomes of a decision, are in docs/api.md."
    ),
    modifiers(&BearerKey),
    security(("api_key" = []))
)]
pub(super) struct Document;

struct BearerKey;

impl utoipa::Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("cs_…").build();
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// The document with the bounds that the handlers check, as JSON.
pub(super) fn finished(document: &utoipa::openapi::OpenApi) -> String {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for (path, operations) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            operation["operationId"] = json!(operation_id(method, path));
            for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                bound_parameter(path, parameter);
            }
            describe_responses(operation);
        }
    }
    for (schema, field, bounds) in fields() {
        let found = document.pointer_mut(&format!("/components/schemas/{schema}/properties/{field}"));
        // One that came to be called otherwise would be described in vain.
        debug_assert!(found.is_some(), "{schema} has no field {field}");
        found.into_iter().for_each(|found| merge(found, &bounds));
    }
    whole(&mut document);
    limits(&mut document);
    document.to_string()
}

/// A name that no other operation has: several handlers are called `show`.
fn operation_id(method: &str, path: &str) -> String {
    let words =
        path.split('/').skip(1).map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(parameter) => format!("_by_{parameter}"),
            None => format!("_{}", part.replace('-', "_")),
        });
    method.to_owned() + &words.collect::<String>()
}

/// Says of a parameter what it may be.
fn bound_parameter(path: &str, parameter: &mut Value) {
    let (name, place) = (parameter["name"].as_str().unwrap_or_default(), parameter["in"].as_str().unwrap_or_default());
    let bounds = match place {
        "path" => in_path(path, name),
        "query" => in_query(path, name),
        _ if name == "Idempotency-Key" => json!({"pattern": IDEMPOTENCY_KEY}),
        _ => json!({}),
    };
    let schema = &mut parameter["schema"];
    // Whoever leaves it away leaves it away: there is no null in an address, or in a header.
    if let Some(kinds) = schema["type"].as_array() {
        schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
    }
    if let Some(other) = schema["oneOf"].as_array().and_then(|all| all.iter().find(|one| one["type"] != "null")) {
        *schema = other.clone();
    }
    merge(schema, &bounds);
}

fn in_path(path: &str, name: &str) -> Value {
    let collection = path.split('/').nth(2).unwrap_or_default();
    let pattern = match (name, collection) {
        ("agent", _) => AGENT,
        ("target", _) => TARGET,
        ("tenant", _) => TENANT,
        ("execution_id", _) | ("id", "executions") => EXECUTION,
        ("id", "pauses") => PAUSE,
        ("id", "deliveries") => DELIVERY,
        ("name", "reviewers") => REVIEWER,
        ("name", _) => GROUP,
        ("version", _) => return json!({"minimum": 1}),
        _ => return json!({}),
    };
    json!({"pattern": pattern})
}

fn in_query(path: &str, name: &str) -> Value {
    let pattern = match (name, path) {
        ("limit", _) => return json!({"minimum": 1, "maximum": PAGE_MAX}),
        ("action", "/v1/audit") => return json!({"enum": Action::ALL.map(Action::as_str)}),
        ("after", "/v1/tenants") => TENANT,
        ("after", "/v1/agents") | ("agent", _) => AGENT,
        ("after", "/v1/audit") => LONG_NUMBER,
        ("after", "/v1/agents/{agent}/versions" | "/v1/executions/{id}/journal") => NUMBER,
        ("after", "/v1/executions/{id}/logs") => LOG_CURSOR,
        ("after", "/v1/executions") => EXECUTION_CURSOR,
        ("after", "/v1/pauses") => PAUSE_CURSOR,
        ("after", "/v1/deliveries") => DELIVERY,
        ("after", "/v1/groups") | ("endpoint", _) => GROUP,
        ("after", "/v1/reviewers") | ("reviewer", _) => REVIEWER,
        ("execution", _) => EXECUTION,
        _ => return json!({}),
    };
    json!({"pattern": pattern})
}

/// What the fields of bodies may be.
fn fields() -> Vec<(&'static str, &'static str, Value)> {
    let pattern = |pattern: &str| json!({"pattern": pattern});
    let events = json!({"items": {"type": "string", "enum": EVENTS}, "maxItems": EVENTS.len(), "uniqueItems": true});
    vec![
        ("NewExecution", "target", pattern(TARGET)),
        ("NewKey", "name", pattern(NAME)),
        ("NewKey", "expires_in_days", json!({"minimum": 1, "maximum": EXPIRES_IN_DAYS_MAX})),
        ("NewSecret", "name", pattern(NAME)),
        ("NewTenant", "tenant", json!({"pattern": TENANT, "not": {"const": HOST_TENANT}})),
        ("NewOperator", "name", pattern(NAME)),
        ("NewOperator", "expires_in_days", json!({"minimum": 1, "maximum": EXPIRES_IN_DAYS_MAX})),
        ("NewLink", "reviewer", pattern(REVIEWER)),
        ("NewLink", "expires_in_seconds", json!({"minimum": 1, "maximum": LIFE_SECONDS_MAX})),
        ("NewGroup", "members", json!({"items": {"type": "string", "pattern": REVIEWER}, "maxItems": MEMBERS_MAX})),
        ("NewReviewer", "email", json!({"format": "email"})),
        ("NewEndpoint", "name", pattern(GROUP)),
        ("NewEndpoint", "events", events.clone()),
        ("EndpointChange", "events", events),
        ("NewDecision", "decision", pattern(TEXT)),
        ("NewDecision", "feedback", pattern(TEXT)),
        ("WebhookDecision", "decision", pattern(TEXT)),
        ("WebhookDecision", "feedback", pattern(TEXT)),
        ("WebhookDecision", "reviewer", pattern(REVIEWER)),
        ("ApprovalDecision", "decision", pattern(TEXT)),
        ("ApprovalDecision", "reason", pattern(TEXT)),
        ("ApprovalDecision", "feedback", pattern(TEXT)),
        ("ApprovalResponse", "decision", pattern(TEXT)),
        ("ApprovalResponse", "feedback", pattern(TEXT)),
    ]
}

/// What is true of whole bodies.
fn whole(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    let some_text = json!({"type": "string", "minLength": 1});
    let data = json!({"type": "object", "required": ["requestId"], "properties": {"requestId": {"type": "string"}}});
    // Either what is decided, or an event around it.
    schemas["ApprovalResponse"]["anyOf"] = json!([
        {"required": ["requestId", "decision"], "properties": {"requestId": some_text, "decision": some_text}},
        {"required": ["type", "data"], "properties": {"type": {"type": "string"}, "data": data}},
    ]);
    // What is no text counts as none.
    schemas["ApprovalResponse"]["properties"]["reviewer"] =
        json!({"description": "Who decided, as the sender claims.", "pattern": format!("^$|{REVIEWER}")});
    // One of three ways to name a pause.
    let absent = json!({"type": "null"});
    schemas["WebhookDecision"]["oneOf"] = json!([
        {"required": ["pause_id"],
         "properties": {"pause_id": {"type": "string"}, "execution_id": absent, "approval_request_id": absent}},
        {"required": ["execution_id", "approval_request_id"],
         "properties": {"execution_id": {"type": "string"}, "approval_request_id": {"type": "string"}, "pause_id": absent}},
        {"required": ["approval_request_id"],
         "properties": {"approval_request_id": {"type": "string"}, "pause_id": absent, "execution_id": absent}},
    ]);
}

/// What may be set for an agent and for a tenant: every limit, with its bounds.
fn limits(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    schemas["AgentLimits"] = settings(Limits::ALL.iter());
    schemas["TenantLimits"] = settings(Limits::ALL.iter().chain(Quotas::ALL));
    for (path, schema) in
        [("/v1/agents/{agent}/limits", "AgentLimits"), ("/v1/tenants/{tenant}/limits", "TenantLimits")]
    {
        let body = &mut document["paths"][path]["put"]["requestBody"]["content"]["application/json"]["schema"];
        *body = json!({"$ref": format!("#/components/schemas/{schema}")});
    }
}

fn settings<'a>(bounds: impl Iterator<Item = &'a Bound>) -> Value {
    let property = |bound: &Bound| {
        let Bound { name, unit, about, default, min, max } = *bound;
        let about = format!("{about} In {unit}.");
        let schema =
            json!({"type": "integer", "description": about, "default": default, "minimum": min, "maximum": max});
        (name.to_owned(), schema)
    };
    let properties: serde_json::Map<_, _> = bounds.map(property).collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// Whatever may fail by the client's fault may fail by the host's, in the same shape; and each status means the same
/// everywhere, unless the handler says otherwise.
fn describe_responses(operation: &mut Value) {
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    if let Some(refused) = responses.get("4XX").cloned() {
        responses.insert("5XX".into(), refused);
    }
    for (status, response) in responses {
        if response["description"].as_str().is_none_or(str::is_empty) {
            response["description"] = json!(match status.as_str() {
                "201" => "Made",
                "202" => "Taken; it goes on",
                "204" => "Done, and nothing to say",
                "4XX" => "Refused: `code` says why, `message` what to do",
                "5XX" | "503" => "The host failed, or cannot reach its database; try again",
                _ => "Done",
            });
        }
    }
}

fn merge(into: &mut Value, bounds: &Value) {
    if let (Some(into), Value::Object(bounds)) = (into.as_object_mut(), bounds) {
        into.extend(bounds.clone());
    }
}
