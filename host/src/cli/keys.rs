//! `countersign keys` and `countersign secrets`.

use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::client::{Client, Reply, segment};
use super::failure::Failure;
use super::master_key;
use super::output::Output;
use super::table::Table;
use super::time;

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key; it is printed once and cannot be shown again
    #[command(after_help = "Examples:
  countersign keys create --name editor --role reviewer --expires-in-days 30
  COUNTERSIGN_API_KEY=$(countersign keys create --name ci --role deployer)")]
    Create {
        /// What the key is for, for people
        #[arg(long)]
        name: String,
        /// What the key may do
        #[arg(long, value_enum)]
        role: Role,
        /// The key stops working after so many days [default: never]
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u32>,
    },
    /// List the keys, without the keys themselves
    List,
    /// Make a key stop working, on all hosts within a second
    Revoke {
        /// The id that `keys list` shows
        #[arg(value_name = "KEY_ID")]
        id: String,
    },
}

/// What can be done with the secrets that sign webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Make a secret; it is printed once and cannot be shown again
    #[command(after_help = "Examples:
  countersign secrets create --name cms > secret
  countersign sign --secret \"$(cat secret)\" < body.json")]
    Create {
        /// Who signs with it, for people
        #[arg(long, default_value = "webhook")]
        name: String,
    },
    /// List the secrets, without the secrets themselves
    List,
    /// Make a secret stop working, on all hosts within a second
    Revoke {
        /// The id that `secrets list` shows
        #[arg(value_name = "SECRET_ID")]
        id: String,
    },
    /// Make a key that secrets are encrypted under in the database, and print it; asks no host
    #[command(after_help = "Examples:
  # Every host on one database gets the same:
  export COUNTERSIGN_MASTER_KEY=$(countersign secrets master-key)")]
    MasterKey,
    /// Encrypt all secrets of all tenants under the first master key; works on the database, not through the API
    ///
    /// The last step but one of a rotation, while the hosts run; ARCHITECTURE.md has them all. It can be repeated at
    /// will.
    #[command(after_help = "Examples:
  COUNTERSIGN_MASTER_KEY=$NEW,$OLD countersign secrets rekey --database-url postgres://…")]
    Rekey {
        #[command(flatten)]
        config: Box<crate::config::Config>,
    },
}

/// What a key may do.
#[derive(Debug, Clone, Copy, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Everything
    Operator,
    /// Upload and activate agents
    Deployer,
    /// Start, cancel and look at executions
    Runner,
    /// Look at pauses and decide them
    Reviewer,
    /// Make, suspend and resume tenants; made with such a key only
    Host,
}

#[derive(Serialize)]
struct NewKey<'a> {
    name: &'a str,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_days: Option<u32>,
}

/// A key or a secret in a list.
#[derive(Debug, Deserialize)]
struct Item {
    id: String,
    name: Option<String>,
    role: Option<String>,
    created_at: Option<String>,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    master_key: Option<String>,
    usable: Option<bool>,
    revoked_at: Option<String>,
}

/// Makes, lists or revokes keys.
pub(crate) async fn keys(command: &KeysCommand, client: &Client, out: Output) -> Result<(), Failure> {
    match command {
        KeysCommand::Create { name, role, expires_in_days } => {
            let body = NewKey { name, role: *role, expires_in_days: *expires_in_days };
            created(&client.post("/v1/keys", &body).await?, "key", out)
        }
        KeysCommand::List => {
            let reply = client.list("/v1/keys").await?;
            if out.json {
                return Ok(out.document(&reply.body)?);
            }
            let mut table = Table::new(["KEY_ID", "ROLE", "CREATED", "EXPIRES", "LAST_USED", "NAME"]);
            for item in reply.items::<Item>()?.0 {
                let role = item.role.clone().unwrap_or_default();
                let (created, expires, used) = (item.created(), item.expires(), item.last_used());
                table.row([item.id, role, created, expires, used, item.name.unwrap_or_default()]);
            }
            Ok(out.table(&table, "No keys.")?)
        }
        KeysCommand::Revoke { id } => {
            client.delete(&format!("/v1/keys/{}", segment(id))).await?;
            out.note("revoked");
            Ok(())
        }
    }
}

/// Makes, lists or revokes secrets; or does what concerns their master keys, without a client.
pub(crate) async fn secrets(
    command: SecretsCommand,
    client: impl FnOnce() -> Result<Client, Failure>,
    out: Output,
) -> Result<(), Failure> {
    match command {
        SecretsCommand::Create { name } => {
            created(&client()?.post("/v1/secrets", &serde_json::json!({"name": name})).await?, "secret", out)
        }
        SecretsCommand::List => list_secrets(&client()?, out).await,
        SecretsCommand::Revoke { id } => {
            client()?.delete(&format!("/v1/secrets/{}", segment(&id))).await?;
            out.note("revoked");
            Ok(())
        }
        SecretsCommand::MasterKey => master_key::make(out),
        SecretsCommand::Rekey { config } => master_key::rekey(*config, out).await,
    }
}

async fn list_secrets(client: &Client, out: Output) -> Result<(), Failure> {
    let reply = client.list("/v1/secrets").await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let mut table = Table::new(["SECRET_ID", "CREATED", "MASTER_KEY", "NAME"]);
    let mut unusable = 0;
    for item in reply.items::<Item>()?.0 {
        let mut key = item.master_key.clone().unwrap_or_default();
        if item.usable == Some(false) {
            unusable += 1;
            key.push_str(" (unusable)");
        }
        table.row([item.id.clone(), item.created(), key, item.name.unwrap_or_default()]);
    }
    out.table(&table, "No secrets. Make one: countersign secrets create --name WHO_SIGNS")?;
    if unusable > 0 {
        out.note(&format!(
            "{unusable} cannot be decrypted by the host, which refuses what is signed with them. Its log says why; it \
             may need another key in COUNTERSIGN_MASTER_KEY."
        ));
    }
    Ok(())
}

impl Item {
    fn created(&self) -> String {
        self.created_at.as_deref().map(|at| time::relative(at, time::now())).unwrap_or_default()
    }

    fn last_used(&self) -> String {
        self.last_used_at.as_deref().map_or_else(|| "never".into(), |at| time::relative(at, time::now()))
    }

    fn expires(&self) -> String {
        if self.revoked_at.is_some() {
            return "revoked".into();
        }
        self.expires_at.as_deref().map_or_else(|| "never".into(), |at| time::relative(at, time::now()))
    }
}

/// Prints what was made, alone on its line, so that a script can take it.
pub(super) fn created(reply: &Reply, field: &str, out: Output) -> Result<(), Failure> {
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let body: serde_json::Value = reply.parse()?;
    let Some(value) = body.get(field).and_then(serde_json::Value::as_str) else {
        return Err(Failure::Failed(format!("the host's answer has no `{field}`")));
    };
    out.line(&super::text::clean(value))?;
    out.note("Keep it now: it cannot be shown again.");
    Ok(())
}
