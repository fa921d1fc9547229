//! Pauses and their decisions.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::claims::Claim;
use super::decisions::mark_decided;
use super::votes::{Ballot, Vote, Voted, cast, votes_of, votes_on};
use super::{Db, Page, Result, audit, page_of};
use crate::approval::{Plan, person};
use crate::audit::{Action, Actor, details};
use crate::decision::{Form, Unfit};
use crate::execution::pause_id;
use crate::journal::Millis;

/// An ask for a human decision, as its row has it, with the agent that asks.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Pause {
    pub execution_id: String,
    pub approval_request_id: String,
    pub agent: String,
    pub function: String,
    pub status: String,
    pub approval_request_url: Option<String>,
    pub title: Option<String>,
    /// JSON text, as is `response_schema`.
    pub payload: Option<String>,
    pub response_schema: Option<String>,
    pub choices: Vec<String>,
    pub opened_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub decision: Option<String>,
    pub feedback: Option<String>,
    /// JSON text.
    pub response: Option<String>,
    pub reviewer: Option<String>,
    /// Whether `reviewer` is only what the sender of a signed webhook said.
    pub claimed: bool,
    pub via: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
    pub editable: bool,
    pub feedback_required: Vec<String>,
    pub default_decision: Option<String>,
    /// JSON text of an `approval::Policy`.
    pub policy: Option<String>,
    pub stage: i32,
    pub asked: Vec<String>,
    /// JSON text of a list of `approval::Step`.
    pub timetable: Option<String>,
    pub steps_done: i32,
    /// Oldest first; only of a pause that has a policy.
    #[sqlx(skip)]
    pub votes: Vec<Vote>,
}

impl Pause {
    /// What a reviewer fills in.
    pub fn form(&self) -> Form {
        Form {
            choices: self.choices.clone(),
            feedback_required: self.feedback_required.clone(),
            response_schema: self.response_schema.clone(),
            editable: self.payload.clone().filter(|_| self.editable),
        }
    }
}

/// A pause to be opened. Its fields are within the bounds of the contract.
#[derive(Debug, Clone)]
pub struct NewPause {
    pub op: u64,
    pub approval_request_id: String,
    pub approval_request_url: Option<String>,
    pub title: Option<String>,
    pub payload: Option<String>,
    pub form: Form,
    pub default_decision: Option<String>,
    /// The response that goes with it, as JSON text.
    pub default_response: Option<String>,
    pub plan: Plan,
    /// Names of endpoints.
    pub notify: Vec<String>,
    /// Whether it takes a pause that is open already as it is, instead of giving it its own form.
    pub reconnects: bool,
    pub opened: Millis,
    pub expires: Option<Millis>,
}

/// The pauses that wait.
#[derive(Debug, sqlx::FromRow)]
pub struct Open {
    pub count: i64,
    pub oldest_seconds: f64,
}

/// Which pauses a list shows.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    pub status: Option<&'a str>,
    pub execution: Option<&'a str>,
    /// Only those at which this reviewer is asked, or whoever may decide.
    pub reviewer: Option<&'a str>,
    /// The last one of the page before: when it was opened, and its ids.
    pub after: Option<(DateTime<Utc>, &'a str, &'a str)>,
}

const COLUMNS: &str = "p.execution_id, p.approval_request_id, e.agent, e.function, p.status, p.approval_request_url, \
    p.title, p.payload, p.response_schema, p.choices, p.opened_at, p.expires_at, p.decision, p.feedback, p.response, \
    p.reviewer, p.claimed, p.via, p.decided_at, p.editable, p.feedback_required, p.default_decision, p.policy, p.stage, \
    p.asked, p.timetable, p.steps_done";

/// The columns that a new pause fills in, beside its key and its status.
pub(super) const NEW_COLUMNS: &str = "op, approval_request_url, title, payload, response_schema, choices, opened_at, \
    expires_at, editable, feedback_required, default_decision, default_response, policy, asked, asked_people, \
    notify, timetable, next_at";
const NEW_COLUMNS_COUNT: usize = 18;

/// Binds the values of `NEW_COLUMNS` for a pause, or nulls.
macro_rules! bind_new {
    ($query:expr, $pause:expr) => {{
        let pause: Option<&$crate::db::pauses::NewPause> = $pause;
        $query
            .bind(pause.map(|pause| pause.op as i64))
            .bind(pause.and_then(|pause| pause.approval_request_url.as_ref()))
            .bind(pause.and_then(|pause| pause.title.as_ref()))
            .bind(pause.and_then(|pause| pause.payload.as_ref()))
            .bind(pause.and_then(|pause| pause.form.response_schema.as_ref()))
            .bind(pause.map(|pause| &pause.form.choices))
            .bind(pause.map(|pause| $crate::db::executions::timestamp(pause.opened)))
            .bind(pause.and_then(|pause| pause.expires).map($crate::db::executions::timestamp))
            .bind(pause.map(|pause| pause.form.editable.is_some()))
            .bind(pause.map(|pause| &pause.form.feedback_required))
            .bind(pause.and_then(|pause| pause.default_decision.as_ref()))
            .bind(pause.and_then(|pause| pause.default_response.as_ref()))
            .bind(pause.and_then(|pause| pause.policy_text()))
            .bind(pause.map(|pause| pause.first_asked()))
            .bind(pause.map(|pause| $crate::db::asked::people(&pause.first_asked())))
            .bind(pause.map(|pause| &pause.notify))
            .bind(pause.and_then(|pause| pause.timetable_text()))
            .bind(pause.and_then(|pause| pause.next()).map($crate::db::executions::timestamp))
    }};
}
pub(super) use bind_new;

impl NewPause {
    pub(super) fn policy_text(&self) -> Option<String> {
        self.plan.policy.as_ref().map(|policy| serde_json::to_string(policy).expect("a policy has a JSON form"))
    }

    pub(super) fn timetable_text(&self) -> Option<String> {
        let steps = &self.plan.timetable;
        (!steps.is_empty()).then(|| serde_json::to_string(steps).expect("a timetable has a JSON form"))
    }

    /// Who is asked at its first stage.
    pub(super) fn first_asked(&self) -> Vec<String> {
        let stages = self.plan.policy.as_ref().map(|policy| &policy.stages);
        stages.and_then(|stages| stages.first()).map(|stage| stage.reviewers.clone()).unwrap_or_default()
    }

    /// When the host first has something to do with it.
    pub(super) fn next(&self) -> Option<Millis> {
        let step = self.plan.timetable.first().map(|step| self.opened.saturating_add(step.after_ms));
        step.into_iter().chain(self.expires).min()
    }
}

/// The parameters for `NEW_COLUMNS`, of which the first has this number.
pub(super) fn new_parameters(first: usize) -> String {
    let parameters: Vec<String> = (first..first + NEW_COLUMNS_COUNT).map(|number| format!("${number}")).collect();
    parameters.join(", ")
}

impl Db {
    /// How many pauses of all tenants wait for a decision, and how long the oldest has.
    pub async fn open_pauses(&self) -> Result<Open> {
        Ok(sqlx::query_as(
            "select count(*) as count, coalesce(extract(epoch from now() - min(opened_at)), 0)::float8 as oldest_seconds
             from pause where status = 'open' and tenant_id <> ''",
        )
        .fetch_one(&self.host)
        .await?)
    }

    pub async fn find_pause(&self, tenant: &str, execution: &str, approval_request_id: &str) -> Result<Option<Pause>> {
        let mut connection = self.of(tenant).await?;
        find(&mut connection, tenant, execution, approval_request_id).await
    }

    /// The executions that have an open pause of this `approval_request_id`, the longest waiting first; at most `limit`.
    pub async fn open_under(&self, tenant: &str, approval_request_id: &str, limit: i64) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "select execution_id from pause
             where tenant_id = $1 and approval_request_id = $2 and status = 'open' and tenant_id <> ''
             order by opened_at, execution_id limit $3",
        )
        .bind(tenant)
        .bind(approval_request_id)
        .bind(limit)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?)
    }

    /// The `approval_request_id`s of the open pauses of an execution, in the order of asking; at most `limit`.
    pub async fn open_of(&self, tenant: &str, execution: &str, limit: i64) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "select approval_request_id from pause
             where tenant_id = $1 and execution_id = $2 and status = 'open' order by op limit $3",
        )
        .bind(tenant)
        .bind(execution)
        .bind(limit)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?)
    }

    /// The pause of an execution that was closed last: decided, expired or withdrawn.
    pub async fn last_closed_pause(&self, tenant: &str, execution: &str) -> Result<Option<Pause>> {
        let text = format!(
            "select {COLUMNS} from pause p join execution e using (tenant_id, execution_id)
             where tenant_id = $1 and execution_id = $2 and p.status in ('decided', 'expired', 'cancelled')
             order by coalesce(p.decided_at, p.opened_at) desc, p.op desc limit 1"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(tenant)
            .bind(execution)
            .fetch_optional(&mut *self.of(tenant).await?)
            .await?)
    }

    /// Oldest first; without a status, of every status.
    pub async fn list_pauses(&self, tenant: &str, filter: &Filter<'_>, limit: i64) -> Result<Page<Pause>> {
        // Each with the conditions that its index needs: the list of open pauses must not read those of years.
        let (status, at) = match filter.status {
            Some("open") => ("p.status = 'open' and p.tenant_id <> '' and $2 = 'open'", "p.opened_at"),
            Some(_) => ("p.status = $2", "coalesce(p.opened_at, p.decided_at)"),
            None => ("$2::text is null", "coalesce(p.opened_at, p.decided_at)"),
        };
        let execution = if filter.execution.is_some() { "execution_id = $3" } else { "$3::text is null" };
        let after = match filter.after {
            Some(_) => format!("({at}, execution_id, p.approval_request_id) > ($4, $5, $6)"),
            None => "$4::timestamptz is null and $5::text is null and $6::text is null".into(),
        };
        let asked = "(p.asked = '{}' or $7 = any(p.asked_people)
                      or exists (select from review_group_member m
                                 where m.tenant_id = $1 and m.person = $7 and '@' || m.name = any(p.asked)))";
        let reviewer = if filter.reviewer.is_some() { asked } else { "$7::text is null" };
        let text = page_of(&format!(
            "select {COLUMNS}, octet_length(concat(p.approval_request_url, p.title)) + coalesce(octet_length(p.payload), 0)
                    + coalesce(octet_length(p.response_schema), 0) + coalesce(octet_length(p.response), 0)
                    + coalesce(octet_length(p.feedback), 0) as bytes
             from pause p join execution e using (tenant_id, execution_id)
             where tenant_id = $1 and {status} and {execution} and {after} and {reviewer}
             order by {at}, execution_id, p.approval_request_id limit $8 + 1"
        ));
        let mut connection = self.of(tenant).await?;
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(tenant)
            .bind(filter.status)
            .bind(filter.execution)
            .bind(filter.after.map(|(time, _, _)| time))
            .bind(filter.after.map(|(_, execution, _)| execution))
            .bind(filter.after.map(|(_, _, name)| name))
            .bind(filter.reviewer.map(person))
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
        let mut page = Page::cut_by_bytes(rows, limit, |last: &Pause| {
            let at = last.opened_at.or(last.decided_at).unwrap_or_default();
            format!("{}.{}.{}", at.timestamp_micros(), last.execution_id, last.approval_request_id)
        });
        add_votes(&mut connection, tenant, &mut page.items).await?;
        Ok(page)
    }
}

pub(super) async fn find(
    connection: &mut PgConnection,
    tenant: &str,
    execution: &str,
    approval_request_id: &str,
) -> Result<Option<Pause>> {
    let text = format!(
        "select {COLUMNS} from pause p join execution e using (tenant_id, execution_id)
         where tenant_id = $1 and execution_id = $2 and p.approval_request_id = $3"
    );
    let found: Option<Pause> = sqlx::query_as(sqlx::AssertSqlSafe(text))
        .bind(tenant)
        .bind(execution)
        .bind(approval_request_id)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(mut pause) = found else { return Ok(None) };
    if pause.policy.is_some() {
        let names = std::slice::from_ref(&pause.approval_request_id);
        pause.votes = votes_of(connection, tenant, execution, names).await?;
    }
    Ok(Some(pause))
}

/// Gives each pause of a list its votes, without what they say: a page of them would be hundreds of megabytes.
async fn add_votes(connection: &mut PgConnection, tenant: &str, pauses: &mut [Pause]) -> Result<()> {
    let with_policy = || pauses.iter().filter(|pause| pause.policy.is_some());
    let executions: Vec<String> = with_policy().map(|pause| pause.execution_id.clone()).collect();
    let names: Vec<String> = with_policy().map(|pause| pause.approval_request_id.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    for vote in votes_on(connection, tenant, &executions, &names, false).await? {
        let same = |pause: &&mut Pause| {
            pause.execution_id == vote.execution_id && pause.approval_request_id == vote.approval_request_id
        };
        if let Some(pause) = pauses.iter_mut().find(same) {
            pause.votes.push(vote);
        }
    }
    Ok(())
}

/// A decision that came before its pause.
#[derive(Debug, sqlx::FromRow)]
struct Early {
    decision: String,
    feedback: Option<String>,
    response: Option<String>,
    reviewer: Option<String>,
    claimed: bool,
    via: String,
    decided_at: DateTime<Utc>,
}

/// Opens pauses of an execution whose row lock the caller holds. Safe to repeat.
///
/// A decision that came early decides its pause now, or is the first vote on it, if it fits; if not, it is dropped. A
/// pause that was withdrawn and is asked for again is open again; if it is only waited for, as it was. One that a mere
/// wait has opened gets the form of the pause.
pub(super) async fn open_pauses(tx: &mut PgConnection, claim: &Claim, pauses: &[NewPause]) -> Result<()> {
    // A pause before a mere wait for it, so that an early decision is held against the form of the pause.
    let (waits, pauses): (Vec<_>, Vec<_>) = pauses.iter().partition(|pause| pause.reconnects);
    for pause in pauses.into_iter().chain(waits) {
        let early = early(tx, claim, &pause.approval_request_id).await?;
        open(tx, claim, pause).await?;
        if let Some(early) = early
            && !take_early(tx, claim, &pause.approval_request_id, &early).await?
        {
            forget_early(tx, claim, &pause.approval_request_id, &early).await?;
        }
    }
    Ok(())
}

async fn early(tx: &mut PgConnection, claim: &Claim, approval_request_id: &str) -> Result<Option<Early>> {
    Ok(sqlx::query_as(
        "select decision, feedback, response, reviewer, claimed, via, decided_at from pause
         where tenant_id = $1 and execution_id = $2 and approval_request_id = $3 and status = 'early'",
    )
    .bind(&claim.tenant)
    .bind(&claim.execution)
    .bind(approval_request_id)
    .fetch_optional(tx)
    .await?)
}

/// How a pause is opened, and how one that was there before it is.
static OPEN: LazyLock<String> = LazyLock::new(|| {
    let column = |name: &str| match name {
        "op" => "op = excluded.op".into(),
        // Who only waits for what was withdrawn waits for it as it was.
        name => format!("{name} = case when $4 and p.status = 'cancelled' then p.{name} else excluded.{name} end"),
    };
    let columns: Vec<String> = NEW_COLUMNS.split(", ").map(column).collect();
    format!(
        "insert into pause as p (tenant_id, execution_id, approval_request_id, status, {NEW_COLUMNS})
         values ($1, $2, $3, 'open', {})
         on conflict (tenant_id, execution_id, approval_request_id) do update
         set status = 'open', decision = null, feedback = null, response = null, reviewer = null, claimed = false,
             via = null, decided_at = null, {}
         where p.status in ('early', 'cancelled') or (p.status = 'open' and p.op <> excluded.op and not $4)",
        new_parameters(5),
        columns.join(", ")
    )
});

async fn open(tx: &mut PgConnection, claim: &Claim, pause: &NewPause) -> Result<()> {
    let query = sqlx::query(sqlx::AssertSqlSafe(OPEN.as_str()))
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(&pause.approval_request_id)
        .bind(pause.reconnects);
    bind_new!(query, Some(pause)).execute(tx).await?;
    Ok(())
}

/// Decides a pause that was just opened with what came before it, or casts it as a vote. False if it does not fit.
async fn take_early(tx: &mut PgConnection, claim: &Claim, approval_request_id: &str, early: &Early) -> Result<bool> {
    let Some(pause) = find(tx, &claim.tenant, &claim.execution, approval_request_id).await? else { return Ok(false) };
    let ballot = Ballot {
        decision: &early.decision,
        feedback: early.feedback.as_deref(),
        response: early.response.as_deref(),
        reviewer: early.reviewer.as_deref(),
        claimed: early.claimed,
        via: &early.via,
    };
    match cast(tx, &claim.tenant, &pause, &ballot).await? {
        Voted::Decides(response) => {
            let ballot = Ballot { response: response.as_deref(), ..ballot };
            mark_decided(tx, &claim.tenant, &pause, &ballot, Some(early.decided_at)).await
        }
        Voted::Recorded | Voted::GivenUp => Ok(true),
        Voted::Duplicate | Voted::Otherwise(_) | Voted::NotAsked(_) | Voted::Unfit(_) => Ok(false),
    }
}

/// Holds a decision against its form, and completes its response. Reading a schema and checking a response may take a
/// second, in which nobody else should have to wait.
pub(super) async fn check(
    form: &Form,
    decision: &str,
    feedback: Option<&str>,
    response: Option<&str>,
) -> Result<Option<String>, Unfit> {
    if form.response_schema.is_none() {
        return form.check(decision, feedback, response);
    }
    let (form, decision) = (form.clone(), decision.to_owned());
    let (feedback, response) = (feedback.map(ToOwned::to_owned), response.map(ToOwned::to_owned));
    let checked = tokio::task::spawn_blocking(move || form.check(&decision, feedback.as_deref(), response.as_deref()));
    checked.await.unwrap_or_else(|_| Err(Unfit::BadResponse("it could not be checked".into())))
}

/// Forgets the delivery of an early decision that was dropped, so that its sender, who sends it again, is told why.
async fn forget_early(tx: &mut PgConnection, claim: &Claim, approval_request_id: &str, early: &Early) -> Result<()> {
    sqlx::query("delete from webhook_delivery where tenant_id = $1 and execution_id = $2 and approval_request_id = $3")
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(approval_request_id)
        .execute(&mut *tx)
        .await?;
    let (actor, subject) = (Actor::execution(&claim.execution), pause_id(&claim.execution, approval_request_id));
    let details = details([("decision", early.decision.as_str().into())]);
    audit::write(tx, &claim.tenant, &actor, Action::PauseDecisionDropped, &subject, &details).await
}

/// Closes pauses that the guest has given up, unless they are decided.
pub(super) async fn withdraw_pauses(tx: &mut PgConnection, claim: &Claim, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update pause set status = 'cancelled'
         where tenant_id = $1 and execution_id = $2 and approval_request_id = any($3) and status = 'open'",
    )
    .bind(&claim.tenant)
    .bind(&claim.execution)
    .bind(names)
    .execute(tx)
    .await?;
    Ok(())
}
