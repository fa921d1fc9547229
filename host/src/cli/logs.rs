//! `countersign logs`: what an agent wrote to its standard output and error.

use super::api::{Execution, LogLine};
use super::client::{Client, segment};
use super::events::{Backoff, Events};
use super::failure::Failure;
use super::output::{Output, Style};
use super::text::clean;

/// The options of `countersign logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "With --json: the API's page; with --json --follow: one JSON document per line.

Examples:
  countersign logs exec_…
  countersign logs exec_… --follow")]
pub(crate) struct LogsArgs {
    /// The execution
    #[arg(value_name = "EXECUTION")]
    id: String,
    /// Go on until the execution has finished
    #[arg(long, short)]
    follow: bool,
}

/// Prints an execution's log.
pub(crate) async fn logs(args: &LogsArgs, client: &Client, out: Output) -> Result<(), Failure> {
    let path = format!("/v1/executions/{}", segment(&args.id));
    if args.follow {
        return follow(args, &path, client, out).await;
    }
    let reply = client.list(&format!("{path}/logs")).await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let (lines, _) = reply.items::<LogLine>()?;
    if lines.is_empty() {
        out.note("It has written nothing.");
    }
    lines.iter().try_for_each(|line| print(line, out))
}

async fn follow(args: &LogsArgs, path: &str, client: &Client, out: Output) -> Result<(), Failure> {
    let mut events = Events::new(client.clone(), &args.id);
    let mut backoff = Backoff::new();
    loop {
        match events.next().await {
            Ok(Some(event)) if event.kind == "log" => {
                backoff.reset();
                if out.json {
                    out.document(&event.data)?;
                } else if let Ok(line) = serde_json::from_str(&event.data) {
                    print(&line, out)?;
                }
            }
            Ok(Some(_)) => backoff.reset(),
            Ok(None) => {
                // The stream of a finished execution ends; so does that of a host that stops.
                let finished = client.get(path).await.and_then(|reply| reply.parse::<Execution>());
                match finished {
                    Ok(execution) if execution.status.is_finished() => return Ok(()),
                    Ok(_) => backoff.pause().await,
                    Err(failure) => try_on(failure, &mut backoff, out).await?,
                }
            }
            Err(failure) => try_on(failure, &mut backoff, out).await?,
        }
    }
}

async fn try_on(failure: Failure, backoff: &mut Backoff, out: Output) -> Result<(), Failure> {
    if !failure.is_passing() {
        return Err(failure);
    }
    if backoff.is_news() {
        out.note(&format!("{failure}; trying on"));
    }
    backoff.pause().await;
    Ok(())
}

fn print(line: &LogLine, out: Output) -> Result<(), Failure> {
    let text = clean(&line.text);
    let text = if line.stream == "stderr" { out.paint(Style::Open, &format!("stderr: {text}")) } else { text };
    Ok(out.line(&text)?)
}
