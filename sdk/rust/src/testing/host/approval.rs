//! What a host refuses of a pause.

use std::collections::HashSet;

use crate::bindings::countersign::agent::types::{ApprovalRequest, ApprovalStage, PauseError};

const CHOICES_MAX: usize = 32;
const CHOICE_BYTES_MAX: usize = 64;
const STAGES_MAX: usize = 8;
/// Of one stage, and the most that may have to agree.
const REVIEWERS_MAX: usize = 64;
const REVIEWER_BYTES_MAX: usize = 256;
const REMINDERS_MAX: usize = 16;
const ESCALATIONS_MAX: usize = 8;
const NOTIFY_MAX: usize = 8;
/// Most digits of the number in `name#2`.
const NUMBER_DIGITS_MAX: usize = 7;

/// The choices of a pause that names none.
pub(super) const CHOICES: [&str; 3] = ["approved", "rejected", "request_changes"];

/// The choices of a pause.
pub(super) fn choices(pause: &ApprovalRequest) -> Vec<&str> {
    if pause.choices.is_empty() { CHOICES.to_vec() } else { pause.choices.iter().map(String::as_str).collect() }
}

/// Refuses a pause that a host refuses. Lengths and schemas are left to the host.
pub(super) fn check(pause: &ApprovalRequest) -> Result<(), PauseError> {
    check_name(&pause.approval_request_id)?;
    let refused = check_choices(pause).or_else(|| check_people(pause)).or_else(|| check_times(pause));
    refused.map_or(Ok(()), |why| Err(PauseError::InvalidRequest(why)))
}

/// Refuses what no pause may be called.
fn check_name(name: &str) -> Result<(), PauseError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    if (1..=128).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(PauseError::InvalidRequest("approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -".to_owned()))
}

/// Refuses what is the id of no pause: that of the second one under a name is `name#2`.
pub(super) fn check_id(id: &str) -> Result<(), PauseError> {
    let Some((name, number)) = id.split_once('#') else { return check_name(id) };
    let is_number = number.len() <= NUMBER_DIGITS_MAX && !number.starts_with('0');
    if is_number && number.bytes().all(|byte| byte.is_ascii_digit()) && number.parse().is_ok_and(|n: u32| n > 1) {
        return check_name(name);
    }
    Err(PauseError::InvalidRequest(format!("approval-request-id: `#` and a number from 2 on, not `#{number}`")))
}

/// Refuses a reviewer that none can be.
pub(super) fn check_reviewer(reviewer: &str) -> Result<(), PauseError> {
    if (1..=REVIEWER_BYTES_MAX).contains(&reviewer.len()) && !reviewer.starts_with('@') {
        return Ok(());
    }
    let why = format!("reviewer: a name of 1 to {REVIEWER_BYTES_MAX} bytes, and no group");
    Err(PauseError::InvalidRequest(why))
}

fn check_choices(pause: &ApprovalRequest) -> Option<String> {
    let is_choice = |choice: &String| (1..=CHOICE_BYTES_MAX).contains(&choice.len()) && choice != "expired";
    if pause.choices.len() > CHOICES_MAX || !pause.choices.iter().all(is_choice) {
        return Some(format!("choices: at most {CHOICES_MAX}, each 1 to {CHOICE_BYTES_MAX} bytes, not `expired`"));
    }
    let choices = choices(pause);
    let unknown = |named: &&String| !choices.contains(&named.as_str());
    if let Some(named) = pause.feedback_required.iter().find(unknown) {
        return Some(format!("feedback-required: {named:?} is none of the choices"));
    }
    if let Some(named) = pause.default_decision.iter().find(unknown) {
        return Some(format!("default-decision: {named:?} is none of the choices"));
    }
    (pause.editable && pause.payload.is_none()).then(|| "editable: there is no payload to edit".to_owned())
}

fn check_people(pause: &ApprovalRequest) -> Option<String> {
    if pause.stages.len() > STAGES_MAX {
        return Some(format!("stages: at most {STAGES_MAX}"));
    }
    pause.stages.iter().enumerate().find_map(|(at, stage)| check_stage(stage).map(|why| format!("stages[{at}]: {why}")))
}

fn check_stage(stage: &ApprovalStage) -> Option<String> {
    let ApprovalStage { reviewers, required } = stage;
    let required = *required as usize;
    if reviewers.len() > REVIEWERS_MAX || reviewers.iter().any(|name| name.is_empty() || name == "@") {
        return Some(format!("reviewers: at most {REVIEWERS_MAX}, each with a name"));
    }
    if !(1..=REVIEWERS_MAX).contains(&required) {
        return Some(format!("required: 1 to {REVIEWERS_MAX}"));
    }
    let people: HashSet<&String> = reviewers.iter().collect();
    let is_closed = !reviewers.is_empty() && !reviewers.iter().any(|name| name.starts_with('@'));
    (is_closed && required > people.len()).then(|| format!("required: {required} of {} reviewers", people.len()))
}

fn check_times(pause: &ApprovalRequest) -> Option<String> {
    if pause.reminders_ms.len() > REMINDERS_MAX {
        return Some(format!("reminders-ms: at most {REMINDERS_MAX}"));
    }
    if pause.escalations.len() > ESCALATIONS_MAX {
        return Some(format!("escalations: at most {ESCALATIONS_MAX}"));
    }
    let told = pause.escalations.iter().map(|escalation| &escalation.notify).chain([&pause.notify]);
    told.into_iter().any(|notify| notify.len() > NOTIFY_MAX).then(|| format!("notify: at most {NOTIFY_MAX}"))
}
