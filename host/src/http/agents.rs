//! Agents: upload, look, activate.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::executions::FULL_RETRY_AFTER;
use super::extract::{Json, Paging, Path, Query, bad_cursor, cursor_number, limit};
use super::uploads::Place;
use crate::db::Page;
use crate::db::agents::{self, Deployed, Deployment, Digest};
use crate::db::compiling::UploadTerms;
use crate::execution::{Blame, hex, is_name};
use crate::guest::{Compilation, Invalid, Manifest, Uncompiled};
use crate::limits::Quotas;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(upload, show))
        .routes(routes!(versions))
        .routes(routes!(activate))
}

/// One deployed component of an agent.
#[derive(Serialize, utoipa::ToSchema)]
struct Version {
    agent: String,
    version: i32,
    /// Whether new executions start on it.
    active: bool,
    /// `sha256:` and 64 hexadecimal digits.
    digest: String,
    size_bytes: i32,
    manifest: Manifest,
    created_at: DateTime<Utc>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Versions {
    items: Vec<Version>,
    next: Option<String>,
}

impl TryFrom<agents::Version> for Version {
    type Error = Error;

    fn try_from(row: agents::Version) -> Result<Self> {
        let manifest = serde_json::from_str(&row.manifest).map_err(|error| {
            tracing::error!(%error, "a manifest in the database cannot be read");
            Error::Internal
        })?;
        Ok(Self {
            agent: row.agent,
            version: row.version,
            active: row.active,
            digest: format!("sha256:{}", hex(&row.digest)),
            size_bytes: row.size_bytes,
            manifest,
            created_at: row.created_at,
        })
    }
}

fn page(page: Page<agents::Version>) -> Result<Json<Versions>> {
    let items = page.items.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
    Ok(Json(Versions { items, next: page.next }))
}

/// The bytes of a component.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only described")]
struct Wasm(Vec<u8>);

/// Uploads a component: validates, compiles, describes and deploys it as the agent's next version.
#[utoipa::path(put, path = "/v1/agents/{agent}", params(("agent" = String, Path)),
    request_body(content = inline(Wasm), content_type = "application/wasm"),
    responses((status = 200, body = Version, description = "The same bytes as the active version"),
              (status = 201, body = Version), (status = "4XX", body = ErrorBody)))]
async fn upload(
    State(app): State<App>,
    caller: Caller,
    Path(agent): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Version>)> {
    if !is_name(&agent) {
        return Err(Error::invalid("an agent's name is 1 to 64 of a-z 0-9 _ -, starting with a letter"));
    }
    let place = app.uploads.place(&caller.tenant)?;
    let terms = app.db.upload_terms(&caller.tenant).await?.ok_or(Error::Unauthenticated)?;
    let bytes_max = usize::try_from(terms.settings.quotas.component_bytes).unwrap_or(usize::MAX);
    let received = place.receive(request, bytes_max).await?;
    let digest = received.digest;
    let wasm = place.check(received, &terms.settings.limits).await?.map_err(invalid)?;
    let granted = app.db.granted_manifest(&caller.tenant, &digest).await?;
    let at_hand = granted.is_some() && app.cache.find(&digest).await.is_some();
    let was_granted = granted.is_some();
    if !was_granted {
        room_to_store(&app, &caller, wasm.len(), &terms.settings.quotas).await?;
    }
    let manifest = match granted {
        Some(manifest) if at_hand => manifest,
        _ => {
            let new = New { tenant: caller.tenant.clone(), digest, wasm: wasm.clone(), place };
            // On a task of its own: a client that goes away is charged all the same.
            let made = tokio::spawn(make(app.clone(), new, terms)).await;
            made.unwrap_or_else(|error| {
                tracing::error!(%error, "an upload failed");
                Err(Error::Internal)
            })?
        }
    };
    let deployment = Deployment {
        tenant: &caller.tenant,
        agent: &agent,
        digest,
        wasm: if was_granted { None } else { Some(&wasm) },
        manifest: &manifest,
        actor: caller.actor(),
    };
    Ok(match app.db.deploy(&deployment).await? {
        Deployed::Created(version) => (StatusCode::CREATED, Json(version.try_into()?)),
        Deployed::Unchanged(version) => (StatusCode::OK, Json(version.try_into()?)),
    })
}

/// A component that has been checked, and is to be compiled.
struct New {
    tenant: String,
    digest: Digest,
    wasm: Arc<[u8]>,
    /// Held until it is compiled.
    place: Place,
}

/// Compiles a component as if nobody had ever uploaded it, if there are other tenants who might have, has it describe itself, and charges the tenant for both.
/// Returns its manifest.
async fn make(app: App, new: New, terms: UploadTerms) -> Result<String> {
    if let Some(retry_after) = terms.wait() {
        let quota = terms.settings.quotas.compile_seconds_per_hour;
        let message = format!(
            "the quota `compile_seconds_per_hour` of {quota} s of CPU time is used up; try again in {} s",
            retry_after.as_secs()
        );
        return Err(Error::TooManyRequests { code: "quota_exceeded", message, retry_after });
    }
    // Where there is nobody else, there is nobody else's upload to be kept secret.
    let is_alone = app.db.is_only_tenant(&new.tenant).await?;
    let known = if is_alone { app.cache.find(&new.digest).await } else { None };
    let compiled = match known {
        Some(component) => Compilation { made: Ok(component), cpu: Duration::ZERO },
        None => app.cache.compile_anew(&new.tenant, &new.digest, new.wasm).await,
    };
    let (described, cpu) = match &compiled.made {
        Ok(component) => component.describe_metered().await,
        Err(_) => (Err(Invalid::NotDescribed("it is not compiled".into())), Duration::ZERO),
    };
    app.db.charge_compiling(&new.tenant, compiled.cpu + cpu).await?;
    drop(new.place);
    compiled.made.map_err(|why| match why {
        Uncompiled::Invalid(why) => invalid(why),
        Uncompiled::Busy(retry_after) => {
            Error::TooManyRequests { code: "rate_limited", message: why.to_string(), retry_after }
        }
        Uncompiled::Host(error) => {
            tracing::error!(%error, "a compiler could not be started");
            Error::NoCompiler
        }
    })?;
    serde_json::to_string(&described.map_err(invalid)?).map_err(|_| Error::Internal)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn invalid(why: Invalid) -> Error {
    Error::Unprocessable(why.code(), why.to_string(), Blame::Guest)
}

/// Fails with 429 if so many bytes would be more than the tenant may keep.
async fn room_to_store(app: &App, caller: &Caller, bytes: usize, quotas: &Quotas) -> Result<()> {
    let room = app.db.room_to_store(&caller.tenant, bytes, quotas).await?;
    room.map_err(|full| Error::full(&full, FULL_RETRY_AFTER))
}

/// The active version of every agent, by name.
#[utoipa::path(get, path = "/v1/agents", params(Paging),
    responses((status = 200, body = Versions), (status = "4XX", body = ErrorBody)))]
async fn list(State(app): State<App>, caller: Caller, Query(paging): Query<Paging>) -> Result<Json<Versions>> {
    let after = paging.after.as_deref();
    if after.is_some_and(|after| !is_name(after)) {
        return Err(bad_cursor());
    }
    page(app.db.list_agents(&caller.tenant, after, limit(paging.limit)?).await?)
}

/// The active version of an agent.
#[utoipa::path(get, path = "/v1/agents/{agent}", params(("agent" = String, Path)),
    responses((status = 200, body = Version), (status = "4XX", body = ErrorBody)))]
async fn show(State(app): State<App>, caller: Caller, Path(agent): Path<String>) -> Result<Json<Version>> {
    find(&app, &caller, &agent, None).await
}

/// All versions of an agent, newest first.
#[utoipa::path(get, path = "/v1/agents/{agent}/versions", params(("agent" = String, Path), Paging),
    responses((status = 200, body = Versions), (status = "4XX", body = ErrorBody)))]
async fn versions(
    State(app): State<App>,
    caller: Caller,
    Path(agent): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Versions>> {
    let _ = find(&app, &caller, &agent, None).await?;
    let before = paging.after.as_deref().map(cursor_number).transpose()?;
    page(app.db.list_versions(&caller.tenant, &agent, before, limit(paging.limit)?).await?)
}

/// Lets new executions start on this version. Those that have started stay on theirs.
#[utoipa::path(post, path = "/v1/agents/{agent}/versions/{version}/activate",
    params(("agent" = String, Path), ("version" = i32, Path)),
    responses((status = 200, body = Version), (status = "4XX", body = ErrorBody)))]
async fn activate(
    State(app): State<App>,
    caller: Caller,
    Path((agent, version)): Path<(String, String)>,
) -> Result<Json<Version>> {
    let number: i32 = version.parse().unwrap_or(0);
    if !is_name(&agent) || !app.db.activate(&caller.tenant, &agent, number, &caller.actor()).await? {
        let _ = find(&app, &caller, &agent, None).await?;
        let why = format!("agent {agent:?} has no version {version:?}");
        return Err(Error::NotFound("version_not_found", why));
    }
    find(&app, &caller, &agent, Some(number)).await
}

async fn find(app: &App, caller: &Caller, agent: &str, version: Option<i32>) -> Result<Json<Version>> {
    if !is_name(agent) {
        return Err(Error::no_agent(agent));
    }
    let row = app.db.find_version(&caller.tenant, agent, version).await?;
    Ok(Json(row.ok_or_else(|| Error::no_agent(agent))?.try_into()?))
}
