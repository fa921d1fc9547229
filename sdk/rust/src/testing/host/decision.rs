//! What a host takes of a decision, and what the agent is told of it.

use serde_json::{Map, Value};

use super::approval::choices;
use super::{Millis, votes};
use crate::bindings::countersign::agent::types::{ApprovalRequest, Review};
use crate::testing::answer::Decision;

/// The choices that say no. They need no response.
const REFUSALS: [&str; 2] = ["rejected", "request_changes"];

/// How many references are followed from one to the next.
const REFERENCES_MAX: usize = 64;

pub(super) fn refuses(decision: &str) -> bool {
    REFUSALS.contains(&decision)
}

/// The review that a decision makes of a pause.
///
/// # Panics
///
/// If no host would take the decision.
pub(super) fn review(pause: &ApprovalRequest, given: &Decision, at: Millis) -> Review {
    let votes = votes::of(pause, given, at);
    let Some(last) = votes.last() else {
        let Taken { decision, feedback, response, reviewer } = take(pause, given);
        return Review { decision, feedback, response, reviewer, decided_at_ms: at, votes };
    };
    Review {
        decision: last.decision.clone(),
        feedback: last.feedback.clone(),
        response: last.response.clone(),
        reviewer: Some(last.reviewer.clone()),
        decided_at_ms: at,
        votes,
    }
}

/// What nobody decided in time.
pub(super) fn timed_out(pause: Option<&ApprovalRequest>, at: Millis) -> Review {
    let default = pause.and_then(|pause| Some((pause, pause.default_decision.as_ref()?)));
    Review {
        decision: default.map_or_else(|| "expired".to_owned(), |(_, decision)| decision.clone()),
        feedback: None,
        response: default.and_then(|(pause, decision)| completed(pause, decision, None)),
        reviewer: None,
        decided_at_ms: at,
        votes: vec![],
    }
}

/// One reviewer's decision, as a host keeps it. The response is JSON text.
pub(super) struct Taken {
    pub(super) decision: String,
    pub(super) feedback: Option<String>,
    pub(super) response: Option<String>,
    pub(super) reviewer: Option<String>,
}

/// Takes one reviewer's decision.
pub(super) fn take(pause: &ApprovalRequest, given: &Decision) -> Taken {
    let id = &pause.approval_request_id;
    let Decision { decision, feedback, response, reviewer, .. } = given;
    let choices = choices(pause);
    assert!(
        choices.contains(&decision.as_str()),
        "the decision `{decision}` is none of the choices {choices:?} of the pause `{id}`"
    );
    let is_silent = feedback.as_ref().is_none_or(|words| words.trim().is_empty());
    let needs_words = pause.feedback_required.contains(decision);
    assert!(!(is_silent && needs_words), "the decision `{decision}` of the pause `{id}` needs feedback");
    let response = completed(pause, decision, response.clone());
    let has_form = pause.response_schema.is_some() && !refuses(decision);
    assert!(response.is_some() || !has_form, "the pause `{id}` has a form: `{decision}` needs a response");
    Taken { decision: decision.clone(), feedback: feedback.clone(), response, reviewer: reviewer.clone() }
}

/// The response that the agent is given: as it was approved, or with what the form has by default.
fn completed(pause: &ApprovalRequest, decision: &str, response: Option<Value>) -> Option<String> {
    if response.is_none() && refuses(decision) {
        return None;
    }
    let as_it_was = || pause.payload.as_deref().filter(|_| pause.editable).map(parsed);
    let given = response.or_else(as_it_was);
    let Some(schema) = pause.response_schema.as_deref().map(parsed) else {
        return given.map(|given| given.to_string());
    };
    if let Some(mut document) = given {
        fill(&schema, &schema, &mut document);
        return Some(document.to_string());
    }
    let form = resolved(&schema, &schema);
    if let Some(default) = form.get("default") {
        return Some(default.to_string());
    }
    // A form that nobody fills in holds what it has by default, if that is all that it must hold.
    let mut empty = Value::Object(Map::new());
    let is_filled = fill(&schema, &schema, &mut empty);
    let mut required = form["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    (is_filled && required.all(|name| empty.get(name).is_some())).then(|| empty.to_string())
}

/// Adds the schema's defaults where the document has nothing; says whether there were any.
fn fill(root: &Value, schema: &Value, document: &mut Value) -> bool {
    let (Some(properties), Value::Object(fields)) = (resolved(root, schema)["properties"].as_object(), document) else {
        return false;
    };
    let mut is_filled = false;
    for (name, property) in properties {
        if let Some(field) = fields.get_mut(name) {
            is_filled |= fill(root, property, field);
        } else if let Some(default) = resolved(root, property).get("default") {
            fields.insert(name.clone(), default.clone());
            is_filled = true;
        }
    }
    is_filled
}

/// The schema that a reference leads to. What stands beside the reference comes first.
fn resolved<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..REFERENCES_MAX {
        if schema.get("default").is_some() || schema.get("properties").is_some() {
            return schema;
        }
        let target = schema["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?));
        let Some(target) = target else { return schema };
        schema = target;
    }
    schema
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_stand_for_what_is_left_out_and_for_nothing_else() {
        let schema = json!({
            "properties": {
                "note": {"default": "none"},
                "limit": {"properties": {"euros": {"default": 5}}},
                "item": {"$ref": "#/$defs/item"},
                "free": {"type": "string"},
            },
            "$defs": {"item": {"default": {}, "properties": {"count": {"default": 1}}}},
        });
        let filled = |mut document: Value| (fill(&schema, &schema, &mut document), document);
        let (is_filled, document) = filled(json!({"note": null, "limit": {}}));
        assert!(is_filled);
        assert_eq!(document, json!({"note": null, "limit": {"euros": 5}, "item": {}}));
        assert!(!filled(json!({"note": "n", "item": {"count": 2}})).0);
    }
}
