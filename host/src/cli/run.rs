//! `countersign run`: starts an execution and, if wanted, waits for its end.

use std::collections::HashSet;
use std::io::Read as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::api::{Execution, Pause, PauseStatus, Status};
use super::client::{Client, Reply, segment, with_query};
use super::events::{Backoff, Events};
use super::failure::{Exit, Failure};
use super::output::Output;
use super::pauses;
use super::text::clean_lines;

/// The options of `countersign run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Prints the execution's id; with --wait its result, a JSON document.

Examples:
  countersign run content-pipeline.publish_with_review --input '{\"brief\":\"Our spring sale\"}'
  countersign run publisher.publish --input @article.json --wait
  echo '{\"content\":\"Hello\"}' | countersign run publisher.publish --input - --wait 30")]
pub(crate) struct RunArgs {
    /// What to run
    #[arg(value_name = "AGENT.FUNCTION", value_parser = target)]
    target: String,
    /// The function's input: a JSON document, a file that holds one, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}", hide_default_value = true)]
    input: String,
    /// Wait for the end; at most so many seconds, if a number is given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1)]
    wait: Option<Option<u64>>,
    /// The same key and input again find the same execution: makes it safe to try again
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Serialize)]
struct Start<'a> {
    target: &'a str,
    input: Box<RawValue>,
}

fn target(text: &str) -> Result<String, String> {
    match text.split_once('.') {
        Some((agent, function)) if !agent.is_empty() && !function.is_empty() => Ok(text.to_owned()),
        _ => Err("a target is AGENT.FUNCTION, like publisher.publish".into()),
    }
}

/// Starts an execution.
pub(crate) async fn run(args: &RunArgs, client: &Client, out: Output) -> Result<Exit, Failure> {
    let start = Start { target: &args.target, input: read_json("--input", &args.input)? };
    let mut request = client.request(reqwest::Method::POST, "/v1/executions").json(&start);
    if let Some(key) = &args.idempotency_key {
        request = request.header("idempotency-key", key);
    }
    let reply = client.send(request).await?;
    let execution: Execution = reply.parse()?;
    let Some(limit) = args.wait else {
        if out.json {
            out.document(&reply.body)?;
        } else {
            out.line(&execution.id)?;
            out.note(&format!("started; look at it: countersign show {}", execution.id));
        }
        return Ok(Exit::Ok);
    };
    let finished = wait_until_finished(client, out, &execution.id);
    let reply = match limit {
        None => Some(finished.await?),
        Some(seconds) => match tokio::time::timeout(Duration::from_secs(seconds), finished).await {
            Ok(reply) => Some(reply?),
            Err(_) => None,
        },
    };
    match reply {
        Some(reply) => report(&reply, out),
        None => still_waiting(client, out, &execution.id).await,
    }
}

fn report(reply: &Reply, out: Output) -> Result<Exit, Failure> {
    let execution: Execution = reply.parse()?;
    let succeeded = execution.status == Status::Succeeded;
    if out.json {
        out.document(&reply.body)?;
    } else if succeeded {
        out.document(execution.result.as_deref().map_or("null", RawValue::get))?;
    } else {
        out.note(&format!("{} {}", execution.id, execution.status.word()));
        if let Some(error) = &execution.error {
            out.note(&format!("{} ({}): {}", error.code, error.blame, error.message));
            if let Some(detail) = &error.detail {
                out.note(&detail.to_string());
            }
        }
    }
    Ok(if succeeded { Exit::Ok } else { Exit::Failed })
}

async fn still_waiting(client: &Client, out: Output, id: &str) -> Result<Exit, Failure> {
    if out.json {
        out.document(&client.get(&format!("/v1/executions/{}", segment(id))).await?.body)?;
    }
    out.note(&format!("it goes on without us; look at it later: countersign show {id}"));
    Ok(Exit::StillWaiting)
}

/// Waits for the end of an execution, however long it takes and however often its host restarts.
///
/// Meanwhile it tells which decisions are waited for.
async fn wait_until_finished(client: &Client, out: Output, id: &str) -> Result<Reply, Failure> {
    let mut events = Events::new(client.clone(), id);
    let mut backoff = Backoff::new();
    let mut told = HashSet::new();
    loop {
        match look_and_listen(client, out, id, &mut events, &mut told).await {
            Ok(Seen::Finished(reply)) => return Ok(reply),
            Ok(Seen::Change) => backoff.reset(),
            Ok(Seen::Disconnected) => backoff.pause().await,
            Err(failure) if failure.is_passing() => {
                if backoff.is_news() {
                    out.note(&format!("{failure}; trying on"));
                }
                backoff.pause().await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

enum Seen {
    Finished(Reply),
    Change,
    Disconnected,
}

/// Looks at the execution, then waits until there is something new to look at.
async fn look_and_listen(
    client: &Client,
    out: Output,
    id: &str,
    events: &mut Events,
    told: &mut HashSet<String>,
) -> Result<Seen, Failure> {
    // Connect before looking, so that no change falls between the two.
    events.connect().await?;
    let reply = client.get(&format!("/v1/executions/{}", segment(id))).await?;
    let execution: Execution = reply.parse()?;
    if execution.status.is_finished() {
        return Ok(Seen::Finished(reply));
    }
    if execution.status == Status::Waiting && !out.json {
        tell_pauses(client, out, &execution, told).await?;
    }
    loop {
        match events.next().await? {
            Some(event) if event.kind == "status" => return Ok(Seen::Change),
            Some(_) => (),
            None => return Ok(Seen::Disconnected),
        }
    }
}

/// Tells once of each open pause of the execution and of those that it called.
async fn tell_pauses(
    client: &Client,
    out: Output,
    execution: &Execution,
    told: &mut HashSet<String>,
) -> Result<(), Failure> {
    let calls = execution.waiting_for.iter().flat_map(|waiting| &waiting.calls);
    for id in std::iter::once(&execution.id).chain(calls) {
        let path = with_query("/v1/pauses", &[("status", Some("open")), ("execution", Some(id))]);
        let (open, _) = client.get(&path).await?.items::<Pause>()?;
        for pause in open.iter().filter(|pause| pause.status == PauseStatus::Open) {
            if told.insert(pause.id.clone()) {
                out.note(&clean_lines(&pauses::invitation(pause)));
            }
        }
    }
    if told.insert(execution.id.clone()) && execution.waiting_for.as_ref().is_some_and(|w| w.pauses.is_empty()) {
        out.aside("waiting, but for no decision: for a time, or for another agent");
    }
    Ok(())
}

/// Reads a JSON document from an argument: the document itself, `@FILE`, or `-` for standard input.
pub(crate) fn read_json(option: &str, argument: &str) -> Result<Box<RawValue>, Failure> {
    let unreadable =
        |what: &str, error: std::io::Error| Failure::Usage(format!("{option}: cannot read {what}: {error}"));
    let text = if argument == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| unreadable("standard input", error))?;
        text
    } else if let Some(file) = argument.strip_prefix('@') {
        std::fs::read_to_string(file).map_err(|error| unreadable(file, error))?
    } else {
        argument.to_owned()
    };
    serde_json::from_str(&text).map_err(|error| {
        Failure::Usage(format!("{option} is no JSON document: {error}. Texts need quotes: '\"like this\"'"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_two_parts() {
        assert_eq!(target("publisher.publish"), Ok("publisher.publish".into()));
        assert!(["publisher", ".publish", "publisher."].into_iter().all(|text| target(text).is_err()));
    }

    #[test]
    fn json_is_passed_on_as_it_is() {
        let number = "12345678901234567890.10";
        assert_eq!(read_json("--input", number).expect("is JSON").get(), number);
        assert!(matches!(read_json("--input", "text"), Err(Failure::Usage(_))));
        assert!(matches!(read_json("--input", "@/no/such/file"), Err(Failure::Usage(_))));
    }
}
