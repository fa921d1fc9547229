//! `countersign endpoints`: whom the host tells.

use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, segment};
use super::deliveries;
use super::failure::Failure;
use super::keys::created;
use super::output::Output;
use super::table::Table;
use super::text::clean;

/// What can be done with endpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum EndpointsCommand {
    /// Add an endpoint; the secret of a webhook is printed once and cannot be shown again
    #[command(after_help = "Examples:
  countersign endpoints add cms --address https://cms.example/hook > secret
  countersign endpoints add desk --kind slack --address https://hooks.slack.com/services/… --event pause.opened
  countersign endpoints add night --kind email --address night@example.com --only-named")]
    Add {
        /// What agents call it: 1 to 64 of a-z 0-9 _ -
        #[arg(value_name = "NAME")]
        name: String,
        /// What is sent there
        #[arg(long, value_enum, default_value_t = Kind::Webhook)]
        kind: Kind,
        /// https://…, or a mail address
        #[arg(long)]
        address: String,
        /// A type of event that it is told of; can be repeated [default: all]
        #[arg(long = "event", value_name = "TYPE", conflicts_with = "only_named")]
        events: Vec<String>,
        /// Tell it only of pauses that name it
        #[arg(long)]
        only_named: bool,
    },
    /// List the endpoints, without their secrets
    List,
    /// Remove an endpoint; what is on its way there is given up
    Remove {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Tell an endpoint again that was disabled, by somebody or because it answered 410
    Enable {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Tell an endpoint nothing more; what is on its way there is given up
    Disable {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Send a test, the usual way
    Test {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Make another secret; for a day notifications bear signatures of both
    #[command(after_help = "Examples:
  countersign endpoints rotate cms > secret
  # If the one before has leaked, do it twice: two are in force at the most.")]
    Rotate {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A signed POST of JSON
    Webhook,
    /// A message to an incoming webhook of Slack's, or of whatever takes the same
    Slack,
    /// Mail
    Email,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    name: String,
    kind: String,
    address: Option<String>,
    events: Option<Vec<String>>,
    disabled_reason: Option<String>,
}

/// Adds, lists, changes or tries endpoints.
pub(crate) async fn endpoints(command: &EndpointsCommand, client: &Client, out: Output) -> Result<(), Failure> {
    match command {
        EndpointsCommand::Add { name, kind, address, events, only_named } => {
            let events = (*only_named || !events.is_empty()).then_some(events);
            let body = json!({"name": name, "kind": kind, "address": address, "events": events});
            let reply = client.post("/v1/endpoints", &body).await?;
            if *kind == Kind::Webhook || out.json {
                return created(&reply, "secret", out);
            }
            out.note("added");
            Ok(())
        }
        EndpointsCommand::List => list(client, out).await,
        EndpointsCommand::Remove { name } => {
            client.delete(&path(name)).await?;
            out.note("removed");
            Ok(())
        }
        EndpointsCommand::Enable { name } => switch(client, name, false, out).await,
        EndpointsCommand::Disable { name } => switch(client, name, true, out).await,
        EndpointsCommand::Test { name } => {
            let reply = client.post(&format!("{}/test", path(name)), &json!({})).await?;
            deliveries::begun(&reply, out)
        }
        EndpointsCommand::Rotate { name } => {
            created(&client.post(&format!("{}/secret", path(name)), &json!({})).await?, "secret", out)
        }
    }
}

async fn list(client: &Client, out: Output) -> Result<(), Failure> {
    let reply = client.list("/v1/endpoints").await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let mut table = Table::new(["NAME", "KIND", "STATE", "EVENTS", "ADDRESS"]);
    for endpoint in reply.items::<Endpoint>()?.0 {
        let events = match endpoint.events.as_deref() {
            None => "all".into(),
            Some([]) => "only named".into(),
            Some(events) => events.join(","),
        };
        let state = endpoint.disabled_reason.map_or_else(|| "on".into(), |why| format!("off: {}", clean(&why)));
        let address = endpoint.address.as_deref().map_or_else(|| "(cannot be decrypted)".into(), clean);
        table.row([endpoint.name, endpoint.kind, state, events, address.to_string()]);
    }
    Ok(out.table(&table, "No endpoints. Add one: countersign endpoints add NAME --address https://…")?)
}

async fn switch(client: &Client, name: &str, disabled: bool, out: Output) -> Result<(), Failure> {
    let reply = client.send(client.request(Method::PATCH, &path(name)).json(&json!({"disabled": disabled}))).await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    out.note(if disabled { "disabled" } else { "enabled" });
    Ok(())
}

fn path(name: &str) -> String {
    format!("/v1/endpoints/{}", segment(name))
}
