use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::countersign::agent::types;
use crate::{Error, json};

/// A human's decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    /// One of the choices; or `expired`, if nobody decided in time and the pause had no default decision.
    pub decision: String,
    /// What the reviewer had to say; of several, the last one.
    pub feedback: Option<String>,
    /// The filled-in form, or the payload as it was approved, if it could be edited.
    pub response: Option<Value>,
    /// Who decided, as far as it is known; of several, the last one. None if it was nobody: the time ran out.
    pub reviewer: Option<String>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub decided_at_ms: u64,
    /// What each reviewer decided, oldest first, if the pause said who decides; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
}

/// What one reviewer decided, of several who were asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    /// Who.
    pub reviewer: String,
    /// Whether the name is only what the sender of a signed webhook said.
    pub claimed: bool,
    /// The stage at which it counted, from 0.
    pub stage: u32,
    /// One of the choices.
    pub decision: String,
    /// What the reviewer had to say.
    pub feedback: Option<String>,
    /// The filled-in form, or the payload as this reviewer approved it.
    pub response: Option<Value>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub voted_at_ms: u64,
}

impl Review {
    /// Whether the decision is `approved`.
    pub fn approved(&self) -> bool {
        self.decision == "approved"
    }

    /// Whether nobody decided in time. A default decision is that decision, of no reviewer.
    pub fn expired(&self) -> bool {
        self.decision == "expired"
    }

    /// Reads the filled-in form, or the payload as it was approved.
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
    /// If a response is not JSON, which the host rules out.
    fn from(review: types::Review) -> Self {
        Self {
            decision: review.decision,
            feedback: review.feedback,
            response: review.response.as_deref().map(parsed),
            reviewer: review.reviewer,
            decided_at_ms: review.decided_at_ms,
            votes: review.votes.into_iter().map(Vote::from).collect(),
        }
    }
}

impl From<types::Vote> for Vote {
    fn from(vote: types::Vote) -> Self {
        Self {
            reviewer: vote.reviewer,
            claimed: vote.claimed,
            stage: vote.stage,
            decision: vote.decision,
            feedback: vote.feedback,
            response: vote.response.as_deref().map(parsed),
            voted_at_ms: vote.voted_at_ms,
        }
    }
}

fn parsed(response: &str) -> Value {
    serde_json::from_str(response).expect("the host checked the response")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn review(response: Option<Value>) -> Review {
        let decision = "approved".into();
        Review { decision, feedback: None, response, reviewer: None, decided_at_ms: 7, votes: vec![] }
    }

    #[test]
    fn a_review_has_the_responses_of_all_as_json() {
        let response = Some(r#"{"stars":5}"#.to_owned());
        let vote = types::Vote {
            reviewer: "ana".into(),
            claimed: true,
            stage: 1,
            decision: "approved".into(),
            feedback: None,
            response: response.clone(),
            voted_at_ms: 6,
        };
        let review = Review::from(types::Review {
            decision: "approved".into(),
            feedback: None,
            response,
            reviewer: Some("ana".into()),
            decided_at_ms: 7,
            votes: vec![vote],
        });
        assert!(review.approved() && !review.expired());
        assert_eq!(review.response, Some(json!({"stars": 5})));
        assert_eq!((review.votes[0].stage, &review.votes[0].response), (1, &review.response));
    }

    #[test]
    fn a_review_without_votes_has_the_json_that_it_had_before_there_were_any() {
        let written = json!(review(None));
        let read: Review = serde_json::from_value(written.clone()).expect("it is one");
        assert_eq!((read, written.get("votes")), (review(None), None));
    }

    #[test]
    fn a_response_is_read_by_its_type_and_an_error_says_where() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Budget {
            amount: u32,
        }
        assert_eq!(review(Some(json!({"amount": 5}))).response(), Ok(Budget { amount: 5 }));
        let wrong = review(Some(json!({"amount": "5"}))).response::<Budget>().unwrap_err();
        assert_eq!(wrong.code, "review_invalid_response");
        assert!(wrong.message.starts_with("amount: "), "{wrong}");
        assert_eq!(review(None).response::<Budget>().unwrap_err().code, "review_no_response");
    }
}
