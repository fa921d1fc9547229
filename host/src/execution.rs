//! What an execution is called, and which states it may move between. Pure: no I/O, no clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Longest name of a tenant, an agent or a function, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Longest `approval_request_id`, in bytes.
///
/// It is part of a pause's id, and so of a URL.
pub const APPROVAL_REQUEST_ID_BYTES_MAX: usize = 128;

/// Longest input, result, prompt, payload or answer, in bytes.
///
/// Every one of them is a row that is read back on each replay.
pub const JSON_BYTES_MAX: usize = 1 << 20;

/// How many asks any execution may make, whatever its limits are.
pub const ASKS_MAX: u64 = 200_000;

/// The longest sleep, expiry or timeout, in milliseconds: 366 days.
pub const WAIT_MS_MAX: u64 = 366 * 24 * 3600 * 1000;

/// Whether `name` may name an agent or a function: 1 to 64 of `a-z 0-9 _ -`, a letter first.
pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Whether `name` may name a tenant: 1 to 64 of `a-z 0-9 -`, a letter or a digit first.
///
/// No underscore, because it separates the parts of an API key.
pub fn is_tenant(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether an agent may ask for a pause under this name: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`, which a URL needs not
/// escape.
pub fn is_approval_name(name: &str) -> bool {
    (1..=APPROVAL_REQUEST_ID_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'))
}

/// Whether `id` may be an `approval_request_id`: the name of a pause, or of the second pause under a name `name#2`, and
/// so on.
pub fn is_approval_request_id(id: &str) -> bool {
    let (name, number) = id.split_once('#').unwrap_or((id, "2"));
    let is_number = !number.starts_with('0') && number.len() <= 6 && number.bytes().all(|b| b.is_ascii_digit());
    is_approval_name(name) && is_number && number.parse::<u64>().is_ok_and(|number| (2..=ASKS_MAX).contains(&number))
}

/// What a client or a guest asks to be run: `agent.function`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub agent: String,
    pub function: String,
}

/// The text is not of the form `agent.function`.
#[derive(Debug, thiserror::Error)]
#[error("a target is `agent.function`, each 1 to 64 of a-z 0-9 _ -, starting with a letter")]
pub struct NotATarget;

impl FromStr for Target {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        let (agent, function) = text.split_once('.').ok_or(NotATarget)?;
        if is_name(agent) && is_name(function) {
            Ok(Self { agent: agent.into(), function: function.into() })
        } else {
            Err(NotATarget)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.agent, self.function)
    }
}

/// The id of the execution that ask `op` of execution `parent` calls into being.
///
/// A function of its arguments, so that a call that is tried again finds the execution that it made.
pub fn child_id(tenant: &str, parent: &str, op: u64) -> String {
    let mut hash = Sha256::new();
    for part in ["countersign/child/1", tenant, parent, &op.to_string()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("exec_{}", hex(&hash.finalize()[..16]))
}

/// The id of the pause that `execution` opens under `approval_request_id`.
pub fn pause_id(execution: &str, approval_request_id: &str) -> String {
    format!("{execution}:{approval_request_id}")
}

/// The execution and the `approval_request_id` that a pause's id is made of.
pub fn split_pause_id(pause: &str) -> Option<(&str, &str)> {
    let (execution, name) = pause.split_once(':')?;
    (is_execution_id(execution) && is_approval_request_id(name)).then_some((execution, name))
}

/// Whether `id` has the form of an execution's id.
pub fn is_execution_id(id: &str) -> bool {
    id.strip_prefix("exec_")
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where an execution stands.
///
/// ```text
/// pending ─claim─▶ running ─settle─▶ succeeded | failed
///    ▲                │ └─suspend─▶ waiting ─answer, due─▶ pending | running
///    └─ host failure ─┘
/// pending, running, waiting ─cancel─▶ cancelled
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Some worker will drive it.
    Pending,
    /// A worker drives it, or did until its lease ran out.
    Running,
    /// Nothing is to be done until an answer arrives or a time comes. No instance exists.
    Waiting,
    /// The function returned a result.
    Succeeded,
    /// The function returned an error, or a limit, a trap or the host ended it.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl Status {
    /// The word for it in SQL, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it stays as it is for ever.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// The word is none of the six.
#[derive(Debug, thiserror::Error)]
#[error("a status is pending, running, waiting, succeeded, failed or cancelled, not {0:?}")]
pub struct NotAStatus(String);

impl FromStr for Status {
    type Err = NotAStatus;

    fn from_str(word: &str) -> Result<Self, NotAStatus> {
        [Self::Pending, Self::Running, Self::Waiting, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| NotAStatus(word.into()))
    }
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The component's.
    Guest,
    /// That of the one who sent the request.
    Client,
    /// Ours, or our surroundings'.
    Host,
}

/// Longest message taken over from an agent's own error, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable, for programs.
    pub code: String,
    /// For people: what happened, and what to do.
    pub message: String,
    pub blame: Blame,
    /// What the agent returned as its error, verbatim JSON text, if it returned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Failure {
    /// A failure of the guest's own making.
    pub fn guest(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), blame: Blame::Guest, detail: None }
    }

    /// The failure of a function that returned `error`, a JSON text. Its `message`, or its text, is the message.
    pub fn agent(error: &str) -> Self {
        let value: serde_json::Value = serde_json::from_str(error).unwrap_or_default();
        let message = match (&value, value.get("message")) {
            (_, Some(serde_json::Value::String(message))) | (serde_json::Value::String(message), _) => message.as_str(),
            _ => error,
        };
        let message = message.chars().take(MESSAGE_CHARS_MAX).collect::<String>();
        Self { detail: Some(error.to_owned()), ..Self::guest("agent_error", message) }
    }

    /// What a caller is told of a failure, given the text in its row: `{"code","message","blame","detail"}`, the detail
    /// being the JSON that the callee returned.
    pub fn public_text(row: &str) -> String {
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(row) else { return row.to_owned() };
        if let Some(detail) = value.get("detail").and_then(|detail| detail.as_str())
            && let Ok(detail) = serde_json::from_str::<serde_json::Value>(detail)
        {
            value["detail"] = detail;
        }
        value.to_string()
    }

    /// A failure that the guest could not help.
    pub fn host(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), blame: Blame::Host, detail: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_id_names_its_execution_and_its_approval() {
        let execution = child_id("t", "exec_0", 7);
        assert!(is_execution_id(&execution));
        let pause = pause_id(&execution, "draft-review");
        assert_eq!(split_pause_id(&pause), Some((execution.as_str(), "draft-review")));
        for bad in ["", ":", "exec_1:x", &format!("{execution}:"), &format!("{execution}:a/b"), &execution] {
            assert_eq!(split_pause_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_child_id_depends_on_tenant_parent_and_op() {
        let id = child_id("t", "p", 1);
        assert_eq!(id, child_id("t", "p", 1));
        for other in [child_id("u", "p", 1), child_id("t", "q", 1), child_id("t", "p", 2), child_id("tp", "", 1)] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_target_is_two_names() {
        let target: Target = "publisher.publish".parse().unwrap();
        assert_eq!(target.to_string(), "publisher.publish");
        for bad in ["", ".", "a", "a.", ".b", "a.b.c", "A.b", "1a.b", "a b.c", &format!("{}.b", "a".repeat(65))] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_status_is_read_as_it_is_written() {
        for word in ["pending", "running", "waiting", "succeeded", "failed", "cancelled"] {
            assert_eq!(word.parse::<Status>().unwrap().as_str(), word);
        }
        assert!("Pending".parse::<Status>().is_err());
    }
}
