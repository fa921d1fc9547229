//! `countersign tenants`: for who runs the host.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, Reply, find_host_key, segment};
use super::failure::Failure;
use super::keys::created;
use super::output::Output;
use super::table::Table;
use super::time;

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantsCommand {
    /// Make a tenant and print its first key, an operator's
    #[command(after_help = "Examples:
  countersign tenants create acme > acme-key")]
    Create {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        key: HostKeyArg,
    },
    /// List the tenants
    List {
        #[command(flatten)]
        key: HostKeyArg,
    },
    /// Show a tenant
    Show {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        key: HostKeyArg,
    },
    /// Serve nothing more of a tenant, and let nothing of it run, until it is resumed
    #[command(after_help = "Examples:
  countersign tenants suspend acme")]
    Suspend {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        key: HostKeyArg,
    },
    /// Let a suspended tenant go on where it was
    Resume {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        key: HostKeyArg,
    },
    /// Make another operator's key for a tenant, such as one that has lost its own, and print it
    #[command(after_help = "Examples:
  countersign tenants operator-key acme --name 'Ada, found again'")]
    OperatorKey {
        #[command(flatten)]
        tenant: TenantArg,
        /// Whose the key is, or what for
        #[arg(long)]
        name: String,
        #[command(flatten)]
        key: HostKeyArg,
    },
    /// Make a key for the whole host and print it; works on the database, not through the API
    #[command(after_help = "Examples:
  COUNTERSIGN_HOST_KEY=$(countersign tenants host-key --name ops --database-url postgres://…)")]
    HostKey {
        /// Whose the key is, or what for
        #[arg(long)]
        name: String,
        #[command(flatten)]
        config: Box<crate::config::Config>,
    },
}

/// Which tenant.
#[derive(Debug, clap::Args)]
pub(crate) struct TenantArg {
    /// 1 to 64 of a-z 0-9 -, a letter or digit first
    #[arg(value_name = "TENANT")]
    tenant: String,
}

/// A key for the whole host, which is another than the global option's.
#[derive(Debug, clap::Args)]
pub(crate) struct HostKeyArg {
    /// The key for the whole host [default: the one that `serve` left in its data directory]
    #[arg(long, env = "COUNTERSIGN_HOST_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
}

impl HostKeyArg {
    /// A client of the host at `url` with this key.
    pub(crate) fn client(&self, url: &str) -> Result<Client, Failure> {
        Client::new(url, Some(find_host_key(url, self.key.as_deref())?))
    }
}

/// A tenant in a list.
#[derive(Debug, Deserialize)]
struct Tenant {
    tenant: String,
    created_at: String,
    suspended_at: Option<String>,
}

/// Makes, shows, suspends or resumes tenants of the host at `url`; or makes a key for it.
pub(crate) async fn tenants(command: TenantsCommand, url: &str, out: Output) -> Result<(), Failure> {
    let path = |tenant: &TenantArg, what: &str| format!("/v1/tenants/{}{what}", segment(&tenant.tenant));
    match command {
        TenantsCommand::Create { tenant, key } => {
            let made = key.client(url)?.post("/v1/tenants", &json!({"tenant": tenant.tenant})).await?;
            created(&made, "key", out)
        }
        TenantsCommand::List { key } => list(&key.client(url)?.list("/v1/tenants").await?, out),
        TenantsCommand::Show { tenant, key } => show(&key.client(url)?.get(&path(&tenant, "")).await?, out),
        TenantsCommand::Suspend { tenant, key } => {
            show(&key.client(url)?.post(&path(&tenant, "/suspend"), &()).await?, out)
        }
        TenantsCommand::Resume { tenant, key } => {
            show(&key.client(url)?.post(&path(&tenant, "/resume"), &()).await?, out)
        }
        TenantsCommand::OperatorKey { tenant, name, key } => {
            created(&key.client(url)?.post(&path(&tenant, "/keys"), &json!({ "name": name })).await?, "key", out)
        }
        TenantsCommand::HostKey { name, config } => {
            let key = crate::create_host_key(*config, name).await.map_err(|error| super::failed(&error))?;
            created(&Reply { status: 201, body: json!({ "key": key }).to_string() }, "key", out)
        }
    }
}

fn list(reply: &Reply, out: Output) -> Result<(), Failure> {
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let mut table = Table::new(["TENANT", "CREATED", "SUSPENDED"]);
    for tenant in reply.items::<Tenant>()?.0 {
        table.row(tenant.cells());
    }
    Ok(out.table(&table, "No tenants.")?)
}

fn show(reply: &Reply, out: Output) -> Result<(), Failure> {
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let mut table = Table::new(["TENANT", "CREATED", "SUSPENDED"]);
    table.row(reply.parse::<Tenant>()?.cells());
    Ok(out.table(&table, "")?)
}

impl Tenant {
    fn cells(self) -> [String; 3] {
        let suspended = self.suspended_at.map_or_else(|| "no".into(), |at| time::relative(&at, time::now()));
        [self.tenant, time::relative(&self.created_at, time::now()), suspended]
    }
}
