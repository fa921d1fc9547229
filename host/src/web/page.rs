//! What a reviewer is shown of a pause. Pure: no I/O, no clock.

use askama::Template;
use chrono::{DateTime, Utc};

use super::entry::FormView;
use super::shown::{Shown, shown};
use crate::approval::{Policy, is_refusal, is_same_person};
use crate::db::pauses::Pause;
use crate::db::votes;
use crate::execution::pause_id;
use crate::link::{Link, redact};

/// A page that says one thing.
#[derive(Template)]
#[template(path = "notice.html")]
pub(super) struct Notice {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
}

/// A pause, as one reviewer sees it.
#[derive(Template)]
#[template(path = "page.html")]
pub(super) struct Page {
    heading: String,
    agent: String,
    function: String,
    id: String,
    reviewer: String,
    url: Option<Url>,
    payload: Option<Payload>,
    votes: Vec<VoteView>,
    /// How many more are needed, if it asks several.
    progress: Option<String>,
    expires: Option<Time>,
    is_over: bool,
    pub(super) standing: Standing,
    /// What went wrong with what was sent.
    pub(super) alert: Option<String>,
    pub(super) form: Option<FormView>,
}

/// Where a pause stands, for one reviewer.
#[derive(Debug, PartialEq)]
pub(super) enum Standing {
    /// The agent has not paused yet.
    NotOpen,
    /// The reviewer may decide.
    Open,
    /// Others may.
    NotAsked,
    /// The reviewer has, and others are still to decide.
    Voted(VoteView),
    Decided(VoteView),
    Closed(&'static str),
}

/// The agent's own page.
struct Url {
    text: String,
    /// Whether it is of the web. Any other is shown, but does not lead anywhere.
    is_link: bool,
}

struct Payload {
    value: Shown,
    is_cut: bool,
}

/// What somebody decided.
#[derive(Debug, PartialEq)]
pub(super) struct VoteView {
    decision: String,
    reviewer: Option<String>,
    is_claimed: bool,
    feedback: Option<String>,
    response: Option<Shown>,
    at: Time,
}

/// A time, and how far from now it is.
#[derive(Debug, PartialEq, Template)]
#[template(source = "<time datetime=\"{{ machine }}\">{{ text }}</time> ({{ relative }})", ext = "html")]
pub(super) struct Time {
    machine: String,
    text: String,
    relative: String,
}

impl Page {
    /// A pause that is not open yet.
    pub(super) fn not_open(link: &Link, agent: String, function: String) -> Self {
        Self {
            heading: link.approval_request_id.clone(),
            agent,
            function,
            id: pause_id(&link.execution, &link.approval_request_id),
            reviewer: link.reviewer.clone(),
            url: None,
            payload: None,
            votes: vec![],
            progress: None,
            expires: None,
            is_over: false,
            standing: Standing::NotOpen,
            alert: None,
            form: None,
        }
    }

    /// A pause that was opened. `is_asked` is whether the reviewer may decide at the stage that it is at.
    pub(super) fn new(link: &Link, pause: &Pause, is_asked: bool, now: DateTime<Utc>) -> Self {
        let pause_payload = pause.payload.as_deref().map(redact);
        let payload = pause_payload.and_then(|text| shown(&text)).map(|(value, is_cut)| Payload { value, is_cut });
        let heading = pause.title.as_deref().filter(|title| !title.trim().is_empty());
        let is_over = pause.expires_at.is_some_and(|at| at <= now);
        let votes = || pause.votes.iter().map(|vote| VoteView::of(vote, now));
        let standing = standing(link, pause, is_asked, is_over, now);
        Self {
            heading: heading.unwrap_or(&pause.approval_request_id).to_owned(),
            agent: pause.agent.clone(),
            function: pause.function.clone(),
            id: pause_id(&pause.execution_id, &pause.approval_request_id),
            reviewer: link.reviewer.clone(),
            url: pause.approval_request_url.as_deref().filter(|url| !url.is_empty()).map(Url::new),
            payload,
            votes: votes().collect(),
            progress: (pause.status == "open").then(|| progress(pause)).flatten(),
            expires: pause.expires_at.map(|at| Time::new(at, now)),
            is_over,
            standing,
            alert: None,
            form: None,
        }
    }

    /// The payload is in the form, to be edited there.
    pub(super) fn leave_out_payload(&mut self) {
        self.payload = None;
    }
}

fn standing(link: &Link, pause: &Pause, is_asked: bool, is_over: bool, now: DateTime<Utc>) -> Standing {
    match pause.status.as_str() {
        "early" => Standing::NotOpen,
        "open" if is_over => Standing::Closed("The time for this decision is over."),
        "open" => {
            let mine = pause.votes.iter().find(|vote| is_same_person(&vote.reviewer, &link.reviewer));
            match mine {
                Some(vote) => Standing::Voted(VoteView::of(vote, now)),
                None if is_asked => Standing::Open,
                None => Standing::NotAsked,
            }
        }
        "decided" => Standing::Decided(VoteView::of_pause(pause, now)),
        "expired" if pause.decision.is_some() => {
            Standing::Closed("Nobody decided in time, so the agent goes on with the choice that it set for this case.")
        }
        "expired" => Standing::Closed("Nobody decided in time."),
        _ => Standing::Closed("The agent has taken this request back, or has ended."),
    }
}

/// How many have agreed at the stage that a pause is at, and how many must.
fn progress(pause: &Pause) -> Option<String> {
    let policy: Policy = serde_json::from_str(pause.policy.as_deref()?).ok()?;
    let stage = policy.stages.get(usize::try_from(pause.stage).ok()?)?;
    let here = pause.votes.iter().filter(|vote| vote.stage == pause.stage && !is_refusal(&vote.decision));
    let most = here.clone().map(|vote| here.clone().filter(|other| other.decision == vote.decision).count()).max();
    let of = if policy.stages.len() > 1 {
        format!("Stage {} of {}: ", pause.stage + 1, policy.stages.len())
    } else {
        String::new()
    };
    Some(format!("{of}{} of {} that must agree.", most.unwrap_or(0), stage.required))
}

impl VoteView {
    pub(super) fn of(vote: &votes::Vote, now: DateTime<Utc>) -> Self {
        Self {
            decision: vote.decision.clone(),
            reviewer: Some(vote.reviewer.clone()),
            is_claimed: vote.claimed,
            feedback: vote.feedback.clone(),
            response: response(vote.response.as_deref()),
            at: Time::past(vote.voted_at, now),
        }
    }

    fn of_pause(pause: &Pause, now: DateTime<Utc>) -> Self {
        Self {
            decision: pause.decision.clone().unwrap_or_default(),
            reviewer: pause.reviewer.clone(),
            is_claimed: pause.claimed,
            feedback: pause.feedback.clone(),
            response: response(pause.response.as_deref()),
            at: Time::past(pause.decided_at.unwrap_or(now), now),
        }
    }
}

fn response(text: Option<&str>) -> Option<Shown> {
    text.and_then(shown).map(|(value, _)| value)
}

impl Url {
    fn new(text: &str) -> Self {
        let is_of = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        Self { text: text.into(), is_link: is_of("https://") || is_of("http://") }
    }
}

impl Time {
    /// One that was, even if the clock of the database, by which it was, is a little ahead of ours.
    fn past(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self::new(at, now.max(at))
    }

    fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            machine: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            text: at.format("%-d %B %Y, %H:%M UTC").to_string(),
            relative: relative((at - now).num_seconds()),
        }
    }
}

/// So many seconds from now, in one unit.
fn relative(seconds: i64) -> String {
    let (count, unit) = match seconds.unsigned_abs() {
        0..60 => return if seconds <= 0 { "just now" } else { "within a minute" }.into(),
        minutes @ 60..3_600 => (minutes / 60, "minute"),
        hours @ 3_600..86_400 => (hours / 3_600, "hour"),
        days => (days / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if seconds < 0 { format!("{count} {unit}{plural} ago") } else { format!("in {count} {unit}{plural}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_links() {
        assert!(["https://x.example", "HTTP://x"].into_iter().all(|url| Url::new(url).is_link));
        for url in ["javascript:alert(1)", "data:text/html,x", " https://x", "//x", "x", "é"] {
            assert!(!Url::new(url).is_link, "{url}");
        }
    }

    #[test]
    fn a_time_is_told_in_one_unit() {
        let told = [-90, 0, 30, 3_599, 7_200, 90_000, 3 * 86_400].map(relative);
        assert_eq!(
            told,
            ["1 minute ago", "just now", "within a minute", "in 59 minutes", "in 2 hours", "in 1 day", "in 3 days"]
        );
    }
}
