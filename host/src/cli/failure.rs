//! What can go wrong on the command line, and the exit code that tells a script.

use std::io;
use std::process::ExitCode;

use serde_json::json;

/// How a command ended, as scripts see it. The numbers are in `countersign --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    /// The execution failed or was cancelled; a project was not made or not built; the audit log is not as it was
    /// sealed; or `serve`, `tenants`, `demo` or `dev` failed.
    Failed = 1,
    Usage = 2,
    Refused = 3,
    Unreachable = 4,
    StillWaiting = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The host answered a request with an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// The answer as it came, for `--json`.
    pub(crate) body: String,
}

/// Why a command gave up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The user asked for something that cannot be tried.
    #[error("{0}")]
    Usage(String),
    #[error("{} ({}, HTTP {})", .0.message, .0.code, .0.status)]
    Refused(Refusal),
    #[error("cannot reach the host at {url}: {cause}")]
    Unreachable { url: String, cause: String },
    #[error("{0}")]
    Failed(String),
    /// Standard output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The exit code that belongs to this.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Refused(refusal) if refusal.status >= 500 => Exit::Unreachable,
            Self::Refused(_) => Exit::Refused,
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Failed(_) => Exit::Failed,
            // Whoever read our output has enough of it, like `head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::Output(_) => Exit::Failed,
        }
    }

    /// Whether the same request may well succeed in a moment, as when the host restarts.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.status >= 500,
            Self::Unreachable { .. } => true,
            Self::Usage(_) | Self::Failed(_) | Self::Output(_) => false,
        }
    }

    /// The error as JSON: the API's own if it comes from there, else one of the same shape.
    pub(crate) fn to_json(&self) -> String {
        let (code, blame) = match self {
            Self::Refused(refusal) => return refusal.body.clone(),
            Self::Usage(_) => ("usage", "client"),
            Self::Unreachable { .. } => ("unreachable", "host"),
            Self::Failed(_) => ("failed", "host"),
            Self::Output(_) => ("output", "client"),
        };
        json!({"error": {"code": code, "message": self.to_string(), "blame": blame}}).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> Failure {
        Failure::Refused(Refusal { status, code: "x".into(), message: "y".into(), body: "{}".into() })
    }

    #[test]
    fn scripts_can_tell_who_is_at_fault() {
        assert_eq!(refused(404).exit(), Exit::Refused);
        assert_eq!(refused(409).exit(), Exit::Refused);
        assert_eq!(refused(500).exit(), Exit::Unreachable);
        assert_eq!(refused(503).exit(), Exit::Unreachable);
        assert_eq!(Failure::Usage(String::new()).exit(), Exit::Usage);
        assert_eq!(Failure::Failed(String::new()).exit(), Exit::Failed);
        assert_eq!(Failure::Unreachable { url: String::new(), cause: String::new() }.exit(), Exit::Unreachable);
        assert_eq!(Failure::Output(io::ErrorKind::BrokenPipe.into()).exit(), Exit::Ok);
        assert_eq!(Failure::Output(io::ErrorKind::StorageFull.into()).exit(), Exit::Failed);
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let all = [Exit::Ok, Exit::Failed, Exit::Usage, Exit::Refused, Exit::Unreachable, Exit::StillWaiting];
        assert_eq!(all.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(refused(503).is_passing());
        assert!(!refused(404).is_passing());
        assert!(!Failure::Usage(String::new()).is_passing());
    }

    #[test]
    fn every_failure_has_the_shape_of_the_api() {
        let text = Failure::Usage("no \"key\"".into()).to_json();
        let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(json, json!({"error": {"blame": "client", "code": "usage", "message": "no \"key\""}}));
        assert_eq!(refused(404).to_json(), "{}");
    }
}
