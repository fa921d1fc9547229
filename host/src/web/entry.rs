//! The form of a pause as it is shown: with what was typed, and what was wrong with it. Pure: no I/O, no clock.

use std::fmt::Write as _;

use askama::Template;
use serde_json::Value;

use super::field::{Field, Kind, TICKED};
use super::form::{Blank, FEEDBACK, Layout, RESPONSE, Typed, Wrong};
use crate::approval::is_refusal;
use crate::decision::{FEEDBACK_BYTES_MAX, Form};

#[derive(Template)]
#[template(path = "form.html")]
pub(super) struct FormView {
    legend: Option<&'static str>,
    inputs: Vec<Input>,
    buttons: Vec<Button>,
}

/// One field, with its label and all that is said of it.
struct Input {
    id: String,
    name: String,
    label: String,
    hint: Option<String>,
    error: Option<String>,
    is_required: bool,
    is_json: bool,
    control: Control,
    value: String,
    /// Bounds that a browser looks at, too. Each value is a number.
    bounds: Vec<(&'static str, String)>,
}

enum Control {
    Tick(bool),
    /// With so many lines.
    Area(usize),
    Line,
    Number,
    Options(Vec<Choice>),
}

struct Choice {
    value: String,
    label: String,
    is_chosen: bool,
}

struct Button {
    value: String,
    label: String,
    class: &'static str,
    /// Whether it may be pressed with a form that is not filled in.
    skips_checks: bool,
}

impl FormView {
    pub(super) fn new(form: &Form, blank: &Blank, typed: &Typed, wrong: &Wrong) -> Self {
        let mut inputs: Vec<Input> = match &blank.layout {
            Layout::Nothing => vec![],
            Layout::Single(field) => vec![Input::of(field, 0, typed, wrong)],
            Layout::Fields(fields) => {
                fields.iter().enumerate().map(|(place, field)| Input::of(field, place, typed, wrong)).collect()
            }
            Layout::Json(_) => vec![Input::json(typed, wrong)],
        };
        let is_payload = form.editable.is_some();
        let legend =
            (!inputs.is_empty()).then_some(if is_payload { "What is to be decided" } else { "To be filled in" });
        inputs.push(Input::feedback(form, typed, wrong));
        Self { legend, inputs, buttons: form.choices.iter().map(|choice| Button::new(choice)).collect() }
    }
}

impl Input {
    fn of(field: &Field, place: usize, typed: &Typed, wrong: &Wrong) -> Self {
        let value = typed.get(&field.name).unwrap_or_default().to_owned();
        let mut bounds = vec![];
        let mut bound = |name, value: Option<String>| bounds.extend(value.map(|value| (name, value)));
        let control = match &field.kind {
            Kind::Tick => Control::Tick(value == TICKED),
            Kind::Text { is_long, min_length, max_length } => {
                bound("minlength", min_length.map(|length| length.to_string()));
                bound("maxlength", max_length.map(|length| length.to_string()));
                if *is_long { Control::Area(rows(&value, 2)) } else { Control::Line }
            }
            Kind::Number { is_integer, minimum, maximum } => {
                bound("min", minimum.as_ref().map(ToString::to_string));
                bound("max", maximum.as_ref().map(ToString::to_string));
                bounds.push(("step", if *is_integer { "1" } else { "any" }.into()));
                Control::Number
            }
            Kind::Options(options) => Control::Options(choices(options, &value)),
        };
        let needs_text = match &field.kind {
            Kind::Text { min_length, .. } => min_length.is_some_and(|length| length > 0),
            Kind::Number { .. } | Kind::Options(_) => true,
            Kind::Tick => false,
        };
        Self {
            id: format!("field-{place}"),
            name: field.name.clone(),
            label: if field.label.is_empty() { "Your answer".into() } else { field.label.clone() },
            hint: field.description.clone(),
            error: wrong.get(&field.name).cloned(),
            is_required: field.is_required && needs_text,
            is_json: false,
            control,
            value,
            bounds,
        }
    }

    fn json(typed: &Typed, wrong: &Wrong) -> Self {
        let value = typed.get(RESPONSE).unwrap_or_default().to_owned();
        Self {
            id: RESPONSE.into(),
            name: RESPONSE.into(),
            label: "Response".into(),
            hint: Some("A JSON document.".into()),
            error: wrong.get(RESPONSE).cloned(),
            is_required: false,
            is_json: true,
            control: Control::Area(rows(&value, 8)),
            value,
            bounds: vec![],
        }
    }

    fn feedback(form: &Form, typed: &Typed, wrong: &Wrong) -> Self {
        let needing: Vec<String> = form.feedback_required.iter().map(|choice| label(choice)).collect();
        let value = typed.get(FEEDBACK).unwrap_or_default().to_owned();
        Self {
            id: FEEDBACK.into(),
            name: FEEDBACK.into(),
            label: "Feedback".into(),
            hint: (!needing.is_empty()).then(|| format!("Needed for: {}.", needing.join(", "))),
            error: wrong.get(FEEDBACK).cloned(),
            is_required: false,
            is_json: false,
            control: Control::Area(rows(&value, 3)),
            value,
            bounds: vec![("maxlength", FEEDBACK_BYTES_MAX.to_string())],
        }
    }

    /// Attributes that hold nothing of what an agent or a reviewer wrote.
    fn attributes(&self) -> String {
        let mut text = String::new();
        if self.is_required {
            text.push_str(" required");
        }
        for (name, value) in &self.bounds {
            let _ = write!(text, " {name}=\"{value}\"");
        }
        let described = [("hint", self.hint.is_some()), ("error", self.error.is_some())];
        let described: Vec<String> =
            described.into_iter().filter(|(_, is)| *is).map(|(what, _)| format!("{}-{what}", self.id)).collect();
        if !described.is_empty() {
            let _ = write!(text, " aria-describedby=\"{}\"", described.join(" "));
        }
        if self.error.is_some() {
            text.push_str(" aria-invalid=\"true\"");
        }
        text
    }
}

/// The options of a field, and one for none if none is chosen.
fn choices(options: &[Value], chosen: &str) -> Vec<Choice> {
    let none = Choice { value: String::new(), label: "–".into(), is_chosen: chosen.is_empty() };
    let option = |value: &Value| {
        let text = value.to_string();
        let label = match value {
            Value::String(text) => text.clone(),
            Value::Bool(truth) => if *truth { "yes" } else { "no" }.into(),
            _ => text.clone(),
        };
        Choice { is_chosen: text == chosen, label, value: text }
    };
    std::iter::once(none).chain(options.iter().map(option)).collect()
}

impl Button {
    fn new(choice: &str) -> Self {
        let class = match choice {
            _ if is_refusal(choice) => "no",
            "approved" => "yes",
            _ => "other",
        };
        Self { value: choice.into(), label: label(choice), class, skips_checks: is_refusal(choice) }
    }
}

/// What a choice is called on its button: the usual ones by a verb, all others as the agent has them.
pub(super) fn label(choice: &str) -> String {
    match choice {
        "approved" => "Approve".into(),
        "rejected" => "Reject".into(),
        "request_changes" => "Request changes".into(),
        other => other.into(),
    }
}

/// How many lines a text is shown with.
fn rows(text: &str, least: usize) -> usize {
    /// A longer text scrolls.
    const ROWS_MAX: usize = 20;
    /// About what fits on a line.
    const LINE_CHARS: usize = 70;
    let lines: usize = text.lines().map(|line| 1 + line.len() / LINE_CHARS).sum();
    lines.clamp(least, ROWS_MAX)
}
