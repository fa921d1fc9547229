//! What a host takes of a decision, and what the agent is told of it.

use serde_json::{Value, json};

use super::approval::choices;
use super::{Millis, votes};
use crate::bindings::countersign::agent::types::{ApprovalRequest, Review};
use crate::testing::answer::Decision;

/// The choices that say no. They need no response.
const REFUSALS: [&str; 2] = ["rejected", "request_changes"];

pub(super) fn refuses(decision: &str) -> bool {
    REFUSALS.contains(&decision)
}

/// The review that a decision makes of a pause.
///
/// # Panics
///
/// If no host would take the decision.
pub(super) fn review(pause: &ApprovalRequest, given: &Decision, at: Millis) -> Review {
    let taken = take(pause, given);
    let votes = votes::of(pause, given, &taken, at);
    let last = votes.last();
    Review {
        feedback: taken.feedback.or_else(|| last.and_then(|vote| vote.feedback.clone())),
        response: taken.response.or_else(|| last.and_then(|vote| vote.response.clone())),
        reviewer: taken.reviewer.or_else(|| last.map(|vote| vote.reviewer.clone())),
        decision: taken.decision,
        decided_at_ms: at,
        votes,
    }
}

/// What nobody decided in time.
pub(super) fn timed_out(pause: Option<&ApprovalRequest>, at: Millis) -> Review {
    let default = pause.and_then(|pause| pause.default_decision.clone());
    let decision = default.unwrap_or_else(|| "expired".to_owned());
    Review { decision, feedback: None, response: None, reviewer: None, decided_at_ms: at, votes: vec![] }
}

/// A decision as a host keeps it. Its response is JSON text.
pub(super) struct Taken {
    pub(super) decision: String,
    pub(super) feedback: Option<String>,
    pub(super) response: Option<String>,
    pub(super) reviewer: Option<String>,
}

/// One reviewer's decision, with what a host adds to it.
pub(super) fn take(pause: &ApprovalRequest, given: &Decision) -> Taken {
    let id = &pause.approval_request_id;
    let Decision { decision, feedback, response, reviewer, votes } = given;
    let choices = choices(pause);
    assert!(
        choices.contains(&decision.as_str()),
        "the decision `{decision}` is none of the choices {choices:?} of the pause `{id}`"
    );
    // Of several, each has said why.
    let is_silent = votes.is_empty() && feedback.as_ref().is_none_or(|words| words.trim().is_empty());
    let needs_words = pause.feedback_required.contains(decision);
    assert!(!(is_silent && needs_words), "the decision `{decision}` of the pause `{id}` needs feedback");
    let response = match response {
        Some(response) => Some(response.clone()),
        None if refuses(decision) || !votes.is_empty() => None,
        None if pause.editable => pause.payload.as_deref().map(parsed),
        None => {
            let has_form = pause.response_schema.is_some();
            assert!(!has_form, "the pause `{id}` has a form: `{decision}` needs a response");
            None
        }
    };
    let schema = pause.response_schema.as_deref().map_or(Value::Null, parsed);
    let filled = response.map(|mut response| {
        fill(&schema, &schema, &mut response);
        response.to_string()
    });
    Taken { decision: decision.clone(), feedback: feedback.clone(), response: filled, reviewer: reviewer.clone() }
}

/// Adds the schema's defaults where the document has nothing. References are those within the schema.
fn fill(schema: &Value, root: &Value, document: &mut Value) {
    let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    if let Some(target) = reference.and_then(|reference| root.pointer(reference)) {
        fill(target, root, document);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fill(part, root, document);
    }
    match document {
        Value::Object(fields) => {
            for (name, part) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(default) = part.get("default") {
                    fields.entry(name).or_insert_with(|| default.clone());
                }
                if let Some(field) = fields.get_mut(name) {
                    fill(part, root, field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(&schema["items"], root, item)),
        _ => {}
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_stand_for_what_is_left_out_and_for_nothing_else() {
        let schema = json!({
            "properties": {
                "note": {"default": "none"},
                "limits": {"default": {}, "properties": {"euros": {"default": 5}}},
                "items": {"items": {"$ref": "#/$defs/item"}},
            },
            "$defs": {"item": {"properties": {"count": {"default": 1}}}},
        });
        let mut document = json!({"note": null, "items": [{}, {"count": 2}]});
        fill(&schema, &schema, &mut document);
        let filled = json!({"note": null, "limits": {"euros": 5}, "items": [{"count": 1}, {"count": 2}]});
        assert_eq!(document, filled);
    }
}
