//! What a host refuses of a pause.

use std::collections::HashSet;

use super::WAIT_MS_MAX;
use crate::bindings::countersign::agent::types::{ApprovalRequest, ApprovalStage, PauseError, RejectionRule};

const NAME_BYTES_MAX: usize = 128;
/// Of `name#2`; an execution has no more asks than this.
const NUMBER_MAX: u32 = 200_000;
const CHOICES_MAX: usize = 32;
const CHOICE_BYTES_MAX: usize = 64;
const STAGES_MAX: usize = 8;
/// Of one stage, and the most that may have to agree.
const REVIEWERS_MAX: usize = 64;
const REVIEWER_BYTES_MAX: usize = 256;
/// Of the name of a group or an endpoint.
const GROUP_BYTES_MAX: usize = 64;
const REMINDERS_MAX: usize = 16;
const ESCALATIONS_MAX: usize = 8;
const NOTIFY_MAX: usize = 8;

/// The choices of a pause that names none.
const CHOICES: [&str; 3] = ["approved", "rejected", "request_changes"];

/// The choices of a pause.
pub(super) fn choices(pause: &ApprovalRequest) -> Vec<&str> {
    if pause.choices.is_empty() { CHOICES.to_vec() } else { pause.choices.iter().map(String::as_str).collect() }
}

/// Refuses a pause that a host refuses. Lengths of texts and schemas are left to the host.
pub(super) fn check(pause: &ApprovalRequest) -> Result<(), PauseError> {
    let checked = check_name(&pause.approval_request_id)
        .and_then(|()| check_choices(pause))
        .and_then(|()| check_people(pause))
        .and_then(|()| check_times(pause));
    checked.map_err(PauseError::InvalidRequest)
}

/// Refuses a wait for what is the id of no pause: that of the second one under a name is `name#2`.
pub(super) fn check_wait(id: &str) -> Result<(), PauseError> {
    check_id(id).map_err(PauseError::InvalidRequest)
}

/// Refuses a link to no pause, or for nobody.
pub(super) fn check_link(id: &str, reviewer: &str) -> Result<(), PauseError> {
    check_wait(id)?;
    if is_reviewer(reviewer) {
        return Ok(());
    }
    let why = format!("reviewer: 1 to {REVIEWER_BYTES_MAX} bytes, no `@` first, no control characters");
    Err(PauseError::InvalidRequest(why))
}

type Checked = Result<(), String>;

fn check_that(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(why()) }
}

fn check_name(name: &str) -> Checked {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits);
    check_that(is_name, || "approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -".to_owned())
}

fn check_id(id: &str) -> Checked {
    let (name, number) = id.split_once('#').unwrap_or((id, "2"));
    let is_written = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = is_written && number.parse().is_ok_and(|number| (2..=NUMBER_MAX).contains(&number));
    check_that(is_number, || "approval-request-id: for the second pause of a name, the name and `#2`".to_owned())?;
    check_name(name)
}

fn check_choices(pause: &ApprovalRequest) -> Checked {
    let is_choice = |choice: &String| (1..=CHOICE_BYTES_MAX).contains(&choice.len()) && choice != "expired";
    check_that(pause.choices.len() <= CHOICES_MAX && pause.choices.iter().all(is_choice), || {
        format!("choices: at most {CHOICES_MAX}, each 1 to {CHOICE_BYTES_MAX} bytes, not `expired`")
    })?;
    let choices = choices(pause);
    let is_one = |choice: &String| choices.contains(&choice.as_str());
    let are_some = pause.feedback_required.iter().all(is_one);
    check_that(are_some, || "feedback-required: each must be one of the choices".to_owned())?;
    let is_known = pause.default_decision.iter().all(is_one);
    check_that(is_known, || "default-decision: must be one of the choices".to_owned())?;
    let is_there = pause.payload.is_some() || !pause.editable;
    check_that(is_there, || "editable: there is no payload to be edited".to_owned())
}

fn check_people(pause: &ApprovalRequest) -> Checked {
    check_that(pause.stages.len() <= STAGES_MAX, || format!("stages: at most {STAGES_MAX}"))?;
    pause.stages.iter().try_for_each(check_stage)?;
    let has_rule = pause.rejection == RejectionRule::First || !pause.stages.is_empty();
    check_that(has_rule, || "rejection: `majority` needs `stages`".to_owned())
}

fn check_stage(ApprovalStage { reviewers, required }: &ApprovalStage) -> Checked {
    check_reviewers("stages", reviewers)?;
    let required = *required as usize;
    let people: HashSet<String> = reviewers.iter().map(|name| name.to_lowercase()).collect();
    check_that(people.len() == reviewers.len(), || "stages: a reviewer is named twice at one stage".to_owned())?;
    check_that((1..=REVIEWERS_MAX).contains(&required), || format!("stages: `required` is 1 to {REVIEWERS_MAX}"))?;
    let is_open = reviewers.is_empty() || reviewers.iter().any(|name| name.starts_with('@'));
    let are_enough = is_open || required <= reviewers.len();
    check_that(are_enough, || format!("stages: requires {required} of {} reviewers", reviewers.len()))
}

fn check_times(pause: &ApprovalRequest) -> Checked {
    let (reminders, escalations) = (&pause.reminders_ms, &pause.escalations);
    check_that(reminders.len() <= REMINDERS_MAX, || format!("reminders-ms: at most {REMINDERS_MAX}"))?;
    check_that(escalations.len() <= ESCALATIONS_MAX, || format!("escalations: at most {ESCALATIONS_MAX}"))?;
    let mut times = reminders.iter().copied().chain(escalations.iter().map(|escalation| escalation.after_ms));
    check_that(times.all(|after_ms| after_ms <= WAIT_MS_MAX), || {
        format!("reminders-ms, escalations: at most {WAIT_MS_MAX} ms after the pause was opened")
    })?;
    check_endpoints("notify", &pause.notify)?;
    escalations.iter().try_for_each(|escalation| {
        check_reviewers("escalations", &escalation.reviewers)?;
        check_endpoints("escalations: notify", &escalation.notify)
    })
}

fn check_reviewers(field: &str, names: &[String]) -> Checked {
    let few = names.len() <= REVIEWERS_MAX;
    check_that(few, || format!("{field}: at most {REVIEWERS_MAX} reviewers and groups at one place"))?;
    let is_one = |name: &&String| name.strip_prefix('@').map_or_else(|| is_reviewer(name), is_group);
    match names.iter().find(|name| !is_one(name)) {
        Some(name) => Err(format!("{field}: {name:?} is neither a reviewer nor a group")),
        None => Ok(()),
    }
}

fn check_endpoints(field: &str, names: &[String]) -> Checked {
    check_that(names.len() <= NOTIFY_MAX, || format!("{field}: at most {NOTIFY_MAX} endpoints"))?;
    match names.iter().find(|name| !is_group(name)) {
        Some(name) => Err(format!("{field}: {name:?} is no endpoint: 1 to {GROUP_BYTES_MAX} of a-z 0-9 _ -")),
        None => Ok(()),
    }
}

fn is_reviewer(name: &str) -> bool {
    let is_line = name.trim() == name && !name.chars().any(char::is_control);
    (1..=REVIEWER_BYTES_MAX).contains(&name.len()) && !name.starts_with('@') && is_line
}

/// Whether this may be the name of a group or of an endpoint.
fn is_group(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins && name.len() <= GROUP_BYTES_MAX && name.bytes().all(fits)
}
