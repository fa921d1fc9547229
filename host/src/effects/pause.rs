//! The ask for a human decision: what of it is opened, and what is refused. Pure.

use super::deadline;
use crate::db::pauses::NewPause;
use crate::decision::{CHOICE_BYTES_MAX, CHOICES_MAX, DEFAULT_CHOICES, Form, is_choice};
use crate::execution::{JSON_BYTES_MAX, is_approval_request_id};
use crate::journal::{ApprovalRequest, Millis, PauseError};
use crate::json;
use crate::schema::Schema;

/// Longest page address and title of a pause, in bytes.
const URL_BYTES_MAX: usize = 2_048;
const TITLE_BYTES_MAX: usize = 512;

/// The pause that ask `op` opens, if the request is within the bounds of the contract.
pub fn plan(op: u64, request: &ApprovalRequest, asked_at: Millis) -> Result<NewPause, PauseError> {
    let invalid = |why: String| Err(PauseError::InvalidRequest(why));
    check_id(&request.approval_request_id)?;
    if request.approval_request_url.as_ref().is_some_and(|url| !is_text(url, URL_BYTES_MAX)) {
        return invalid(format!("approval-request-url: at most {URL_BYTES_MAX} bytes, no control characters"));
    }
    if request.title.as_ref().is_some_and(|title| !is_text(title, TITLE_BYTES_MAX)) {
        return invalid(format!("title: at most {TITLE_BYTES_MAX} bytes, no control characters"));
    }
    if let Some(payload) = &request.payload {
        if payload.len() > JSON_BYTES_MAX {
            return invalid(format!("payload: at most {JSON_BYTES_MAX} bytes"));
        }
        if let Err(why) = json::check(payload) {
            return invalid(format!("payload: not JSON: {why}"));
        }
    }
    if let Some(schema) = &request.response_schema
        && let Err(why) = Schema::parse(schema)
    {
        return invalid(format!("response-schema: {why}"));
    }
    let form = Form { choices: choices(&request.choices)?, response_schema: request.response_schema.clone() };
    Ok(NewPause {
        op,
        approval_request_id: request.approval_request_id.clone(),
        approval_request_url: request.approval_request_url.clone(),
        title: request.title.clone(),
        payload: request.payload.clone(),
        form,
        reconnects: false,
        opened: asked_at,
        expires: request.expires_in_ms.map(|duration| deadline(asked_at, duration)),
    })
}

/// The pause that a wait for one opens, if there is none yet.
pub fn plan_wait(op: u64, approval_request_id: &str, asked_at: Millis) -> Result<NewPause, PauseError> {
    let request = ApprovalRequest {
        approval_request_id: approval_request_id.into(),
        approval_request_url: None,
        expires_in_ms: None,
        title: None,
        payload: None,
        response_schema: None,
        choices: vec![],
    };
    Ok(NewPause { reconnects: true, ..plan(op, &request, asked_at)? })
}

/// What the second pause of a name is told.
pub fn duplicate(name: &str) -> PauseError {
    PauseError::DuplicateId(format!("this execution has already paused as {name:?}; give each pause a name of its own"))
}

fn check_id(id: &str) -> Result<(), PauseError> {
    if is_approval_request_id(id) {
        return Ok(());
    }
    Err(PauseError::InvalidRequest("approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -".into()))
}

fn choices(asked: &[String]) -> Result<Vec<String>, PauseError> {
    if asked.is_empty() {
        return Ok(DEFAULT_CHOICES.map(Into::into).into());
    }
    if asked.len() > CHOICES_MAX || !asked.iter().all(|choice| is_choice(choice)) {
        return Err(PauseError::InvalidRequest(format!(
            "choices: at most {CHOICES_MAX}, each 1 to {CHOICE_BYTES_MAX} bytes, no control characters, not `expired`"
        )));
    }
    let mut choices: Vec<String> = vec![];
    for choice in asked {
        if !choices.contains(choice) {
            choices.push(choice.clone());
        }
    }
    Ok(choices)
}

fn is_text(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ApprovalRequest {
        ApprovalRequest {
            approval_request_id: "draft-review".into(),
            approval_request_url: None,
            expires_in_ms: Some(1_000),
            title: None,
            payload: None,
            response_schema: None,
            choices: vec![],
        }
    }

    #[test]
    fn a_pause_expires_counted_from_when_it_was_asked_for() {
        let pause = plan(3, &request(), 5_000).unwrap();
        assert_eq!((pause.op, pause.opened, pause.expires), (3, 5_000, Some(6_000)));
        assert_eq!(pause.form.choices, DEFAULT_CHOICES);
        let for_ever = ApprovalRequest { expires_in_ms: Some(u64::MAX), ..request() };
        assert_eq!(plan(3, &for_ever, 5_000).unwrap().expires, Some(5_000 + crate::execution::WAIT_MS_MAX));
    }

    #[test]
    fn a_request_out_of_bounds_is_refused_by_the_name_of_its_field() {
        let cases: [(&str, ApprovalRequest); 8] = [
            ("approval-request-id", ApprovalRequest { approval_request_id: "a b".into(), ..request() }),
            ("approval-request-id", ApprovalRequest { approval_request_id: String::new(), ..request() }),
            ("approval-request-url", ApprovalRequest { approval_request_url: Some("x".repeat(2_049)), ..request() }),
            ("title", ApprovalRequest { title: Some("a\nb".into()), ..request() }),
            ("payload", ApprovalRequest { payload: Some("{".into()), ..request() }),
            ("response-schema", ApprovalRequest { response_schema: Some("{\"type\":7}".into()), ..request() }),
            ("choices", ApprovalRequest { choices: vec!["expired".into()], ..request() }),
            ("choices", ApprovalRequest { choices: vec![String::new()], ..request() }),
        ];
        for (field, request) in cases {
            let Err(PauseError::InvalidRequest(why)) = plan(0, &request, 0) else { panic!("{field} was taken") };
            assert!(why.starts_with(field), "{why}");
        }
    }
}
