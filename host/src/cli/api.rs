//! The parts of the API's answers that the commands show.

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::output::Style;

/// A deployed version of an agent.
#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub(crate) agent: String,
    pub(crate) version: u64,
    pub(crate) digest: String,
    pub(crate) size_bytes: u64,
    pub(crate) manifest: Manifest,
    pub(crate) created_at: String,
}

/// What a component says about itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) functions: Vec<Function>,
}

/// One thing that an agent can do.
#[derive(Debug, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) input_schema: Option<Value>,
}

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    Running,
    Waiting,
    Succeeded,
    Failed,
    Cancelled,
}

impl Status {
    /// The API's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing can change any more.
    pub(crate) fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    pub(crate) fn style(self) -> Style {
        match self {
            Self::Pending | Self::Running => Style::Aside,
            Self::Waiting => Style::Open,
            Self::Succeeded => Style::Good,
            Self::Failed | Self::Cancelled => Style::Bad,
        }
    }
}

/// One durable invocation of a function.
#[derive(Debug, Deserialize)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) agent: String,
    pub(crate) function: String,
    pub(crate) version: u64,
    pub(crate) status: Status,
    /// Absent in lists, like `result`.
    #[serde(default)]
    pub(crate) input: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) result: Option<Box<RawValue>>,
    pub(crate) error: Option<ExecutionError>,
    pub(crate) waiting_for: Option<WaitingFor>,
    pub(crate) parent: Option<String>,
    pub(crate) attempts: u64,
    pub(crate) entries: u64,
    pub(crate) created_at: String,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
}

/// What a waiting execution waits for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct WaitingFor {
    #[serde(default)]
    pub(crate) pauses: Vec<String>,
    #[serde(default)]
    pub(crate) calls: Vec<String>,
    pub(crate) until: Option<String>,
}

/// Why an execution failed.
#[derive(Debug, Deserialize)]
pub(crate) struct ExecutionError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) blame: String,
    pub(crate) detail: Option<Value>,
}

/// One answered ask.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: String,
    pub(crate) ask: Value,
    pub(crate) answer: Value,
}

/// A line that an agent wrote.
#[derive(Debug, Deserialize)]
pub(crate) struct LogLine {
    pub(crate) stream: String,
    pub(crate) text: String,
}

/// Where a pause stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PauseStatus {
    Open,
    Decided,
    Expired,
    Cancelled,
    Early,
}

impl PauseStatus {
    /// The API's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Decided => "decided",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Early => "early",
        }
    }
}

/// A request for a human decision. One that was decided early may know little of itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Pause {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) execution: String,
    pub(crate) agent: Option<String>,
    pub(crate) function: Option<String>,
    pub(crate) approval_request_url: Option<String>,
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) payload: Option<Value>,
    #[serde(default)]
    pub(crate) response_schema: Option<Value>,
    #[serde(default)]
    pub(crate) choices: Vec<String>,
    #[serde(default)]
    pub(crate) asked: Vec<String>,
    #[serde(default)]
    pub(crate) votes: Vec<Vote>,
    pub(crate) status: PauseStatus,
    pub(crate) decision: Option<Decision>,
    pub(crate) opened_at: Option<String>,
    pub(crate) expires_at: Option<String>,
}

/// What a reviewer answered.
#[derive(Debug, Deserialize)]
pub(crate) struct Decision {
    pub(crate) decision: String,
    pub(crate) reviewer: Option<String>,
    pub(crate) via: Option<String>,
    pub(crate) decided_at: Option<String>,
}

/// What one of several reviewers answered.
#[derive(Debug, Deserialize)]
pub(crate) struct Vote {
    pub(crate) reviewer: String,
    pub(crate) decision: String,
}

/// What became of a decision.
#[derive(Debug, Deserialize)]
pub(crate) struct Decided {
    pub(crate) outcome: String,
    pub(crate) pause: Pause,
}
