//! What the rehearsal answers to a prompt with a schema: a small value that satisfies it.

use serde_json::{Map, Value, json};

use super::Matter;

/// How deep a generated value nests, references counted.
const DEPTH_MAX: usize = 16;

/// How many values one answer is made of; a schema may demand exponentially many.
const VALUES_MAX: usize = 2_000;

/// Longest string made to reach a schema's `minLength`, in characters.
const STRING_CHARS_MAX: u64 = 10_000;

/// A value that satisfies `schema`, made of what `matter` has; none if there is none, or none of at most `VALUES_MAX`
/// values nested `DEPTH_MAX` deep. It may miss a schema with rare keywords.
pub(super) fn value(schema: &Value, matter: &Matter) -> Option<Value> {
    Maker { root: schema, matter, left: VALUES_MAX, next: 0 }.value(schema, "", 0)
}

struct Maker<'a> {
    root: &'a Value,
    matter: &'a Matter,
    /// How many more values may be made.
    left: usize,
    /// The next of the matter's words.
    next: usize,
}

impl Maker<'_> {
    /// A value for `schema`; `name` is the property that it is for.
    fn value(&mut self, schema: &Value, name: &str, depth: usize) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        if depth > DEPTH_MAX {
            return None;
        }
        let schema = match schema {
            Value::Bool(true) => return Some(Value::String(self.sentence(2))),
            Value::Object(schema) => schema,
            _ => return None,
        };
        if let Some(value) = schema.get("const") {
            return Some(value.clone());
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return values.first().cloned();
        }
        for keyword in ["$ref", "allOf", "anyOf", "oneOf"] {
            if let Some(part) = schema.get(keyword) {
                let mut rest = schema.clone();
                rest.remove(keyword);
                return self.combined(&rest, keyword, part, name, depth + 1);
            }
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, name, depth),
            "integer" => number(schema, true),
            "number" => number(schema, false),
            "boolean" => Some(Value::Bool(true)),
            "null" => Some(Value::Null),
            _ => Some(Value::String(self.string(schema, name))),
        }
    }

    /// A value for a schema with a keyword that refers to others: `rest` and all, or the first that will do, of them.
    fn combined(
        &mut self,
        rest: &Map<String, Value>,
        keyword: &str,
        part: &Value,
        name: &str,
        depth: usize,
    ) -> Option<Value> {
        match keyword {
            "$ref" => {
                let target = self.root.pointer(part.as_str()?.strip_prefix('#')?)?;
                self.value(&merged(rest, target)?, name, depth)
            }
            "allOf" => {
                let mut whole = Value::Object(rest.clone());
                for schema in part.as_array()? {
                    let schema = self.resolved(schema)?;
                    whole = merged(whole.as_object()?, schema)?;
                }
                self.value(&whole, name, depth)
            }
            _ => part.as_array()?.iter().find_map(|schema| self.value(&merged(rest, schema)?, name, depth)),
        }
    }

    /// What a chain of bare references ends at.
    fn resolved<'s>(&'s self, mut schema: &'s Value) -> Option<&'s Value> {
        for _ in 0..DEPTH_MAX {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
                return Some(schema);
            };
            schema = self.root.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: usize) -> Option<Value> {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let mut object = Map::new();
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str()?;
            let other = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
            let value = self.value(properties.get(name).unwrap_or(other), name, depth + 1)?;
            object.insert(name.to_owned(), value);
        }
        if object.is_empty() {
            // Nothing is demanded, but an empty object would show nobody anything. References may be recursive.
            for (name, property) in properties.iter().filter(|(_, property)| !refers(property)) {
                if let Some(value) = self.value(property, name, depth + 1) {
                    object.insert(name.clone(), value);
                }
            }
        }
        Some(Value::Object(object))
    }

    fn array(&mut self, schema: &Map<String, Value>, name: &str, depth: usize) -> Option<Value> {
        let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
        let prefix = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let items = schema.get("items").unwrap_or(&Value::Bool(true));
        let wanted = if schema.contains_key("items") && !refers(items) { 2 } else { prefix.len() as u64 };
        let least = bound("minItems").unwrap_or(0);
        let count = wanted.max(least).min(bound("maxItems").unwrap_or(u64::MAX));
        if count > self.left as u64 {
            return None;
        }
        let mut array = Vec::new();
        for index in 0..usize::try_from(count).ok()? {
            match self.value(prefix.get(index).unwrap_or(items), name, depth + 1) {
                Some(value) => array.push(value),
                None if index as u64 >= least => break,
                None => return None,
            }
        }
        Some(Value::Array(array))
    }

    fn string(&mut self, schema: &Map<String, Value>, name: &str) -> String {
        let fixed = match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => "2026-01-01T00:00:00Z",
            Some("date") => "2026-01-01",
            Some("time") => "00:00:00Z",
            Some("duration") => "P1D",
            Some("email" | "idn-email") => "reader@example.com",
            Some("hostname" | "idn-hostname") => "example.com",
            Some("ipv4") => "192.0.2.1",
            Some("ipv6") => "2001:db8::1",
            Some("uri" | "uri-reference" | "iri" | "url") => "https://example.com/",
            Some("uuid") => "00000000-0000-4000-8000-000000000000",
            _ => "",
        };
        if !fixed.is_empty() {
            return fixed.into();
        }
        let mut text = match name {
            "text" | "body" | "content" | "draft" | "article" | "post" => self.matter.essay(),
            "title" | "headline" | "subject" | "topic" => self.matter.title(),
            "feedback" => self.matter.feedback.clone().unwrap_or_else(|| self.sentence(4)),
            _ => self.sentence(4),
        };
        let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
        let least = bound("minLength").unwrap_or(0).min(STRING_CHARS_MAX);
        let mut length = text.chars().count() as u64;
        while length < least {
            let more = self.sentence(1);
            length += more.chars().count() as u64 + 1;
            text = text + " " + &more;
        }
        match bound("maxLength") {
            Some(most) if length > most => text.chars().take(usize::try_from(most).unwrap_or(usize::MAX)).collect(),
            _ => text,
        }
    }

    /// The next few words of the prompt; numbered once they come round again, so that no two are the same.
    fn sentence(&mut self, count: usize) -> String {
        let count = count.min(self.matter.words.len());
        let round = self.next / self.matter.words.len();
        let words: Vec<&str> = (self.next..self.next + count).map(|index| self.matter.word(index)).collect();
        self.next += count;
        if round == 0 { words.join(" ") } else { format!("{} {}", words.join(" "), round + 1) }
    }
}

/// The type that a value for `schema` is given.
fn kind(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ => {
            let has = |keywords: &[&str]| keywords.iter().any(|keyword| schema.contains_key(*keyword));
            match () {
                () if has(&["properties", "required", "additionalProperties"]) => "object",
                () if has(&["items", "prefixItems", "minItems"]) => "array",
                () if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) => "number",
                () => "string",
            }
        }
    }
}

/// Whether anything in `schema` is a reference.
fn refers(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.contains_key("$ref") || map.values().any(refers),
        Value::Array(items) => items.iter().any(refers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// `base` with the keywords of `other`: properties and demands of both, else `other`'s.
fn merged(base: &Map<String, Value>, other: &Value) -> Option<Value> {
    let other = match other {
        Value::Bool(true) => return Some(Value::Object(base.clone())),
        Value::Object(other) => other,
        _ => return None,
    };
    let mut both = base.clone();
    for (keyword, value) in other {
        match (keyword.as_str(), both.get_mut(keyword), value) {
            ("properties", Some(Value::Object(mine)), Value::Object(theirs)) => mine.extend(theirs.clone()),
            ("required" | "allOf", Some(Value::Array(mine)), Value::Array(theirs)) => mine.extend(theirs.clone()),
            _ => {
                both.insert(keyword.clone(), value.clone());
            }
        }
    }
    Some(Value::Object(both))
}

/// The number nearest to 1 that the bounds of `schema` admit.
fn number(schema: &Map<String, Value>, whole: bool) -> Option<Value> {
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let mut step = bound("multipleOf").filter(|step| *step > 0.0);
    if whole && step.is_none_or(|step| step.fract() != 0.0) {
        step = Some(1.0);
    }
    // How far an exclusive bound is kept away from: less than lies between the bounds.
    let span = bound("maximum").or(bound("exclusiveMaximum")).zip(bound("minimum").or(bound("exclusiveMinimum")));
    let gap = step.or(span.map(|(most, least)| (most - least) / 4.0)).unwrap_or(0.5);
    let least = bound("minimum").into_iter().chain(bound("exclusiveMinimum").map(|n| n + gap)).reduce(f64::max);
    let most = bound("maximum").into_iter().chain(bound("exclusiveMaximum").map(|n| n - gap)).reduce(f64::min);
    let mut value = 1.0_f64.min(most.unwrap_or(1.0)).max(least.unwrap_or(f64::NEG_INFINITY));
    if let Some(step) = step {
        let up = (value / step).ceil() * step;
        value = if most.is_some_and(|most| up > most) { (value / step).floor() * step } else { up };
    }
    // JSON writes a whole number without a point; beyond 2^53 a float holds none exactly.
    if value.fract() == 0.0 && value.abs() < 9e15 { Some(json!(value as i64)) } else { Some(json!(value)) }
}
