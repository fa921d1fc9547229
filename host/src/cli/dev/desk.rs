//! What `countersign dev` knows: what waits for a decision, what can be started, and what somebody is typing.
//!
//! It does no I/O: a key or a piece of news goes in, what is to be done and shown comes out.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::follow::News;
use super::screen::{Key, Prompt};
use crate::cli::api::{Execution, Function, Pause, Status};
use crate::cli::output::{Output, Style};
use crate::cli::pauses;
use crate::cli::show::Told;
use crate::cli::text::{clean, clean_lines, clip};

/// How much of a text is shown in a line, in characters.
const SHOWN: usize = 100;

/// How much of what is to be decided is shown, in characters.
const PAYLOAD_SHOWN: usize = 2_000;

/// How many executions are remembered as started; a line that appears twice does no harm.
const REMEMBERED_MAX: usize = 10_000;

/// The usual choices, and their keys.
const KEYS: [(char, &str, &str); 3] =
    [('a', "approved", "approve"), ('r', "rejected", "reject"), ('c', "request_changes", "request changes")];

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Task {
    Decide {
        pause: String,
        body: Value,
    },
    Start {
        target: String,
        input: Value,
    },
    Build,
    Quit,
    /// Tells somebody what a key leads to, or why to nothing.
    Say(String),
}

/// What is being typed, and what for.
#[derive(Debug)]
enum Asking {
    Feedback { pause: String, decision: String },
    Response { pause: String, body: Value },
    Function,
    Input { function: String },
}

pub(super) struct Desk {
    out: Output,
    agent: String,
    has_keys: bool,
    open: Vec<Pause>,
    chosen: usize,
    /// The last known status of each execution, and how many pauses it had open.
    known: HashMap<String, (Status, u64, usize)>,
    functions: Vec<Function>,
    /// The inputs that were used last, by function; and the function.
    pub(super) inputs: BTreeMap<String, Value>,
    last: Option<String>,
    asking: Option<(Asking, Prompt)>,
    /// What the tool that builds says.
    pub(super) building: Option<String>,
}

impl Desk {
    /// Knows nothing yet but the inputs that were used before.
    pub(super) fn new(out: Output, agent: &str, has_keys: bool, inputs: BTreeMap<String, Value>) -> Self {
        Self {
            out,
            agent: agent.to_owned(),
            has_keys,
            open: vec![],
            chosen: 0,
            known: HashMap::new(),
            functions: vec![],
            inputs,
            last: None,
            asking: None,
            building: None,
        }
    }

    /// The functions of the version that was deployed last.
    pub(super) fn deployed(&mut self, functions: Vec<Function>) {
        self.functions = functions;
    }

    /// What to show of a piece of news: lines, cleaned.
    pub(super) fn hear(&mut self, news: News) -> Vec<String> {
        match news {
            News::New(execution) => {
                let what = format!("{}.{} version {}", execution.agent, execution.function, execution.version);
                let about = format!("{}  {}", clean(&what), clean(&execution.id));
                vec![self.line(&execution.id, "execution", &about, Style::Heading)]
            }
            News::Status(execution, pauses) => self.status(&execution, pauses),
            News::Entry(id, entry) => {
                let told = Told::of(&entry.ask, &entry.answer);
                let mut about = clean(&told.about);
                if let Some(answer) = told.answered {
                    about.push_str(&format!("  {}", clip(&clean(&answer), SHOWN)));
                }
                vec![self.line(&id, told.what, &about, Style::Heading)]
            }
            News::Log(id, line) => {
                let style = if line.stream == "stderr" { Style::Open } else { Style::Aside };
                vec![self.line(&id, "log", &self.out.paint(style, &clean(&line.text)), style)]
            }
            News::Lost(why) => vec![self.out.paint(Style::Bad, &clean(&why))],
            News::Found => vec!["the host answers again".into()],
        }
    }

    fn status(&mut self, execution: &Execution, pauses: Vec<Pause>) -> Vec<String> {
        if self.known.len() > REMEMBERED_MAX {
            self.known.clear();
        }
        let now = (execution.status, execution.attempts, pauses.len());
        let before = self.known.insert(execution.id.clone(), now);
        if before == Some(now) {
            return vec![];
        }
        self.open.retain(|pause| pause.execution != execution.id);
        let mut lines = vec![];
        match execution.status {
            Status::Pending | Status::Running => (),
            Status::Waiting if pauses.is_empty() => {
                let about = self.out.paint(Style::Aside, "for a time, or for another agent");
                lines.push(self.line(&execution.id, "waits", &about, Style::Open));
            }
            Status::Waiting => lines.extend(pauses.iter().map(|pause| self.invite(pause))),
            Status::Succeeded | Status::Failed | Status::Cancelled => lines.push(self.ending(execution)),
        }
        if !execution.status.is_finished() {
            self.open.extend(pauses);
        }
        self.chosen = self.chosen.min(self.open.len().saturating_sub(1));
        lines
    }

    /// What is to be decided; and how, if there are no keys for it.
    fn invite(&self, pause: &Pause) -> String {
        let invitation = pauses::invitation(pause);
        let mut lines = invitation.lines();
        let first = lines.next().unwrap_or_default();
        let about = clean(first.split_once(": ").map_or(first, |(_, about)| about));
        let mut text = self.line(&pause.execution, "waits", &format!("for a decision: {about}"), Style::Open);
        for line in lines.filter(|_| !self.has_keys) {
            text.push_str(&format!("\n        {}", clean(line.trim_start())));
        }
        if let Some(payload) = &pause.payload {
            let payload = readable(payload);
            for line in clip(&clean_lines(&payload), PAYLOAD_SHOWN).lines() {
                text.push_str(&format!("\n        │ {line}"));
            }
        }
        text
    }

    fn ending(&self, execution: &Execution) -> String {
        let about = match (&execution.error, &execution.result) {
            (Some(error), _) => {
                let detail = error.detail.as_ref().map(|detail| format!("  {detail}")).unwrap_or_default();
                format!("{} ({}): {}{detail}", error.code, error.blame, error.message)
            }
            (None, Some(result)) => result.get().to_owned(),
            (None, None) => String::new(),
        };
        let about = clip(&clean_lines(&about), PAYLOAD_SHOWN);
        self.line(&execution.id, execution.status.word(), &about, execution.status.style())
    }

    /// A line about an execution. The end of its id tells it apart from the others.
    fn line(&self, id: &str, what: &str, about: &str, style: Style) -> String {
        let id = clean(id);
        let short = &id[id.char_indices().rev().nth(5).map_or(0, |(at, _)| at)..];
        let what = self.out.paint(style, &format!("{what:<9}"));
        format!("{} {what} {about}", self.out.paint(Style::Aside, short)).trim_end().to_owned()
    }

    /// The line at the bottom.
    pub(super) fn bottom(&self) -> String {
        if let Some((_, prompt)) = &self.asking {
            return prompt.line();
        }
        // The keys first: what does not fit the terminal is cut off at the end.
        let pause = self.open.get(self.chosen);
        let mut parts: Vec<String> = match pause {
            Some(pause) => choices(pause).iter().map(|(key, _, shown)| format!("{key} {}", clean(shown))).collect(),
            None => vec!["s start".into()],
        };
        parts.extend((self.open.len() > 1).then(|| "n next".to_owned()));
        parts.extend(["? keys".to_owned(), "q quit".to_owned()]);
        if let Some(pause) = pause {
            let about = clean(&pauses::about(pause));
            parts.push(format!("[{}/{}] {about}", self.chosen + 1, self.open.len()));
        }
        if let Some(said) = &self.building {
            parts.push(format!("building {}", clean(said)).trim_end().to_owned());
        }
        parts.join("   ")
    }

    /// What a key means now.
    pub(super) fn press(&mut self, key: &Key) -> Option<Task> {
        if *key == Key::Quit {
            return Some(Task::Quit);
        }
        if let Some((asking, mut prompt)) = self.asking.take() {
            match key {
                Key::Enter => return self.answered(asking, &prompt.typed),
                Key::Escape => return None,
                key => prompt.press(key),
            }
            self.asking = Some((asking, prompt));
            return None;
        }
        let Key::Char(c) = *key else { return None };
        match c {
            'q' => Some(Task::Quit),
            'b' => Some(Task::Build),
            's' => self.ask_what_to_start(),
            'n' => {
                self.chosen = (self.chosen + 1) % self.open.len().max(1);
                None
            }
            '?' => Some(Task::Say(HELP.into())),
            c => self.decide(c),
        }
    }

    fn decide(&mut self, key: char) -> Option<Task> {
        let pause = self.open.get(self.chosen)?;
        let choice = choices(pause).into_iter().find(|(its, _, _)| *its == key);
        let (id, (_, decision, _)) = (pause.id.clone(), choice?);
        if decision == "request_changes" {
            self.asking = Some((Asking::Feedback { pause: id, decision }, Prompt::new("feedback", "")));
            return Some(Task::Say("What should change? Enter sends it, Esc goes back.".into()));
        }
        self.decided(id, &decision, None)
    }

    /// Sends a decision, or asks for the response that its pause wants first.
    fn decided(&mut self, id: String, decision: &str, feedback: Option<&str>) -> Option<Task> {
        let Some(pause) = self.open.iter().find(|pause| pause.id == id) else {
            return Some(Task::Say("Somebody else has decided it.".into()));
        };
        let mut body = json!({"decision": decision});
        if let Some(feedback) = feedback.filter(|text| !text.trim().is_empty()) {
            body["feedback"] = json!(feedback);
        }
        if let Some(schema) = &pause.response_schema {
            let prompt = Prompt::new("response", &sample(schema).to_string());
            let schema = clip(&clean(&schema.to_string()), PAYLOAD_SHOWN);
            self.asking = Some((Asking::Response { pause: id, body }, prompt));
            return Some(Task::Say(format!("The form, as JSON; Enter sends it, Esc goes back. It must fit {schema}")));
        }
        Some(Task::Decide { pause: id, body })
    }

    fn ask_what_to_start(&mut self) -> Option<Task> {
        match self.functions.as_slice() {
            [] => Some(Task::Say("Nothing is deployed yet.".into())),
            [only] => {
                let only = only.name.clone();
                self.ask_for_input(only)
            }
            [first, ..] => {
                let names: Vec<String> = self.functions.iter().map(|function| clean(&function.name)).collect();
                let typed = self.last.clone().filter(|last| names.contains(last)).unwrap_or_else(|| first.name.clone());
                self.asking = Some((Asking::Function, Prompt::new("function", &typed)));
                Some(Task::Say(format!("Which function: {}? Enter takes it, Esc goes back.", names.join(", "))))
            }
        }
    }

    fn ask_for_input(&mut self, function: String) -> Option<Task> {
        let schema = self.functions.iter().find(|it| it.name == function).and_then(|it| it.input_schema.as_ref());
        let default = self.inputs.get(&function).cloned().or_else(|| schema.map(sample)).unwrap_or_else(|| json!({}));
        let hint = format!("The input of {}, as JSON; Enter starts it, Esc goes back.", clean(&function));
        self.asking = Some((Asking::Input { function }, Prompt::new("input", &default.to_string())));
        Some(Task::Say(hint))
    }

    /// What was typed, when Enter was pressed.
    fn answered(&mut self, asking: Asking, typed: &str) -> Option<Task> {
        let typed = typed.trim();
        match asking {
            Asking::Feedback { pause, decision } => self.decided(pause, &decision, Some(typed)),
            Asking::Function if self.functions.iter().any(|function| function.name == typed) => {
                self.ask_for_input(typed.to_owned())
            }
            Asking::Function => Some(Task::Say(format!("There is no function {:?}.", clean(typed)))),
            Asking::Input { function } => match serde_json::from_str::<Value>(typed) {
                Ok(input) => {
                    self.inputs.insert(function.clone(), input.clone());
                    self.last = Some(function.clone());
                    Some(Task::Start { target: format!("{}.{function}", self.agent), input })
                }
                Err(error) => self.again(Asking::Input { function }, typed, &error),
            },
            Asking::Response { pause, mut body } => match serde_json::from_str::<Value>(typed) {
                Ok(response) => {
                    body["response"] = response;
                    Some(Task::Decide { pause, body })
                }
                Err(error) => self.again(Asking::Response { pause, body }, typed, &error),
            },
        }
    }

    /// Leaves what was typed to be mended.
    fn again(&mut self, asking: Asking, typed: &str, error: &serde_json::Error) -> Option<Task> {
        self.asking = Some((asking, Prompt::new("JSON", typed)));
        Some(Task::Say(format!("That is no JSON: {error}.")))
    }
}

const HELP: &str = "\
a approve, r reject, c request changes, 1 to 9 another choice: decides the pause that the bottom line names
n  the next pause      s  start an execution      b  build and deploy again      q or Ctrl-C  stop the host and quit";

/// A document as people read it: texts as they are, and the fields of an object one after the other.
fn readable(document: &Value) -> String {
    match document {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| match value {
                Value::String(text) if text.contains('\n') => format!("{name}:\n{text}"),
                Value::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            });
            fields.collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

/// The keys of a pause's choices, the choices, and how they are shown.
fn choices(pause: &Pause) -> Vec<(char, String, String)> {
    let mut numbers = '1'..='9';
    let keyed = pause.choices.iter().filter_map(|choice| {
        let usual = KEYS.iter().find(|(_, usual, _)| usual == choice);
        let (key, shown) = match usual {
            Some((key, _, shown)) => (*key, (*shown).to_owned()),
            None => (numbers.next()?, choice.clone()),
        };
        Some((key, choice.clone(), shown))
    });
    keyed.collect()
}

/// A document to begin with: what the schema's own required properties may look like.
fn sample(schema: &Value) -> Value {
    if let Some(default) = schema.get("default").or_else(|| schema.pointer("/examples/0")) {
        return default.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let required = schema.get("required").and_then(Value::as_array);
            let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|it| it.as_str() == Some(name)));
            let wanted = properties.into_iter().flatten().filter(|(name, _)| is_required(name));
            Value::Object(wanted.map(|(name, schema)| (name.clone(), sample(schema))).collect())
        }
        Some("string") => json!(""),
        Some("array") => json!([]),
        Some("integer" | "number") => json!(0),
        Some("boolean") => json!(false),
        Some(_) => Value::Null,
        None => json!({}),
    }
}

#[cfg(test)]
mod tests;
