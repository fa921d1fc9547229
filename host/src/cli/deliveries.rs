//! `countersign deliveries`: what was told to whom, and what came of it.

use clap::{Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, Reply, segment, with_query};
use super::failure::Failure;
use super::output::Output;
use super::table::Table;
use super::text::clean;
use super::time;

/// What can be done with deliveries.
#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// List deliveries, newest first
    #[command(after_help = "Examples:
  countersign deliveries list --endpoint cms --state failed")]
    List {
        /// Only those to this endpoint
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        #[arg(long, value_enum)]
        state: Option<State>,
        /// How many at the most, up to 100
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=100))]
        limit: u16,
    },
    /// Show a delivery with its tries
    Show {
        #[arg(value_name = "DELIVERY")]
        id: String,
    },
    /// Make a delivery again, under the same id; or all that failed to an endpoint
    #[command(after_help = "Examples:
  countersign deliveries redeliver dlv_…
  countersign deliveries redeliver --endpoint cms --since 2026-01-01T00:00:00Z")]
    Redeliver {
        #[arg(value_name = "DELIVERY", required_unless_present = "endpoint", conflicts_with = "endpoint")]
        id: Option<String>,
        /// All that failed to this endpoint
        #[arg(long, value_name = "NAME", requires = "since")]
        endpoint: Option<String>,
        /// … since this time
        #[arg(long, value_name = "TIME", requires = "endpoint")]
        since: Option<String>,
    },
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Pending,
    Delivered,
    Failed,
}

#[derive(Debug, Deserialize)]
struct Delivery {
    id: String,
    r#type: String,
    endpoint: Option<String>,
    reviewer: Option<String>,
    state: String,
    attempts: u32,
    last_error: Option<String>,
    created_at: String,
    webhook_id: String,
    #[serde(default)]
    log: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    attempt: u32,
    at: String,
    status: Option<u16>,
    error: Option<String>,
    duration_ms: u64,
}

/// Lists, shows or repeats deliveries.
pub(crate) async fn deliveries(command: &DeliveriesCommand, client: &Client, out: Output) -> Result<(), Failure> {
    match command {
        DeliveriesCommand::List { endpoint, state, limit } => {
            let state = state.and_then(|state| state.to_possible_value()).map(|value| value.get_name().to_owned());
            let limit = limit.to_string();
            let pairs = [("endpoint", endpoint.as_deref()), ("state", state.as_deref()), ("limit", Some(&*limit))];
            list(&client.get(&with_query("/v1/deliveries", &pairs)).await?, out)
        }
        DeliveriesCommand::Show { id } => show(&client.get(&path(id)).await?, out),
        DeliveriesCommand::Redeliver { id: Some(id), .. } => {
            begun(&client.post(&format!("{}/redeliver", path(id)), &json!({})).await?, out)
        }
        DeliveriesCommand::Redeliver { endpoint, since, .. } => {
            let endpoint = segment(endpoint.as_deref().unwrap_or_default());
            let reply = client.post(&format!("/v1/endpoints/{endpoint}/redeliver"), &json!({ "since": since })).await?;
            if out.json {
                return Ok(out.document(&reply.body)?);
            }
            let body: serde_json::Value = reply.parse()?;
            out.note(&format!("{} are being delivered again", body["redelivered"]));
            Ok(())
        }
    }
}

fn list(reply: &Reply, out: Output) -> Result<(), Failure> {
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let mut table = Table::new(["DELIVERY", "TYPE", "TO", "STATE", "TRIES", "CREATED", "ERROR"]);
    for delivery in reply.items::<Delivery>()?.0 {
        let to = delivery.to();
        table.row([
            delivery.id,
            delivery.r#type,
            to,
            delivery.state,
            delivery.attempts.to_string(),
            time::relative(&delivery.created_at, time::now()),
            clean(&delivery.last_error.unwrap_or_default()).to_string(),
        ]);
    }
    Ok(out.table(&table, "No deliveries.")?)
}

fn show(reply: &Reply, out: Output) -> Result<(), Failure> {
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let delivery: Delivery = reply.parse()?;
    let Delivery { id, r#type, state, webhook_id, .. } = &delivery;
    out.line(&format!("{id}  {type}  {state}  to {}  webhook-id {webhook_id}", delivery.to()))?;
    let mut table = Table::new(["TRY", "AT", "STATUS", "MS", "ERROR"]);
    for attempt in delivery.log {
        table.row([
            attempt.attempt.to_string(),
            attempt.at,
            attempt.status.map(|status| status.to_string()).unwrap_or_default(),
            attempt.duration_ms.to_string(),
            clean(&attempt.error.unwrap_or_default()).to_string(),
        ]);
    }
    Ok(out.table(&table, "It was not tried yet.")?)
}

/// Says that a delivery was begun, and which.
pub(super) fn begun(reply: &Reply, out: Output) -> Result<(), Failure> {
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let delivery: Delivery = reply.parse()?;
    out.line(&delivery.id)?;
    out.note(&format!("To see what came of it: countersign deliveries show {}", delivery.id));
    Ok(())
}

impl Delivery {
    fn to(&self) -> String {
        let to = self.endpoint.as_deref().or(self.reviewer.as_deref()).unwrap_or_default();
        clean(to).to_string()
    }
}

fn path(id: &str) -> String {
    format!("/v1/deliveries/{}", segment(id))
}
