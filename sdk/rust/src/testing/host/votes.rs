//! What several reviewers decide together.

use std::collections::{HashMap, HashSet};

use super::Millis;
use super::decision::{Taken, refuses, take};
use crate::bindings::countersign::agent::types::{ApprovalRequest, ApprovalStage, RejectionRule, Vote};
use crate::testing::answer::Decision;

/// Who decided, if the test does not say.
const SOMEBODY: &str = "somebody";

/// The votes that lead to a decision: those that the test gives, or one that stands for everybody's.
///
/// # Panics
///
/// If they lead to another decision, or to none.
pub(super) fn of(pause: &ApprovalRequest, given: &Decision, taken: &Taken, at: Millis) -> Vec<Vote> {
    let id = &pause.approval_request_id;
    if pause.stages.is_empty() {
        assert!(given.votes.is_empty(), "there are votes, but the pause `{id}` does not say who decides");
        return vec![];
    }
    if given.votes.is_empty() {
        let last = pause.stages.len() - 1;
        return vec![vote(taken, if refuses(&taken.decision) { 0 } else { last }, at)];
    }
    let mut count = Count { pause, stage: 0, agree: HashMap::new(), voted: HashSet::new(), outcome: None };
    let votes: Vec<Vote> = given.votes.iter().map(|given| count.add(&take(pause, given), at)).collect();
    let last = &votes.last().expect("there are some").decision;
    // When a majority refuses, only a host knows: it knows who is in a group.
    let by_majority = refuses(last) && !count.is_first();
    let outcome = count.outcome.or_else(|| by_majority.then(|| last.clone()));
    assert!(
        outcome.as_ref() == Some(&given.decision),
        "the votes for the pause `{id}` do not lead to `{}`, but {}",
        given.decision,
        outcome.map_or_else(|| "to nothing yet".to_owned(), |other| format!("to `{other}`")),
    );
    votes
}

fn vote(taken: &Taken, stage: usize, at: Millis) -> Vote {
    Vote {
        reviewer: taken.reviewer.clone().unwrap_or_else(|| SOMEBODY.to_owned()),
        claimed: false,
        stage: u32::try_from(stage).expect("there are few stages"),
        decision: taken.decision.clone(),
        feedback: taken.feedback.clone(),
        response: taken.response.clone(),
        voted_at_ms: at,
    }
}

/// How far the votes have come.
struct Count<'a> {
    pause: &'a ApprovalRequest,
    stage: usize,
    /// How many have voted for each choice at this stage.
    agree: HashMap<String, u32>,
    voted: HashSet<String>,
    outcome: Option<String>,
}

impl Count<'_> {
    fn add(&mut self, taken: &Taken, at: Millis) -> Vote {
        let Self { pause, stage, .. } = *self;
        let id = &pause.approval_request_id;
        let Some(reviewer) = &taken.reviewer else { panic!("a vote for the pause `{id}` has no reviewer") };
        assert!(self.outcome.is_none(), "the pause `{id}` was decided before {reviewer} voted");
        assert!(self.voted.insert(reviewer.clone()), "{reviewer} votes twice for the pause `{id}`");
        assert!(self.is_asked(reviewer), "{reviewer} is not asked at stage {stage} of the pause `{id}`");
        let decision = &taken.decision;
        if refuses(decision) {
            self.outcome = self.is_first().then(|| decision.clone());
            return vote(taken, stage, at);
        }
        let agree = self.agree.entry(decision.clone()).or_default();
        *agree += 1;
        if *agree >= self.pause.stages[stage].required {
            self.agree.clear();
            self.stage += 1;
            self.outcome = (self.stage == self.pause.stages.len()).then(|| decision.clone());
        }
        vote(taken, stage, at)
    }

    fn is_first(&self) -> bool {
        self.pause.rejection == RejectionRule::First
    }

    /// Whether somebody may vote at this stage, as far as that is known without knowing who is in a group.
    fn is_asked(&self, reviewer: &str) -> bool {
        let ApprovalStage { reviewers, .. } = &self.pause.stages[self.stage];
        let later = self.pause.escalations.iter().flat_map(|escalation| &escalation.reviewers);
        reviewers.is_empty() || reviewers.iter().chain(later).any(|asked| asked == reviewer || asked.starts_with('@'))
    }
}
