use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::{AiError, CallError, Error};

/// What a test answers to an ask.
///
/// | given as | to a model's ask | to a pause | to a call |
/// |---|---|---|---|
/// | `&str`, `String` | the text | | the result, a string |
/// | [`Value`] | the text, as JSON | | the result |
/// | [`approved`], [`rejected`], [`decided`], [`expired`] | | the decision | |
/// | [`AiError`] | the failure | | |
/// | [`CallError`] | | | the failure |
/// | [`Error`] | | | the error that the called function returned |
/// | [`never()`] | no answer | no answer | no answer |
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub(super) content: Content,
    pub(super) after: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Text(String),
    Json(Value),
    Decision(Decision),
    Expired,
    AiError(AiError),
    CallError(CallError),
    Never,
}

impl Answer {
    /// Has it arrive so long after it was asked for. Otherwise it is there at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use countersign_sdk::testing::Answer;
    /// let late = Answer::from("a draft").after(Duration::from_secs(60));
    /// ```
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

impl From<Content> for Answer {
    fn from(content: Content) -> Self {
        Self { content, after: Duration::ZERO }
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Content::Text(text.to_owned()).into()
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Content::Text(text).into()
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Content::Json(value).into()
    }
}

impl From<Decision> for Answer {
    fn from(decision: Decision) -> Self {
        Content::Decision(decision).into()
    }
}

impl From<AiError> for Answer {
    fn from(error: AiError) -> Self {
        Content::AiError(error).into()
    }
}

impl From<CallError> for Answer {
    fn from(error: CallError) -> Self {
        Content::CallError(error).into()
    }
}

impl From<Error> for Answer {
    /// As the host tells a caller that the called function returned an error.
    fn from(error: Error) -> Self {
        let message = error.message.clone();
        let failure =
            serde_json::json!({ "code": "agent_error", "message": message, "blame": "guest", "detail": error });
        CallError::Failed(failure).into()
    }
}

/// A reviewer's decision. It turns into an [`Answer`] by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub(super) decision: String,
    pub(super) feedback: Option<String>,
    pub(super) response: Option<Value>,
    pub(super) reviewer: Option<String>,
    pub(super) votes: Vec<Self>,
}

impl Decision {
    /// Adds what the reviewer has to say.
    pub fn feedback(self, feedback: impl Into<String>) -> Self {
        Self { feedback: Some(feedback.into()), ..self }
    }

    /// Adds the filled-in form, or the payload as it was edited.
    ///
    /// # Panics
    ///
    /// If it cannot be written as JSON.
    pub fn response(self, response: &(impl Serialize + ?Sized)) -> Self {
        let response = serde_json::to_value(response).expect("a response can be written as JSON");
        Self { response: Some(response), ..self }
    }

    /// Adds who decided. Otherwise nobody knows.
    pub fn reviewer(self, reviewer: impl Into<String>) -> Self {
        Self { reviewer: Some(reviewer.into()), ..self }
    }

    /// Adds who decided what, oldest first, of a pause that says who decides. Otherwise this decision stands for
    /// everybody's.
    ///
    /// They must be votes that those may give whom the pause asks, and must lead to this decision. Feedback, response
    /// and reviewer of the review are the last one's.
    ///
    /// ```
    /// # use countersign_sdk::testing::approved;
    /// let both = approved().votes([approved().reviewer("ana"), approved().reviewer("bo").feedback("At last.")]);
    /// ```
    pub fn votes(self, votes: impl IntoIterator<Item = Self>) -> Self {
        Self { votes: votes.into_iter().collect(), ..self }
    }

    /// Has it arrive so long after it was asked for; see [`Answer::after`].
    pub fn after(self, after: Duration) -> Answer {
        Answer::from(self).after(after)
    }
}

/// The decision `approved`.
pub fn approved() -> Decision {
    decided("approved")
}

/// The decision `rejected`.
pub fn rejected() -> Decision {
    decided("rejected")
}

/// One of the choices of the pause.
pub fn decided(choice: impl Into<String>) -> Decision {
    Decision { decision: choice.into(), feedback: None, response: None, reviewer: None, votes: vec![] }
}

/// Nobody decides: the pause expires, or the wait for it does, when its time is over; at once, if it has no end. The
/// decision is then the pause's default one, if it has one.
pub fn expired() -> Answer {
    Content::Expired.into()
}

/// No answer ever comes. A pause, or a wait for one, expires nevertheless.
pub fn never() -> Answer {
    Content::Never.into()
}
