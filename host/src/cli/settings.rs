//! `countersign settings`: what a tenant has switched on.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::client::{Client, Reply};
use super::failure::Failure;
use super::output::Output;

const AGENTFIELD: &str = "/v1/settings/agentfield";

/// What can be set.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingsCommand {
    /// Show or change how AgentField's approval webhooks are taken
    #[command(after_help = "Examples:
  countersign settings agentfield
  countersign settings agentfield --bare-signatures on")]
    Agentfield {
        /// Take signatures over the body alone (`sha256=<hex>`), which anybody who has seen one can send again for ever
        #[arg(long, value_enum, value_name = "SWITCH")]
        bare_signatures: Option<Switch>,
    },
}

/// A setting that is one of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// Shows settings, or changes and shows them.
pub(crate) async fn settings(command: &SettingsCommand, client: &Client, out: Output) -> Result<(), Failure> {
    let SettingsCommand::Agentfield { bare_signatures } = command;
    let reply: Reply = match bare_signatures {
        None => client.get(AGENTFIELD).await?,
        Some(switch) => client.put(AGENTFIELD, &json!({ "bare_signatures": *switch == Switch::On })).await?,
    };
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let settings: serde_json::Value = reply.parse()?;
    let switch = if settings["bare_signatures"] == true { "on" } else { "off" };
    Ok(out.line(&format!("bare signatures: {switch}"))?)
}
