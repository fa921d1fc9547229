//! Endpoints: whom a tenant tells of its pauses and executions.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::deliveries::{Delivery, find};
use super::error::{Error, ErrorBody, Result};
use super::extract::{Body, Json, Path};
use crate::approval::{NAME_BYTES_MAX, is_group};
use crate::db::endpoints::{self, Added, Change, NewEndpoint, Sealed};
use crate::execution::Blame;
use crate::master_key::Purpose;
use crate::notification::{ATTEMPTS_MAX, ENDPOINTS_MAX, EVENTS, REDELIVERED_MAX, is_email};
use crate::random;
use crate::signature::Secret;

/// How long is still signed with a secret that was replaced.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(add, list))
        .routes(routes!(show, change, remove))
        .routes(routes!(test))
        .routes(routes!(rotate))
        .routes(routes!(redeliver))
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum EndpointKind {
    /// A signed POST of the notification's JSON.
    Webhook,
    /// A message to an incoming webhook of Slack's, or of whatever takes the same.
    Slack,
    /// Mail.
    Email,
}

impl EndpointKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Email => "email",
        }
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = NewEndpoint)]
#[serde(deny_unknown_fields)]
struct NewBody {
    /// 1 to 64 of `a-z 0-9 _ -`, a letter or digit first. Agents name it so.
    name: String,
    kind: EndpointKind,
    /// `https://…`, or a mail address.
    address: String,
    /// Types of events; of all if absent or null, only of pauses that name it if empty.
    events: Option<Vec<String>>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Endpoint {
    name: String,
    kind: String,
    /// Of kind `slack` without its path, which is a secret. None if the host that answers cannot decrypt it.
    address: Option<String>,
    /// Null: all.
    events: Option<Vec<String>>,
    disabled_at: Option<DateTime<Utc>>,
    disabled_reason: Option<String>,
    /// How many secrets each notification is signed with: two for a day after a rotation.
    secrets: i64,
    created_at: DateTime<Utc>,
    /// What notifications are signed with; only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Endpoints {
    items: Vec<Endpoint>,
    next: Option<String>,
}

impl Endpoint {
    fn new(app: &App, tenant: &str, row: endpoints::Endpoint) -> Self {
        let address = app.master_keys.unseal(Purpose::EndpointAddress, tenant, &row.address_id, &row.address);
        let address = address.ok().and_then(|address| String::from_utf8(address.to_vec()).ok());
        Self {
            address: address.map(|address| if row.kind == "slack" { origin(&address) } else { address }),
            name: row.name,
            kind: row.kind,
            events: row.events,
            disabled_at: row.disabled_at,
            disabled_reason: row.disabled_reason,
            secrets: row.secrets,
            created_at: row.created_at,
            secret: None,
        }
    }
}

/// Adds an endpoint. The secret of a webhook is shown once, here.
#[utoipa::path(post, path = "/v1/endpoints", request_body = NewBody,
    responses((status = 201, body = Endpoint), (status = "4XX", body = ErrorBody)))]
async fn add(State(app): State<App>, caller: Caller, Body(new): Body<NewBody>) -> Result<(StatusCode, Json<Endpoint>)> {
    if !is_group(&new.name) {
        let why = format!("`name` is 1 to {NAME_BYTES_MAX} of a-z 0-9 _ -, a letter or digit first");
        return Err(Error::invalid(why));
    }
    check_events(new.events.as_deref())?;
    check_address(&app, new.kind, &new.address).await?;
    let tenant = &caller.tenant;
    let address_id = fresh_id();
    let address =
        app.master_keys.seal(Purpose::EndpointAddress, tenant, &address_id, new.address.as_bytes(), random::nonce());
    let signing = (new.kind == EndpointKind::Webhook).then(|| fresh_secret(&app, tenant));
    let row = NewEndpoint {
        tenant,
        name: &new.name,
        kind: new.kind.as_str(),
        events: new.events.as_deref(),
        address: Sealed { id: &address_id, encrypted: &address },
        signing: signing.as_ref().map(|(_, id, encrypted)| Sealed { id, encrypted }),
        actor: caller.actor(),
    };
    match app.db.add_endpoint(&row, ENDPOINTS_MAX).await? {
        Added::Added => {}
        Added::Exists => {
            let why = format!("there is an endpoint {:?} already; remove it, or choose another name", new.name);
            return Err(Error::Conflict("endpoint_exists", why, None));
        }
        Added::TooMany => {
            return Err(Error::invalid(format!("a tenant has at most {ENDPOINTS_MAX} endpoints; remove one")));
        }
    }
    let Json(mut made) = shown(&app, tenant, &new.name).await?;
    made.secret = signing.map(|(secret, _, _)| secret.expose());
    Ok((StatusCode::CREATED, Json(made)))
}

/// The endpoints, by name, without their secrets.
#[utoipa::path(get, path = "/v1/endpoints",
    responses((status = 200, body = Endpoints), (status = "4XX", body = ErrorBody)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Endpoints>> {
    let rows = app.db.endpoints(&caller.tenant, None).await?;
    let items = rows.into_iter().map(|row| Endpoint::new(&app, &caller.tenant, row)).collect();
    Ok(Json(Endpoints { items, next: None }))
}

/// An endpoint.
#[utoipa::path(get, path = "/v1/endpoints/{name}", params(("name" = String, Path)),
    responses((status = 200, body = Endpoint), (status = "4XX", body = ErrorBody)))]
async fn show(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Json<Endpoint>> {
    shown(&app, &caller.tenant, &name).await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = EndpointChange)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    disabled: Option<bool>,
    /// Null: all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    events: Option<Option<Vec<String>>>,
}

/// Tells null from absent.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<Vec<String>>>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// Switches an endpoint off or on, or has it told of other events. What is under way to it is given up when it is
/// switched off.
#[utoipa::path(patch, path = "/v1/endpoints/{name}", params(("name" = String, Path)), request_body = ChangeBody,
    responses((status = 200, body = Endpoint), (status = "4XX", body = ErrorBody)))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<ChangeBody>,
) -> Result<Json<Endpoint>> {
    check_events(new.events.as_ref().and_then(Option::as_deref))?;
    let by = format!("by {}", caller.actor().who);
    let switch = new.disabled.map(|disabled| if disabled { Err(by.as_str()) } else { Ok(()) });
    let change = Change { switch, events: new.events.as_ref().map(Option::as_deref) };
    let name = known(&name)?;
    if !app.db.change_endpoint(&caller.tenant, name, &change, &caller.actor()).await? {
        return Err(no_endpoint());
    }
    shown(&app, &caller.tenant, name).await
}

/// Removes an endpoint. What is under way to it is given up; what was delivered stays in the log for its time.
#[utoipa::path(delete, path = "/v1/endpoints/{name}", params(("name" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn remove(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<StatusCode> {
    if app.db.remove_endpoint(&caller.tenant, known(&name)?, &caller.actor()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_endpoint())
    }
}

/// Sends `endpoint.test`, the usual way; the answer is the delivery, to be looked at.
#[utoipa::path(post, path = "/v1/endpoints/{name}/test", params(("name" = String, Path)),
    responses((status = 202, body = Delivery), (status = "4XX", body = ErrorBody)))]
async fn test(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Delivery>)> {
    let Some(id) = app.db.test_endpoint(&caller.tenant, known(&name)?).await? else {
        return Err(off_or_gone(&app, &caller.tenant, &name).await?);
    };
    Ok((StatusCode::ACCEPTED, Json(find(&app, &caller.tenant, &id).await?)))
}

/// Makes another secret, shown once, here. For a day notifications are signed with the one before, too.
#[utoipa::path(post, path = "/v1/endpoints/{name}/secret", params(("name" = String, Path)),
    responses((status = 201, body = Endpoint), (status = "4XX", body = ErrorBody)))]
async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Endpoint>)> {
    let name = known(&name)?;
    let (secret, id, encrypted) = fresh_secret(&app, &caller.tenant);
    let new = Sealed { id: &id, encrypted: &encrypted };
    if !app.db.rotate_endpoint_secret(&caller.tenant, name, new, OVERLAP, &caller.actor()).await? {
        // 404 if there is none.
        let _ = shown(&app, &caller.tenant, name).await?;
        let why = "only what is sent to a webhook is signed; this endpoint is of another kind";
        return Err(Error::Conflict("endpoint_not_signed", why.into(), None));
    }
    let Json(mut shown) = shown(&app, &caller.tenant, name).await?;
    shown.secret = Some(secret.expose());
    Ok((StatusCode::CREATED, Json(shown)))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Since {
    since: DateTime<Utc>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Redelivered)]
struct Count {
    /// At most 10,000; if it is as many, ask again.
    redelivered: u64,
}

/// Makes all deliveries of an endpoint again that have failed since a time.
#[utoipa::path(post, path = "/v1/endpoints/{name}/redeliver", params(("name" = String, Path)), request_body = Since,
    responses((status = 202, body = Count), (status = "4XX", body = ErrorBody)))]
async fn redeliver(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(Since { since }): Body<Since>,
) -> Result<(StatusCode, Json<Count>)> {
    // Postgres could not hold all times that can be written.
    let since = since.max(DateTime::UNIX_EPOCH).min(Utc::now());
    let done = app.db.redeliver_failed(&caller.tenant, known(&name)?, since, ATTEMPTS_MAX, REDELIVERED_MAX).await?;
    match done {
        Some(redelivered) => Ok((StatusCode::ACCEPTED, Json(Count { redelivered }))),
        None => Err(off_or_gone(&app, &caller.tenant, &name).await?),
    }
}

async fn shown(app: &App, tenant: &str, name: &str) -> Result<Json<Endpoint>> {
    let row = app.db.endpoints(tenant, Some(known(name)?)).await?.into_iter().next().ok_or_else(no_endpoint)?;
    Ok(Json(Endpoint::new(app, tenant, row)))
}

/// A name that an endpoint can have.
fn known(name: &str) -> Result<&str> {
    if is_group(name) { Ok(name) } else { Err(no_endpoint()) }
}

fn no_endpoint() -> Error {
    Error::NotFound("endpoint_not_found", "there is no endpoint of this name; GET /v1/endpoints lists yours".into())
}

async fn off_or_gone(app: &App, tenant: &str, name: &str) -> Result<Error> {
    Ok(match app.db.endpoints(tenant, Some(name)).await?.first() {
        Some(_) => Error::endpoint_disabled(),
        None => no_endpoint(),
    })
}

fn check_events(events: Option<&[String]>) -> Result<()> {
    let events = events.unwrap_or_default();
    if events.len() > EVENTS.len() {
        return Err(Error::invalid(format!("`events`: at most {}, each type once; null is all", EVENTS.len())));
    }
    for (place, event) in events.iter().enumerate() {
        if !EVENTS.contains(&event.as_str()) {
            return Err(Error::invalid(format!("`events`: {event:?} is none of {}", EVENTS.join(", "))));
        }
        if events[..place].contains(event) {
            return Err(Error::invalid(format!("`events`: {event:?} is there twice; name each type once")));
        }
    }
    Ok(())
}

async fn check_address(app: &App, kind: EndpointKind, address: &str) -> Result<()> {
    let refused = |why: String| Error::Unprocessable("endpoint_refused", format!("the address: {why}"), Blame::Client);
    if kind != EndpointKind::Email {
        return app.notifier.dialer.check(address).await.map_err(|why| refused(why.to_string()));
    }
    if !is_email(address) {
        return Err(refused("it is not one mail address without a name: ada@example.com".into()));
    }
    if !app.notifier.sends_mail {
        return Err(refused("this host sends no mail; its operator sets COUNTERSIGN_SMTP_URL for that".into()));
    }
    Ok(())
}

/// A secret, its id, and how it is kept.
fn fresh_secret(app: &App, tenant: &str) -> (Secret, String, Vec<u8>) {
    let (secret, id) = (Secret::from_bytes(random::bytes32()), fresh_id());
    let encrypted = app.master_keys.seal(Purpose::EndpointSecret, tenant, &id, secret.key(), random::nonce());
    (secret, id, encrypted)
}

fn fresh_id() -> String {
    format!("eps_{}", uuid::Uuid::now_v7().simple())
}

/// Scheme and host of an address.
fn origin(address: &str) -> String {
    let url = url::Url::parse(address).map(|url| url.origin().ascii_serialization());
    url.map_or_else(|_| "…".into(), |origin| format!("{origin}/…"))
}
