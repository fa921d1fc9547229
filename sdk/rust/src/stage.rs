use std::time::Duration;

use crate::bindings::countersign::agent::types::{ApprovalStage, Escalation};
use crate::execution::whole_millis;

/// Who decides at one step of an approval; see [`Pause::stage`](crate::Pause::stage).
///
/// ```
/// # use countersign_sdk::Stage;
/// let two_lawyers = Stage::of(["@legal"]).required(2);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// None: whoever may decide for the tenant.
    pub(crate) reviewers: Option<Vec<String>>,
    pub(crate) required: u32,
}

impl Stage {
    /// Asks these reviewers, at most 64, by name; groups of the tenant with an `@` before theirs. One of them decides,
    /// unless more are [`required`](Self::required).
    pub fn of<R: Into<String>>(reviewers: impl IntoIterator<Item = R>) -> Self {
        Self { reviewers: Some(reviewers.into_iter().map(Into::into).collect()), required: 1 }
    }

    /// Asks whoever may decide for the tenant.
    pub fn anyone() -> Self {
        Self { reviewers: None, required: 1 }
    }

    /// Sets how many of them must agree on a choice; 1 to 64.
    pub fn required(self, required: u32) -> Self {
        Self { required, ..self }
    }

    /// As the contract has it. There, a list of nobody asks everybody: who computed one did not mean that.
    pub(crate) fn into_contract(self) -> Result<ApprovalStage, String> {
        match self.reviewers {
            Some(reviewers) if reviewers.is_empty() => {
                Err("reviewers: name one at least; `Stage::anyone()` asks whoever may decide".to_owned())
            }
            reviewers => Ok(ApprovalStage { reviewers: reviewers.unwrap_or_default(), required: self.required }),
        }
    }
}

impl Escalation {
    /// So long after the pause was opened.
    pub fn after(wait: Duration) -> Self {
        Self { after_ms: whole_millis(wait), reviewers: vec![], notify: vec![] }
    }

    /// Sets who may decide from then on, too, at every stage; groups with an `@` before their name.
    pub fn reviewers<R: Into<String>>(self, reviewers: impl IntoIterator<Item = R>) -> Self {
        Self { reviewers: reviewers.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets which endpoints of the tenant are told then, by name; at most 8.
    pub fn notify<E: Into<String>>(self, endpoints: impl IntoIterator<Item = E>) -> Self {
        Self { notify: endpoints.into_iter().map(Into::into).collect(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nobody_does_not_ask_everybody() {
        let everybody = ApprovalStage { reviewers: vec![], required: 2 };
        assert_eq!(Stage::anyone().required(2).into_contract(), Ok(everybody));
        let why = Stage::of(Vec::<String>::new()).into_contract().unwrap_err();
        assert!(why.starts_with("reviewers: "), "{why}");
    }
}
