//! `countersign limits` and `countersign tenants limits`.

use clap::Args;
use serde_json::{Map, Value};

use super::client::{Client, segment};
use super::failure::Failure;
use super::output::Output;
use super::table::Table;

/// Which limits of an agent to show or lower.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign limits writer
  countersign limits writer asks=500 memory_bytes=67108864
  countersign limits writer asks=default")]
pub(crate) struct LimitsArgs {
    /// The agent
    #[arg(value_name = "AGENT")]
    agent: String,
    #[command(flatten)]
    changes: Changes,
}

/// Which limits and quotas of a tenant to show or set.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign tenants limits acme
  countersign tenants limits acme unfinished=1000 starts_per_second=20
  countersign tenants limits acme unfinished=default")]
pub(crate) struct TenantLimitsArgs {
    /// The tenant
    #[arg(value_name = "NAME")]
    tenant: String,
    #[command(flatten)]
    changes: Changes,
}

/// What to set beside what is set already.
#[derive(Debug, Args)]
struct Changes {
    /// Sets one; `NAME=default` takes what was set away. docs/limits.md lists the names
    #[arg(value_name = "NAME=VALUE", value_parser = change)]
    changes: Vec<(String, Option<u64>)>,
}

fn change(text: &str) -> Result<(String, Option<u64>), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    let value = match value {
        "default" => None,
        number => Some(number.parse().map_err(|_| "the value must be a whole number, or `default`")?),
    };
    Ok((name.to_owned(), value))
}

/// Shows or lowers what executions of an agent may use.
pub(crate) async fn of_agent(args: &LimitsArgs, client: &Client, out: Output) -> Result<(), Failure> {
    change_and_show(&format!("/v1/agents/{}/limits", segment(&args.agent)), &args.changes, client, out).await
}

/// Shows or sets what a tenant may use.
pub(crate) async fn of_tenant(args: &TenantLimitsArgs, client: &Client, out: Output) -> Result<(), Failure> {
    change_and_show(&format!("/v1/tenants/{}/limits", segment(&args.tenant)), &args.changes, client, out).await
}

async fn change_and_show(path: &str, changes: &Changes, client: &Client, out: Output) -> Result<(), Failure> {
    let mut reply = client.get(path).await?;
    if !changes.changes.is_empty() {
        let mut body: Value = reply.parse()?;
        let mut set = body["set"].as_object_mut().map(std::mem::take).unwrap_or_default();
        apply(&mut set, &changes.changes);
        reply = client.put(path, &set).await?;
    }
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let body: Value = reply.parse()?;
    let mut table = Table::new(["NAME", "VALUE", "SET"]);
    for (name, value) in body["effective"].as_object().into_iter().flatten() {
        let set = body["set"].get(name).map(Value::to_string).unwrap_or_default();
        table.row([name.clone(), value.to_string(), set]);
    }
    Ok(out.table(&table, "No limits.")?)
}

fn apply(set: &mut Map<String, Value>, changes: &[(String, Option<u64>)]) {
    for (name, value) in changes {
        match value {
            Some(value) => drop(set.insert(name.clone(), (*value).into())),
            None => drop(set.remove(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_a_name_with_a_number_or_with_default() {
        assert_eq!(change("asks=7"), Ok(("asks".into(), Some(7))));
        assert_eq!(change("asks=default"), Ok(("asks".into(), None)));
        for bad in ["asks", "asks=", "asks=-1", "asks=1.5", "asks=many"] {
            assert!(change(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_changed_stays_as_it_was_set() {
        let mut set = json!({"asks": 7, "pauses": 8}).as_object().unwrap().clone();
        apply(&mut set, &[change("asks=default").unwrap(), change("handles=10").unwrap()]);
        assert_eq!(Value::from(set), json!({"handles": 10, "pauses": 8}));
    }
}
