//! `countersign usage` and `countersign tenants usage`.

use clap::Args;
use serde::Deserialize;

use super::client::{Client, segment};
use super::failure::Failure;
use super::output::Output;
use super::table::Table;

/// Whose usage to show.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign tenants usage acme")]
pub(crate) struct TenantUsageArgs {
    /// The tenant
    #[arg(value_name = "NAME")]
    tenant: String,
}

#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    unit: String,
    limit: u64,
    used: Option<u64>,
    about: String,
}

/// Shows what the tenant of the key uses.
pub(crate) async fn own(client: &Client, out: Output) -> Result<(), Failure> {
    show("/v1/usage", client, out).await
}

/// Shows what a tenant uses.
pub(crate) async fn of_tenant(args: &TenantUsageArgs, client: &Client, out: Output) -> Result<(), Failure> {
    show(&format!("/v1/tenants/{}/usage", segment(&args.tenant)), client, out).await
}

async fn show(path: &str, client: &Client, out: Output) -> Result<(), Failure> {
    let reply = client.get(path).await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let mut table = Table::new(["NAME", "USED", "LIMIT", "UNIT", "ABOUT"]);
    for row in reply.items::<Row>()?.0 {
        let used = row.used.map(|used| used.to_string()).unwrap_or_default();
        table.row([row.name, used, row.limit.to_string(), row.unit, row.about]);
    }
    Ok(out.table(&table, "No limits.")?)
}
