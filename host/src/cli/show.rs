//! `countersign show`: one execution and its journal, as a timeline.

use serde_json::Value;
use serde_json::value::RawValue;

use super::api::{Entry, Execution, Pause};
use super::client::{Client, Reply, segment, with_query};
use super::failure::Failure;
use super::output::{Output, Style};
use super::pauses;
use super::text::{WIDTH, clean, clean_lines, clip, wrap};
use super::time;

/// How much of a text in the journal is shown without `--full`, in characters.
const SHOWN: usize = 400;

/// The options of `countersign show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "With --json: {\"execution\":{…},\"journal\":[…]}.

Examples:
  countersign show exec_…
  countersign --json show exec_… | jq '.journal[].ask.kind'")]
pub(crate) struct ShowArgs {
    /// The execution
    #[arg(value_name = "EXECUTION")]
    id: String,
    /// Show long texts in full
    #[arg(long)]
    full: bool,
}

/// Shows an execution and its journal.
pub(crate) async fn show(args: &ShowArgs, client: &Client, out: Output) -> Result<(), Failure> {
    let path = format!("/v1/executions/{}", segment(&args.id));
    let reply = client.get(&path).await?;
    let journal = client.list(&format!("{path}/journal")).await?;
    if out.json {
        return Ok(out.document(&document(&reply, &journal)?)?);
    }
    let execution: Execution = reply.parse()?;
    let (entries, _) = journal.items::<Entry>()?;
    let shown = if args.full { usize::MAX } else { SHOWN };
    head(&execution, out)?;
    let start = time::parse(&execution.created_at).unwrap_or_default();
    let mut timeline = Timeline { out, start, shown };
    timeline.moment(&execution.created_at, "created", "with the input")?;
    timeline.quote(execution.input.as_deref().map_or("null", RawValue::get))?;
    for entry in &entries {
        timeline.entry(entry)?;
    }
    tail(&mut timeline, &execution, client).await
}

fn document(execution: &Reply, journal: &Reply) -> Result<String, Failure> {
    let (entries, _) = journal.items::<Box<RawValue>>()?;
    let entries: Vec<&str> = entries.iter().map(|entry| entry.get()).collect();
    Ok(format!(r#"{{"execution":{},"journal":[{}]}}"#, execution.body, entries.join(",")))
}

fn head(execution: &Execution, out: Output) -> Result<(), Failure> {
    let status = out.paint(execution.status.style(), execution.status.word());
    out.line(&format!("{}  {status}", out.paint(Style::Heading, &clean(&execution.id))))?;
    let mut facts = vec![
        format!("{}.{} version {}", execution.agent, execution.function, execution.version),
        format!("created {}", time::relative(&execution.created_at, time::now())),
    ];
    facts.extend(execution.started_at.is_none().then(|| "not started".to_owned()));
    facts.push(format!("attempts {}", execution.attempts));
    facts.push(format!("journal entries {}", execution.entries));
    out.line(&clean(&facts.join(", ")))?;
    if let Some(parent) = &execution.parent {
        out.line(&format!("called by {}", clean(parent)))?;
    }
    Ok(out.line("")?)
}

/// How it ended, or what it waits for.
async fn tail(timeline: &mut Timeline, execution: &Execution, client: &Client) -> Result<(), Failure> {
    let at = execution.finished_at.as_deref().unwrap_or_default();
    if execution.status.is_finished() {
        timeline.moment(at, execution.status.word(), "")?;
    }
    if let Some(result) = &execution.result {
        timeline.quote(result.get())?;
    }
    if let Some(error) = &execution.error {
        timeline.quote(&format!("{} ({}): {}", error.code, error.blame, error.message))?;
        if let Some(detail) = &error.detail {
            timeline.quote(&detail.to_string())?;
        }
    }
    let Some(waiting) = execution.waiting_for.as_ref().filter(|_| !execution.status.is_finished()) else {
        return Ok(());
    };
    timeline.out.line("")?;
    for call in &waiting.calls {
        timeline.out.line(&format!("waiting for {}", clean(call)))?;
    }
    if !waiting.pauses.is_empty() {
        let query = [("status", Some("open")), ("execution", Some(execution.id.as_str()))];
        let (open, _) = client.get(&with_query("/v1/pauses", &query)).await?.items::<Pause>()?;
        for pause in &open {
            timeline.out.line(&clean_lines(&pauses::invitation(pause)))?;
        }
    } else if let Some(until) = &waiting.until {
        timeline.out.line(&format!("waiting for a time: {}", clean(&time::relative(until, time::now()))))?;
    }
    Ok(())
}

/// Prints what happened when.
struct Timeline {
    out: Output,
    start: i64,
    shown: usize,
}

/// The width of the columns of the time and the kind.
const INDENT: usize = 20;

impl Timeline {
    /// A line of the timeline: when, what, and what about it.
    fn moment(&self, at: &str, what: &str, about: &str) -> Result<(), Failure> {
        let when = time::parse(at).map(|at| time::offset_column(self.start, at)).unwrap_or_default();
        let when = self.out.paint(Style::Aside, &format!("{when:>9}"));
        let what = self.out.paint(Style::Heading, &format!("{what:<9}"));
        Ok(self.out.line(format!("{when} {what} {}", clip(&clean(about), WIDTH - INDENT)).trim_end())?)
    }

    /// A text under a moment.
    fn quote(&self, text: &str) -> Result<(), Failure> {
        let text = clip(&clean_lines(text), self.shown);
        for line in wrap(&text, WIDTH - INDENT - 2) {
            self.out.line(format!("{:INDENT$}│ {line}", "").trim_end())?;
        }
        Ok(())
    }

    fn entry(&self, entry: &Entry) -> Result<(), Failure> {
        let told = Told::of(&entry.ask, &entry.answer);
        self.moment(&entry.at, told.what, &told.about)?;
        if let Some(asked) = &told.asked {
            self.quote(asked)?;
        }
        if told.answered.is_some() && told.asked.is_some() {
            self.out.line(&format!("{:INDENT$}→", ""))?;
        }
        if let Some(answered) = &told.answered {
            self.quote(answered)?;
        }
        Ok(())
    }
}

/// What a journal entry says, in words.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) what: &'static str,
    pub(crate) about: String,
    pub(crate) asked: Option<String>,
    pub(crate) answered: Option<String>,
}

impl Told {
    pub(crate) fn of(ask: &Value, answer: &Value) -> Self {
        let text = |name: &str| ask.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let answered = |name: &str| Some(find(answer, name).map_or_else(|| compact(answer), str::to_owned));
        match ask.get("kind").and_then(Value::as_str) {
            Some("ai") => {
                let asked = ask.pointer("/messages").and_then(Value::as_array).and_then(|messages| messages.last());
                let asked = asked.and_then(|message| message.get("content")).and_then(Value::as_str);
                let model = find(answer, "model").map(|model| format!("asked {model}")).unwrap_or_default();
                Self { what: "model", about: model, asked: asked.map(str::to_owned), answered: answered("text") }
            }
            Some("pause" | "wait_for_resume") => {
                let decision = find(answer, "decision").map_or_else(|| compact(answer), str::to_owned);
                let who = find(answer, "reviewer").map(|who| format!(" by {who}")).unwrap_or_default();
                let about = format!("{}: {decision}{who}", text("approval_request_id"));
                Self { what: "decision", about, asked: None, answered: find(answer, "feedback").map(str::to_owned) }
            }
            Some("call") => {
                let input = ask.get("input").map(|input| input.as_str().map_or_else(|| compact(input), str::to_owned));
                Self { what: "call", about: text("target"), asked: input, answered: answered("Ok") }
            }
            Some("sleep") => {
                let millis = ask.get("duration_ms").and_then(Value::as_u64).unwrap_or_default();
                let about = format!("slept {}.{:03} s", millis / 1_000, millis % 1_000);
                Self { what: "sleep", about, asked: None, answered: None }
            }
            _ => Self { what: "ask", about: String::new(), asked: Some(compact(ask)), answered: Some(compact(answer)) },
        }
    }
}

/// The first text called `name` in `value`, however deep: answers are wrapped in what they answer and how it went.
pub(crate) fn find<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    let object = value.as_object()?;
    object.get(name).and_then(Value::as_str).or_else(|| object.values().find_map(|inner| find(inner, name)))
}

fn compact(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_model_call_tells_question_and_answer() {
        let ask =
            json!({"kind": "ai", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]});
        let answer = json!({"ai": {"Ok": {"text": "a", "model": "m", "input_tokens": 1, "output_tokens": 2}}});
        let told = Told::of(&ask, &answer);
        assert_eq!((told.what, told.about.as_str()), ("model", "asked m"));
        assert_eq!((told.asked.as_deref(), told.answered.as_deref()), (Some("q"), Some("a")));
    }

    #[test]
    fn a_decision_tells_who_and_what() {
        let ask = json!({"kind": "pause", "approval_request_id": "draft-review"});
        let answer = json!({"review": {"Ok": {"decision": "approved", "feedback": "f", "reviewer": "Edith"}}});
        let told = Told::of(&ask, &answer);
        assert_eq!(told.about, "draft-review: approved by Edith");
        assert_eq!(told.answered.as_deref(), Some("f"));
    }

    #[test]
    fn errors_and_the_unknown_are_shown_as_they_are() {
        let told = Told::of(&json!({"kind": "ai"}), &json!({"ai": {"Err": "rate_limited"}}));
        assert_eq!(told.answered.as_deref(), Some(r#"{"ai":{"Err":"rate_limited"}}"#));
        let told = Told::of(&json!({"kind": "dance"}), &json!(null));
        assert_eq!(told.asked.as_deref(), Some(r#"{"kind":"dance"}"#));
        let told = Told::of(&json!({"kind": "sleep", "duration_ms": 1_500}), &json!("slept"));
        assert_eq!(told.about, "slept 1.500 s");
    }
}
