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

/// What a reviewer fills in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form {
    /// Never empty.
    pub choices: Vec<String>,
    /// The choices that need feedback.
    pub feedback_required: Vec<String>,
    /// JSON Schema of the response, as text; none: any JSON, or no response.
    pub response_schema: Option<String>,
    /// What the reviewer may change, if anything: the payload, as JSON text. It is the response then, changed or not.
    pub editable: Option<String>,
}

/// Why a decision does not fit its pause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("`decision` is {given:?}; this pause takes {}", .choices.join(", "))]
    NotAChoice { given: String, choices: Vec<String> },
    #[error("`{0}` needs `feedback`: say why")]
    NoFeedback(String),
    #[error("this decision needs a `response`; its JSON Schema is in `response_schema`")]
    NoResponse,
    #[error("`response` does not satisfy the pause's schema: {0}")]
    BadResponse(String),
    #[error("this pause asks for people by name; say in `reviewer` who decided")]
    NoReviewer,
    #[error("the votes on this pause hold as much feedback and responses as they may; send less")]
    TooMuch,
    #[error("this execution holds as many early decisions as it may; decide when it has paused")]
    TooManyEarly,
}

impl Form {
    /// Checks a decision, and returns the response that the agent is given with it.
    ///
    /// Each choice needs a response if there is a schema, but for [`REFUSALS`]. What it leaves out has the schema's
    /// `default`s; an editable payload that is not edited is the response as it is.
    pub fn check(
        &self,
        decision: &str,
        feedback: Option<&str>,
        response: Option<&str>,
    ) -> Result<Option<String>, Unfit> {
        if !self.choices.iter().any(|choice| choice == decision) {
            return Err(Unfit::NotAChoice { given: decision.into(), choices: self.choices.clone() });
        }
        let says_why = feedback.is_some_and(|feedback| !feedback.trim().is_empty());
        if !says_why && self.feedback_required.iter().any(|choice| choice == decision) {
            return Err(Unfit::NoFeedback(decision.into()));
        }
        if response.is_none() && REFUSALS.contains(&decision) {
            return Ok(None);
        }
        let response = response.or(self.editable.as_deref());
        let Some(schema) = &self.response_schema else { return Ok(response.map(Into::into)) };
        let schema = Schema::parse(schema).map_err(Unfit::BadResponse)?;
        let completed = schema.completed(response);
        let checked = completed.as_deref().or(response).ok_or(Unfit::NoResponse)?;
        match schema.check(checked) {
            Ok(()) => Ok(Some(checked.into())),
            // An empty form is none.
            Err(_) if response.is_none() => Err(Unfit::NoResponse),
            Err(why) => Err(Unfit::BadResponse(why)),
        }
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
        let choices = DEFAULT_CHOICES.map(Into::into).into();
        Form { choices, response_schema: schema.map(Into::into), ..Form::default() }
    }

    #[test]
    fn only_a_choice_is_a_decision() {
        assert_eq!(form(None).check("approved", None, None), Ok(None));
        let unfit = form(None).check("aproved", None, None).unwrap_err();
        assert!(unfit.to_string().contains("approved, rejected, request_changes"), "{unfit}");
        assert!(form(None).check("expired", None, None).is_err());
    }

    #[test]
    fn a_response_must_satisfy_the_schema_and_the_error_names_the_field() {
        let form = form(Some(r#"{"type":"object","properties":{"amount":{"type":"number"}},"required":["amount"]}"#));
        assert_eq!(form.check("approved", None, Some(r#"{"amount":3}"#)), Ok(Some(r#"{"amount":3}"#.into())));
        assert_eq!(form.check("approved", None, None), Err(Unfit::NoResponse));
        let unfit = form.check("approved", None, Some(r#"{"amount":"3"}"#)).unwrap_err();
        assert!(unfit.to_string().contains("/amount"), "{unfit}");
    }

    #[test]
    fn who_refuses_need_not_fill_in_the_form_but_what_is_filled_in_must_be_right() {
        let form = form(Some(r#"{"type":"object","required":["amount"]}"#));
        for refusal in REFUSALS {
            assert_eq!(form.check(refusal, None, None), Ok(None));
            assert!(form.check(refusal, None, Some(r#"{"amount":3}"#)).is_ok());
            assert!(matches!(form.check(refusal, None, Some("{}")), Err(Unfit::BadResponse(_))));
        }
        let form = Form { choices: vec!["later".into()], ..form };
        assert_eq!(form.check("later", None, None), Err(Unfit::NoResponse));
    }

    #[test]
    fn what_the_reviewer_leaves_out_has_the_schemas_default() {
        let amount = r#"{"type":"object","properties":{"amount":{"type":"number","default":5}},"required":["amount"]}"#;
        let form = form(Some(amount));
        assert_eq!(form.check("approved", None, None), Ok(Some(r#"{"amount":5}"#.into())));
        assert_eq!(form.check("approved", None, Some("{}")), Ok(Some(r#"{"amount":5}"#.into())));
        assert_eq!(form.check("approved", None, Some(r#"{"amount":6}"#)), Ok(Some(r#"{"amount":6}"#.into())));
        assert_eq!(form.check("rejected", None, None), Ok(None));
    }

    #[test]
    fn an_editable_payload_is_the_response_changed_or_not() {
        let form = Form { editable: Some(r#"{"text":"Hello"}"#.into()), ..form(None) };
        assert_eq!(form.check("approved", None, None), Ok(form.editable.clone()));
        assert_eq!(form.check("approved", None, Some(r#"{"text":"Hi"}"#)), Ok(Some(r#"{"text":"Hi"}"#.into())));
        assert_eq!(form.check("rejected", None, None), Ok(None));
        let schema = Some(r#"{"properties":{"text":{"maxLength":3}}}"#.into());
        let form = Form { response_schema: schema, ..form };
        assert!(matches!(form.check("approved", None, Some(r#"{"text":"Hello"}"#)), Err(Unfit::BadResponse(_))));
    }

    #[test]
    fn a_choice_that_needs_feedback_is_refused_without() {
        let form = Form { feedback_required: vec!["rejected".into()], ..form(None) };
        assert_eq!(form.check("rejected", None, None), Err(Unfit::NoFeedback("rejected".into())));
        assert_eq!(form.check("rejected", Some(" \n"), None), Err(Unfit::NoFeedback("rejected".into())));
        assert_eq!(form.check("rejected", Some("No."), None), Ok(None));
        assert_eq!(form.check("approved", None, None), Ok(None));
    }
}
