//! The approval webhook of AgentField: decisions that a reviewer tool signs.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::super::auth::peer;
use super::super::extract::{self, Json, Path};
use super::super::webhooks::{Secrets, WEBHOOK_BYTES_MAX, by_name, claimed, now_seconds};
use super::{AgentFieldError, App, Decision, Error, In, Processed, Result};
use crate::audit::{Actor, Who};
use crate::db::decisions::Delivery;
use crate::execution::{Blame, split_pause_id};
use crate::signature::agentfield::Signature;

/// The tenant of the address that names none.
const TENANT: &str = "default";

/// Where a signature may be: the first that is there and not empty.
const SIGNATURE_HEADERS: [&str; 3] = ["x-hax-signature", "x-webhook-signature", "x-hub-signature-256"];

/// What a reviewer decides. Fields that are not named here are passed over.
#[derive(Deserialize, utoipa::ToSchema)]
struct ApprovalResponse {
    /// An `approval_request_id` that exactly one open pause bears, or the id of a pause.
    #[serde(rename = "requestId")]
    request_id: Option<String>,
    /// One of the pause's choices, or another word for `approved` or `rejected`.
    decision: Option<String>,
    feedback: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    response: Option<Box<RawValue>>,
    /// Who decided, as the sender claims.
    #[schema(value_type = Option<String>)]
    reviewer: Option<Value>,
}

/// An event around what was decided.
#[derive(Deserialize)]
struct Envelope {
    id: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<Value>,
    data: Option<Box<RawValue>>,
}

/// What an event is about.
#[derive(Deserialize)]
struct EventData {
    #[serde(rename = "requestId")]
    request_id: Option<Value>,
    response: Option<Box<RawValue>>,
    reviewer: Option<Value>,
}

/// What its forms call the decision.
#[derive(Deserialize)]
struct Filled {
    decision: Option<Value>,
    action: Option<Value>,
    feedback: Option<Value>,
}

/// Both shapes, read.
struct Said {
    event: Option<String>,
    request_id: String,
    decision: String,
    feedback: Option<String>,
    response: Option<Box<RawValue>>,
    reviewer: Option<String>,
}

/// Decides a pause of the tenant `default`, proved by a signature of AgentField's kind.
#[utoipa::path(post, path = "/api/v1/webhooks/approval-response", tag = "agentfield", security(()),
    request_body = ApprovalResponse, params(("X-Hax-Signature" = String, Header, description = "t=<unix>,v1=<hex>")),
    responses((status = 200, body = Processed), (status = "4XX", body = AgentFieldError)))]
pub(super) async fn decide(State(app): State<App>, request: Request) -> Result<Json<Processed>> {
    take(&app, TENANT, request).await
}

/// Decides a pause of any tenant, proved by a signature of AgentField's kind.
#[utoipa::path(post, path = "/api/v1/webhooks/approval-response/{tenant}", tag = "agentfield", security(()),
    request_body = ApprovalResponse, params(("tenant" = String, Path),
        ("X-Hax-Signature" = String, Header, description = "t=<unix>,v1=<hex>")),
    responses((status = 200, body = Processed), (status = "4XX", body = AgentFieldError)))]
pub(super) async fn decide_for_tenant(
    State(app): State<App>,
    In(Path(tenant)): In<Path<String>>,
    request: Request,
) -> Result<Json<Processed>> {
    take(&app, &tenant, request).await
}

async fn take(app: &App, tenant: &str, request: Request) -> Result<Json<Processed>> {
    let (headers, from) = (request.headers().clone(), peer(request.extensions()));
    let body = extract::bytes(request, extract::JSON, WEBHOOK_BYTES_MAX).await?;
    let (signature, secret_id) = verify(app, tenant, &headers, &body).await?;

    let said = Said::read(&body)?;
    let delivery_id = signature.delivery_id(said.event.as_deref(), &body);
    let (execution, name) = match split_pause_id(&said.request_id) {
        Some((execution, name)) => (execution.to_owned(), name.to_owned()),
        None => by_name(app, tenant, &delivery_id, &said.request_id).await?,
    };
    let reviewer = said.reviewer.as_deref().map(claimed).transpose()?;
    let decision = Decision {
        tenant,
        execution: &execution,
        approval_request_id: &name,
        word: &said.decision,
        feedback: said.feedback.as_deref(),
        response: said.response.as_deref(),
        reviewer,
        actor: Actor { who: Who::Webhook { id: &delivery_id, secret: &secret_id }, name: reviewer, from },
        delivery: Some(Delivery { webhook_id: &delivery_id, body_sha256: &Sha256::digest(&body) }),
    };
    Ok(decision.take(app).await?)
}

/// Checks the signature, and returns it and the id of the secret that it was made with. All that can be wrong with it
/// looks the same from outside.
async fn verify<'a>(
    app: &App,
    tenant: &str,
    headers: &'a HeaderMap,
    body: &[u8],
) -> Result<(Signature<'a>, String), Error> {
    let secrets = Secrets::of(app, tenant).await?;
    let header = signature_header(headers).ok_or(Error::InvalidSignature)?;
    let signature = Signature::parse(header).map_err(|invalid| secrets.refuse(&invalid))?;
    let takes_bare = signature.is_bare() && app.db.takes_bare_signatures(tenant).await?;
    let keys: Vec<_> = secrets.usable.iter().map(|secret| Text(Zeroizing::new(secret.expose()))).collect();
    let verified = signature.verify(&keys, body, now_seconds(), takes_bare);
    Ok((signature, secrets.signed(verified)?))
}

/// A secret as its text: AgentField's tools know nothing of what is in it.
struct Text(Zeroizing<String>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// None if there is none, or the first that is not empty came more than once or is no text.
fn signature_header(headers: &HeaderMap) -> Option<&str> {
    let name = SIGNATURE_HEADERS.iter().find(|name| headers.get_all(**name).iter().any(|value| !value.is_empty()))?;
    let mut values = headers.get_all(*name).iter();
    let (value, more) = (values.next()?, values.next());
    if more.is_some() { None } else { value.to_str().ok() }
}

impl Said {
    /// Reads either shape.
    fn read(body: &[u8]) -> Result<Self, Error> {
        if let Ok(Envelope { id, kind: Some(Value::String(kind)), data: Some(data) }) = serde_json::from_slice(body)
            && let Ok(EventData { request_id: Some(Value::String(request_id)), response, reviewer }) =
                serde_json::from_str(data.get())
        {
            let (decision, feedback) = event_decision(&kind, response.as_deref())?;
            let (event, reviewer) = (string(id), string(reviewer));
            return Ok(Self { event, request_id, decision, feedback, response, reviewer });
        }
        let flat: ApprovalResponse = extract::parse(body)?;
        let request_id = given(flat.request_id);
        Ok(Self {
            event: None,
            request_id: request_id.ok_or_else(|| Error::invalid("`requestId` is missing"))?,
            decision: given(flat.decision).ok_or_else(|| Error::invalid("`decision` is missing")).and_then(decided)?,
            feedback: given(flat.feedback),
            response: flat.response,
            reviewer: string(flat.reviewer),
        })
    }
}

/// What an event says was decided, and why.
fn event_decision(kind: &str, response: Option<&RawValue>) -> Result<(String, Option<String>), Error> {
    let filled = response.and_then(|response| serde_json::from_str(response.get()).ok());
    let Filled { decision, action, feedback } =
        filled.unwrap_or(Filled { decision: None, action: None, feedback: None });
    if kind == "expired" {
        return decided(kind.into()).map(|decision| (decision, None));
    }
    let decision = string(decision).or_else(|| string(action)).ok_or_else(|| {
        let why = format!(
            "this event of the type {kind:?} says nothing in `data.response.decision` or `.action`, and \
                           silence is no approval"
        );
        Error::Unprocessable("invalid_decision", why, Blame::Client)
    })?;
    Ok((decided(decision)?, string(feedback)))
}

/// The word, unless it is the one for what nobody decides.
fn decided(word: String) -> Result<String, Error> {
    if word != crate::journal::EXPIRED {
        return Ok(word);
    }
    let why = "only the host says that a pause has expired, when its own time is over; until then it can be decided";
    Err(Error::Unprocessable("invalid_decision", why.into(), Blame::Client))
}

/// A text, if it is one and not empty: that counts as none there.
fn string(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => given(Some(text)),
        _ => None,
    }
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Request id, decision, feedback and response; or a status.
    type Read = Result<(String, String, Option<String>, Option<String>), u16>;

    fn read(body: &str) -> Read {
        let said = Said::read(body.as_bytes()).map_err(|error| match error {
            Error::BadRequest(..) => 400_u16,
            Error::Unprocessable(..) => 422,
            other => panic!("{other:?}"),
        })?;
        Ok((said.request_id, said.decision, said.feedback, said.response.map(|response| response.get().to_owned())))
    }

    fn said(id: &str, decision: &str, feedback: Option<&str>, response: Option<&str>) -> Read {
        Ok((id.into(), decision.into(), feedback.map(Into::into), response.map(Into::into)))
    }

    #[test]
    fn both_shapes_say_the_same() {
        let flat =
            r#"{"requestId":"r","decision":"approved","feedback":"f","response":{"n":1.50},"timestamp":"x","y":1}"#;
        assert_eq!(read(flat), said("r", "approved", Some("f"), Some(r#"{"n":1.50}"#)));
        let event = r#"{"id":"evt_1","type":"completed","createdAt":"x","decision":7,
                        "data":{"requestId":"r","z":0,"response":{"decision":"approved","feedback":"f","n":1.50}}}"#;
        let response = r#"{"decision":"approved","feedback":"f","n":1.50}"#;
        assert_eq!(read(event), said("r", "approved", Some("f"), Some(response)));
        let action = r#"{"type":"completed","data":{"requestId":"r","response":{"decision":"","action":"deny"}}}"#;
        assert_eq!(read(action), said("r", "deny", None, Some(r#"{"decision":"","action":"deny"}"#)));
    }

    #[test]
    fn what_only_looks_like_an_event_is_read_as_it_stands() {
        let body = r#"{"requestId":"r","decision":"approved","feedback":"","type":"note","data":{"n":1}}"#;
        assert_eq!(read(body), said("r", "approved", None, None));
        let body = r#"{"requestId":"r","decision":"approved","type":"","data":7}"#;
        assert_eq!(read(body), said("r", "approved", None, None));
    }

    #[test]
    fn nothing_is_made_up() {
        for (body, status) in [
            ("", 400),
            ("[]", 400),
            ("{}", 400),
            (r#"{"requestId":"r"}"#, 400),
            (r#"{"requestId":"","decision":"approved"}"#, 400),
            (r#"{"requestId":7,"decision":"approved"}"#, 400),
            (r#"{"decision":"approved"}"#, 400),
            (r#"{"requestId":"r","decision":"expired"}"#, 422),
            (r#"{"type":"completed","data":{"response":{"decision":"approved"}}}"#, 400),
            (r#"{"type":"completed","data":{"requestId":"r"}}"#, 422),
            (r#"{"type":"completed","data":{"requestId":"r","response":{"signature":"…"}}}"#, 422),
            (r#"{"type":"completed","data":{"requestId":"r","response":{"decision":true}}}"#, 422),
            (r#"{"type":"completed","data":{"requestId":"r","response":"approved"}}"#, 422),
            (r#"{"type":"completed","data":{"requestId":"r","response":{"decision":"expired"}}}"#, 422),
            (r#"{"type":"expired","data":{"requestId":"r","response":{"decision":"approved"}}}"#, 422),
        ] {
            assert_eq!(read(body), Err(status), "{body}");
        }
    }
}
