//! One field of a form: what it may hold, and what was typed into it. Pure: no I/O, no clock.

use serde_json::{Number, Value};

/// How many references are followed to find out what a field is.
const REFERENCES_MAX: usize = 8;

/// How many options a field is shown with; one that has more is shown as JSON.
const OPTIONS_MAX: usize = 256;

/// A text of at most so many characters has a field of one line.
const LINE_CHARS_MAX: u64 = 120;

/// What a field that must not be empty says when it is.
const NEEDED: &str = "Fill this in.";

/// What an unticked box stands for is that it is not sent; a ticked one is sent as this.
pub(super) const TICKED: &str = "true";

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// Of the part of the body that holds it.
    pub(super) name: String,
    /// Of the property; empty if it is the whole response.
    pub(super) key: String,
    pub(super) label: String,
    pub(super) description: Option<String>,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    /// Whether it may be null instead.
    is_nullable: bool,
    /// What it holds before anybody has typed.
    initial: Option<Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text {
        is_long: bool,
        min_length: Option<u64>,
        max_length: Option<u64>,
    },
    Number {
        is_integer: bool,
        minimum: Option<Number>,
        maximum: Option<Number>,
    },
    Tick,
    /// One of these.
    Options(Vec<Value>),
}

impl Field {
    /// The field for a schema within `root`; none if it is more than a field can show, or `initial` does not fit it.
    pub(super) fn new(
        root: &Value,
        name: &str,
        key: &str,
        schema: &Value,
        is_required: bool,
        initial: Option<&Value>,
    ) -> Option<Self> {
        // What stands beside a reference is nearer than what it leads to.
        let said = |word: &str| schema.get(word).or_else(|| resolved(root, schema).get(word));
        let text = |word: &str| said(word).and_then(Value::as_str).map(ToOwned::to_owned);
        let (node, is_nullable) = without_null(root, schema);
        let initial = initial.or_else(|| said("default")).filter(|value| !(value.is_null() && is_nullable));
        let mut kind = kind_of(root, node)?;
        if let (Kind::Text { is_long, .. }, Some(Value::String(text))) = (&mut kind, initial) {
            *is_long |= text.contains('\n') || text.len() as u64 > LINE_CHARS_MAX;
        }
        let fits = initial.is_none_or(|value| match &kind {
            Kind::Text { .. } => value.is_string(),
            Kind::Number { .. } => value.is_number(),
            Kind::Tick => value.is_boolean(),
            Kind::Options(options) => options.contains(value),
        });
        fits.then(|| Self {
            name: name.into(),
            key: key.into(),
            label: text("title").unwrap_or_else(|| key.into()),
            description: text("description"),
            kind,
            is_required,
            is_nullable,
            initial: initial.cloned(),
        })
    }

    /// What a browser would send of it if nobody has touched it.
    pub(super) fn initial_text(&self) -> Option<String> {
        match (&self.kind, &self.initial) {
            (Kind::Tick, Some(Value::Bool(true))) => Some(TICKED.into()),
            (Kind::Tick, _) => None,
            (Kind::Options(_), Some(value)) => Some(value.to_string()),
            // As a browser has it once it is typed.
            (_, Some(Value::String(text))) => Some(text.replace("\r\n", "\n")),
            (_, Some(value)) => Some(value.to_string()),
            (_, None) => Some(String::new()),
        }
    }

    /// What was typed as JSON text; none if it was left empty, and may be.
    pub(super) fn read(&self, typed: Option<&str>) -> Result<Option<String>, String> {
        let typed = typed.unwrap_or_default();
        match &self.kind {
            Kind::Tick => Ok(Some((typed == TICKED).to_string())),
            // A text that is taken away is empty; one that never was is none.
            Kind::Text { .. } if typed.is_empty() && self.initial.is_none() && !self.is_required => Ok(None),
            Kind::Text { .. } if typed.is_empty() && self.is_nullable => Ok(Some("null".into())),
            Kind::Text { .. } => Ok(Some(Value::from(typed).to_string())),
            Kind::Number { .. } | Kind::Options(_) if typed.trim().is_empty() => self.empty(),
            Kind::Number { .. } => number(typed.trim()).map(Some).ok_or_else(|| "This is no number.".into()),
            Kind::Options(options) => {
                let chosen = options.iter().map(ToString::to_string).find(|option| option == typed);
                chosen.map(Some).ok_or_else(|| "This is none of the options.".into())
            }
        }
    }

    fn empty(&self) -> Result<Option<String>, String> {
        match (self.is_nullable, self.is_required) {
            (true, _) if self.is_required || self.initial.is_some() => Ok(Some("null".into())),
            (_, false) => Ok(None),
            (_, true) => Err(NEEDED.into()),
        }
    }
}

/// A number as JSON has it, digit for digit where that is one already.
fn number(typed: &str) -> Option<String> {
    if serde_json::from_str::<Number>(typed).is_ok() {
        return Some(typed.into());
    }
    // What HTML takes for a number, too: `.5`.
    let looks_like_one = typed.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let parsed = typed.parse::<f64>().ok().filter(|_| looks_like_one)?;
    Number::from_f64(parsed).map(|number| number.to_string())
}

fn kind_of(root: &Value, schema: &Value) -> Option<Kind> {
    let is_scalar = |value: &Value| !matches!(value, Value::Object(_) | Value::Array(_) | Value::Null);
    let options = |values: Vec<Value>| {
        let fits = (1..=OPTIONS_MAX).contains(&values.len()) && values.iter().all(is_scalar);
        fits.then_some(Kind::Options(values))
    };
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return options(values.iter().filter(|value| !value.is_null()).cloned().collect());
    }
    if let Some(value) = schema.get("const") {
        return options(vec![value.clone()]);
    }
    if let Some(variants) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
        // Each with its own description: how a list of options is often written.
        let constants = variants.iter().map(|variant| resolved(root, variant)).filter(|variant| !is_null(variant));
        return options(constants.map(|variant| variant.get("const").cloned()).collect::<Option<_>>()?);
    }
    let length = |word| schema.get(word).and_then(Value::as_u64);
    let bound = |word| schema.get(word).and_then(Value::as_number).cloned();
    let number = |is_integer| Kind::Number { is_integer, minimum: bound("minimum"), maximum: bound("maximum") };
    Some(match type_of(schema)? {
        "string" => {
            let (min_length, max_length) = (length("minLength"), length("maxLength"));
            let is_long = max_length.map_or(schema.get("format").is_none(), |length| length > LINE_CHARS_MAX);
            Kind::Text { is_long, min_length, max_length }
        }
        "integer" => number(true),
        "number" => number(false),
        "boolean" => Kind::Tick,
        _ => return None,
    })
}

/// The one type of a schema, beside null.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(one) => Some(one),
        Value::Array(types) => {
            let mut named = types.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            named.next().filter(|_| named.next().is_none())
        }
        _ => None,
    }
}

/// What a schema is beside null, and whether it may be null.
fn without_null<'a>(root: &'a Value, schema: &'a Value) -> (&'a Value, bool) {
    let schema = resolved(root, schema);
    let listed = schema.get("type").and_then(Value::as_array).is_some_and(|types| types.contains(&"null".into()));
    let in_options = schema.get("enum").and_then(Value::as_array).is_some_and(|values| values.contains(&Value::Null));
    let variants = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    let Some(variants) = variants else { return (schema, listed || in_options) };
    let mut others = variants.iter().map(|variant| resolved(root, variant)).filter(|variant| !is_null(variant));
    let is_nullable = variants.iter().any(|variant| is_null(resolved(root, variant)));
    match (others.next(), others.next()) {
        (Some(only), None) if only.get("const").is_none() => (only, is_nullable),
        _ => (schema, is_nullable),
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|name| name == "null")
}

/// The schema that a reference leads to, or the only one of a list that all must hold.
pub(super) fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..REFERENCES_MAX {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        let only = schema.get("allOf").and_then(Value::as_array).filter(|all| all.len() == 1).map(|all| &all[0]);
        let only = only.filter(|_| schema.get("type").is_none() && schema.get("properties").is_none());
        match target.and_then(|pointer| root.pointer(pointer)).or(only) {
            Some(next) => schema = next,
            None => return schema,
        }
    }
    schema
}
