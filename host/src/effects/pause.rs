//! The ask for a human decision: what of it is opened, and what is refused. Pure.

use std::collections::{HashMap, HashSet};

use super::deadline;
use crate::approval::{self, Plan, Step};
use crate::db::pauses::NewPause;
use crate::decision::{CHOICE_BYTES_MAX, CHOICES_MAX, Form, is_choice};
use crate::execution::{JSON_BYTES_MAX, WAIT_MS_MAX, is_approval_name, is_approval_request_id};
use crate::journal::{ApprovalRequest, Millis, PauseError};
use crate::json;
use crate::schema::Schema;

/// Longest page address and title of a pause, in bytes.
const URL_BYTES_MAX: usize = 2_048;
const TITLE_BYTES_MAX: usize = 512;

/// Which pauses an execution has asked for: the second one under a name is `name#2`, the third `name#3`.
#[derive(Debug)]
pub struct Numbering {
    /// The number and the asking of the last pause under each name.
    last: HashMap<String, (u64, u64)>,
    /// The ids of all that it has asked for or waited for, and how many these may be.
    taken: HashSet<String>,
    max: u64,
}

impl Numbering {
    /// None yet, and at most so many.
    pub fn new(max: u64) -> Self {
        Self { last: HashMap::new(), taken: HashSet::new(), max }
    }

    /// Counts a pause that is asked for or waited for, each id once; or says why it is one too many.
    ///
    /// Depends on nothing but what was asked and answered before, so it says the same on every replay.
    pub fn count(&mut self, id: &str) -> Result<(), PauseError> {
        if self.taken.contains(id) {
            return Ok(());
        }
        if self.taken.len() as u64 >= self.max {
            let why = format!("an execution may ask for {} pauses in all (limit `pauses`)", self.max);
            return Err(PauseError::InvalidRequest(why));
        }
        self.taken.insert(id.to_owned());
        Ok(())
    }

    /// The id of the pause that ask `op` asks for under `name`.
    pub fn id(&mut self, op: u64, name: &str) -> String {
        let number = self.last.get(name).map_or(1, |(number, _)| number + 1);
        self.last.insert(name.to_owned(), (number, op));
        if number == 1 { name.to_owned() } else { format!("{name}#{number}") }
    }

    /// Takes note that the pause that ask `op` asked for was refused. If it is the last one of its name, the next one gets
    /// its number.
    pub fn refused(&mut self, op: u64) {
        self.last.retain(|_, (number, last)| {
            if *last == op {
                // No ask has this number: what is refused now is not refused again.
                (*number, *last) = (*number - 1, u64::MAX);
            }
            *number > 0
        });
    }
}

/// The pause `id` that ask `op` opens, if the request is within the bounds of the contract.
pub fn plan(op: u64, id: &str, request: &ApprovalRequest, asked_at: Millis) -> Result<NewPause, PauseError> {
    check(request).map_err(PauseError::InvalidRequest)?;
    let plan = Plan::of(request).map_err(PauseError::InvalidRequest)?;
    let form = Form {
        choices: approval::choices(&request.choices),
        feedback_required: request.feedback_required.clone(),
        response_schema: request.response_schema.clone(),
        editable: request.payload.clone().filter(|_| request.editable),
    };
    let expires = request.expires_in_ms.map(|duration| deadline(asked_at, duration));
    // A form that nobody fills in holds what it has by default, or nothing.
    let by_default = |decision: &String| form.check(decision, Some("by default"), None).ok().flatten();
    let default_response = request.default_decision.as_ref().and_then(by_default);
    // What would come after the expiry never comes.
    let step = |step: &Step| expires.is_none_or(|expires| deadline(asked_at, step.after_ms) < expires);
    let timetable = plan.timetable.into_iter().filter(step).collect();
    Ok(NewPause {
        op,
        approval_request_id: id.into(),
        approval_request_url: request.approval_request_url.clone(),
        title: request.title.clone(),
        payload: request.payload.clone(),
        form,
        default_decision: request.default_decision.clone(),
        default_response,
        plan: Plan { timetable, ..plan },
        notify: request.notify.clone(),
        reconnects: false,
        opened: asked_at,
        expires,
    })
}

/// The pause that a wait for one opens, if there is none yet.
pub fn plan_wait(op: u64, id: &str, asked_at: Millis) -> Result<NewPause, PauseError> {
    check_id(id)?;
    // Its form is that of a pause that asks for nothing in particular.
    let request = ApprovalRequest { approval_request_id: "any".into(), ..ApprovalRequest::default() };
    Ok(NewPause { reconnects: true, ..plan(op, id, &request, asked_at)? })
}

/// Whether a link may be made to the pause of this id, for this reviewer.
pub fn check_link(id: &str, reviewer: &str) -> Result<(), PauseError> {
    check_id(id)?;
    if approval::is_reviewer(reviewer) {
        return Ok(());
    }
    let bytes_max = approval::REVIEWER_BYTES_MAX;
    Err(PauseError::InvalidRequest(format!("reviewer: 1 to {bytes_max} bytes, no `@` first, no control characters")))
}

fn check_id(id: &str) -> Result<(), PauseError> {
    if is_approval_request_id(id) {
        return Ok(());
    }
    let why = "approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -, and for the second pause of a name `#2`";
    Err(PauseError::InvalidRequest(why.into()))
}

fn check(request: &ApprovalRequest) -> Result<(), String> {
    if !is_approval_name(&request.approval_request_id) {
        return Err("approval-request-id: 1 to 128 of A-Z a-z 0-9 . _ ~ -".into());
    }
    if request.approval_request_url.as_ref().is_some_and(|url| !is_text(url, URL_BYTES_MAX)) {
        return Err(format!("approval-request-url: at most {URL_BYTES_MAX} bytes, no control characters"));
    }
    if request.title.as_ref().is_some_and(|title| !is_text(title, TITLE_BYTES_MAX)) {
        return Err(format!("title: at most {TITLE_BYTES_MAX} bytes, no control characters"));
    }
    match &request.payload {
        Some(payload) if payload.len() > JSON_BYTES_MAX => {
            return Err(format!("payload: at most {JSON_BYTES_MAX} bytes"));
        }
        Some(payload) => json::check(payload).map_err(|why| format!("payload: not JSON: {why}"))?,
        None if request.editable => return Err("editable: there is no payload to be edited".into()),
        None => {}
    }
    if let Some(schema) = &request.response_schema {
        Schema::parse(schema).map_err(|why| format!("response-schema: {why}"))?;
    }
    if request.choices.len() > CHOICES_MAX || !request.choices.iter().all(|choice| is_choice(choice)) {
        return Err(format!(
            "choices: at most {CHOICES_MAX}, each 1 to {CHOICE_BYTES_MAX} bytes, no control characters, not `expired`"
        ));
    }
    let choices = approval::choices(&request.choices);
    if request.feedback_required.iter().any(|choice| !choices.contains(choice)) {
        return Err("feedback-required: each must be one of the choices".into());
    }
    approval::check_default(request.default_decision.as_deref(), &choices)?;
    let latest = request.reminders_ms.iter().chain(request.escalations.iter().map(|escalation| &escalation.after_ms));
    if latest.max().is_some_and(|&after_ms| after_ms > WAIT_MS_MAX) {
        return Err(format!("reminders-ms, escalations: at most {WAIT_MS_MAX} ms after the pause was opened"));
    }
    Ok(())
}

fn is_text(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::DEFAULT_CHOICES;

    fn request() -> ApprovalRequest {
        ApprovalRequest {
            approval_request_id: "draft-review".into(),
            expires_in_ms: Some(1_000),
            ..ApprovalRequest::default()
        }
    }

    #[test]
    fn a_pause_expires_counted_from_when_it_was_asked_for() {
        let pause = plan(3, "draft-review#2", &request(), 5_000).unwrap();
        assert_eq!((pause.op, pause.opened, pause.expires), (3, 5_000, Some(6_000)));
        assert_eq!(
            (pause.form.choices, &*pause.approval_request_id),
            (DEFAULT_CHOICES.map(Into::into).into(), "draft-review#2")
        );
        let for_ever = ApprovalRequest { expires_in_ms: Some(u64::MAX), ..request() };
        assert_eq!(plan(3, "x", &for_ever, 5_000).unwrap().expires, Some(5_000 + WAIT_MS_MAX));
    }

    #[test]
    fn a_reminder_that_would_come_after_the_expiry_is_left_out() {
        let request = ApprovalRequest { reminders_ms: vec![999, 1_000, 5_000], ..request() };
        assert_eq!(plan(0, "x", &request, 7).unwrap().plan.timetable, [Step { after_ms: 999, escalation: None }]);
    }

    #[test]
    fn the_second_pause_of_a_name_has_an_id_of_its_own() {
        let mut numbering = Numbering::new(10);
        assert_eq!([0, 1, 2].map(|op| numbering.id(op, "x")), ["x", "x#2", "x#3"]);
        assert_eq!(numbering.id(3, "y"), "y");
        numbering.refused(2);
        numbering.refused(2);
        numbering.refused(0);
        assert_eq!(numbering.id(4, "x"), "x#3");
        numbering.refused(3);
        assert_eq!(numbering.id(5, "y"), "y");
        assert!(["x", "x#2", "x#200000"].into_iter().all(is_approval_request_id));
        assert!(
            !["x#1", "x#02", "x#", "#2", "x#2#3", "x#200001", "x#-2", "x#+2", "x#9999999999"]
                .into_iter()
                .any(is_approval_request_id)
        );
    }

    #[test]
    fn every_pause_counts_once_and_one_too_many_is_refused_by_the_name_of_the_limit() {
        let mut numbering = Numbering::new(2);
        for id in ["x", "x#2", "x", "x#2"] {
            numbering.count(id).unwrap();
        }
        let PauseError::InvalidRequest(why) = numbering.count("y").unwrap_err();
        assert!(why.contains("2 pauses") && why.contains("`pauses`"), "{why}");
        numbering.count("x").unwrap();
    }

    #[test]
    fn a_request_out_of_bounds_is_refused_by_the_name_of_its_field() {
        let cases: [(&str, ApprovalRequest); 13] = [
            ("approval-request-id", ApprovalRequest { approval_request_id: "a b".into(), ..request() }),
            ("approval-request-id", ApprovalRequest { approval_request_id: "a#2".into(), ..request() }),
            ("approval-request-id", ApprovalRequest { approval_request_id: String::new(), ..request() }),
            ("approval-request-url", ApprovalRequest { approval_request_url: Some("x".repeat(2_049)), ..request() }),
            ("title", ApprovalRequest { title: Some("a\nb".into()), ..request() }),
            ("payload", ApprovalRequest { payload: Some("{".into()), ..request() }),
            ("editable", ApprovalRequest { editable: true, ..request() }),
            ("response-schema", ApprovalRequest { response_schema: Some("{\"type\":7}".into()), ..request() }),
            ("choices", ApprovalRequest { choices: vec!["expired".into()], ..request() }),
            ("choices", ApprovalRequest { choices: vec![String::new()], ..request() }),
            ("feedback-required", ApprovalRequest { feedback_required: vec!["ship".into()], ..request() }),
            ("default-decision", ApprovalRequest { default_decision: Some("ship".into()), ..request() }),
            ("reminders-ms", ApprovalRequest { reminders_ms: vec![WAIT_MS_MAX + 1], ..request() }),
        ];
        for (field, request) in cases {
            let Err(PauseError::InvalidRequest(why)) = plan(0, "x", &request, 0) else { panic!("{field} was taken") };
            assert!(why.starts_with(field), "{why}");
        }
    }
}
