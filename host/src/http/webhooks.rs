//! Decisions that prove by a signature that they come from the tenant.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::{failures_of, peer};
use super::error::{Error, ErrorBody, Result};
use super::extract::{self, Json, Path};
use super::pauses::{Checked, Outcome, check, outcome};
use crate::approval::{REVIEWER_BYTES_MAX, is_reviewer};
use crate::audit::{Actor, Who};
use crate::db::decisions::{Delivery, NewDecision};
use crate::db::secrets::Signing;
use crate::execution::{is_approval_request_id, is_execution_id, is_tenant, pause_id, split_pause_id};
use crate::master_key::Unreadable;
use crate::signature::{self, Headers, Invalid, Secret};

/// Largest body of a signed webhook, in bytes: all of it is read before anything is known of its sender.
pub(super) const WEBHOOK_BYTES_MAX: usize = 256 << 10;

/// How many candidates an ambiguous decision is shown.
pub(super) const CANDIDATES_SHOWN: i64 = 20;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(decide))
}

/// What a reviewer decides, and on which pause: `pause_id`, or `execution_id` with `approval_request_id`, or
/// `approval_request_id` alone when exactly one open pause of the tenant bears it.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = WebhookDecision)]
#[serde(deny_unknown_fields)]
struct NewBody {
    pause_id: Option<String>,
    execution_id: Option<String>,
    approval_request_id: Option<String>,
    /// One of the pause's choices.
    decision: String,
    feedback: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    response: Option<Box<RawValue>>,
    /// Who decided, as the sender claims.
    reviewer: Option<String>,
}

/// Decides a pause, proved by a signature of Standard Webhooks.
#[utoipa::path(post, path = "/v1/webhooks/{tenant}", security(()), request_body = NewBody,
    params(("tenant" = String, Path), ("webhook-id" = String, Header), ("webhook-timestamp" = String, Header),
           ("webhook-signature" = String, Header)),
    responses((status = 200, body = Outcome), (status = "4XX", body = ErrorBody)))]
async fn decide(State(app): State<App>, Path(tenant): Path<String>, request: Request) -> Result<Json<Outcome>> {
    let (headers, from) = (request.headers().clone(), peer(request.extensions()));
    app.strangers.admit(from)?;
    let body = extract::bytes(request, extract::JSON, WEBHOOK_BYTES_MAX).await?;
    let (webhook_id, secret_id) = failures_of(&app, from, verify(&app, &tenant, &headers, &body).await)?;

    let new: NewBody = extract::parse(&body)?;
    let (execution, approval_request_id) = addressed(&app, &tenant, webhook_id, &new).await?;
    let Checked { decision, feedback, response } =
        check(&new.decision, new.feedback.as_deref(), new.response.as_deref())?;
    let reviewer = new.reviewer.as_deref();
    let reviewer = reviewer.map(claimed).transpose()?;
    let actor = Actor { who: Who::Webhook { id: webhook_id, secret: &secret_id }, name: reviewer, from };
    let (via, body_sha256) = (actor.who.to_string(), Sha256::digest(&body));
    let new = NewDecision {
        tenant: &tenant,
        execution: &execution,
        approval_request_id: &approval_request_id,
        decision,
        feedback,
        response,
        reviewer,
        claimed: reviewer.is_some(),
        via: &via,
        actor,
        delivery: Some(Delivery { webhook_id, body_sha256: &body_sha256 }),
    };
    outcome(app.db.decide(&new).await?)
}

/// The name of a reviewer as the sender claims it.
pub(super) fn claimed(reviewer: &str) -> Result<&str> {
    if is_reviewer(reviewer) {
        return Ok(reviewer);
    }
    let why = format!("`reviewer` is 1 to {REVIEWER_BYTES_MAX} bytes, no `@` first, no control characters");
    Err(Error::invalid(why))
}

/// Checks the signature, and returns the id that it covers, and that of the secret that it was made with. All that can be
/// wrong with it looks the same from outside.
async fn verify<'a>(app: &App, tenant: &str, headers: &'a HeaderMap, body: &[u8]) -> Result<(&'a str, String)> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().map_err(|_| Error::InvalidSignature),
            _ => Err(Error::InvalidSignature),
        }
    };
    let signed =
        Headers { id: one("webhook-id")?, timestamp: one("webhook-timestamp")?, signature: one("webhook-signature")? };
    let mut secrets = Secrets::just_now(app, tenant).await?;
    let mut verified = signature::verify(&secrets.usable, &signed, body, now_seconds());
    if verified.is_err() {
        // The right one may have been made since.
        secrets = Secrets::of(app, tenant).await?;
        verified = signature::verify(&secrets.usable, &signed, body, now_seconds());
    }
    Ok((signed.id, secrets.signed(verified)?))
}

/// What a tenant's webhooks may be signed with.
pub(super) struct Secrets<'a> {
    tenant: &'a str,
    pub(super) usable: Vec<Secret>,
    /// The ids of these.
    ids: Vec<String>,
    is_suspended: bool,
    /// One that cannot be decrypted, and why.
    unreadable: Option<(String, Unreadable)>,
}

impl<'a> Secrets<'a> {
    /// Those in force.
    pub(super) async fn of(app: &App, tenant: &'a str) -> Result<Self> {
        if !is_tenant(tenant) {
            return Err(Error::InvalidSignature);
        }
        let asked = app.signing.ask();
        let rows: Arc<[Signing]> = app.db.webhook_secrets(tenant).await?.into();
        app.signing.put(asked, tenant.into(), rows.clone());
        Ok(Self::decrypted(app, tenant, &rows))
    }

    /// Those that were in force when somebody last looked, which is not long ago.
    async fn just_now(app: &App, tenant: &'a str) -> Result<Self> {
        match app.signing.get(tenant) {
            Some(rows) => Ok(Self::decrypted(app, tenant, &rows)),
            None => Self::of(app, tenant).await,
        }
    }

    fn decrypted(app: &App, tenant: &'a str, rows: &[Signing]) -> Self {
        let mut secrets = Self { tenant, usable: vec![], ids: vec![], is_suspended: false, unreadable: None };
        for Signing { secret: row, is_suspended } in rows {
            secrets.is_suspended = *is_suspended;
            match app.master_keys.decrypt(&row.tenant_id, &row.secret_id, &row.encrypted) {
                Ok(secret) => {
                    secrets.usable.push(secret);
                    secrets.ids.push(row.secret_id.clone());
                }
                Err(why) => secrets.unreadable = Some((row.secret_id.clone(), why)),
            }
        }
        secrets
    }

    /// The id of the secret that a signature was made with. Only who has signed learns that a tenant is suspended.
    pub(super) fn signed(self, verified: Result<usize, Invalid>) -> Result<String> {
        let place = verified.map_err(|invalid| self.refuse(&invalid))?;
        if self.is_suspended {
            return Err(Error::suspended());
        }
        self.ids.into_iter().nth(place).ok_or(Error::Internal)
    }

    /// Logs why a signature was refused, which its sender is not told.
    pub(super) fn refuse(&self, invalid: &Invalid) -> Error {
        let tenant = self.tenant;
        // One of them will do: any stranger may cause this line.
        if let Some((id, why)) = &self.unreadable {
            tracing::warn!(tenant.id = tenant, secret.id = id, %why, "a webhook secret cannot be decrypted");
        }
        tracing::info!(tenant.id = tenant, reason = invalid.reason(), "refused a webhook");
        Error::InvalidSignature
    }
}

/// Unix seconds by this host's clock.
pub(super) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The execution and the name of the pause that a decision is for.
async fn addressed(app: &App, tenant: &str, webhook_id: &str, new: &NewBody) -> Result<(String, String)> {
    match (&new.pause_id, &new.execution_id, &new.approval_request_id) {
        (Some(pause), None, None) => {
            let (execution, name) = split_pause_id(pause).ok_or_else(Error::no_pause)?;
            Ok((execution.into(), name.into()))
        }
        (None, Some(execution), Some(name)) => {
            if !is_execution_id(execution) || !is_approval_request_id(name) {
                return Err(Error::no_pause());
            }
            Ok((execution.clone(), name.clone()))
        }
        (None, None, Some(name)) => by_name(app, tenant, webhook_id, name).await,
        _ => Err(Error::invalid(
            "send `pause_id`, or `execution_id` and `approval_request_id`, or `approval_request_id` alone",
        )),
    }
}

/// The execution and the name of the only open pause that bears this name, or that this delivery has decided before.
pub(super) async fn by_name(app: &App, tenant: &str, webhook_id: &str, name: &str) -> Result<(String, String)> {
    // Looked for first, because the same delivery may be deciding it right now.
    let open = only_open(app, tenant, name).await;
    // The pause that it decided is not open any more.
    app.db.delivered_to(tenant, webhook_id).await?.map_or(open, Ok)
}

async fn only_open(app: &App, tenant: &str, name: &str) -> Result<(String, String)> {
    if !is_approval_request_id(name) {
        return Err(Error::no_pause());
    }
    let mut executions = app.db.open_under(tenant, name, CANDIDATES_SHOWN).await?;
    match executions.len() {
        0 => Err(Error::no_pause()),
        1 => Ok((executions.remove(0), name.into())),
        _ => {
            let ids = executions.iter().map(|execution| pause_id(execution, name));
            Err(ambiguous("several open pauses bear this approval_request_id; name one by `pause_id`", ids))
        }
    }
}

/// The error for a decision that could be for any of these pauses.
pub(super) fn ambiguous(why: &str, ids: impl Iterator<Item = String>) -> Error {
    Error::Conflict("ambiguous_pause", why.into(), Some(Box::new(("candidates", ids.map(Value::from).collect()))))
}
