//! Who may decide a pause: whom it asks, and who started what must not be approved by its starter.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::claims::Claim;
use super::pauses::{NewPause, Pause};
use super::{Db, Result};
use crate::approval::{Policy, Step, is_same_person, person};

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

impl Db {
    /// Whether this reviewer may decide an open pause at this moment, by a link.
    pub async fn asks(&self, tenant: &str, pause: &Pause, reviewer: &str) -> Result<bool> {
        let Some(policy) = pause.policy()? else { return Ok(true) };
        let mut connection = self.of(tenant).await?;
        let electorate = Electorate::of(&mut connection, tenant, &pause.execution_id, &policy, &pause.asked).await?;
        Ok(electorate.admit(reviewer, "").is_ok())
    }

    /// Why a pause cannot be opened that names groups or endpoints, or asks for more people than there are; none if it
    /// can, or was.
    pub async fn cannot_be_asked(&self, claim: &Claim, pause: &NewPause) -> Result<Option<String>> {
        if let Some(missing) = self.missing_endpoints(claim, pause).await? {
            return Ok(Some(missing));
        }
        let groups: Vec<&str> = pause.plan.groups().into_iter().collect();
        if let Some(missing) = self.missing_groups(claim, pause, &groups).await? {
            return Ok(Some(missing));
        }
        let Some(policy) = &pause.plan.policy else { return Ok(None) };
        let mut connection = self.of(&claim.tenant).await?;
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
        let mut connection = self.of(&claim.tenant).await?;
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

/// The reviewers of a stage, and those whom escalations have added.
pub(super) fn with_escalated(reviewers: &[String], steps: &[Step], steps_done: i32) -> Vec<String> {
    // Whoever may decide needs not be added to.
    if reviewers.is_empty() {
        return vec![];
    }
    let done = steps.iter().take(steps_done.unsigned_abs() as usize).filter_map(|step| step.escalation.as_ref());
    let mut names = reviewers.to_vec();
    for name in done.flat_map(|escalation| &escalation.reviewers) {
        if !names.iter().any(|known| is_same_person(known, name)) {
            names.push(name.clone());
        }
    }
    names
}

/// These names without their capitals, as the column `asked_people` has them.
pub(super) fn people(names: &[String]) -> Vec<String> {
    names.iter().map(|name| person(name)).collect()
}

/// Who may decide a pause at this moment.
pub(super) struct Electorate {
    /// By name; none: whoever may decide for the tenant.
    asked: Option<BTreeSet<String>>,
    /// Who may not.
    starter: Option<Starter>,
}

impl Electorate {
    /// The people whom `names` ask, groups replaced by their members as they are now.
    pub(super) async fn of(
        tx: &mut PgConnection,
        tenant: &str,
        execution: &str,
        policy: &Policy,
        names: &[String],
    ) -> Result<Self> {
        let starter = if policy.forbid_self_approval { starter(tx, tenant, execution).await? } else { None };
        Ok(Self { asked: asked(tx, tenant, names).await?, starter })
    }

    pub(super) fn admit(&self, reviewer: &str, via: &str) -> Result<(), NotAsked> {
        if self.starter.as_ref().is_some_and(|starter| starter.is(reviewer, via)) {
            return Err(NotAsked::Starter);
        }
        let is_asked = |asked: &BTreeSet<String>| asked.iter().any(|name| is_same_person(name, reviewer));
        if self.asked.as_ref().is_none_or(is_asked) { Ok(()) } else { Err(NotAsked::Others) }
    }

    /// By name, without these, and without the starter; none: whoever may decide for the tenant.
    pub(super) fn without<'a>(self, voters: impl Iterator<Item = &'a str>) -> Option<BTreeSet<String>> {
        let voters: Vec<&str> = voters.collect();
        let starter = self.starter.and_then(|starter| starter.name);
        let stays = |name: &String| {
            let is_starter = starter.as_ref().is_some_and(|starter| is_same_person(starter, name));
            !is_starter && !voters.iter().any(|voter| is_same_person(voter, name))
        };
        self.asked.map(|asked| asked.into_iter().filter(stays).collect())
    }
}

/// The people whom these names ask, groups replaced by their members as they are now; none: whoever may decide.
async fn asked(tx: &mut PgConnection, tenant: &str, names: &[String]) -> Result<Option<BTreeSet<String>>> {
    if names.is_empty() {
        return Ok(None);
    }
    let (groups, named): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| name.starts_with('@'));
    let groups: Vec<&str> = groups.iter().map(|group| &group[1..]).collect();
    let members: Vec<String> = if groups.is_empty() {
        vec![]
    } else {
        sqlx::query_scalar("select reviewer from review_group_member where tenant_id = $1 and name = any($2)")
            .bind(tenant)
            .bind(groups)
            .fetch_all(tx)
            .await?
    };
    // Who is named in two ways is one person.
    let mut asked: BTreeMap<String, String> = BTreeMap::new();
    for name in named.into_iter().chain(&members) {
        asked.entry(person(name)).or_insert_with(|| name.clone());
    }
    let asked = asked.into_values().collect();
    Ok(Some(asked))
}

/// Whether a policy asks for more people than there are; if so, how many, and how many there are.
async fn is_short(
    tx: &mut PgConnection,
    tenant: &str,
    execution: &str,
    policy: &Policy,
) -> Result<Option<(u32, usize)>> {
    // Each decides once, so the stages up to each need as many different people as they require together.
    let (mut required, mut able) = (0, BTreeSet::new());
    for stage in &policy.stages {
        let electorate = Electorate::of(tx, tenant, execution, policy, &stage.reviewers).await?;
        let Some(people) = electorate.without(std::iter::empty()) else { continue };
        if people.len() < stage.required as usize {
            return Ok(Some((stage.required, people.len())));
        }
        required += stage.required;
        able.extend(people.iter().map(|name| person(name)));
        if able.len() < required as usize {
            return Ok(Some((required, able.len())));
        }
    }
    Ok(None)
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
