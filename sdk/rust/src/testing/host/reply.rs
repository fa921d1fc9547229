use serde_json::{Value, json};

use super::Millis;
use super::request::Request;
use crate::bindings::countersign::agent::types::{AiError, CallError, Completion, PauseError, Review, Usage};
use crate::testing::answer::{Answer, Content};

/// What a function is given.
pub(super) enum Reply {
    Ai(Result<Completion, AiError>),
    Review(Result<Review, PauseError>),
    Link(Result<String, PauseError>),
    Call(Result<String, CallError>),
    Slept,
}

impl Reply {
    /// What an answer of the test is to a model's ask or to a call; none if it never comes.
    pub(super) fn to(request: &Request, answer: Answer, op: usize, ask: &Value) -> Option<Self> {
        let reply = match (request, answer.content) {
            (_, Content::Never) => return None,
            (Request::Ai(prompt), Content::Text(text)) => Self::Ai(Ok(completion(text, prompt.model.as_deref()))),
            (Request::Ai(prompt), Content::Json(value)) => {
                Self::Ai(Ok(completion(value.to_string(), prompt.model.as_deref())))
            }
            (Request::Ai(_), Content::AiError(error)) => Self::Ai(Err(error)),
            (Request::Call { .. }, Content::Text(text)) => Self::Call(Ok(json!(text).to_string())),
            (Request::Call { .. }, Content::Json(value)) => Self::Call(Ok(value.to_string())),
            (Request::Call { .. }, Content::CallError(error)) => Self::Call(Err(contract(error))),
            (_, content) => misfit(&content, op, ask),
        };
        Some(reply)
    }
}

/// A decision, or what becomes of it when its time is over, whichever is first; none if neither ever comes.
pub(super) fn until(decision: Option<(Millis, Review)>, over: Option<(Millis, Review)>) -> Option<(Millis, Review)> {
    match (decision, over) {
        (Some(decision), Some(over)) if over.0 <= decision.0 => Some(over),
        (None, over) => over,
        (decision, _) => decision,
    }
}

fn completion(text: String, model: Option<&str>) -> Completion {
    let usage = Usage { input_tokens: 0, output_tokens: 0 };
    Completion { text, model: model.unwrap_or("testing").to_owned(), usage }
}

fn contract(error: crate::CallError) -> CallError {
    match error {
        crate::CallError::NotFound(what) => CallError::NotFound(what),
        crate::CallError::Denied(why) => CallError::Denied(why),
        crate::CallError::Failed(error) => CallError::Failed(error.to_string()),
        crate::CallError::Cancelled => CallError::Cancelled,
        crate::CallError::Unavailable(why) => CallError::Unavailable(why),
        error @ (crate::CallError::InvalidInput(_) | crate::CallError::InvalidResult(_)) => {
            panic!(
                "{error:?} comes from the SDK and from no host: give the call an input or a result that does not fit"
            )
        }
    }
}

pub(super) fn misfit(content: &Content, op: usize, ask: &Value) -> ! {
    panic!("the answer {content:?} does not fit ask {op}: {ask}")
}
