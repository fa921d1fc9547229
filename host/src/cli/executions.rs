//! `countersign ps` and `countersign cancel`.

use super::api::{Execution, Status};
use super::client::{Client, segment, with_query};
use super::failure::Failure;
use super::output::{Output, Style};
use super::table::Table;
use super::time;

/// How many executions are listed without `--all`.
const RECENT: &str = "50";

/// The options of `countersign ps`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign ps
  countersign ps --status waiting --agent content-pipeline
  countersign --json ps --status failed --all | jq -r '.items[].id'")]
pub(crate) struct PsArgs {
    /// Only executions of this status
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Only executions of this agent
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// All of them, not just the 50 newest
    #[arg(long)]
    all: bool,
}

/// The options of `countersign cancel`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Cancels what it called, too. Cancelling again changes nothing; a finished execution is refused.

Examples:
  countersign cancel exec_…"
)]
pub(crate) struct CancelArgs {
    /// The execution
    #[arg(value_name = "EXECUTION")]
    id: String,
}

/// Lists executions, newest first.
pub(crate) async fn ps(args: &PsArgs, client: &Client, out: Output) -> Result<(), Failure> {
    let query = [("status", args.status.map(Status::word)), ("agent", args.agent.as_deref())];
    let path = with_query("/v1/executions", &query);
    let reply = if args.all {
        client.list(&path).await?
    } else {
        client.get(&with_query(&path, &[("limit", Some(RECENT))])).await?
    };
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let (executions, next) = reply.items::<Execution>()?;
    let now = time::now();
    let mut table = Table::new(["EXECUTION", "STATUS", "CREATED", "FUNCTION"]);
    for execution in executions {
        table.row([
            execution.id,
            execution.status.word().to_owned(),
            time::relative(&execution.created_at, now),
            format!("{}.{} v{}", execution.agent, execution.function, execution.version),
        ]);
    }
    out.table(&table, "No such executions.")?;
    if next.is_some() {
        out.note("There are more: --all lists them.");
    }
    Ok(())
}

/// Cancels an execution.
pub(crate) async fn cancel(args: &CancelArgs, client: &Client, out: Output) -> Result<(), Failure> {
    let request = client.request(reqwest::Method::POST, &format!("/v1/executions/{}/cancel", segment(&args.id)));
    let reply = client.send(request).await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let execution: Execution = reply.parse()?;
    let status = out.paint(Style::Bad, execution.status.word());
    Ok(out.line(&format!("{} is {status}", execution.id))?)
}
