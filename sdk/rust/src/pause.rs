use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::FusedFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::countersign::agent::types;
use crate::execution::whole_millis;
use crate::schema::schema_of;
use crate::{ApprovalRequest, Ask, Error, PauseError, host, json};

/// Begins a pause: a wait for a human decision, for as long as it takes.
///
/// `id` names the approval within this execution: 1 to 128 of the characters `A-Z a-z 0-9 . _ ~ -`. An execution
/// pauses under an id once; [`wait_for_resume`] comes back to it.
///
/// ```no_run
/// # async fn example() -> Result<(), countersign_sdk::PauseError> {
/// let review = countersign_sdk::pause("draft-review").title("Ready to print?").await?;
/// # Ok(())
/// # }
/// ```
pub fn pause(id: impl Into<String>) -> Pause {
    Pause {
        request: ApprovalRequest { approval_request_id: id.into(), ..ApprovalRequest::default() },
        defect: None,
        ask: None,
    }
}

/// A pause: first in the making, and from its first poll an [`Ask`].
///
/// A request that the host refuses, or that cannot be written as JSON, is [`PauseError::InvalidRequest`]; a second
/// pause under the same id is [`PauseError::DuplicateId`].
#[derive(Debug)]
#[must_use = "the host hears of it only when it is awaited"]
pub struct Pause {
    request: ApprovalRequest,
    /// Why the request cannot be made, if it cannot.
    defect: Option<PauseError>,
    /// None until the first poll.
    ask: Option<Ask<Result<Review, PauseError>>>,
}

impl Pause {
    /// Sets the reviewer's own page, at most 2,048 bytes.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.request.approval_request_url = Some(url.into());
        self
    }

    /// Sets one line for the reviewer, at most 512 bytes.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.request.title = Some(title.into());
        self
    }

    /// Sets what the reviewer is to judge.
    pub fn payload(mut self, payload: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_string(payload) {
            Ok(json) => self.request.payload = Some(json),
            Err(error) => self.defect = Some(PauseError::InvalidRequest(format!("payload: {error}"))),
        }
        self
    }

    /// Sets a form for the reviewer, with the fields of `T`. [`Review::response`] reads it.
    ///
    /// Each decision needs it filled in then, but for `rejected` and `request_changes`.
    ///
    /// ```no_run
    /// # use countersign_sdk::{Error, data, pause};
    /// #[data]
    /// struct Budget {
    ///     /// In euros.
    ///     amount: u32,
    /// }
    ///
    /// # async fn example() -> Result<(), Error> {
    /// let review = pause("budget").title("How much may it cost?").form::<Budget>().await?;
    /// if review.approved() {
    ///     let Budget { amount } = review.response()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn form<T: JsonSchema>(self) -> Self {
        self.response_schema(&Value::Object(schema_of::<T>()))
    }

    /// The same, by any JSON Schema.
    pub fn response_schema(mut self, schema: &Value) -> Self {
        self.request.response_schema = Some(schema.to_string());
        self
    }

    /// Sets the decisions to choose from, 1 to 32 of 1 to 64 bytes each; otherwise they are `approved`, `rejected`
    /// and `request_changes`.
    pub fn choices<C: Into<String>>(mut self, choices: impl IntoIterator<Item = C>) -> Self {
        self.request.choices = choices.into_iter().map(Into::into).collect();
        self
    }

    /// Bounds the wait, at most 366 days; otherwise it has no end. After it the decision is `expired`.
    ///
    /// Parts of a millisecond count as a whole one.
    pub fn expires_in(mut self, wait: Duration) -> Self {
        self.request.expires_in_ms = Some(whole_millis(wait));
        self
    }
}

impl Future for Pause {
    type Output = Result<Review, PauseError>;

    /// # Panics
    ///
    /// If the decision was already given.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { request, defect, ask } = &mut *self;
        let ask = ask.get_or_insert_with(|| {
            let (request, defect) = (mem::take(request), defect.take());
            Ask::new(async {
                match defect {
                    Some(defect) => Err(defect),
                    None => host::pause(request).await.map(Review::from),
                }
            })
        });
        Pin::new(ask).poll(cx)
    }
}

impl FusedFuture for Pause {
    fn is_terminated(&self) -> bool {
        self.ask.as_ref().is_some_and(FusedFuture::is_terminated)
    }
}

/// Reconnects to an approval of this execution: answers at once if it is decided, else waits.
///
/// An approval that does not exist yet is opened, with the default choices. After `timeout` (at most 366 days) the
/// answer is `expired`, and the approval stays open.
pub fn wait_for_resume(id: impl Into<String>, timeout: Option<Duration>) -> Ask<Result<Review, PauseError>> {
    let (id, timeout_ms) = (id.into(), timeout.map(whole_millis));
    Ask::new(async move { host::wait_for_resume(id, timeout_ms).await.map(Review::from) })
}

/// A human's decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    /// One of the choices; or `expired`, if nobody decided in time.
    pub decision: String,
    /// What the reviewer had to say.
    pub feedback: Option<String>,
    /// The filled-in form.
    pub response: Option<Value>,
    /// Who decided, as far as it is known.
    pub reviewer: Option<String>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub decided_at_ms: u64,
}

impl Review {
    /// Whether the decision is `approved`.
    pub fn approved(&self) -> bool {
        self.decision == "approved"
    }

    /// Whether nobody decided in time.
    pub fn expired(&self) -> bool {
        self.decision == "expired"
    }

    /// Reads the filled-in form.
    ///
    /// # Errors
    ///
    /// `review_no_response` if there is none, as when the pause has expired; `review_invalid_response`, which says
    /// where, if it is not a `T`.
    pub fn response<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let Some(response) = &self.response else {
            return Err(Error::new("review_no_response", format!("the decision `{}` has no response", self.decision)));
        };
        serde_path_to_error::deserialize(response)
            .map_err(|error| Error::new("review_invalid_response", json::placed(&error)))
    }
}

impl From<types::Review> for Review {
    /// # Panics
    ///
    /// If the response is not JSON, which the host rules out.
    fn from(review: types::Review) -> Self {
        let response = review.response.map(|json| serde_json::from_str(&json).expect("the host checked the response"));
        Self {
            decision: review.decision,
            feedback: review.feedback,
            response,
            reviewer: review.reviewer,
            decided_at_ms: review.decided_at_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use futures::executor::block_on;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_carries_what_was_set() {
        let request = pause("gate")
            .payload(&json!({"n": 1}))
            .choices(["yes", "no"])
            .expires_in(Duration::from_micros(1500))
            .request;
        assert_eq!(request.approval_request_id, "gate");
        assert_eq!(request.payload.as_deref(), Some(r#"{"n":1}"#));
        assert_eq!(request.choices, ["yes", "no"]);
        assert_eq!(request.expires_in_ms, Some(2));
    }

    #[test]
    fn a_payload_that_is_not_json_is_an_error_and_no_panic() {
        let unwritable = HashMap::from([((1, 2), 3)]);
        let result = block_on(pause("gate").payload(&unwritable));
        let Err(PauseError::InvalidRequest(why)) = result else { panic!("{result:?}") };
        assert!(why.starts_with("payload: "), "{why}");
    }

    #[test]
    fn a_pause_fits_into_join_and_select() {
        fn fits<T: FusedFuture + Unpin>(_: &T) {}
        fits(&pause("gate"));
        fits(&wait_for_resume("gate", None));
    }

    #[test]
    fn a_review_reads_its_response() {
        let review = Review::from(types::Review {
            decision: "approved".into(),
            feedback: None,
            response: Some(r#"{"stars":5}"#.into()),
            reviewer: None,
            decided_at_ms: 7,
        });
        assert!(review.approved() && !review.expired());
        assert_eq!(review.response, Some(json!({"stars": 5})));
    }

    #[test]
    fn a_form_is_read_by_its_type_and_an_error_says_where() {
        #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
        struct Budget {
            amount: u32,
        }
        let schema = pause("gate").form::<Budget>().request.response_schema.expect("a form has a schema");
        assert!(schema.contains(r#""required":["amount"]"#), "{schema}");

        let review = |response: Option<Value>| Review {
            decision: "approved".into(),
            feedback: None,
            response,
            reviewer: None,
            decided_at_ms: 7,
        };
        assert_eq!(review(Some(json!({"amount": 5}))).response(), Ok(Budget { amount: 5 }));
        let wrong = review(Some(json!({"amount": "5"}))).response::<Budget>().unwrap_err();
        assert_eq!(wrong.code, "review_invalid_response");
        assert!(wrong.message.starts_with("amount: "), "{wrong}");
        assert_eq!(review(None).response::<Budget>().unwrap_err().code, "review_no_response");
    }
}
