//! `countersign pauses` and `countersign decide`: the reviewer's side.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::api::{Decided, Decision, Pause, PauseStatus};
use super::client::{Client, segment, with_query};
use super::failure::Failure;
use super::output::{Output, Style};
use super::run::read_json;
use super::table::Table;
use super::text::{clean, shell_word};
use super::time;

/// The options of `countersign pauses`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign pauses
  countersign pauses --status decided
  countersign --json pauses | jq -r '.items[].id'")]
pub(crate) struct PausesArgs {
    /// Which pauses
    #[arg(long, value_enum, default_value = "open")]
    status: PauseStatus,
    /// Only those of this execution
    #[arg(long, value_name = "ID")]
    execution: Option<String>,
    /// Only those at which this reviewer is asked, or whoever may decide
    #[arg(long, value_name = "NAME")]
    reviewer: Option<String>,
}

/// The options of `countersign decide`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The first decision stands. The same one again is a duplicate, and fine; another one is refused.

Examples:
  countersign decide exec_…:draft-review approved
  countersign decide exec_…:draft-review approved --feedback 'Name the launch date.'
  countersign decide exec_…:budget approved --response '{\"limit\":500}'"
)]
pub(crate) struct DecideArgs {
    /// The pause, as `countersign pauses` lists it
    #[arg(value_name = "PAUSE")]
    pause: String,
    /// One of the pause's choices; mostly approved, rejected or request_changes
    #[arg(value_name = "DECISION")]
    decision: String,
    /// What you have to say; the agent gets it
    #[arg(long, value_name = "TEXT")]
    feedback: Option<String>,
    /// The filled-in form, if the pause has one
    #[arg(long, value_name = "JSON|@FILE|-")]
    response: Option<String>,
}

#[derive(Serialize)]
struct Decide<'a> {
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Box<RawValue>>,
}

/// Lists pauses, oldest first.
pub(crate) async fn pauses(args: &PausesArgs, client: &Client, out: Output) -> Result<(), Failure> {
    let query = [
        ("status", Some(args.status.word())),
        ("execution", args.execution.as_deref()),
        ("reviewer", args.reviewer.as_deref()),
    ];
    let reply = client.list(&with_query("/v1/pauses", &query)).await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let (pauses, _) = reply.items::<Pause>()?;
    let now = time::now();
    let open = args.status == PauseStatus::Open;
    let mut table = Table::new(["PAUSE", "OPENED", if open { "EXPIRES" } else { "DECISION" }, "WHO", "ABOUT"]);
    let example = pauses.first().map(decide_command);
    for pause in pauses {
        let about = about(&pause);
        let expires = || pause.expires_at.as_deref().map_or_else(|| "never".into(), |at| time::relative(at, now));
        let decision = || pause.decision.as_ref().map_or_else(|| pause.status.word().into(), |d| d.decision.clone());
        table.row([
            pause.id.clone(),
            pause.opened_at.as_deref().map_or_else(|| "not yet".into(), |at| time::relative(at, now)),
            if open { expires() } else { decision() },
            who(&pause),
            about,
        ]);
    }
    out.table(&table, &format!("No {} pauses.", args.status.word()))?;
    if let Some(example) = example.filter(|_| open) {
        out.note(&format!("\nDecide one like this:\n  {example}"));
    }
    Ok(())
}

/// Who has decided so far, and who is asked while it is open.
fn who(pause: &Pause) -> String {
    let votes = pause.votes.iter().map(|vote| format!("{}: {}", vote.reviewer, vote.decision));
    let voted: Vec<String> = votes.collect();
    if pause.status == PauseStatus::Open {
        let asked = if pause.asked.is_empty() { "anyone".into() } else { pause.asked.join(", ") };
        let so_far = if voted.is_empty() { String::new() } else { format!(" ({})", voted.join(", ")) };
        return format!("{asked}{so_far}");
    }
    let reviewer = pause.decision.as_ref().and_then(|decision| decision.reviewer.clone());
    if voted.is_empty() { reviewer.unwrap_or_else(|| "-".into()) } else { voted.join(", ") }
}

/// What a pause is about, in a few words.
pub(crate) fn about(pause: &Pause) -> String {
    let target = match (&pause.agent, &pause.function) {
        (Some(agent), Some(function)) => format!("{agent}.{function}"),
        _ => String::new(),
    };
    pause.title.clone().or_else(|| pause.approval_request_url.clone()).unwrap_or(target)
}

/// Several lines that tell of an open pause and how to decide it. Not cleaned yet.
pub(crate) fn invitation(pause: &Pause) -> String {
    let expires = pause
        .expires_at
        .as_deref()
        .map(|at| format!(" (expires {})", time::relative(at, time::now())))
        .unwrap_or_default();
    let mut text = format!("waiting for a decision: {}{expires}", clean(&about(pause)));
    if let Some(url) = pause.approval_request_url.as_deref().filter(|_| pause.title.is_some()) {
        text.push_str(&format!("\n  {}", clean(url)));
    }
    text.push_str(&format!("\n  {}", decide_command(pause)));
    text
}

/// A command to copy. A choice is a text of the agent, so it is quoted for the shell.
fn decide_command(pause: &Pause) -> String {
    let choice = pause.choices.first().map_or("approved", String::as_str);
    format!("countersign decide {} {} --feedback '…'", shell_word(&clean(&pause.id)), shell_word(&clean(choice)))
}

/// Decides a pause.
pub(crate) async fn decide(args: &DecideArgs, client: &Client, out: Output) -> Result<(), Failure> {
    let response = args.response.as_deref().map(|argument| read_json("--response", argument)).transpose()?;
    let body = Decide { decision: &args.decision, feedback: args.feedback.as_deref(), response };
    let path = format!("/v1/pauses/{}/decision", segment(&args.pause));
    let reply = match client.post(&path, &body).await {
        Err(Failure::Refused(mut refusal)) if refusal.code == "already_decided" => {
            refusal.message.push_str(&first_decision(&refusal.body));
            return Err(Failure::Refused(refusal));
        }
        other => other?,
    };
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let decided: Decided = reply.parse()?;
    let pause = clean(&decided.pause.id);
    let outcome = out.paint(Style::Good, &clean(&decided.outcome));
    if decided.pause.status == PauseStatus::Open {
        out.line(&format!("{outcome}: {pause} needs more votes"))?;
        out.note(&clean(&who(&decided.pause)));
        return Ok(());
    }
    let decision = decided.pause.decision.map_or_else(|| args.decision.clone(), |decision| decision.decision);
    out.line(&format!("{outcome}: {pause} is {}", clean(&decision)))?;
    if decided.pause.status == PauseStatus::Early {
        out.note("the agent has not paused yet; it gets the decision when it does");
    }
    Ok(())
}

/// What the decision was that came first, from the body of `already_decided`.
fn first_decision(body: &str) -> String {
    #[derive(Deserialize)]
    struct Body {
        decided: Decision,
    }
    let Ok(Body { decided }) = serde_json::from_str(body) else { return String::new() };
    let who = decided.reviewer.or(decided.via).map(|who| format!(" by {who}")).unwrap_or_default();
    let when = decided.decided_at.map(|at| format!(", {}", time::relative(&at, time::now()))).unwrap_or_default();
    format!(" First decision: {}{who}{when}.", decided.decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(value: serde_json::Value) -> Pause {
        serde_json::from_value(value).expect("a pause")
    }

    #[test]
    fn the_command_to_copy_cannot_be_turned_against_its_user() {
        let pause = pause(serde_json::json!({
            "id": "exec_1:draft", "status": "open", "choices": ["$(reboot)\u{1b}'"], "title": "Look:\nrm -rf"
        }));
        assert_eq!(
            invitation(&pause),
            "waiting for a decision: Look: rm -rf\n  countersign decide exec_1:draft '$(reboot)'\\''' --feedback '…'"
        );
    }

    #[test]
    fn the_first_decision_is_told() {
        let body = r#"{"error":{"code":"already_decided"},"decided":{"decision":"rejected","via":"key:k"}}"#;
        assert_eq!(first_decision(body), " First decision: rejected by key:k.");
        assert_eq!(first_decision("no JSON"), "");
    }
}
