//! The form of a pause as the fields of a page, and back. Pure: no I/O, no clock.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::field::{Field, resolved};
use super::members::members;
use crate::execution::JSON_BYTES_MAX;
use crate::json;
use crate::schema::Schema;

/// How many fields a form is shown with; one that has more is shown as JSON.
const FIELDS_MAX: usize = 64;

/// What the parts of a form are called in the body that a browser sends.
pub(super) const DECISION: &str = "decision";
pub(super) const FEEDBACK: &str = "feedback";
pub(super) const RESPONSE: &str = "response";
const FIELD_PREFIX: &str = "field.";

/// How many parts such a body may have.
const PARTS_MAX: usize = 2 * FIELDS_MAX;

/// What a schema says of an object beyond its properties that fields cannot show.
const BEYOND_FIELDS: [&str; 7] = ["oneOf", "anyOf", "allOf", "if", "not", "patternProperties", "dependentSchemas"];

/// What a reviewer typed: the parts of the body by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Typed(BTreeMap<String, String>);

/// What is wrong with what was typed, by the name of the part.
pub(super) type Wrong = BTreeMap<String, String>;

impl Typed {
    /// Reads a body. None if it has too many parts.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut parts = BTreeMap::new();
        for (place, (name, value)) in form_urlencoded::parse(body).enumerate() {
            if place >= PARTS_MAX {
                return None;
            }
            // Browsers send the end of a line as CR LF.
            parts.insert(name.into_owned(), value.replace("\r\n", "\n"));
        }
        Some(Self(parts))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn set(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.0.insert(name.into(), value);
        }
    }
}

/// How a response is asked for.
#[derive(Debug, PartialEq)]
pub(super) enum Layout {
    /// Not at all: the pause has no form.
    Nothing,
    /// The properties of an object.
    Fields(Vec<Field>),
    /// One value that is no object.
    Single(Box<Field>),
    /// As JSON, with what it holds before anybody has typed.
    Json(String),
}

/// How a response is asked for, and what becomes of one that nobody has touched.
#[derive(Debug, PartialEq)]
pub(super) struct Blank {
    pub(super) layout: Layout,
    /// Whether what is filled in is the payload.
    is_editable: bool,
}

impl Blank {
    /// The form for a schema, or a payload that may be edited, or both.
    pub(super) fn new(schema: Option<&str>, editable: Option<&str>) -> Self {
        let payload: Option<Value> = editable.and_then(|text| serde_json::from_str(text).ok());
        let json: Option<Value> = schema.and_then(|text| serde_json::from_str(text).ok());
        let layout = match (&json, &payload) {
            (None, None) => Layout::Nothing,
            (Some(schema), initial) => of_schema(schema, initial.as_ref()),
            (None, Some(payload)) => of_schema(&schema_of(payload), Some(payload)),
        };
        let in_order = |layout| match layout {
            Layout::Fields(mut fields) => {
                let keys = order(schema, editable);
                fields.sort_by_key(|field| keys.iter().position(|key| *key == field.key).unwrap_or(usize::MAX));
                Layout::Fields(fields)
            }
            layout => layout,
        };
        let layout = in_order(layout);
        // One whose fields cannot be shown one by one.
        let layout = match layout {
            Layout::Nothing if json.is_some() || payload.is_some() => Layout::Json(match &payload {
                Some(payload) => pretty(payload),
                None => schema.and_then(by_default).unwrap_or_default(),
            }),
            layout => layout,
        };
        Self { layout, is_editable: editable.is_some() }
    }

    /// The response that was typed, as JSON text; none if there is none, or if it is what the agent gets anyway.
    ///
    /// Who refuses may leave the form as it is, or half filled in.
    pub(super) fn response(&self, typed: &Typed, is_refusal: bool) -> Result<Option<String>, Wrong> {
        let read = self.read(typed);
        if (self.is_editable || is_refusal) && read == self.read(&self.untouched()) {
            return Ok(None);
        }
        if is_refusal { Ok(read.unwrap_or_default()) } else { read }
    }

    /// Whether all of the payload can be seen in the fields.
    pub(super) fn shows_payload(&self) -> bool {
        self.is_editable && !matches!(self.layout, Layout::Json(_))
    }

    /// What a browser would send of a form that nobody has touched.
    pub(super) fn untouched(&self) -> Typed {
        let mut typed = Typed::default();
        match &self.layout {
            Layout::Nothing => {}
            Layout::Fields(fields) => fields.iter().for_each(|field| typed.set(&field.name, field.initial_text())),
            Layout::Single(field) => typed.set(&field.name, field.initial_text()),
            Layout::Json(text) => typed.set(RESPONSE, Some(text.clone())),
        }
        typed
    }

    fn read(&self, typed: &Typed) -> Result<Option<String>, Wrong> {
        let wrong = |name: &str, why: String| Wrong::from([(name.to_owned(), why)]);
        match &self.layout {
            Layout::Nothing => Ok(None),
            Layout::Single(field) => field.read(typed.get(&field.name)).map_err(|why| wrong(&field.name, why)),
            Layout::Fields(fields) => read_object(fields, typed).map(Some),
            Layout::Json(_) => {
                let text = typed.get(RESPONSE).unwrap_or_default().trim();
                if text.is_empty() {
                    return Ok(None);
                }
                if text.len() > JSON_BYTES_MAX {
                    return Err(wrong(RESPONSE, format!("This is too long: at most {JSON_BYTES_MAX} bytes.")));
                }
                match json::check(text) {
                    Ok(()) => Ok(Some(text.into())),
                    Err(why) => Err(wrong(RESPONSE, format!("This is no JSON: {why}."))),
                }
            }
        }
    }
}

/// What a schema has against a response (`at /amount: …; at /note: …`), by the name of the field.
pub(super) fn wrong(why: &str) -> Wrong {
    let problem = |problem: &str| {
        let (pointer, what) = problem.strip_prefix("at /")?.split_once(": ")?;
        let key = pointer.split('/').next()?.replace("~1", "/").replace("~0", "~");
        Some((format!("{FIELD_PREFIX}{key}"), format!("{what}.")))
    };
    why.split("; ").filter_map(problem).collect()
}

/// Put together as text, so that a number stays as it was typed.
fn read_object(fields: &[Field], typed: &Typed) -> Result<String, Wrong> {
    let (mut members, mut wrong) = (vec![], Wrong::new());
    for field in fields {
        match field.read(typed.get(&field.name)) {
            Ok(Some(value)) => members.push(format!("{}:{value}", Value::from(field.key.as_str()))),
            Ok(None) => {}
            Err(why) => drop(wrong.insert(field.name.clone(), why)),
        }
    }
    if wrong.is_empty() { Ok(format!("{{{}}}", members.join(","))) } else { Err(wrong) }
}

/// The keys of a form in the order in which they were written.
fn order(schema: Option<&str>, payload: Option<&str>) -> Vec<String> {
    let properties = schema.and_then(members).and_then(|all| all.into_iter().find(|(key, _)| key == "properties"));
    let from = properties.map(|(_, properties)| properties.get()).or(payload);
    from.and_then(members).unwrap_or_default().into_iter().map(|(key, _)| key).collect()
}

/// Fields for what a schema describes; nothing if it is more than fields can show.
fn of_schema(root: &Value, initial: Option<&Value>) -> Layout {
    let schema = resolved(root, root);
    let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|all| !all.is_empty()) else {
        let single = Field::new(root, RESPONSE, "", root, true, initial);
        return single.map_or(Layout::Nothing, |field| Layout::Single(Box::new(field)));
    };
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let is_beyond = BEYOND_FIELDS.iter().any(|word| schema.get(word).is_some());
    let defaults = schema.get("default");
    let held = initial.or(defaults);
    let is_held = held.is_none_or(|value| {
        value.as_object().is_some_and(|object| object.keys().all(|key| properties.contains_key(key)))
    });
    if is_beyond
        || properties.len() > FIELDS_MAX
        || !is_held
        || !required.iter().all(|name| properties.contains_key(*name))
    {
        return Layout::Nothing;
    }
    let field = |(key, property): (&String, &Value)| {
        let value = held.and_then(|value| value.get(key));
        let name = format!("{FIELD_PREFIX}{key}");
        // A browser would change such a name.
        let is_name = !key.is_empty() && !key.chars().any(char::is_control);
        Field::new(root, &name, key, property, required.contains(&key.as_str()), value).filter(|_| is_name)
    };
    properties.iter().map(field).collect::<Option<Vec<_>>>().map_or(Layout::Nothing, Layout::Fields)
}

/// A schema for a payload that comes without one: each part stays of its kind.
fn schema_of(payload: &Value) -> Value {
    let kind = |value: &Value| match value {
        Value::String(_) => serde_json::json!({"type": "string"}),
        Value::Number(_) => serde_json::json!({"type": "number"}),
        Value::Bool(_) => serde_json::json!({"type": "boolean"}),
        _ => Value::Bool(true),
    };
    let Value::Object(object) = payload else { return kind(payload) };
    let properties: Map<String, Value> = object.iter().map(|(key, value)| (key.clone(), kind(value))).collect();
    let required: Vec<&String> = object.keys().collect();
    serde_json::json!({"type": "object", "properties": properties, "required": required})
}

/// What a document has by default that holds nothing else, laid out for people.
fn by_default(schema: &str) -> Option<String> {
    let text = Schema::parse(schema).ok()?.completed(None)?;
    serde_json::from_str(&text).ok().map(|value: Value| pretty(&value))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
