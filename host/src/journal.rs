//! What an execution asked and was told. Pure: no I/O, no clock.
//!
//! The JSON of these types is what the journal's rows hold. It must stay readable for as long as an execution may wait:
//! add fields only as `Option` with `skip_serializing_if`, so that an ask made by an older component still has the text
//! that is in its journal; never rename or remove one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

/// What a guest requests of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ask {
    Ai(Prompt),
    Pause(Box<ApprovalRequest>),
    WaitForResume {
        approval_request_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    ReviewLink {
        approval_request_id: String,
        reviewer: String,
    },
    Call {
        target: String,
        /// JSON text as the guest gave it; not necessarily valid.
        input: String,
    },
    Sleep {
        duration_ms: u64,
    },
}

impl Ask {
    /// The word for it in SQL and in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ai(_) => "ai",
            Self::Pause(_) => "pause",
            Self::WaitForResume { .. } => "wait_for_resume",
            Self::ReviewLink { .. } => "review_link",
            Self::Call { .. } => "call",
            Self::Sleep { .. } => "sleep",
        }
    }

    /// About how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Self::Ai(prompt) => {
                let messages: usize = prompt.messages.iter().map(|message| message.content.len() + 32).sum();
                messages + of(&prompt.model) + of(&prompt.schema)
            }
            Self::Pause(request) => {
                let texts = [&request.approval_request_url, &request.title, &request.payload, &request.response_schema];
                let lists = request.lists().map(|list| list.iter().map(|item| item.len() + 24).sum::<usize>());
                let steps = request.reminders_ms.len() * 8 + request.stages.len() * 32 + request.escalations.len() * 64;
                let id = request.approval_request_id.len() + of(&request.default_decision);
                id + steps + lists.sum::<usize>() + texts.into_iter().map(of).sum::<usize>()
            }
            Self::WaitForResume { approval_request_id, .. } => approval_request_id.len(),
            Self::ReviewLink { approval_request_id, reviewer } => approval_request_id.len() + reviewer.len(),
            Self::Call { target, input } => target.len() + input.len(),
            Self::Sleep { .. } => 0,
        }
    }

    /// Its journal form: two asks are the same if and only if their texts are.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and options always have a JSON form")
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    pub messages: Vec<Message>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// JSON Schema, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// A request for a human decision, as the contract has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    pub approval_request_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_request_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_decision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub editable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feedback_required: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<ApprovalStage>,
    #[serde(default, skip_serializing_if = "RejectionRule::is_first")]
    pub rejection: RejectionRule,
    #[serde(default, skip_serializing_if = "is_false")]
    pub forbid_self_approval: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reminders_ms: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<Escalation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
}

impl ApprovalRequest {
    /// Its lists of names, all of them.
    fn lists(&self) -> impl Iterator<Item = &Vec<String>> {
        let stages = self.stages.iter().map(|stage| &stage.reviewers);
        let escalations = self.escalations.iter().flat_map(|escalation| [&escalation.reviewers, &escalation.notify]);
        [&self.choices, &self.feedback_required, &self.notify].into_iter().chain(stages).chain(escalations)
    }
}

/// Who decides at one step of an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalStage {
    /// By name; groups with an `@` before it. Empty: whoever may decide for the tenant.
    pub reviewers: Vec<String>,
    /// How many of them must agree on a choice.
    pub required: u32,
}

/// What it takes to refuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RejectionRule {
    /// The first refusal decides.
    #[default]
    First,
    /// More than half of a stage, or so many that the others are too few to approve.
    Majority,
}

impl RejectionRule {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_first(&self) -> bool {
        *self == Self::First
    }
}

/// Whom else to ask when a decision is long in coming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    pub after_ms: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What a guest got. The variant fits the ask's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Ai(Result<Completion, AiError>),
    /// To a pause, and to a wait for one.
    Review(Result<Review, PauseError>),
    /// The address of a page for one reviewer.
    Link(Result<String, PauseError>),
    /// JSON text.
    Call(Result<String, CallError>),
    Slept,
}

impl Answer {
    /// Its journal form.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and options always have a JSON form")
    }

    /// Whether a guest that asked `ask` can be given this.
    pub fn fits(&self, ask: &Ask) -> bool {
        matches!(
            (self, ask),
            (Self::Ai(_), Ask::Ai(_))
                | (Self::Review(_), Ask::Pause(_) | Ask::WaitForResume { .. })
                | (Self::Link(_), Ask::ReviewLink { .. })
                | (Self::Call(_), Ask::Call { .. })
                | (Self::Slept, Ask::Sleep { .. })
        )
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    pub text: String,
    pub model: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AiError {
    Refused(String),
    RateLimited,
    BudgetExhausted,
    InvalidOutput(String),
    Unavailable(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    pub decision: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer: Option<String>,
    pub decided_at_ms: Millis,
    /// Every vote, oldest first, if the request had stages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
}

/// What one reviewer decided, of several who were asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    pub reviewer: String,
    /// Whether the name is only what the sender of a signed webhook said.
    #[serde(default, skip_serializing_if = "is_false")]
    pub claimed: bool,
    /// The stage at which it counted, from 0.
    pub stage: u32,
    pub decision: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    pub voted_at_ms: Millis,
}

impl Review {
    /// What an agent is told when nobody decided before `at`.
    pub fn expired(at: Millis) -> Self {
        let decision = EXPIRED.into();
        Self { decision, feedback: None, response: None, reviewer: None, decided_at_ms: at, votes: vec![] }
    }

    /// Whether nobody decided in time.
    pub fn is_expired(&self) -> bool {
        self.decision == EXPIRED
    }
}

/// The decision of a pause that nobody decided in time. No choice may have this name.
pub const EXPIRED: &str = "expired";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseError {
    InvalidRequest(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallError {
    NotFound(String),
    Denied(String),
    /// JSON text.
    Failed(String),
    Cancelled,
    Unavailable(String),
}

/// One answered ask. Entries are ordered by the order in which their answers were delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Which ask of the execution this answers, counted from 0 in the order of asking.
    pub op: u64,
    /// `Ask::to_text` of that ask.
    pub ask: String,
    pub answer: Answer,
    /// What the guest's clocks show from this delivery on.
    pub at: Millis,
}

impl Entry {
    /// How much of the journal it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.ask.len() + self.answer.to_text().len()
    }
}

/// On replay the guest asked something else than the journal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub seq: usize,
    pub op: u64,
    /// The ask's text in the journal.
    pub recorded: String,
    /// What the guest asked as `op` this time; none if it did not ask that many times, or took the ask back.
    pub asked: Option<String>,
}

/// How much of an ask's text a message about it shows, in characters.
const SHOWN_CHARS_MAX: usize = 2_000;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| text.chars().take(SHOWN_CHARS_MAX).collect::<String>();
        write!(
            f,
            "on replay, ask {} is not the one that journal entry {} answers. Recorded: {}. Asked now: {}. What a \
             component asks must depend on nothing but its input and the answers so far.",
            self.op,
            self.seq,
            shown(&self.recorded),
            self.asked.as_deref().map_or_else(|| "nothing".into(), shown),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asks_text_is_stable() {
        let ask = Ask::Pause(Box::new(ApprovalRequest {
            approval_request_id: "draft-review".into(),
            expires_in_ms: Some(86_400_000),
            ..ApprovalRequest::default()
        }));
        assert_eq!(ask.to_text(), r#"{"kind":"pause","approval_request_id":"draft-review","expires_in_ms":86400000}"#);
        assert_eq!(Ask::Sleep { duration_ms: 5 }.to_text(), r#"{"kind":"sleep","duration_ms":5}"#);
        assert_eq!(serde_json::from_str::<Ask>(&ask.to_text()).unwrap(), ask);
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let answers = [
            Answer::Slept,
            Answer::Call(Err(CallError::Cancelled)),
            Answer::Call(Ok("{\"a\":\"\\u0000\"}".into())),
            Answer::Review(Ok(Review::expired(5))),
            Answer::Ai(Err(AiError::RateLimited)),
            Answer::Ai(Ok(Completion { text: "\0é".into(), model: "m".into(), input_tokens: 1, output_tokens: 2 })),
        ];
        for answer in answers {
            let text = answer.to_text();
            assert!(!text.contains('\0'), "Postgres keeps no NUL in text");
            assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
        }
    }

    #[test]
    fn an_answer_fits_only_its_own_kind_of_ask() {
        assert!(Answer::Slept.fits(&Ask::Sleep { duration_ms: 0 }));
        assert!(!Answer::Slept.fits(&Ask::Call { target: "a.b".into(), input: "1".into() }));
        let wait = Ask::WaitForResume { approval_request_id: "x".into(), timeout_ms: None };
        assert!(Answer::Review(Ok(Review::expired(0))).fits(&wait));
    }
}
