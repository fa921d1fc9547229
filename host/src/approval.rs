//! How several people decide one pause, and what is done while it waits for them. Pure: no I/O, no clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::decision::{DEFAULT_CHOICES, REFUSALS, is_choice};
use crate::journal::{ApprovalRequest, ApprovalStage, Escalation, RejectionRule};

/// How many stages an approval may have, and how many reviewers and groups may be named at one place.
pub const STAGES_MAX: usize = 8;
pub const REVIEWERS_MAX: usize = 64;

/// How many reminders and escalations a pause may have, and how many endpoints may be named at one place.
pub const REMINDERS_MAX: usize = 16;
pub const ESCALATIONS_MAX: usize = 8;
pub const NOTIFY_MAX: usize = 8;

/// Longest name of a reviewer, in bytes.
pub const REVIEWER_BYTES_MAX: usize = 256;

/// Longest name of a group or an endpoint, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// The most that the votes on one pause may hold, feedback and responses together, in bytes. All of it is one answer.
pub const VOTES_BYTES_MAX: usize = 4 << 20;

/// Who decides a pause, and what it takes. As JSON, this is what its row keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ApprovalPolicy)]
pub struct Policy {
    /// In order. Empty: the first decision of whoever may decide.
    pub stages: Vec<ApprovalStage>,
    pub rejection: RejectionRule,
    /// Whether the one who started the execution may take no part.
    pub forbid_self_approval: bool,
}

/// What is done while a pause waits. As JSON, a list of these is what its row keeps, in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds after the pause was opened.
    pub after_ms: u64,
    /// Who may decide from then on, too, and which endpoints are told; none: it is a reminder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
}

/// What of an approval request goes beyond one decision of anyone, at once or never.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub policy: Option<Policy>,
    pub timetable: Vec<Step>,
}

impl Plan {
    /// Reads it from a request.
    ///
    /// # Errors
    ///
    /// Which field is out of its bounds, and what they are.
    pub fn of(request: &ApprovalRequest) -> Result<Self, String> {
        let ApprovalRequest { stages, rejection, forbid_self_approval, .. } = request;
        if stages.len() > STAGES_MAX {
            return Err(format!("stages: at most {STAGES_MAX}"));
        }
        stages.iter().try_for_each(check_stage)?;
        check_endpoints("notify", &request.notify)?;
        if request.reminders_ms.len() > REMINDERS_MAX {
            return Err(format!("reminders-ms: at most {REMINDERS_MAX}"));
        }
        if request.escalations.len() > ESCALATIONS_MAX {
            return Err(format!("escalations: at most {ESCALATIONS_MAX}"));
        }
        for escalation in &request.escalations {
            check_reviewers("escalations", &escalation.reviewers)?;
            check_endpoints("escalations: notify", &escalation.notify)?;
        }
        if *rejection == RejectionRule::Majority && stages.is_empty() {
            return Err("rejection: `majority` needs `stages`".into());
        }
        let policy = (!stages.is_empty() || *forbid_self_approval).then(|| Policy {
            stages: stages.clone(),
            rejection: *rejection,
            forbid_self_approval: *forbid_self_approval,
        });
        let reminders = request.reminders_ms.iter().map(|&after_ms| Step { after_ms, escalation: None });
        let escalations = request
            .escalations
            .iter()
            .map(|escalation| Step { after_ms: escalation.after_ms, escalation: Some(escalation.clone()) });
        let mut timetable: Vec<Step> = reminders.chain(escalations).collect();
        timetable.sort_by_key(|step| step.after_ms);
        Ok(Self { policy, timetable })
    }

    /// The groups that it names, without their `@`.
    pub fn groups(&self) -> BTreeSet<&str> {
        let stages = self.policy.iter().flat_map(|policy| &policy.stages).flat_map(|stage| &stage.reviewers);
        let escalations = self.timetable.iter().filter_map(|step| step.escalation.as_ref());
        let named = stages.chain(escalations.flat_map(|escalation| &escalation.reviewers));
        named.filter_map(|name| name.strip_prefix('@')).collect()
    }

    /// The endpoints that its escalations name.
    pub fn endpoints(&self) -> BTreeSet<&str> {
        let escalations = self.timetable.iter().filter_map(|step| step.escalation.as_ref());
        escalations.flat_map(|escalation| &escalation.notify).map(String::as_str).collect()
    }
}

/// Whether `name` may name a reviewer: 1 to 256 bytes, no `@` first, no control characters, no space at either end.
pub fn is_reviewer(name: &str) -> bool {
    (1..=REVIEWER_BYTES_MAX).contains(&name.len())
        && !name.starts_with('@')
        && name.trim() == name
        && !name.chars().any(char::is_control)
}

/// Whether `name` may name a group or an endpoint: 1 to 64 of `a-z 0-9 _ -`, a letter or a digit first.
pub fn is_group(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// A name without its capitals, and the spaces around it: two of one person are the same.
pub fn person(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Whether two names are the same person's.
pub fn is_same_person(one: &str, other: &str) -> bool {
    one == other || person(one) == person(other)
}

fn check_stage(stage: &ApprovalStage) -> Result<(), String> {
    check_reviewers("stages", &stage.reviewers)?;
    let named = stage.reviewers.iter().map(|name| name.to_lowercase()).collect::<BTreeSet<_>>();
    if named.len() < stage.reviewers.len() {
        return Err("stages: a reviewer is named twice at one stage".into());
    }
    if !(1..=REVIEWERS_MAX as u32).contains(&stage.required) {
        return Err(format!("stages: `required` is 1 to {REVIEWERS_MAX}"));
    }
    let has_group = stage.reviewers.iter().any(|name| name.starts_with('@'));
    if !stage.reviewers.is_empty() && !has_group && (stage.required as usize) > stage.reviewers.len() {
        return Err(format!("stages: requires {} of {} reviewers", stage.required, stage.reviewers.len()));
    }
    Ok(())
}

fn check_reviewers(field: &str, names: &[String]) -> Result<(), String> {
    if names.len() > REVIEWERS_MAX {
        return Err(format!("{field}: at most {REVIEWERS_MAX} reviewers and groups at one place"));
    }
    match names.iter().find(|name| !name.strip_prefix('@').map_or_else(|| is_reviewer(name), is_group)) {
        Some(name) => Err(format!(
            "{field}: {name:?} is neither a reviewer (1 to {REVIEWER_BYTES_MAX} bytes, no control characters) nor a \
             group (`@` and 1 to {NAME_BYTES_MAX} of a-z 0-9 _ -)"
        )),
        None => Ok(()),
    }
}

fn check_endpoints(field: &str, names: &[String]) -> Result<(), String> {
    if names.len() > NOTIFY_MAX {
        return Err(format!("{field}: at most {NOTIFY_MAX} endpoints"));
    }
    match names.iter().find(|name| !is_group(name)) {
        Some(name) => Err(format!("{field}: {name:?} is no endpoint: 1 to {NAME_BYTES_MAX} of a-z 0-9 _ -")),
        None => Ok(()),
    }
}

/// The choice that expiry takes must be one.
pub fn check_default(default: Option<&str>, choices: &[String]) -> Result<(), String> {
    match default {
        Some(default) if !is_choice(default) || !choices.iter().any(|choice| choice == default) => {
            Err("default-decision: must be one of the choices".into())
        }
        _ => Ok(()),
    }
}

/// One vote at the stage that is being decided.
#[derive(Debug, Clone, Copy)]
pub struct Cast<'a> {
    pub reviewer: &'a str,
    pub decision: &'a str,
}

/// What a stage has come to after a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// More votes are needed.
    Open,
    /// So many agreed on the choice of the last vote that it approves.
    Approved,
    /// The last vote was a refusal, and it decides.
    Refused,
    /// Everybody has voted, and nothing came of it.
    Undecidable,
}

/// What a stage has come to with the last of `votes`, which are all of this stage.
///
/// `asked` are those who may vote, those who have included; none: whoever may decide for the tenant. `more_to_come`:
/// an escalation will ask others, too.
pub fn standing(
    stage: &ApprovalStage,
    rejection: RejectionRule,
    asked: Option<&BTreeSet<String>>,
    votes: &[Cast<'_>],
    more_to_come: bool,
) -> Standing {
    let Some(last) = votes.last() else { return Standing::Open };
    let required = stage.required as usize;
    let of = |choice: &str| votes.iter().filter(|vote| vote.decision == choice).count();
    let refusals = votes.iter().filter(|vote| is_refusal(vote.decision)).count();
    let left = asked
        .map(|asked| asked.iter().filter(|name| !votes.iter().any(|vote| is_same_person(vote.reviewer, name))).count());
    if !is_refusal(last.decision) {
        if of(last.decision) >= required {
            return Standing::Approved;
        }
    } else if rejection == RejectionRule::First {
        return Standing::Refused;
    } else {
        let too_many = match asked {
            Some(asked) => refusals * 2 > asked.len() || !more_to_come && asked.len() < refusals + required,
            None => refusals >= required,
        };
        if too_many {
            return Standing::Refused;
        }
    }
    match left {
        Some(0) if !more_to_come => Standing::Undecidable,
        _ => Standing::Open,
    }
}

/// `rejected` and `request_changes` refuse; every other choice approves.
pub fn is_refusal(choice: &str) -> bool {
    REFUSALS.contains(&choice)
}

/// The choices of a request: each once, in its order; the default ones if it names none.
pub fn choices(asked: &[String]) -> Vec<String> {
    if asked.is_empty() {
        return DEFAULT_CHOICES.map(Into::into).into();
    }
    let mut choices: Vec<String> = vec![];
    for choice in asked {
        if !choices.contains(choice) {
            choices.push(choice.clone());
        }
    }
    choices
}

#[cfg(test)]
mod tests;
