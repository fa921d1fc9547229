//! A request for a decision as the input of a function: that of the contract, with JSON where that has JSON's text.

use std::time::Duration;

use countersign_sdk::{Escalation, Pause, Stage, Value, data, pause};

/// What to ask for. Whatever is left out is not asked for.
#[data]
#[derive(Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Request {
    /// Its name; otherwise `only`.
    id: Option<String>,
    /// The same under the name that the contract has for it.
    approval_request_id: Option<String>,
    approval_request_url: Option<String>,
    expires_in_ms: Option<u64>,
    default_decision: Option<String>,
    title: Option<String>,
    payload: Option<Value>,
    editable: bool,
    response_schema: Option<Value>,
    choices: Vec<String>,
    feedback_required: Vec<String>,
    stages: Vec<StageRequest>,
    rejection: Option<Rejection>,
    forbid_self_approval: bool,
    reminders_ms: Vec<u64>,
    escalations: Vec<EscalationRequest>,
    notify: Vec<String>,
}

/// A stage; without reviewers it asks whoever may decide.
#[data]
#[serde(deny_unknown_fields)]
struct StageRequest {
    #[serde(default)]
    reviewers: Vec<String>,
    required: u32,
}

/// An escalation.
#[data]
#[serde(deny_unknown_fields)]
struct EscalationRequest {
    after_ms: u64,
    #[serde(default)]
    reviewers: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

/// What it takes to refuse.
#[data]
#[serde(rename_all = "snake_case")]
enum Rejection {
    First,
    Majority,
}

impl Request {
    pub(crate) fn into_pause(self) -> Pause {
        let name = self.id.or(self.approval_request_id).unwrap_or_else(|| "only".to_owned());
        let pause = pause(name).choices(self.choices).feedback_required(self.feedback_required).notify(self.notify);
        let pause = set(pause, self.approval_request_url, Pause::url);
        let pause = set(pause, self.title, Pause::title);
        let pause = set(pause, self.payload, |pause, payload| pause.payload(&payload));
        let pause = set(pause, self.response_schema, |pause, schema| pause.response_schema(&schema));
        let pause = set(pause, self.expires_in_ms, |pause, ms| pause.expires_in(Duration::from_millis(ms)));
        let pause = set(pause, self.default_decision, Pause::default_decision);
        let pause = set(pause, self.editable.then_some(()), |pause, ()| pause.editable());
        let pause = set(pause, self.forbid_self_approval.then_some(()), |pause, ()| pause.forbid_self_approval());
        let by_majority = matches!(self.rejection, Some(Rejection::Majority));
        let pause = set(pause, by_majority.then_some(()), |pause, ()| pause.rejection_by_majority());
        let pause = self.stages.into_iter().fold(pause, |pause, stage| pause.stage(stage.into()));
        let wait = Duration::from_millis;
        let pause = self.reminders_ms.into_iter().fold(pause, |pause, ms| pause.remind_after(wait(ms)));
        self.escalations.into_iter().fold(pause, |pause, escalation| {
            let EscalationRequest { after_ms, reviewers, notify } = escalation;
            pause.escalate(Escalation::after(wait(after_ms)).reviewers(reviewers).notify(notify))
        })
    }
}

impl From<StageRequest> for Stage {
    fn from(StageRequest { reviewers, required }: StageRequest) -> Self {
        let stage = if reviewers.is_empty() { Self::anyone() } else { Self::of(reviewers) };
        stage.required(required)
    }
}

/// Sets what is there.
fn set<T>(pause: Pause, value: Option<T>, setter: impl FnOnce(Pause, T) -> Pause) -> Pause {
    match value {
        Some(value) => setter(pause, value),
        None => pause,
    }
}
