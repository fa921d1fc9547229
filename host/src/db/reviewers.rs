//! Reviewers who get mail, and groups of reviewers.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::asked::people;
use super::{Db, Page, Result, audit};
use crate::approval::person;
use crate::audit::{Action, Actor, details};

/// How much of the names that came or went one entry of the audit log holds, in bytes.
const NAMED_BYTES_MAX: usize = 1_900;

#[derive(Debug, sqlx::FromRow)]
pub struct Reviewer {
    pub reviewer: String,
    pub email: Option<String>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Group {
    pub name: String,
    pub members: Vec<String>,
    pub created_at: DateTime<Utc>,
}

impl Db {
    /// Keeps a reviewer's address. Neither capitals in the name nor another spelling of it make another reviewer.
    pub async fn put_reviewer(&self, tenant: &str, reviewer: &str, email: &str, actor: &Actor<'_>) -> Result<Reviewer> {
        let mut tx = self.begin(tenant).await?;
        let kept: Reviewer = sqlx::query_as(
            "insert into reviewer (tenant_id, reviewer, email, person) values ($1, $2, $3, $4)
             on conflict (tenant_id, person) do update set reviewer = excluded.reviewer, email = excluded.email
             returning reviewer, email, created_at",
        )
        .bind(tenant)
        .bind(reviewer)
        .bind(email)
        .bind(person(reviewer))
        .fetch_one(&mut *tx)
        .await?;
        audit::write(&mut tx, tenant, actor, Action::ReviewerChanged, &kept.reviewer, &details([])).await?;
        tx.commit().await?;
        Ok(kept)
    }

    pub async fn find_reviewer(&self, tenant: &str, reviewer: &str) -> Result<Option<Reviewer>> {
        Ok(sqlx::query_as("select reviewer, email, created_at from reviewer where tenant_id = $1 and person = $2")
            .bind(tenant)
            .bind(person(reviewer))
            .fetch_optional(&mut *self.of(tenant).await?)
            .await?)
    }

    /// By name.
    pub async fn list_reviewers(&self, tenant: &str, after: Option<&str>, limit: i64) -> Result<Page<Reviewer>> {
        let items = sqlx::query_as(
            "select reviewer, email, created_at from reviewer
             where tenant_id = $1 and ($2::text is null or person > $2)
             order by person limit $3 + 1",
        )
        .bind(tenant)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?;
        Ok(Page::cut(items, limit, |last: &Reviewer| person(&last.reviewer)))
    }

    /// False if there is none of this name.
    pub async fn remove_reviewer(&self, tenant: &str, reviewer: &str, actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.begin(tenant).await?;
        let done = sqlx::query("delete from reviewer where tenant_id = $1 and person = $2")
            .bind(tenant)
            .bind(person(reviewer))
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        audit::write(&mut tx, tenant, actor, Action::ReviewerRemoved, reviewer, &details([])).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Makes a group of just these members. Pauses that ask it ask these from now on.
    pub async fn put_group(&self, tenant: &str, name: &str, members: &[String], actor: &Actor<'_>) -> Result<()> {
        let mut tx = self.begin(tenant).await?;
        // Locks the group, so that of two at once the members of the last one stand.
        sqlx::query(
            "insert into review_group (tenant_id, name) values ($1, $2)
             on conflict (tenant_id, name) do update set name = excluded.name",
        )
        .bind(tenant)
        .bind(name)
        .execute(&mut *tx)
        .await?;
        let removed: Vec<String> = sqlx::query_scalar(
            "delete from review_group_member where tenant_id = $1 and name = $2 and reviewer <> all($3)
             returning reviewer",
        )
        .bind(tenant)
        .bind(name)
        .bind(members)
        .fetch_all(&mut *tx)
        .await?;
        let added: Vec<String> = sqlx::query_scalar(
            "insert into review_group_member (tenant_id, name, reviewer, person)
             select $1, $2, member, person from unnest($3::text[], $4::text[]) as member (member, person)
             on conflict do nothing returning reviewer",
        )
        .bind(tenant)
        .bind(name)
        .bind(members)
        .bind(people(members))
        .fetch_all(&mut *tx)
        .await?;
        let details = group_details(members.len(), &added, &removed);
        audit::write(&mut tx, tenant, actor, Action::GroupChanged, name, &details).await?;
        tx.commit().await
    }

    /// One group, or a page of all, by name.
    pub async fn list_groups(
        &self,
        tenant: &str,
        name: Option<&str>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Page<Group>> {
        let items = sqlx::query_as(
            "select g.name, g.created_at,
                    array(select m.reviewer from review_group_member m
                          where m.tenant_id = $1 and m.name = g.name order by m.reviewer) as members
             from review_group g
             where g.tenant_id = $1 and ($2::text is null or g.name = $2) and ($3::text is null or g.name > $3)
             order by g.name limit $4 + 1",
        )
        .bind(tenant)
        .bind(name)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?;
        Ok(Page::cut(items, limit, |last: &Group| last.name.clone()))
    }

    /// False if there is none of this name. A pause that asks it asks nobody by it any more.
    pub async fn remove_group(&self, tenant: &str, name: &str, actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.begin(tenant).await?;
        let done = sqlx::query("delete from review_group where tenant_id = $1 and name = $2")
            .bind(tenant)
            .bind(name)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        audit::write(&mut tx, tenant, actor, Action::GroupRemoved, name, &details([])).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// What the audit log says of a group: how many are in it now, and as many names of those who came and went as it holds.
fn group_details(members: usize, added: &[String], removed: &[String]) -> String {
    let few = |names: &[String]| {
        let mut bytes = 0;
        let fit = names.iter().take_while(|name| {
            // A name's JSON is at most six times as long as itself; none has control characters.
            bytes += name.len() * 2 + 3;
            bytes <= NAMED_BYTES_MAX
        });
        json!(fit.collect::<Vec<_>>())
    };
    details([("members", members.into()), ("added", few(added)), ("removed", few(removed))])
}
