use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::bindings::countersign::agent::types::{
    ApprovalRequest, ApprovalStage, Escalation, Message, Prompt, RejectionRule, Role,
};

/// What a function asks.
pub(super) enum Request {
    Ai(Prompt),
    Pause(Box<ApprovalRequest>),
    Wait { id: String, timeout_ms: Option<u64> },
    Link { id: String, reviewer: String },
    Call { target: String, input: String },
    Sleep(u64),
}

impl Request {
    /// Its form in the journal of a host: what was not set is not there.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Ai(prompt) => {
                let messages: Vec<Value> = prompt.messages.iter().map(message).collect();
                object([
                    ("kind", json!("ai")),
                    ("messages", json!(messages)),
                    ("model", json!(prompt.model)),
                    ("schema", json!(prompt.schema)),
                    ("temperature", prompt.temperature.map_or(Value::Null, decimal)),
                    ("max_tokens", json!(prompt.max_tokens)),
                ])
            }
            Self::Pause(pause) => pause_json(pause),
            Self::Wait { id, timeout_ms } => object([
                ("kind", json!("wait_for_resume")),
                ("approval_request_id", json!(id)),
                ("timeout_ms", json!(timeout_ms)),
            ]),
            Self::Link { id, reviewer } => {
                json!({ "kind": "review_link", "approval_request_id": id, "reviewer": reviewer })
            }
            Self::Call { target, input } => json!({ "kind": "call", "target": target, "input": input }),
            Self::Sleep(duration_ms) => json!({ "kind": "sleep", "duration_ms": duration_ms }),
        }
    }
}

fn pause_json(pause: &ApprovalRequest) -> Value {
    let stages: Vec<Value> = pause.stages.iter().map(stage).collect();
    let escalations: Vec<Value> = pause.escalations.iter().map(escalation).collect();
    object([
        ("kind", json!("pause")),
        ("approval_request_id", json!(pause.approval_request_id)),
        ("approval_request_url", json!(pause.approval_request_url)),
        ("expires_in_ms", json!(pause.expires_in_ms)),
        ("default_decision", json!(pause.default_decision)),
        ("title", json!(pause.title)),
        ("payload", json!(pause.payload)),
        ("editable", flag(pause.editable)),
        ("response_schema", json!(pause.response_schema)),
        ("choices", list(&pause.choices)),
        ("feedback_required", list(&pause.feedback_required)),
        ("stages", list(&stages)),
        ("rejection", if pause.rejection == RejectionRule::Majority { json!("majority") } else { Value::Null }),
        ("forbid_self_approval", flag(pause.forbid_self_approval)),
        ("reminders_ms", list(&pause.reminders_ms)),
        ("escalations", list(&escalations)),
        ("notify", list(&pause.notify)),
    ])
}

fn stage(stage: &ApprovalStage) -> Value {
    json!({ "reviewers": stage.reviewers, "required": stage.required })
}

fn escalation(escalation: &Escalation) -> Value {
    object([
        ("after_ms", json!(escalation.after_ms)),
        ("reviewers", list(&escalation.reviewers)),
        ("notify", list(&escalation.notify)),
    ])
}

fn list(items: &[impl Serialize]) -> Value {
    if items.is_empty() { Value::Null } else { json!(items) }
}

fn flag(flag: bool) -> Value {
    if flag { json!(true) } else { Value::Null }
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    json!({ "role": role, "content": message.content })
}

/// As the number is written, 0.7, and not the nearest one of twice its size, 0.699999988079071.
fn decimal(number: f32) -> Value {
    serde_json::from_str(&number.to_string()).unwrap_or(Value::Null)
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let set = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(set.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}
