use std::collections::HashSet;

use serde_json::{Value, json};

use super::Millis;
use super::request::Request;
use crate::bindings::countersign::agent::types::{
    AiError, ApprovalRequest, CallError, Completion, PauseError, Review, Usage,
};
use crate::testing::answer::{Answer, Content};

/// What a function is given.
pub(super) enum Reply {
    Ai(Result<Completion, AiError>),
    Review(Result<Review, PauseError>),
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

/// A decision, or that time is over, whichever is first; none if neither ever comes.
pub(super) fn until(decision: Option<(Millis, Review)>, end: Option<Millis>) -> Option<(Millis, Review)> {
    match (decision, end) {
        (Some((at, review)), end) if end.is_none_or(|end| at < end) => Some((at, review)),
        (_, end) => end.map(|end| (end, expired(end))),
    }
}

/// What an answer of the test is to a pause, or to a wait for one; none if nobody decides.
pub(super) fn review(answer: Answer, choices: &[String], at: Millis, op: usize, ask: &Value) -> Option<Review> {
    let decision = match answer.content {
        Content::Decision(decision) => decision,
        Content::Never => return None,
        // Without an end, it is over at once.
        Content::Expired if ask["expires_in_ms"].is_null() && ask["timeout_ms"].is_null() => return Some(expired(at)),
        Content::Expired => return None,
        content => misfit(&content, op, ask),
    };
    let default = ["approved", "rejected", "request_changes"].map(ToOwned::to_owned);
    let choices = if choices.is_empty() { default.as_slice() } else { choices };
    assert!(
        choices.contains(&decision.decision),
        "the decision `{}` is none of the choices {choices:?} of ask {op}: {ask}",
        decision.decision,
    );
    Some(Review {
        decision: decision.decision,
        feedback: decision.feedback,
        response: decision.response.map(|response| response.to_string()),
        reviewer: decision.reviewer,
        decided_at_ms: at,
    })
}

/// Refuses what a host refuses of a pause: its name, and its choices. Lengths and schemas are left to the host.
pub(super) fn check_pause(pause: &ApprovalRequest, paused: &HashSet<String>) -> Result<(), PauseError> {
    check_id(&pause.approval_request_id)?;
    if paused.contains(&pause.approval_request_id) {
        return Err(PauseError::DuplicateId(pause.approval_request_id.clone()));
    }
    if pause.choices.iter().any(|choice| choice.is_empty() || choice == "expired") {
        return Err(PauseError::InvalidRequest("choices: none is empty, none is `expired`".to_owned()));
    }
    Ok(())
}

pub(super) fn check_id(id: &str) -> Result<(), PauseError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    if (1..=128).contains(&id.len()) && id.bytes().all(fits) {
        return Ok(());
    }
    Err(PauseError::InvalidRequest("approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -".to_owned()))
}

fn completion(text: String, model: Option<&str>) -> Completion {
    let usage = Usage { input_tokens: 0, output_tokens: 0 };
    Completion { text, model: model.unwrap_or("testing").to_owned(), usage }
}

fn expired(at: Millis) -> Review {
    Review { decision: "expired".to_owned(), feedback: None, response: None, reviewer: None, decided_at_ms: at }
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

fn misfit(content: &Content, op: usize, ask: &Value) -> ! {
    panic!("the answer {content:?} does not fit ask {op}: {ask}")
}
