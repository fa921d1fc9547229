//! Pauses as AgentField's clients see them: by the execution that waits.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::super::extract::{Json, Path, Query};
use super::super::webhooks::{CANDIDATES_SHOWN, ambiguous};
use super::{AgentFieldError, App, Bearer, Decision, Error, In, Processed, Result, body, time};
use crate::db::pauses::Pause;
use crate::execution::{is_approval_request_id, is_execution_id, pause_id, split_pause_id};

/// What became of an approval request.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ApprovalStatus {
    /// `pending`, what was decided, `expired` or `cancelled`.
    status: String,
    /// What was decided, with the feedback, and the fields of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    response: Option<BTreeMap<String, Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    responded_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    approval_request_id: String,
}

impl ApprovalStatus {
    fn new(pause: Pause) -> Self {
        Self {
            status: status(&pause).to_owned(),
            response: response(&pause),
            request_url: pause.approval_request_url,
            requested_at: pause.opened_at.map(time),
            responded_at: pause.decided_at.map(time),
            expires_at: pause.expires_at.map(time),
            approval_request_id: pause.approval_request_id,
        }
    }
}

/// AgentField's word for where a pause stands. An early decision is none yet: the pause may not take it.
pub(super) fn status(pause: &Pause) -> &str {
    match (pause.status.as_str(), &pause.decision) {
        ("decided", Some(decision)) => decision,
        ("open" | "early", _) => "pending",
        (closed, _) => closed,
    }
}

/// Its clients read the decision and the feedback as fields of the response, which is an object to them.
fn response(pause: &Pause) -> Option<BTreeMap<String, Box<RawValue>>> {
    let decision = pause.decision.as_ref().filter(|_| pause.status == "decided")?;
    let fields = pause.response.as_deref().map(serde_json::from_str::<BTreeMap<String, Box<RawValue>>>);
    let mut fields = match (fields, &pause.response) {
        (Some(Ok(fields)), _) => fields,
        (Some(Err(_)), Some(other)) => {
            RawValue::from_string(other.clone()).map(|other| BTreeMap::from([("response".into(), other)])).ok()?
        }
        _ => BTreeMap::new(),
    };
    for (name, text) in [("decision", Some(decision)), ("feedback", pause.feedback.as_ref())] {
        if let Some(text) = text.and_then(|text| to_raw_value(text).ok()) {
            fields.entry(name.into()).or_insert(text);
        }
    }
    Some(fields)
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Named {
    /// Which pause, where an execution has several.
    approval_request_id: Option<String>,
}

/// How the approval stands that an execution waits for, or waited for last.
#[utoipa::path(get, path = "/api/v1/executions/{execution_id}/approval-status", tag = "agentfield",
    params(("execution_id" = String, Path), Named),
    responses((status = 200, body = ApprovalStatus), (status = "4XX", body = AgentFieldError)))]
pub(super) async fn show(
    State(app): State<App>,
    Bearer(caller): Bearer,
    In(Path(id)): In<Path<String>>,
    In(Query(named)): In<Query<Named>>,
) -> Result<Json<ApprovalStatus>> {
    let pause = meant(&app, &caller.tenant, &id, named.approval_request_id.as_deref()).await?;
    Ok(Json(ApprovalStatus::new(pause)))
}

/// The same, by the agent and its execution.
#[utoipa::path(get, path = "/api/v1/agents/{agent}/executions/{execution_id}/approval-status", tag = "agentfield",
    params(("agent" = String, Path), ("execution_id" = String, Path), Named),
    responses((status = 200, body = ApprovalStatus), (status = "4XX", body = AgentFieldError)))]
pub(super) async fn show_for_agent(
    State(app): State<App>,
    Bearer(caller): Bearer,
    In(Path((agent, id))): In<Path<(String, String)>>,
    In(Query(named)): In<Query<Named>>,
) -> Result<Json<ApprovalStatus>> {
    let pause = meant(&app, &caller.tenant, &id, named.approval_request_id.as_deref()).await?;
    if pause.agent != agent {
        return Err(Error::no_execution().into());
    }
    Ok(Json(ApprovalStatus::new(pause)))
}

/// What an operator decides. Fields that are not named here are passed over.
#[derive(Deserialize, utoipa::ToSchema)]
struct ApprovalDecision {
    decision: String,
    /// The feedback to the agent; `feedback` is the same.
    reason: Option<String>,
    feedback: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    response: Option<Box<RawValue>>,
    /// Which pause, where the execution has several open ones or has not opened it yet; `requestId` is the same.
    approval_request_id: Option<String>,
    #[serde(rename = "requestId")]
    request_id: Option<String>,
}

/// Decides the pause that an execution waits for.
#[utoipa::path(post, path = "/api/v1/executions/{execution_id}/approval-response", tag = "agentfield",
    params(("execution_id" = String, Path)), request_body = ApprovalDecision,
    responses((status = 200, body = Processed), (status = "4XX", body = AgentFieldError)))]
pub(super) async fn decide(
    State(app): State<App>,
    Bearer(caller): Bearer,
    In(Path(id)): In<Path<String>>,
    request: Request,
) -> Result<Json<Processed>> {
    let new: ApprovalDecision = body(request).await?;
    let feedback = one_of("`feedback` and `reason`", new.feedback, new.reason)?;
    let named = one_of("`approval_request_id` and `requestId`", new.approval_request_id, new.request_id)?;
    let name = match &named {
        Some(named) => name_in(&id, named)?.to_owned(),
        None => meant(&app, &caller.tenant, &id, None).await?.approval_request_id,
    };
    let decision = Decision {
        tenant: &caller.tenant,
        execution: &id,
        approval_request_id: &name,
        word: new.decision.trim(),
        feedback: feedback.as_deref(),
        response: new.response.as_deref(),
        reviewer: Some(&caller.name),
        actor: caller.actor(),
        delivery: None,
    };
    Ok(decision.take(&app).await?)
}

/// The pause of an execution that a client means: the one that it names, or else the only open one, or else the one
/// that was closed last.
async fn meant(app: &App, tenant: &str, execution: &str, named: Option<&str>) -> Result<Pause, Error> {
    if !is_execution_id(execution) {
        return Err(Error::no_execution());
    }
    if let Some(named) = named {
        let pause = app.db.find_pause(tenant, execution, name_in(execution, named)?).await?;
        return pause.ok_or_else(Error::no_pause);
    }
    let open = app.db.open_of(tenant, execution, CANDIDATES_SHOWN).await?;
    if open.len() > 1 {
        let why = "this execution has several open pauses; name one by `approval_request_id`";
        return Err(ambiguous(why, open.iter().map(|name| pause_id(execution, name))));
    }
    if let Some(only) = open.first()
        && let Some(pause) = app.db.find_pause(tenant, execution, only).await?
    {
        return Ok(pause);
    }
    if let Some(last) = app.db.last_closed_pause(tenant, execution).await? {
        return Ok(last);
    }
    app.db.find_execution(tenant, execution).await?.ok_or_else(Error::no_execution)?;
    let why = "this execution has no pause yet; to decide one early, name it by `approval_request_id`";
    Err(Error::NotFound("pause_not_found", why.into()))
}

/// The name of a pause of this execution, which a client may give as the pause's id.
fn name_in<'a>(execution: &str, named: &'a str) -> Result<&'a str, Error> {
    let name = match split_pause_id(named) {
        Some((other, _)) if other != execution => return Err(Error::no_pause()),
        Some((_, name)) => name,
        None => named,
    };
    if is_execution_id(execution) && is_approval_request_id(name) { Ok(name) } else { Err(Error::no_pause()) }
}

/// What has two names, of which one suffices. Empty counts as absent.
fn one_of(names: &str, one: Option<String>, other: Option<String>) -> Result<Option<String>, Error> {
    match (one.filter(|text| !text.is_empty()), other.filter(|text| !text.is_empty())) {
        (Some(one), Some(other)) if one != other => Err(Error::invalid(format!("{names} differ; send one of them"))),
        (one, other) => Ok(one.or(other)),
    }
}
