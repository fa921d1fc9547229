use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::FusedFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::bindings::countersign::agent::types::RejectionRule;
use crate::execution::whole_millis;
use crate::schema::schema_of;
use crate::{ApprovalRequest, Ask, Escalation, PauseError, Review, Stage, host};

/// Begins a pause: a wait for a human decision, for as long as it takes.
///
/// `name` names the approval within this execution: 1 to 128 of the characters `A-Z a-z 0-9 . _ ~ -`. It is its id, too;
/// the second pause under a name has the id `name#2`, the third `name#3`. [`wait_for_resume`] comes back to it.
///
/// ```no_run
/// # async fn example() -> Result<(), countersign_sdk::PauseError> {
/// let review = countersign_sdk::pause("draft-review").title("Ready to print?").await?;
/// # Ok(())
/// # }
/// ```
///
/// Whoever may decide for the tenant decides it, unless it says who:
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example() -> Result<(), countersign_sdk::PauseError> {
/// # const HOUR: Duration = Duration::from_secs(3600);
/// let review = countersign_sdk::pause("contract")
///     .reviewers(["ana", "bo", "@legal"])
///     .required(2)
///     .remind_after(4 * HOUR)
///     .escalate_after(24 * HOUR, ["@leads"])
///     .expires_in(72 * HOUR)
///     .default_decision("rejected")
///     .await?;
/// let signed_by = review.votes.iter().map(|vote| &vote.reviewer);
/// # Ok(())
/// # }
/// ```
pub fn pause(name: impl Into<String>) -> Pause {
    Pause {
        request: ApprovalRequest { approval_request_id: name.into(), ..ApprovalRequest::default() },
        sole: None,
        stages: vec![],
        defect: None,
        ask: None,
    }
}

/// A pause: first in the making, and from its first poll an [`Ask`].
///
/// A request that the host refuses, or that cannot be written as JSON, is [`PauseError::InvalidRequest`].
#[derive(Debug)]
#[must_use = "the host hears of it only when it is awaited"]
pub struct Pause {
    /// All but its stages.
    request: ApprovalRequest,
    /// What `reviewers` and `required` say.
    sole: Option<Stage>,
    /// What `stage` says.
    stages: Vec<Stage>,
    /// Why the request cannot be made, if it cannot.
    defect: Option<String>,
    /// None until the first poll.
    ask: Option<Ask<Result<Review, PauseError>>>,
}

/// What the reviewer sees.
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
            Err(error) => self.defect = Some(format!("payload: {error}")),
        }
        self
    }
}

/// What the reviewer answers.
impl Pause {
    /// Sets what the reviewer is to judge and may change, within its type. [`Review::response`] then reads the payload
    /// as it was approved, changed or not.
    ///
    /// ```no_run
    /// # use countersign_sdk::{Error, data, pause};
    /// #[data]
    /// struct Mail {
    ///     to: String,
    ///     body: String,
    /// }
    ///
    /// # async fn example(draft: Mail) -> Result<(), Error> {
    /// let review = pause("mail").title("Send this?").edit(&draft).await?;
    /// if review.approved() {
    ///     let mail: Mail = review.response()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn edit<T: Serialize + JsonSchema + ?Sized>(self, payload: &T) -> Self {
        let edited = self.payload(payload).editable();
        let schema = schema_of::<T>();
        if schema.is_empty() { edited } else { edited.response_schema(&Value::Object(schema)) }
    }

    /// Lets the reviewer change the payload, within the form if there is one. [`edit`](Self::edit) does both.
    pub fn editable(mut self) -> Self {
        self.request.editable = true;
        self
    }

    /// Sets a form for the reviewer, with the fields of `T`. [`Review::response`] reads it.
    ///
    /// Each decision needs it filled in then, but for `rejected` and `request_changes`. What has a default may be left
    /// out.
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
    /// and `request_changes`. The last two of these refuse; every other choice approves.
    pub fn choices<C: Into<String>>(mut self, choices: impl IntoIterator<Item = C>) -> Self {
        self.request.choices = choices.into_iter().map(Into::into).collect();
        self
    }

    /// Sets which of the choices need feedback.
    pub fn feedback_required<C: Into<String>>(mut self, choices: impl IntoIterator<Item = C>) -> Self {
        self.request.feedback_required = choices.into_iter().map(Into::into).collect();
        self
    }
}

/// Who decides.
impl Pause {
    /// Asks these reviewers, at most 64, by name; groups of the tenant with an `@` before theirs. One of them decides,
    /// unless more are [`required`](Self::required).
    pub fn reviewers<R: Into<String>>(mut self, reviewers: impl IntoIterator<Item = R>) -> Self {
        let Stage { reviewers, .. } = Stage::of(reviewers);
        self.sole.get_or_insert_with(Stage::anyone).reviewers = reviewers;
        self
    }

    /// Sets how many of the reviewers must agree on a choice; 1 to 64.
    pub fn required(mut self, required: u32) -> Self {
        self.sole.get_or_insert_with(Stage::anyone).required = required;
        self
    }

    /// Adds a stage, at most 8: one begins when the one before it has approved. Not with
    /// [`reviewers`](Self::reviewers), which is a single stage.
    ///
    /// ```no_run
    /// # use countersign_sdk::{PauseError, Stage, pause};
    /// # async fn example() -> Result<(), PauseError> {
    /// let review = pause("contract").stage(Stage::of(["@legal"])).stage(Stage::of(["@finance"]).required(2)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stages.push(stage);
        self
    }

    /// Has a refusal take more than half of those whom a stage asks; otherwise the first one decides.
    pub fn rejection_by_majority(mut self) -> Self {
        self.request.rejection = RejectionRule::Majority;
        self
    }

    /// Keeps the one who started the execution from taking part.
    pub fn forbid_self_approval(mut self) -> Self {
        self.request.forbid_self_approval = true;
        self
    }
}

/// When, and who is told.
impl Pause {
    /// Bounds the wait, at most 366 days; otherwise it has no end. After it the decision is `expired`.
    ///
    /// Parts of a millisecond count as a whole one.
    pub fn expires_in(mut self, wait: Duration) -> Self {
        self.request.expires_in_ms = Some(whole_millis(wait));
        self
    }

    /// Sets which choice is taken if nobody decides in time, instead of `expired`. It has no reviewer then.
    pub fn default_decision(mut self, choice: impl Into<String>) -> Self {
        self.request.default_decision = Some(choice.into());
        self
    }

    /// Reminds those who have not decided, so long after the pause was opened; at most 16 times.
    pub fn remind_after(mut self, wait: Duration) -> Self {
        self.request.reminders_ms.push(whole_millis(wait));
        self
    }

    /// Lets these reviewers decide, too, at every stage, so long after the pause was opened.
    pub fn escalate_after<R: Into<String>>(self, wait: Duration, reviewers: impl IntoIterator<Item = R>) -> Self {
        self.escalate(Escalation::after(wait).reviewers(reviewers))
    }

    /// Adds an escalation, at most 8; one may also tell endpoints.
    pub fn escalate(mut self, escalation: Escalation) -> Self {
        self.request.escalations.push(escalation);
        self
    }

    /// Sets which endpoints of the tenant are told of this pause, by name, beside those that are told of every one; at
    /// most 8.
    pub fn notify<E: Into<String>>(mut self, endpoints: impl IntoIterator<Item = E>) -> Self {
        self.request.notify = endpoints.into_iter().map(Into::into).collect();
        self
    }

    /// The whole request, which is taken out.
    fn take_request(&mut self) -> Result<ApprovalRequest, PauseError> {
        let invalid = PauseError::InvalidRequest;
        if let Some(defect) = self.defect.take() {
            return Err(invalid(defect));
        }
        let (sole, stages) = (self.sole.take(), mem::take(&mut self.stages));
        if sole.is_some() && !stages.is_empty() {
            return Err(invalid("stages: give `reviewers` and `required`, or stages, not both".to_owned()));
        }
        let stages: Result<_, String> = sole.into_iter().chain(stages).map(Stage::into_contract).collect();
        Ok(ApprovalRequest { stages: stages.map_err(invalid)?, ..mem::take(&mut self.request) })
    }
}

impl Future for Pause {
    type Output = Result<Review, PauseError>;

    /// # Panics
    ///
    /// If the decision was already given.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.ask.is_none() {
            let request = self.take_request();
            self.ask = Some(Ask::new(async { host::pause(request?).await.map(Review::from) }));
        }
        let ask = self.ask.as_mut().expect("it was asked just now");
        Pin::new(ask).poll(cx)
    }
}

impl FusedFuture for Pause {
    fn is_terminated(&self) -> bool {
        self.ask.as_ref().is_some_and(FusedFuture::is_terminated)
    }
}

/// Reconnects to an approval of this execution by its id: answers at once if it is decided, else waits.
///
/// The id of the first pause under a name is the name, that of the second `name#2`. An approval that does not exist yet
/// is opened, with the default choices. After `timeout` (at most 366 days) the answer is `expired`, and the approval
/// stays open.
pub fn wait_for_resume(id: impl Into<String>, timeout: Option<Duration>) -> Ask<Result<Review, PauseError>> {
    let (id, timeout_ms) = (id.into(), timeout.map(whole_millis));
    Ask::new(async move { host::wait_for_resume(id, timeout_ms).await.map(Review::from) })
}

/// Makes a link by which one reviewer can look at one pause of this execution and decide it, without a key.
///
/// The pause need not be open yet. The link is good for 31 days, and no longer than the pause. Who has it can decide:
/// give it to nobody else.
///
/// ```no_run
/// # use countersign_sdk::{Error, Value, call, json, pause, review_link};
/// # async fn example() -> Result<(), Error> {
/// let link = review_link("draft-review", "ana").await?;
/// call::<Value>("mailer.send", &json!({ "to": "ana@example.com", "body": link })).await?;
/// let review = pause("draft-review").reviewers(["ana"]).await?;
/// # Ok(())
/// # }
/// ```
pub fn review_link(id: impl Into<String>, reviewer: impl Into<String>) -> Ask<Result<String, PauseError>> {
    let (id, reviewer) = (id.into(), reviewer.into());
    Ask::new(async move { host::review_link(id, reviewer).await })
}

#[cfg(test)]
mod tests;
