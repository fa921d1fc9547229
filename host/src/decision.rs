//! What a reviewer may decide, and whether a decision fits. Pure: no I/O, no clock.

use crate::journal::EXPIRED;
use crate::schema::Schema;

/// The choices of a pause that names none.
pub const DEFAULT_CHOICES: [&str; 3] = ["approved", "rejected", "request_changes"];

/// The choices that say no to what a form is about: its response may be left out.
pub const REFUSALS: [&str; 2] = ["rejected", "request_changes"];

/// Longest choice and decision, in bytes.
pub const CHOICE_BYTES_MAX: usize = 64;

/// How many choices a pause may offer.
pub const CHOICES_MAX: usize = 32;

/// Longest feedback, in bytes.
pub const FEEDBACK_BYTES_MAX: usize = 64 << 10;

/// Longest name of a reviewer, in bytes.
pub const REVIEWER_BYTES_MAX: usize = 256;

/// What a reviewer fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Never empty.
    pub choices: Vec<String>,
    /// JSON Schema of the response, as text; none: any JSON, or no response.
    pub response_schema: Option<String>,
}

/// Why a decision does not fit its pause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("`decision` is {given:?}; this pause takes {}", .choices.join(", "))]
    NotAChoice { given: String, choices: Vec<String> },
    #[error("this decision needs a `response`; its JSON Schema is in `response_schema`")]
    NoResponse,
    #[error("`response` does not satisfy the pause's schema: {0}")]
    BadResponse(String),
    #[error("this execution holds as many early decisions as it may; decide when it has paused")]
    TooManyEarly,
}

impl Form {
    /// Whether the decision is one of the choices, and its response satisfies the schema.
    ///
    /// Each choice needs a response, but for [`REFUSALS`].
    pub fn check(&self, decision: &str, response: Option<&str>) -> Result<(), Unfit> {
        if !self.choices.iter().any(|choice| choice == decision) {
            return Err(Unfit::NotAChoice { given: decision.into(), choices: self.choices.clone() });
        }
        let Some(schema) = &self.response_schema else { return Ok(()) };
        let Some(response) = response else {
            return if REFUSALS.contains(&decision) { Ok(()) } else { Err(Unfit::NoResponse) };
        };
        Schema::parse(schema).and_then(|schema| schema.check(response)).map_err(Unfit::BadResponse)
    }
}

/// A choice may not be empty, too long, have control characters, or be the word for what nobody chose.
pub fn is_choice(choice: &str) -> bool {
    (1..=CHOICE_BYTES_MAX).contains(&choice.len()) && choice != EXPIRED && !choice.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(schema: Option<&str>) -> Form {
        Form { choices: DEFAULT_CHOICES.map(Into::into).into(), response_schema: schema.map(Into::into) }
    }

    #[test]
    fn only_a_choice_is_a_decision() {
        assert_eq!(form(None).check("approved", None), Ok(()));
        let unfit = form(None).check("aproved", None).unwrap_err();
        assert!(unfit.to_string().contains("approved, rejected, request_changes"), "{unfit}");
        assert!(form(None).check("expired", None).is_err());
    }

    #[test]
    fn a_response_must_satisfy_the_schema_and_the_error_names_the_field() {
        let form = form(Some(r#"{"type":"object","properties":{"amount":{"type":"number"}},"required":["amount"]}"#));
        assert_eq!(form.check("approved", Some(r#"{"amount":3}"#)), Ok(()));
        assert_eq!(form.check("approved", None), Err(Unfit::NoResponse));
        let unfit = form.check("approved", Some(r#"{"amount":"3"}"#)).unwrap_err();
        assert!(unfit.to_string().contains("/amount"), "{unfit}");
    }

    #[test]
    fn who_refuses_need_not_fill_in_the_form_but_what_is_filled_in_must_be_right() {
        let form = form(Some(r#"{"type":"object","required":["amount"]}"#));
        for refusal in REFUSALS {
            assert_eq!(form.check(refusal, None), Ok(()));
            assert_eq!(form.check(refusal, Some(r#"{"amount":3}"#)), Ok(()));
            assert!(matches!(form.check(refusal, Some("{}")), Err(Unfit::BadResponse(_))));
        }
        let form = Form { choices: vec!["later".into()], ..form };
        assert_eq!(form.check("later", None), Err(Unfit::NoResponse));
    }
}
