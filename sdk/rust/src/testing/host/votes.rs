//! What several reviewers decide together.

use std::collections::{HashMap, HashSet};

use super::Millis;
use super::decision::{Taken, refuses, take};
use crate::bindings::countersign::agent::types::{ApprovalRequest, ApprovalStage, RejectionRule, Vote};
use crate::testing::answer::Decision;

/// Who decided, if the test does not say.
const SOMEBODY: &str = "somebody";

/// The votes that lead to a decision: those that the test gives, or one that stands for everybody's. None of a pause
/// that does not say who decides.
///
/// # Panics
///
/// If they lead to another decision, or to none.
pub(super) fn of(pause: &ApprovalRequest, given: &Decision, at: Millis) -> Vec<Vote> {
    let id = &pause.approval_request_id;
    if pause.stages.is_empty() && !pause.forbid_self_approval {
        assert!(given.votes.is_empty(), "there are votes, but the pause `{id}` does not say who decides");
        return vec![];
    }
    if given.votes.is_empty() {
        let last = pause.stages.len().saturating_sub(1);
        let taken = take(pause, given);
        return vec![vote(&taken, if refuses(&taken.decision) { 0 } else { last }, at)];
    }
    let is_bare = given.feedback.is_none() && given.response.is_none() && given.reviewer.is_none();
    assert!(is_bare, "a decision with votes has nothing else: feedback, response and reviewer are the last vote's");
    let anyone = [ApprovalStage { reviewers: vec![], required: 1 }];
    let stages = if pause.stages.is_empty() { anyone.as_slice() } else { &pause.stages };
    let mut count = Count { pause, stages, stage: 0, here: HashMap::new(), voted: HashSet::new(), outcome: None };
    let votes: Vec<Vote> = given.votes.iter().map(|given| count.add(&take(pause, given), at)).collect();
    let last = given.votes.last().map(|vote| &vote.decision).filter(|decision| refuses(decision));
    // When a majority of a group refuses, only a host knows; the test is believed.
    let outcome = count.outcome.clone().or_else(|| last.filter(|_| count.is_unknown()).cloned());
    assert!(
        outcome.as_ref() == Some(&given.decision),
        "the votes for the pause `{id}` do not lead to `{}`, but to {}",
        given.decision,
        outcome.map_or_else(|| "nothing yet".to_owned(), |other| format!("`{other}`")),
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
    stages: &'a [ApprovalStage],
    stage: usize,
    /// How many have voted for each choice at this stage.
    here: HashMap<String, usize>,
    /// Whoever has voted, at any stage; in small letters.
    voted: HashSet<String>,
    outcome: Option<String>,
}

/// Whom a stage asks, as far as that is known without knowing who is in a group.
enum Asked {
    Anyone,
    /// So many.
    People(usize),
    Unknown,
}

impl Count<'_> {
    fn add(&mut self, taken: &Taken, at: Millis) -> Vote {
        let (id, stage) = (&self.pause.approval_request_id, self.stage);
        let Some(reviewer) = &taken.reviewer else { panic!("a vote for the pause `{id}` has no reviewer") };
        assert!(self.outcome.is_none(), "the pause `{id}` was decided before {reviewer} voted");
        assert!(self.is_asked(reviewer), "{reviewer} is not asked at stage {stage} of the pause `{id}`");
        let eligible = self.asked();
        assert!(self.voted.insert(reviewer.to_lowercase()), "{reviewer} votes twice for the pause `{id}`");
        let decision = &taken.decision;
        *self.here.entry(decision.clone()).or_default() += 1;
        if refuses(decision) {
            self.outcome = self.is_refused(&eligible).then(|| decision.clone());
        } else if self.here[decision] >= self.required() {
            self.here.clear();
            self.stage += 1;
            self.outcome = (self.stage == self.stages.len()).then(|| decision.clone());
        }
        vote(taken, stage, at)
    }

    fn is_unknown(&self) -> bool {
        matches!(self.asked(), Asked::Unknown)
    }

    fn required(&self) -> usize {
        self.stages[self.stage].required as usize
    }

    fn is_refused(&self, eligible: &Asked) -> bool {
        let refusals: usize = self.here.iter().filter(|(decision, _)| refuses(decision)).map(|(_, count)| count).sum();
        match eligible {
            _ if self.pause.rejection == RejectionRule::First => true,
            Asked::Anyone => refusals >= self.required(),
            Asked::People(people) => refusals * 2 > *people || *people < refusals + self.required(),
            Asked::Unknown => false,
        }
    }

    /// Whom escalations ask, too.
    fn later(&self) -> impl Iterator<Item = &String> {
        self.pause.escalations.iter().flat_map(|escalation| &escalation.reviewers)
    }

    fn is_asked(&self, reviewer: &str) -> bool {
        let reviewers = &self.stages[self.stage].reviewers;
        let is_this = |asked: &String| asked.starts_with('@') || asked.to_lowercase() == reviewer.to_lowercase();
        reviewers.is_empty() || reviewers.iter().chain(self.later()).any(is_this)
    }

    /// Whom the stage asks of those who have not voted before it.
    fn asked(&self) -> Asked {
        let Some(stage) = self.stages.get(self.stage) else { return Asked::Anyone };
        if stage.reviewers.is_empty() {
            return Asked::Anyone;
        }
        if self.later().next().is_some() || stage.reviewers.iter().any(|name| name.starts_with('@')) {
            return Asked::Unknown;
        }
        let voted = stage.reviewers.iter().filter(|name| self.voted.contains(&name.to_lowercase())).count();
        let here: usize = self.here.values().sum();
        Asked::People(stage.reviewers.len() + here - voted)
    }
}
