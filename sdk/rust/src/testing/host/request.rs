use serde_json::{Map, Value, json};

use crate::bindings::countersign::agent::types::{ApprovalRequest, Message, Prompt, Role};

/// What a function asks.
pub(super) enum Request {
    Ai(Prompt),
    Pause(ApprovalRequest),
    Wait { id: String, timeout_ms: Option<u64> },
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
            Self::Pause(pause) => object([
                ("kind", json!("pause")),
                ("approval_request_id", json!(pause.approval_request_id)),
                ("approval_request_url", json!(pause.approval_request_url)),
                ("expires_in_ms", json!(pause.expires_in_ms)),
                ("title", json!(pause.title)),
                ("payload", json!(pause.payload)),
                ("response_schema", json!(pause.response_schema)),
                ("choices", if pause.choices.is_empty() { Value::Null } else { json!(pause.choices) }),
            ]),
            Self::Wait { id, timeout_ms } => object([
                ("kind", json!("wait_for_resume")),
                ("approval_request_id", json!(id)),
                ("timeout_ms", json!(timeout_ms)),
            ]),
            Self::Call { target, input } => json!({ "kind": "call", "target": target, "input": input }),
            Self::Sleep(duration_ms) => json!({ "kind": "sleep", "duration_ms": duration_ms }),
        }
    }
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
