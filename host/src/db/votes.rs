//! Votes: what each reviewer decided, of a pause that asks several; and what comes of them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::claims::Claim;
use super::decisions::is_same_json;
use super::executions::unreadable;
use super::pauses::{NewPause, Pause, check};
use super::{Db, Result, audit};
use crate::approval::{Cast, Policy, Standing, Step, VOTES_BYTES_MAX, is_same_person, standing};
use crate::audit::{Action, Actor, details};
use crate::crash;
use crate::decision::Unfit;
use crate::execution::pause_id;

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

/// Why somebody may not decide a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAsked {
    /// Others are asked, at this stage.
    Others,
    /// Who started the execution may not.
    Starter,
}

/// Who started an execution: the key of its root's start.
#[derive(Debug, sqlx::FromRow)]
struct Starter {
    created_by: String,
    name: Option<String>,
}

const COLUMNS: &str = "execution_id, approval_request_id, reviewer, claimed, stage, decision, feedback, response, via, \
    voted_at";

impl Db {
    /// Why a pause cannot be opened that names groups or endpoints, or asks for more people than there are; none if it
    /// can, or was.
    pub async fn cannot_be_asked(&self, claim: &Claim, pause: &NewPause) -> Result<Option<String>> {
        if let Some(missing) = self.missing_endpoints(claim, pause).await? {
            return Ok(Some(missing));
        }
        let groups: Vec<&str> = pause.plan.groups().into_iter().collect();
        let Some(policy) = &pause.plan.policy else {
            return if groups.is_empty() { Ok(None) } else { self.missing_groups(claim, pause, &groups).await };
        };
        if let Some(missing) = self.missing_groups(claim, pause, &groups).await? {
            return Ok(Some(missing));
        }
        let mut connection = self.pool.acquire().await?;
        let Some((required, count)) = is_short(&mut connection, &claim.tenant, &claim.execution, policy).await? else {
            return Ok(None);
        };
        if is_open(&mut connection, claim, pause).await? {
            return Ok(None);
        }
        Ok(Some(format!("stages: requires {required} reviewers of {count} who may decide")))
    }

    async fn missing_groups(&self, claim: &Claim, pause: &NewPause, names: &[&str]) -> Result<Option<String>> {
        if names.is_empty() {
            return Ok(None);
        }
        let mut connection = self.pool.acquire().await?;
        let missing: Vec<String> = sqlx::query_scalar(
            "select '@' || wanted from unnest($2::text[]) as wanted
             where not exists (select from review_group g where g.tenant_id = $1 and g.name = wanted) order by wanted",
        )
        .bind(&claim.tenant)
        .bind(names)
        .fetch_all(&mut *connection)
        .await?;
        if missing.is_empty() || is_open(&mut connection, claim, pause).await? {
            return Ok(None);
        }
        Ok(Some(format!("stages, escalations: there is no group {}", missing.join(", "))))
    }
}

/// Whether a pause was opened by an earlier attempt. Then it is as it was, whatever has become of whom it names.
pub(super) async fn is_open(connection: &mut PgConnection, claim: &Claim, pause: &NewPause) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "select exists (select from pause where tenant_id = $1 and execution_id = $2 and approval_request_id = $3
                        and op is not null)",
    )
    .bind(&claim.tenant)
    .bind(&claim.execution)
    .bind(&pause.approval_request_id)
    .fetch_one(connection)
    .await?)
}

/// The votes on pauses of one execution, oldest first.
pub(super) async fn votes_of(
    connection: &mut PgConnection,
    tenant: &str,
    execution: &str,
    names: &[String],
) -> Result<Vec<Vote>> {
    votes_on(connection, tenant, &vec![execution.to_owned(); names.len()], names).await
}

/// The votes on pauses, each named by its execution and its `approval_request_id`, oldest first.
pub(super) async fn votes_on(
    connection: &mut PgConnection,
    tenant: &str,
    executions: &[String],
    names: &[String],
) -> Result<Vec<Vote>> {
    if names.is_empty() {
        return Ok(vec![]);
    }
    let text = format!(
        "select {COLUMNS} from vote
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

/// Casts a vote on an open pause that has a policy. The caller holds the row lock of its execution, and marks the pause
/// decided if the vote decides it.
pub(super) async fn cast(tx: &mut PgConnection, tenant: &str, pause: &Pause, ballot: &Ballot<'_>) -> Result<Voted> {
    let Some(policy) = pause.policy()? else { return Ok(Voted::NotAsked(NotAsked::Others)) };
    let Some(reviewer) = ballot.reviewer else { return Ok(Voted::Unfit(Unfit::NoReviewer)) };
    let checked = check(&pause.form(), ballot.decision, ballot.feedback, ballot.response).await;
    let ballot =
        &Ballot { response: checked.as_ref().map_or(ballot.response, |response| response.as_deref()), ..*ballot };
    if let Some(before) = pause.votes.iter().find(|vote| is_same_person(&vote.reviewer, reviewer)) {
        return Ok(if is_same(before, ballot) { Voted::Duplicate } else { Voted::Otherwise(Box::new(before.clone())) });
    }
    let starter = if policy.forbid_self_approval { starter(tx, tenant, &pause.execution_id).await? } else { None };
    if starter.as_ref().is_some_and(|starter| starter.is(reviewer, ballot.via)) {
        return Ok(Voted::NotAsked(NotAsked::Starter));
    }
    let asked = asked(tx, tenant, &pause.asked).await?;
    if asked.as_ref().is_some_and(|asked| !asked.iter().any(|name| is_same_person(name, reviewer))) {
        return Ok(Voted::NotAsked(NotAsked::Others));
    }
    if let Err(unfit) = checked {
        return Ok(Voted::Unfit(unfit));
    }
    let bytes = |one: Option<&str>, other: Option<&str>| one.map_or(0, str::len) + other.map_or(0, str::len);
    let held: usize = pause.votes.iter().map(|vote| bytes(vote.feedback.as_deref(), vote.response.as_deref())).sum();
    if held + bytes(ballot.feedback, ballot.response) > VOTES_BYTES_MAX {
        return Ok(Voted::Unfit(Unfit::TooMuch));
    }
    keep(tx, tenant, pause, reviewer, ballot).await?;
    crash::point("during_decide");
    let decides = || Ok(Voted::Decides(ballot.response.map(Into::into)));
    // Of whom nobody can come any more, since each decides once, and who started it perhaps never.
    let spent = |name: &str| {
        let earlier = pause.votes.iter().filter(|vote| vote.stage < pause.stage);
        let is_starter = starter.as_ref().is_some_and(|starter| starter.is(name, ""));
        is_starter || earlier.into_iter().any(|vote| is_same_person(&vote.reviewer, name))
    };
    let eligible = asked.map(|asked| asked.into_iter().filter(|name| !spent(name)).collect());
    let Some(stage) = policy.stages.get(pause.stage.unsigned_abs() as usize) else {
        // No stages, but nobody may approve what they started: the first decision of another is it.
        return decides();
    };
    let votes = pause.votes.iter().filter(|vote| vote.stage == pause.stage);
    let mut votes: Vec<Cast<'_>> =
        votes.map(|vote| Cast { reviewer: &vote.reviewer, decision: &vote.decision }).collect();
    votes.push(Cast { reviewer, decision: ballot.decision });
    let steps = pause.timetable()?;
    let more_to_come =
        steps.iter().skip(pause.steps_done.unsigned_abs() as usize).any(|step| step.escalation.is_some());
    match standing(stage, policy.rejection, eligible.as_ref(), &votes, more_to_come) {
        Standing::Refused => return decides(),
        Standing::Open => return Ok(Voted::Recorded),
        Standing::Approved => {}
        Standing::Undecidable => {
            give_up(tx, tenant, pause).await?;
            return Ok(Voted::GivenUp);
        }
    }
    let next = pause.stage + 1;
    let Some(stage) = policy.stages.get(next.unsigned_abs() as usize) else { return decides() };
    let names = with_escalated(&stage.reviewers, &steps, pause.steps_done);
    let voted = |name: &String| {
        let voted =
            is_same_person(name, reviewer) || pause.votes.iter().any(|vote| is_same_person(&vote.reviewer, name));
        voted || starter.as_ref().is_some_and(|starter| starter.is(name, ""))
    };
    let left = self::asked(tx, tenant, &names).await?.map(|asked| asked.iter().filter(|name| !voted(name)).count());
    advance(tx, tenant, pause, next, &names).await?;
    if !more_to_come && left.is_some_and(|left| left < stage.required as usize) {
        give_up(tx, tenant, pause).await?;
        return Ok(Voted::GivenUp);
    }
    Ok(Voted::Recorded)
}

/// The reviewers of a stage, and those whom escalations have added.
pub(super) fn with_escalated(reviewers: &[String], steps: &[Step], steps_done: i32) -> Vec<String> {
    // Whoever may decide needs not be added to.
    if reviewers.is_empty() {
        return vec![];
    }
    let done = steps.iter().take(steps_done.unsigned_abs() as usize).filter_map(|step| step.escalation.as_ref());
    let mut names = reviewers.to_vec();
    for name in done.flat_map(|escalation| &escalation.reviewers) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The people whom these names ask, groups replaced by their members as they are now; none: whoever may decide.
pub(super) async fn asked(tx: &mut PgConnection, tenant: &str, names: &[String]) -> Result<Option<BTreeSet<String>>> {
    if names.is_empty() {
        return Ok(None);
    }
    let (groups, people): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| name.starts_with('@'));
    let mut asked: BTreeSet<String> = people.into_iter().cloned().collect();
    if !groups.is_empty() {
        let groups: Vec<&str> = groups.iter().map(|group| &group[1..]).collect();
        let members: Vec<String> =
            sqlx::query_scalar("select reviewer from review_group_member where tenant_id = $1 and name = any($2)")
                .bind(tenant)
                .bind(groups)
                .fetch_all(tx)
                .await?;
        for member in members {
            // Who is named in two ways is one person.
            if !asked.iter().any(|name| is_same_person(name, &member)) {
                asked.insert(member);
            }
        }
    }
    Ok(Some(asked))
}

/// Whether a policy asks for more people than there are; if so, of which stage, and how many there are.
pub(super) async fn is_short(
    tx: &mut PgConnection,
    tenant: &str,
    execution: &str,
    policy: &Policy,
) -> Result<Option<(u32, usize)>> {
    let starter = if policy.forbid_self_approval { starter(tx, tenant, execution).await? } else { None };
    for stage in &policy.stages {
        let Some(asked) = asked(tx, tenant, &stage.reviewers).await? else { continue };
        let count = asked.iter().filter(|name| !starter.as_ref().is_some_and(|starter| starter.is(name, ""))).count();
        if count < stage.required as usize {
            return Ok(Some((stage.required, count)));
        }
    }
    Ok(None)
}

async fn keep(tx: &mut PgConnection, tenant: &str, pause: &Pause, reviewer: &str, ballot: &Ballot<'_>) -> Result<()> {
    sqlx::query(
        "insert into vote (tenant_id, execution_id, approval_request_id, reviewer, claimed, stage, decision, feedback,
                           response, via)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
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
    .execute(tx)
    .await?;
    Ok(())
}

async fn advance(tx: &mut PgConnection, tenant: &str, pause: &Pause, stage: i32, asked: &[String]) -> Result<()> {
    sqlx::query(
        "update pause set stage = $4, asked = $5
         where tenant_id = $1 and execution_id = $2 and approval_request_id = $3",
    )
    .bind(tenant)
    .bind(&pause.execution_id)
    .bind(&pause.approval_request_id)
    .bind(stage)
    .bind(asked)
    .execute(tx)
    .await?;
    Ok(())
}

/// Lets a pause expire now, because nobody can decide it any more.
async fn give_up(tx: &mut PgConnection, tenant: &str, pause: &Pause) -> Result<()> {
    if let Some(decision) = &pause.default_decision {
        let subject = pause_id(&pause.execution_id, &pause.approval_request_id);
        let details = details([("decision", decision.as_str().into())]);
        audit::write(tx, tenant, &Actor::HOST, Action::PauseExpired, &subject, &details).await?;
    }
    sqlx::query(
        "update pause set status = 'expired', decision = default_decision, response = default_response,
                          decided_at = clock_timestamp(), next_at = null
         where tenant_id = $1 and execution_id = $2 and approval_request_id = $3 and status = 'open'",
    )
    .bind(tenant)
    .bind(&pause.execution_id)
    .bind(&pause.approval_request_id)
    .execute(tx)
    .await?;
    Ok(())
}

/// Who started the execution at the root of this one.
async fn starter(tx: &mut PgConnection, tenant: &str, execution: &str) -> Result<Option<Starter>> {
    Ok(sqlx::query_as(
        "with recursive line (execution_id, parent_id, created_by) as (
             select execution_id, parent_id, created_by from execution where tenant_id = $1 and execution_id = $2
             union all
             select e.execution_id, e.parent_id, e.created_by
             from execution e join line on e.tenant_id = $1 and e.execution_id = line.parent_id
         )
         select created_by, k.name from line
         left join api_key k on k.tenant_id = $1 and 'key:' || k.key_id = created_by
         where parent_id is null",
    )
    .bind(tenant)
    .bind(execution)
    .fetch_optional(tx)
    .await?)
}

impl Starter {
    fn is(&self, reviewer: &str, via: &str) -> bool {
        self.created_by == via || self.name.as_ref().is_some_and(|name| is_same_person(name, reviewer))
    }
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
