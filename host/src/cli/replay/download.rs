//! The recording of an execution, from its host.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::api::{Execution, Status, Version};
use crate::cli::client::{Client, segment};
use crate::cli::failure::Failure;
use crate::cli::time;
use crate::execution;
use crate::limits::Limits;
use crate::trial::recording::{self, Recording};

/// Downloads an execution and its journal.
pub(super) async fn recording(client: &Client, id: &str) -> Result<Recording, Failure> {
    let path = format!("/v1/executions/{}", segment(id));
    // Before its journal: if it has finished, the journal has all of it.
    let execution: Execution = client.get(&path).await?.parse()?;
    let (seed, limits) = beside_journal(client, &path).await?;
    let (lines, _) = client.list(&format!("{path}/journal")).await?.items::<Box<RawValue>>()?;
    let unreadable = |why: String| Failure::Failed(format!("the journal of {id}: {why}"));
    let entries = recording::entries(&lines).map_err(unreadable)?;
    if (entries.len() as u64) < execution.entries {
        return Err(unreadable(format!("the host gave {} of its {} entries", entries.len(), execution.entries)));
    }
    let (digest, end) = (digest(client, &execution).await?, end(&execution)?);
    let started = execution.started_at.as_deref().and_then(time::parse).and_then(|millis| millis.try_into().ok());
    Ok(Recording {
        agent: execution.agent,
        digest,
        function: execution.function,
        input: execution.input.map_or_else(|| "null".into(), |input| input.get().to_owned()),
        seed,
        started: started.ok_or_else(|| unreadable("the host does not say when it started".into()))?,
        execution_id: execution.id,
        limits,
        entries,
        end,
    })
}

/// The seed of an execution and its limits, which stand beside the journal.
async fn beside_journal(client: &Client, path: &str) -> Result<([u8; 32], Option<Limits>), Failure> {
    #[derive(Deserialize)]
    struct Page {
        seed: Option<String>,
        limits: Option<Limits>,
    }
    let page: Page = client.get(&format!("{path}/journal?limit=1")).await?.parse()?;
    let older = || Failure::Failed("the host does not tell the execution's seed; it is an older version".into());
    Ok((page.seed.as_deref().and_then(recording::seed).ok_or_else(older)?, page.limits))
}

/// What its version was made of. Versions never go.
async fn digest(client: &Client, execution: &Execution) -> Result<Option<String>, Failure> {
    let list = client.list(&format!("/v1/agents/{}/versions", segment(&execution.agent))).await?;
    let (versions, _) = list.items::<Version>()?;
    Ok(versions.into_iter().find(|version| version.version == execution.version).map(|version| version.digest))
}

fn end(execution: &Execution) -> Result<Option<Result<String, execution::Failure>>, Failure> {
    let raw = |json: &RawValue| json.get().to_owned();
    Ok(match (execution.status, &execution.result, &execution.error) {
        (Status::Succeeded, Some(result), _) => Some(Ok(raw(result))),
        (Status::Succeeded, None, _) => Some(Ok("null".into())),
        (Status::Failed, _, Some(error)) => {
            let blame = serde_json::from_value(error.blame.clone().into());
            Some(Err(execution::Failure {
                code: error.code.clone(),
                message: error.message.clone(),
                blame: blame.map_err(|why| Failure::Failed(format!("`blame`: {why}")))?,
                detail: error.detail.as_ref().map(ToString::to_string),
            }))
        }
        _ => None,
    })
}
