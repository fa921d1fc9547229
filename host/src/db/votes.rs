//! Votes: what each reviewer decided, of a pause that asks several; and what comes of them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Result;
use super::asked::{Electorate, NotAsked, people, with_escalated};
use super::decisions::is_same_json;
use super::executions::unreadable;
use super::pauses::{Pause, check};
use crate::approval::{Cast, Policy, Standing, Step, VOTES_BYTES_MAX, is_same_person, person, standing};
use crate::crash;
use crate::decision::Unfit;

/// What one reviewer decided, as its row has it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Vote {
    pub execution_id: String,
    pub approval_request_id: String,
    pub reviewer: String,
    pub claimed: bool,
    pub stage: i32,
    pub decision: String,
    pub feedback: Option<String>,
    /// JSON text.
    pub response: Option<String>,
    pub via: String,
    pub voted_at: DateTime<Utc>,
}

/// A vote that somebody with the right to decide has sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ballot<'a> {
    pub(super) decision: &'a str,
    pub(super) feedback: Option<&'a str>,
    pub(super) response: Option<&'a str>,
    pub(super) reviewer: Option<&'a str>,
    pub(super) claimed: bool,
    pub(super) via: &'a str,
}

/// What became of a vote.
#[derive(Debug)]
pub(super) enum Voted {
    /// It is kept, and decides the pause; with the response as the agent gets it.
    Decides(Option<String>),
    /// It is kept; the pause needs more, or is at its next stage.
    Recorded,
    /// It is kept; the pause has expired, because nobody can decide it any more.
    GivenUp,
    Duplicate,
    /// This reviewer had decided otherwise before.
    Otherwise(Box<Vote>),
    NotAsked(NotAsked),
    Unfit(Unfit),
}

/// The votes on pauses of one execution, oldest first.
pub(super) async fn votes_of(
    connection: &mut PgConnection,
    tenant: &str,
    execution: &str,
    names: &[String],
) -> Result<Vec<Vote>> {
    votes_on(connection, tenant, &vec![execution.to_owned(); names.len()], names, true).await
}

/// The votes on pauses, each named by its execution and its `approval_request_id`, oldest first; with the feedback and the
/// response, if they are wanted `in_full`.
pub(super) async fn votes_on(
    connection: &mut PgConnection,
    tenant: &str,
    executions: &[String],
    names: &[String],
    in_full: bool,
) -> Result<Vec<Vote>> {
    if names.is_empty() {
        return Ok(vec![]);
    }
    let said = if in_full { "feedback, response" } else { "null as feedback, null as response" };
    let text = format!(
        "select execution_id, approval_request_id, reviewer, claimed, stage, decision, {said}, via, voted_at from vote
         join unnest($2::text[], $3::text[]) as wanted (execution_id, approval_request_id)
             using (execution_id, approval_request_id)
         where tenant_id = $1 order by voted_at, reviewer"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text))
        .bind(tenant)
        .bind(executions)
        .bind(names)
        .fetch_all(connection)
        .await?)
}

/// Casts a vote on an open pause; without a policy the first one that fits its form decides. The caller holds the row lock
/// of its execution, and marks the pause decided if the vote decides it.
pub(super) async fn cast(tx: &mut PgConnection, tenant: &str, pause: &Pause, ballot: &Ballot<'_>) -> Result<Voted> {
    let form = pause.form();
    let check = || check(&form, ballot.decision, ballot.feedback, ballot.response);
    let Some(policy) = pause.policy()? else {
        return Ok(check().await.map_or_else(Voted::Unfit, Voted::Decides));
    };
    let Some(reviewer) = ballot.reviewer else { return Ok(Voted::Unfit(Unfit::NoReviewer)) };
    if let Some(before) = pause.votes.iter().find(|vote| is_same_person(&vote.reviewer, reviewer)) {
        let is_same = is_same(before, ballot);
        return Ok(if is_same { Voted::Duplicate } else { Voted::Otherwise(Box::new(before.clone())) });
    }
    let electorate = Electorate::of(tx, tenant, &pause.execution_id, &policy, &pause.asked).await?;
    if let Err(why) = electorate.admit(reviewer, ballot.via) {
        return Ok(Voted::NotAsked(why));
    }
    let completed = match check().await {
        Ok(response) => response,
        Err(unfit) => return Ok(Voted::Unfit(unfit)),
    };
    let bytes = |one: Option<&str>, other: Option<&str>| one.map_or(0, str::len) + other.map_or(0, str::len);
    let held: usize = pause.votes.iter().map(|vote| bytes(vote.feedback.as_deref(), vote.response.as_deref())).sum();
    if held + bytes(ballot.feedback, ballot.response) > VOTES_BYTES_MAX {
        return Ok(Voted::Unfit(Unfit::TooMuch));
    }
    keep(tx, tenant, pause, reviewer, ballot).await?;
    crash::point("during_decide");
    count(tx, tenant, pause, &policy, electorate, Cast { reviewer, decision: ballot.decision }, completed).await
}

/// Counts the votes of the stage that a pause is at, `last` included, which was just kept; goes on to the next stage.
/// `response` is what the agent is given if the last one decides.
async fn count(
    tx: &mut PgConnection,
    tenant: &str,
    pause: &Pause,
    policy: &Policy,
    electorate: Electorate,
    last: Cast<'_>,
    response: Option<String>,
) -> Result<Voted> {
    let stage_of = |number: i32| policy.stages.get(number.unsigned_abs() as usize);
    // No stages, but nobody may approve what they started: the first decision of another is it.
    let Some(stage) = stage_of(pause.stage) else { return Ok(Voted::Decides(response)) };
    let (now, before): (Vec<&Vote>, Vec<&Vote>) = pause.votes.iter().partition(|vote| vote.stage == pause.stage);
    let votes = now.into_iter().map(|vote| Cast { reviewer: &vote.reviewer, decision: &vote.decision });
    let votes: Vec<Cast<'_>> = votes.chain([last]).collect();
    // Who has voted at an earlier stage cannot vote again.
    let eligible = electorate.without(before.into_iter().map(|vote| vote.reviewer.as_str()));
    let steps = pause.timetable()?;
    let done = pause.steps_done.unsigned_abs() as usize;
    let more_to_come = steps.iter().skip(done).any(|step| step.escalation.is_some());
    match standing(stage, policy.rejection, eligible.as_ref(), &votes, more_to_come) {
        Standing::Refused => return Ok(Voted::Decides(response)),
        Standing::Open => return Ok(Voted::Recorded),
        Standing::Approved => {}
        Standing::Undecidable => {
            give_up(tx, tenant, pause).await?;
            return Ok(Voted::GivenUp);
        }
    }
    let next = pause.stage + 1;
    let Some(stage) = stage_of(next) else { return Ok(Voted::Decides(response)) };
    let names = with_escalated(&stage.reviewers, &steps, pause.steps_done);
    advance(tx, tenant, pause, next, &names).await?;
    Ok(Voted::Recorded)
}

/// Lets a pause expire if all whom its stage asks have voted, and nothing came of it. Whether it has.
pub(super) async fn give_up_if_spent(tx: &mut PgConnection, tenant: &str, pause: &Pause) -> Result<bool> {
    let Some(policy) = pause.policy()? else { return Ok(false) };
    let electorate = Electorate::of(tx, tenant, &pause.execution_id, &policy, &pause.asked).await?;
    let has_votes = pause.votes.iter().any(|vote| vote.stage == pause.stage);
    let left = electorate.without(pause.votes.iter().map(|vote| vote.reviewer.as_str()));
    if !has_votes || !left.is_some_and(|left| left.is_empty()) {
        return Ok(false);
    }
    give_up(tx, tenant, pause).await?;
    Ok(true)
}

async fn keep(tx: &mut PgConnection, tenant: &str, pause: &Pause, reviewer: &str, ballot: &Ballot<'_>) -> Result<()> {
    sqlx::query(
        "insert into vote (tenant_id, execution_id, approval_request_id, reviewer, claimed, stage, decision, feedback,
                           response, via, person)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(tenant)
    .bind(&pause.execution_id)
    .bind(&pause.approval_request_id)
    .bind(reviewer)
    .bind(ballot.claimed)
    .bind(pause.stage)
    .bind(ballot.decision)
    .bind(ballot.feedback)
    .bind(ballot.response)
    .bind(ballot.via)
    .bind(person(reviewer))
    .execute(tx)
    .await?;
    Ok(())
}

async fn advance(tx: &mut PgConnection, tenant: &str, pause: &Pause, stage: i32, asked: &[String]) -> Result<()> {
    sqlx::query(
        "update pause set stage = $4, asked = $5, asked_people = $6
         where tenant_id = $1 and execution_id = $2 and approval_request_id = $3",
    )
    .bind(tenant)
    .bind(&pause.execution_id)
    .bind(&pause.approval_request_id)
    .bind(stage)
    .bind(asked)
    .bind(people(asked))
    .execute(tx)
    .await?;
    Ok(())
}

/// Lets a pause expire now, because all have voted and nothing came of it. Without its default decision: that is for when
/// nobody decides in time, and here it would pass over what people have said.
async fn give_up(tx: &mut PgConnection, tenant: &str, pause: &Pause) -> Result<()> {
    sqlx::query(
        "update pause set status = 'expired', decided_at = clock_timestamp(), next_at = null
         where tenant_id = $1 and execution_id = $2 and approval_request_id = $3 and status = 'open'",
    )
    .bind(tenant)
    .bind(&pause.execution_id)
    .bind(&pause.approval_request_id)
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether a vote says just this. Its response may be written in another way.
fn is_same(vote: &Vote, ballot: &Ballot<'_>) -> bool {
    vote.decision == ballot.decision
        && vote.feedback.as_deref() == ballot.feedback
        && is_same_json(vote.response.as_deref(), ballot.response)
}

impl Pause {
    /// Who decides it, and what it takes; none: the first decision of whoever may decide.
    pub(super) fn policy(&self) -> Result<Option<Policy>> {
        let Some(text) = &self.policy else { return Ok(None) };
        serde_json::from_str(text).map_err(|why| unreadable("a policy", &why))
    }

    /// What is done while it waits.
    pub(super) fn timetable(&self) -> Result<Vec<Step>> {
        let Some(text) = &self.timetable else { return Ok(vec![]) };
        serde_json::from_str(text).map_err(|why| unreadable("a timetable", &why))
    }
}
