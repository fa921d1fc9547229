use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::countersign::agent::types;
use crate::{Ask, host, json};

/// Runs another agent's function, as an execution of its own, and waits for its result.
///
/// `target` is `agent.function`; `input` must be what that function takes. The called execution is created exactly
/// once, however often this one is replayed, and is cancelled with it.
///
/// ```no_run
/// # use countersign_sdk::{CallError, Value, call, json};
/// # async fn example() -> Result<(), CallError> {
/// let post: Value = call("publisher.publish", &json!({ "content": "Hello" })).await?;
/// # Ok(())
/// # }
/// ```
pub fn call<T: DeserializeOwned + 'static>(
    target: impl Into<String>,
    input: &(impl Serialize + ?Sized),
) -> Ask<Result<T, CallError>> {
    let (target, input) = (target.into(), serde_json::to_string(input));
    Ask::new(async {
        let input = input.map_err(|error| CallError::InvalidInput(error.to_string()))?;
        let result = host::call(target, input).await?;
        json::read(&result).map_err(CallError::InvalidResult)
    })
}

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq)]
pub enum CallError {
    /// There is no such agent or function.
    NotFound(String),
    /// The host does not allow this call; the text says why.
    Denied(String),
    /// The called function failed, with this error: `{"code", "message", "blame", "detail"}`. If it returned an error,
    /// that is the `detail`.
    Failed(Value),
    /// The called execution was cancelled.
    Cancelled,
    /// The host could not carry it out; the text says why.
    Unavailable(String),
    /// The input cannot be written as JSON, and nothing was called.
    InvalidInput(String),
    /// The called function succeeded, but its result is not what was expected of it.
    InvalidResult(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(what) => write!(f, "no such function: {what}"),
            Self::Denied(why) => write!(f, "the call is not allowed: {why}"),
            Self::Failed(error) => write!(f, "the called function failed: {error}"),
            Self::Cancelled => write!(f, "the called execution was cancelled"),
            Self::Unavailable(why) => write!(f, "the call could not be carried out: {why}"),
            Self::InvalidInput(why) => write!(f, "the input cannot be written as JSON: {why}"),
            Self::InvalidResult(why) => write!(f, "the result is not what was expected: {why}"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<types::CallError> for CallError {
    fn from(error: types::CallError) -> Self {
        match error {
            types::CallError::NotFound(what) => Self::NotFound(what),
            types::CallError::Denied(why) => Self::Denied(why),
            // An agent may fail with any text; what is not JSON is passed on as a JSON string.
            types::CallError::Failed(json) => Self::Failed(serde_json::from_str(&json).unwrap_or(Value::String(json))),
            types::CallError::Cancelled => Self::Cancelled,
            types::CallError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
