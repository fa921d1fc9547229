//! `countersign replay`: holds a component against the journal of an execution.

mod download;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::asks;
use super::client::Client;
use super::divergence::{self, end_json};
use super::failure::{Exit, Failure};
use super::local::{self, Local};
use super::output::{Output, Style};
use super::text::{clean, clip};
use super::trying::{self, setup};
use crate::execution::{self, is_execution_id};
use crate::trial::Trial;
use crate::trial::recording::Recording;

/// How much of a result is shown, in characters, and how many open asks.
const SHOWN: usize = 400;
const OPEN_SHOWN: usize = 10;

/// The options of `countersign replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is asked and nothing is started: every answer is taken from the journal. The exit code is 0
if the component asks all that the journal answers, and ends as recorded; else 1.

Examples:
  countersign replay recorded.journal.json --component dist/hello.wasm
  countersign replay exec_… --component dist/hello.wasm -v
  # Keep the journal of a real execution as a test:
  countersign replay exec_… --component dist/hello.wasm --journal tests/launch.journal.json"
)]
pub(crate) struct ReplayArgs {
    /// A journal that `try` or `replay` has written; or an execution of the host
    #[arg(value_name = "JOURNAL-FILE|EXECUTION")]
    source: String,
    /// The component; or a project's folder, whose dist/ holds it
    #[arg(long, value_name = "FILE.wasm|DIR")]
    component: PathBuf,
    /// Also write the journal to this file, as it was recorded
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Show every step and what the agent prints
    #[arg(long, short)]
    verbose: bool,
}

/// Replays a recording on a component.
pub(crate) async fn run(
    args: &ReplayArgs,
    client: impl Fn() -> Result<Client, Failure>,
    out: Output,
) -> Result<Exit, Failure> {
    let recording = if is_execution_id(&args.source) {
        download::recording(&client()?, &args.source).await?
    } else {
        let text = setup::read_text(args.source.as_ref())?;
        Recording::parse(&text).map_err(|why| Failure::Usage(format!("{}: {why}", args.source)))?
    };
    if let Some(path) = &args.journal {
        setup::save(&recording, path)?;
    }
    let local = local::load(&args.component, out).await?;
    setup::function(&local.manifest, Some(&recording.function))?;
    let same = recording.digest.as_ref() == Some(&local.digest);
    if let Some(digest) = recording.digest.as_ref().filter(|_| !same) {
        out.note(&format!("recorded with {}; replayed with {}", clean(digest), local.digest));
    }
    let replayed = replay(&recording, &local, same, args.verbose, out).await;
    match replayed {
        Ok(trial) => report(&trial, &recording, out),
        Err(divergence) => trying::diverged(&divergence, out),
    }
}

async fn replay(
    recording: &Recording,
    local: &Local,
    same: bool,
    verbose: bool,
    out: Output,
) -> Result<Trial, divergence::Divergence> {
    let mut trial = Trial::start(&local.component, setup::call(recording, true)).await;
    let replayed = divergence::replay(&mut trial, &recording.entries, same, |step, log| {
        if !verbose {
            return;
        }
        if let Some((seq, entry)) = step
            && let Some(ask) = divergence::parse(&entry.ask)
        {
            out.note(&asks::step(seq, &ask, &entry.answer));
        }
        log.iter().for_each(|line| out.note(&asks::log_line(line)));
    });
    replayed.await.map(|()| trial)
}

/// Tells what came after the last entry, and whether it came as recorded.
fn report(trial: &Trial, recording: &Recording, out: Output) -> Result<Exit, Failure> {
    let end = trial.end();
    let differs = recording.end.as_ref().is_some_and(|recorded| !same_end(recorded, end.as_ref()));
    let exit = if differs { Exit::Failed } else { Exit::Ok };
    let entries = recording.entries.len();
    if out.json {
        let open: Vec<Value> = trial
            .questions()
            .map(|question| json!({"op": question.op, "ask": serde_json::to_value(&*question.ask).unwrap_or_default()}))
            .collect();
        let document = json!({
            "replays": !differs,
            "entries": entries,
            "end": end.as_ref().map(end_json),
            "recorded_end": recording.end.as_ref().map(end_json),
            "asks": open,
        });
        out.document(&document.to_string())?;
        return Ok(exit);
    }
    let noun = if entries == 1 { "entry" } else { "entries" };
    out.line(&format!("replays {entries} {noun}; then it {}", then(trial, end.as_ref())))?;
    if differs {
        let recorded = recording.end.as_ref().map(ended).unwrap_or_default();
        out.line(&out.paint(Style::Bad, &format!("but when it was recorded, it then {recorded}")))?;
    }
    Ok(exit)
}

fn then(trial: &Trial, end: Option<&Result<String, execution::Failure>>) -> String {
    if let Some(end) = end {
        return ended(end);
    }
    let names: Vec<String> = trial
        .questions()
        .take(OPEN_SHOWN)
        .map(|question| {
            let about = asks::about(&question.ask).map(|about| format!(": {}", clip(&clean(about), 60)));
            format!("{}{}", asks::name(&question.ask), about.unwrap_or_default())
        })
        .collect();
    if names.is_empty() {
        // A host answers by itself what is open now.
        return "goes on by itself".into();
    }
    let more = trial.questions().count().saturating_sub(OPEN_SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("asks {}{more}", names.join(", "))
}

fn ended(end: &Result<String, execution::Failure>) -> String {
    match end {
        Ok(result) => format!("returned {}", clip(&clean(result), SHOWN)),
        Err(failure) => format!("failed: {} ({})", clip(&clean(&failure.message), SHOWN), clean(&failure.code)),
    }
}

/// Whether an execution ended as it was recorded.
///
/// What a host is to blame for says nothing of the component, nor does a mismatch: that is what a replay finds out.
fn same_end(recorded: &Result<String, execution::Failure>, end: Option<&Result<String, execution::Failure>>) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (recorded, end) {
        (Err(failure), _) if matches!(failure.code.as_str(), "host_failure" | "mismatch") => true,
        (Ok(recorded), Some(Ok(result))) => value(recorded) == value(result),
        // A trap's message has addresses in it; what the agent says itself is in the detail.
        (Err(recorded), Some(Err(failure))) => {
            let detail = |failure: &execution::Failure| failure.detail.as_deref().map(value);
            recorded.code == failure.code && detail(recorded) == detail(failure)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::Failure as Failed;

    #[test]
    fn an_end_is_the_same_if_it_means_the_same() {
        let result = |text: &str| Ok::<_, Failed>(text.to_owned());
        assert!(same_end(&result(r#"{"a":1,"b":2}"#), Some(&result(r#"{ "b": 2, "a": 1 }"#))));
        assert!(!same_end(&result("1"), Some(&result("2"))));
        assert!(!same_end(&result("1"), None));
        let failed = |detail: &str| Err::<String, _>(Failed::agent(detail));
        assert!(same_end(&failed(r#"{"code":"a"}"#), Some(&failed(r#"{"code": "a"}"#))));
        assert!(!same_end(&failed(r#"{"code":"a"}"#), Some(&failed(r#"{"code":"b"}"#))));
        assert!(same_end(&Err(Failed::guest("trap", "at 0x1")), Some(&Err(Failed::guest("trap", "at 0x2")))));
        assert!(same_end(&Err(Failed::host("host_failure", "")), None));
    }
}
