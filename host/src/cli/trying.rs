//! `countersign try`: runs an agent in memory; its asks are answered by whoever sits at the terminal, or by a file.

mod session;
pub(super) mod setup;
mod terminal;

use std::path::PathBuf;

use self::session::{Session, Stopped};
use self::setup::Given;
use super::asks;
use super::divergence;
use super::failure::{Exit, Failure};
use super::local;
use super::output::Output;
use super::text::{clean_lines, shell_word};
use crate::execution;
use crate::trial::Trial;
use crate::trial::answers::Answers;
use crate::trial::recording::Recording;

/// The options of `countersign try`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Needs no host, no database and no model. The result goes to standard output, all else to standard
error; with --json the journal goes to standard output. Answers files: see docs/testing.md.

Examples:
  countersign try hello.wasm --function announce --input '{\"brief\":\"Our spring sale\"}'
  countersign try hello.wasm --function announce --input @brief.json --answers answers.json
  # Once more, with the same input, seed, start and answers; then on from there:
  countersign try hello.wasm --answers hello.journal.json"
)]
pub(crate) struct TryArgs {
    /// The component; or a project's folder, whose dist/ holds it
    #[arg(value_name = "FILE.wasm|DIR")]
    component: PathBuf,
    /// What to run [default: that of the journal in --answers; or the only function]
    #[arg(long, value_name = "FUNCTION")]
    function: Option<String>,
    /// The function's input [default: that of the journal in --answers; or {}]
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: Option<String>,
    /// A journal, or a list of answers; what it does not answer, the terminal is asked
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Where to write the journal [default: FILE.journal.json beside FILE.wasm]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Where random numbers come from: 64 hexadecimal digits [default: chance]
    #[arg(long, value_name = "HEX")]
    seed: Option<String>,
    /// What the agent's clocks show first [default: now]
    #[arg(long, value_name = "TIME")]
    started: Option<String>,
    /// The id that the agent is told [default: a fresh one]
    #[arg(long, value_name = "ID")]
    execution_id: Option<String>,
    /// Really wait while the agent sleeps
    #[arg(long)]
    real_time: bool,
}

/// Runs an agent in memory.
pub(crate) async fn run(args: &TryArgs, out: Output) -> Result<Exit, Failure> {
    let given = args.answers.as_deref().map(Given::read).transpose()?;
    let journal = setup::journal_path(args)?;
    let local = local::load(&args.component, out).await?;
    let (recorded, answers) = match given {
        None => (None, None),
        Some(Given::Recording(recording)) => (Some(*recording), Some(Answers::default())),
        Some(Given::Entries(entries)) => {
            let start = setup::start(args, None, &local)?;
            (Some(Recording { entries, digest: None, ..start }), Some(Answers::default()))
        }
        Some(Given::Answers(answers)) => (None, Some(answers)),
    };
    let mut recording = setup::start(args, recorded.as_ref(), &local)?;
    let entries = recorded.as_ref().map_or(&[][..], |recorded| &recorded.entries);
    let same = recorded.as_ref().is_some_and(|recorded| recorded.digest.as_ref() == Some(&local.digest));

    let mut trial = Trial::start(&local.component, setup::call(&recording, !entries.is_empty())).await;
    let replayed = divergence::replay(&mut trial, entries, same, |step, log| {
        if let Some((seq, entry)) = step
            && let Some(ask) = divergence::parse(&entry.ask)
        {
            out.note(&asks::step(seq, &ask, &entry.answer));
        }
        log.iter().for_each(|line| out.note(&asks::log_line(line)));
    });
    if let Err(divergence) = replayed.await {
        return diverged(&divergence, out);
    }
    let mut session = Session::new(trial, answers, args.real_time, out);
    let stopped = session.run().await;
    recording.entries = session.entries().to_vec();
    recording.end = session.end();
    // What somebody has answered is kept, whatever comes after it.
    if stopped.is_ok() || recording.entries.len() > entries.len() {
        setup::save(&recording, &journal)?;
    }
    let stopped = stopped?;
    let place = shell_word(&journal.display().to_string());
    match (&recording.end, stopped) {
        (None, Some(Stopped { op, ask })) => Err(Failure::Usage(format!(
            "nobody answers ask {op} ({ask}). What was answered is in {place}; go on from there: countersign try {} \
             --answers {place}",
            shell_word(&args.component.display().to_string()),
        ))),
        _ => {
            session.tell_unused();
            out.note(&format!("the journal is in {place}"));
            report(&recording, out)
        }
    }
}

/// Tells where an agent left its recording.
pub(super) fn diverged(divergence: &divergence::Divergence, out: Output) -> Result<Exit, Failure> {
    if out.json {
        out.document(&serde_json::json!({"replays": false, "divergence": divergence.to_json()}).to_string())?;
    } else {
        out.line(&clean_lines(&divergence.to_text()))?;
    }
    Ok(Exit::Failed)
}

fn report(recording: &Recording, out: Output) -> Result<Exit, Failure> {
    if out.json {
        let text = recording.to_text().map_err(|why| Failure::Failed(why.to_string()))?;
        out.document(text.trim_end())?;
    }
    match &recording.end {
        Some(Ok(result)) => {
            if !out.json {
                out.document(result)?;
            }
            Ok(Exit::Ok)
        }
        Some(Err(failure)) => {
            tell_failure(failure, out);
            Ok(Exit::Failed)
        }
        None => Ok(Exit::Failed),
    }
}

/// Tells why an execution failed.
pub(super) fn tell_failure(failure: &execution::Failure, out: Output) {
    out.note(&format!("failed: {} ({})", failure.message, failure.code));
    if let Some(detail) = &failure.detail {
        out.note(detail);
    }
}
