use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AiError, CallError, Elapsed, PauseError};

/// How a function fails. As JSON, which is what its caller sees, it is `{"code": …, "message": …}`.
///
/// What this crate's asks fail with turns into one by `?`; anything else by [`Error::new`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Error {
    /// What went wrong, for programs: lower-case words joined by `_`.
    pub code: String,
    /// What went wrong, for people.
    pub message: String,
}

impl Error {
    /// An error with this code, for programs, and this message, for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("two strings can be written as JSON")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl From<AiError> for Error {
    fn from(error: AiError) -> Self {
        match error {
            AiError::Refused(why) => Self::new("ai_refused", why),
            AiError::RateLimited => Self::new("ai_rate_limited", "the model's provider limits the rate"),
            AiError::BudgetExhausted => Self::new("ai_budget_exhausted", "no budget is left for models"),
            AiError::InvalidOutput(why) => Self::new("ai_invalid_output", why),
            AiError::Unavailable(why) => Self::new("ai_unavailable", why),
        }
    }
}

impl From<PauseError> for Error {
    fn from(error: PauseError) -> Self {
        let PauseError::InvalidRequest(why) = error;
        Self::new("pause_invalid_request", why)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        let code = match error {
            CallError::NotFound(_) => "call_not_found",
            CallError::Denied(_) => "call_denied",
            CallError::Failed(_) => "call_failed",
            CallError::Cancelled => "call_cancelled",
            CallError::Unavailable(_) => "call_unavailable",
            CallError::InvalidInput(_) => "call_invalid_input",
            CallError::InvalidResult(_) => "call_invalid_result",
        };
        Self::new(code, error.to_string())
    }
}

impl From<Elapsed> for Error {
    fn from(error: Elapsed) -> Self {
        Self::new("timeout", error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::new("invalid_json", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn its_json_is_code_and_message() {
        let error = Error::new("too_late", "the shop is \"closed\"");
        assert_eq!(error.to_json(), r#"{"code":"too_late","message":"the shop is \"closed\""}"#);
    }

    #[test]
    fn a_failed_call_names_the_error_of_the_called_function() {
        let error = Error::from(CallError::Failed(json!({"code": "publish_failed"})));
        assert_eq!(error.code, "call_failed");
        assert!(error.message.contains("publish_failed"), "{error}");
    }

    #[test]
    fn asks_fail_with_codes_that_tell_them_apart() {
        assert_eq!(Error::from(AiError::RateLimited).code, "ai_rate_limited");
        assert_eq!(Error::from(PauseError::InvalidRequest("x".into())).code, "pause_invalid_request");
        assert_eq!(Error::from(CallError::Cancelled).code, "call_cancelled");
    }
}
