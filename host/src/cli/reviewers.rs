//! `countersign reviewers` and `countersign groups`.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, segment};
use super::failure::Failure;
use super::output::Output;
use super::table::Table;
use super::text::clean;

/// What can be done with reviewers.
#[derive(Debug, Subcommand)]
pub(crate) enum ReviewersCommand {
    /// List the reviewers who have an address
    List,
    /// Keep the address that a reviewer is written to when a pause asks them
    #[command(after_help = "Examples:
  countersign reviewers set ana ana@example.com")]
    Set {
        /// The name that pauses ask for: that of an API key, for one
        #[arg(value_name = "NAME")]
        name: String,
        #[arg(value_name = "EMAIL")]
        email: String,
    },
    /// Forget the address of a reviewer
    Remove {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// What can be done with groups.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// List the groups and their members
    List,
    /// Make a group of just these reviewers, or give it these members instead of its own
    #[command(after_help = "Examples:
  countersign groups set editors ana bob
  # A pause asks it as @editors.")]
    Set {
        /// 1 to 64 of a-z 0-9 _ -, without the @
        #[arg(value_name = "NAME")]
        name: String,
        #[arg(value_name = "REVIEWER")]
        members: Vec<String>,
    },
    /// Remove a group; whoever pauses ask by it is asked no more
    Remove {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Deserialize)]
struct Item {
    name: String,
    email: Option<String>,
    #[serde(default)]
    members: Vec<String>,
}

/// Lists, keeps or forgets reviewers' addresses.
pub(crate) async fn reviewers(command: &ReviewersCommand, client: &Client, out: Output) -> Result<(), Failure> {
    match command {
        ReviewersCommand::List => {
            let reply = client.list("/v1/reviewers").await?;
            if out.json {
                return Ok(out.document(&reply.body)?);
            }
            let mut table = Table::new(["NAME", "EMAIL"]);
            for item in reply.items::<Item>()?.0 {
                table.row([clean(&item.name).to_string(), clean(&item.email.unwrap_or_default()).to_string()]);
            }
            Ok(out.table(&table, "No reviewers have an address.")?)
        }
        ReviewersCommand::Set { name, email } => {
            let path = format!("/v1/reviewers/{}", segment(name));
            put(client, &path, &json!({ "email": email }), out).await
        }
        ReviewersCommand::Remove { name } => remove(client, &format!("/v1/reviewers/{}", segment(name)), out).await,
    }
}

/// Lists, makes or removes groups.
pub(crate) async fn groups(command: &GroupsCommand, client: &Client, out: Output) -> Result<(), Failure> {
    match command {
        GroupsCommand::List => {
            let reply = client.list("/v1/groups").await?;
            if out.json {
                return Ok(out.document(&reply.body)?);
            }
            let mut table = Table::new(["NAME", "MEMBERS"]);
            for item in reply.items::<Item>()?.0 {
                table.row([item.name, clean(&item.members.join(", ")).to_string()]);
            }
            Ok(out.table(&table, "No groups.")?)
        }
        GroupsCommand::Set { name, members } => {
            put(client, &format!("/v1/groups/{}", segment(name)), &json!({ "members": members }), out).await
        }
        GroupsCommand::Remove { name } => remove(client, &format!("/v1/groups/{}", segment(name)), out).await,
    }
}

async fn put(client: &Client, path: &str, body: &serde_json::Value, out: Output) -> Result<(), Failure> {
    let reply = client.put(path, body).await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    out.note("kept");
    Ok(())
}

async fn remove(client: &Client, path: &str, out: Output) -> Result<(), Failure> {
    client.delete(path).await?;
    out.note("removed");
    Ok(())
}
