//! What a JSON Schema may be, and what satisfies it. Pure: no I/O, no clock.
//!
//! Schemas come from guests, which may mean ill. To read one takes a tenth of a second at the most, and to check a
//! document against it about a second.

use std::collections::HashMap;

use serde_json::Value;

/// Longest schema, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;

/// How many regular expressions a schema may have.
const PATTERNS_MAX: usize = 64;

/// The size of each when compiled, in bytes; and the least that it is taken for.
const PATTERN_BYTES_MAX: usize = 256 << 10;
const PATTERN_BYTES_MIN: usize = 1 << 10;

/// How many bytes of a compiled regular expression count as one place of a schema.
const PATTERN_BYTES_PER_PLACE: usize = 64;

/// How many references a schema may have.
const REFERENCES_MAX: usize = 256;

/// How deep a document may nest.
const DEPTH_MAX: usize = 64;

/// How many schemas may be within one another while a document is checked, references followed.
///
/// The checker is recursive: a thread's stack of 2 MiB holds some thousands.
const LEVELS_MAX: usize = 1_000;

/// How many costs are counted for one schema: its places times the depths at which they are reached.
const COSTS_MAX: usize = 200_000;

/// How much work the check of one document may be: its bytes times the places of the schema, references followed.
const WORK_MAX: u64 = 1 << 26;

/// The same, patterns left out, for finding out where a document is wrong: much slower than finding out that it is.
const EXPLAIN_WORK_MAX: u64 = 1 << 19;

/// How many problems of a document are told at once, and how much of each, in characters.
const PROBLEMS_SHOWN: usize = 5;
const PROBLEM_CHARS_MAX: usize = 500;

/// The drafts whose references work as `Schema::supported` takes them to.
const DRAFTS: [&str; 4] = [
    "json-schema.org/draft/2020-12/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft-06/schema",
];

mod defaults;

/// The cost of each regular expression, in places of a schema.
type Patterns = HashMap<String, u64>;

/// A JSON Schema against which documents can be checked in bounded time.
///
/// That is not so for every schema: a few dozen definitions, each of which refers twice to the next, keep a checker busy
/// for years. So references go to places in the schema itself (`#/…`), where their cost can be counted; and what makes a
/// checker look at a place again and again (`unevaluated…`, `$dynamicRef`) is not taken. Patterns run in linear time.
/// `format` says what a string is for, and is not checked.
#[derive(Debug)]
pub struct Schema {
    json: Value,
    /// What each of its regular expressions costs.
    patterns: Patterns,
    validator: jsonschema::Validator,
}

impl Schema {
    /// Reads a schema of at most `SCHEMA_BYTES_MAX`: draft 2020-12, unless `$schema` at its top names another.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or why checks against it would not be bounded.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err("longer than 64 KiB".into());
        }
        Self::new(serde_json::from_str(text).map_err(|why| format!("not JSON: {why}"))?)
    }

    /// The same for one that is JSON already, of any length.
    ///
    /// # Errors
    ///
    /// As `parse`.
    pub fn new(json: Value) -> Result<Self, String> {
        if let Some(draft) = json.get("$schema").and_then(Value::as_str) {
            let name = draft.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('#');
            if !DRAFTS.contains(&name) {
                return Err("`$schema` must be draft 2020-12, 2019-09, 07 or 06".into());
            }
        }
        let (mut references, mut patterns) = (0, vec![]);
        Self::supported(&json, &json, &mut references, &mut patterns)?;
        if references > REFERENCES_MAX || patterns.len() > PATTERNS_MAX {
            return Err(format!("more than {REFERENCES_MAX} references or {PATTERNS_MAX} patterns"));
        }
        let patterns = patterns.into_iter().map(|pattern| (pattern.to_owned(), cost_of_pattern(pattern))).collect();
        if Costs::new(&json, &patterns).of(&json, DEPTH_MAX, 0).is_none() {
            return Err("its references go round in a circle, too deep or too far".into());
        }
        let validator =
            build(&json, PATTERN_BYTES_MAX).map_err(|why| shortened(&format!("not a JSON Schema: {why}")))?;
        Ok(Self { json, patterns, validator })
    }

    /// The schema itself.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The document with the schema's `default`s for the properties that it leaves out; none if it leaves out none.
    ///
    /// Without a document, its own `default` stands for it, or else that of an empty object. Looks into objects, not
    /// into lists.
    pub fn completed(&self, text: Option<&str>) -> Option<String> {
        defaults::completed(&self.json, text)
    }

    /// Whether the cost of `node`, a part of `root`, can be counted. Counts references and notes patterns on the way.
    fn supported<'a>(
        root: &'a Value,
        node: &'a Value,
        references: &mut usize,
        patterns: &mut Vec<&'a str>,
    ) -> Result<(), String> {
        match node {
            Value::Object(map) => {
                for (keyword, value) in map {
                    match (keyword.as_str(), value) {
                        ("$ref", Value::String(reference)) => {
                            *references += 1;
                            let inside = reference == "#" || reference.starts_with("#/") && !reference.contains('%');
                            if !inside || root.pointer(&reference[1..]).is_none() {
                                return Err("`$ref` must lead to a place in the schema, as `#/…`".into());
                            }
                        }
                        ("$id" | "$schema", Value::String(_)) if !std::ptr::eq(root, node) => {
                            return Err(format!("`{keyword}` is only taken at the top"));
                        }
                        ("$dynamicRef" | "$recursiveRef" | "unevaluatedProperties" | "unevaluatedItems", _) => {
                            return Err(format!("`{keyword}` is not taken"));
                        }
                        ("pattern", Value::String(pattern)) => patterns.push(pattern),
                        ("patternProperties", Value::Object(inner)) => {
                            patterns.extend(inner.keys().map(String::as_str))
                        }
                        _ => {}
                    }
                    Self::supported(root, value, references, patterns)?;
                }
                Ok(())
            }
            Value::Array(items) => items.iter().try_for_each(|item| Self::supported(root, item, references, patterns)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    /// Whether `text` is JSON that satisfies this.
    ///
    /// # Errors
    ///
    /// Where it does not and why, up to `PROBLEMS_SHOWN` times; without the places if they are too much work to find.
    /// A document too large or too deep for this schema is refused, too.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let document: Value = serde_json::from_str(text).map_err(|why| format!("not JSON: {why}"))?;
        let depth = depth(&document);
        let cost = |patterns| Costs::new(&self.json, patterns).of(&self.json, depth, 0);
        let work = |places: u64| places.saturating_mul(text.len() as u64);
        let fits = cost(&self.patterns).filter(|(places, _)| depth <= DEPTH_MAX && work(*places) <= WORK_MAX);
        let Some((places, height)) = fits else {
            return Err("too large or too deep to be checked against this schema".into());
        };
        if self.validator.is_valid(&document) {
            return Ok(());
        }
        // The places with patterns are looked at again for every schema around them.
        let places_only = cost(&Patterns::new()).map_or(places, |(places, _)| places);
        if work(places_only) > EXPLAIN_WORK_MAX || work(places).saturating_mul(height as u64) > WORK_MAX {
            return Err("does not satisfy the schema, at a place that is too much work to find".into());
        }
        let problem = |problem: jsonschema::ValidationError<'_>| {
            let path = problem.instance_path().to_string();
            shortened(&format!("at {}: {problem}", if path.is_empty() { "the top" } else { &path }))
        };
        let problems: Vec<String> = self.validator.iter_errors(&document).take(PROBLEMS_SHOWN).map(problem).collect();
        Err(problems.join("; "))
    }
}

/// Compiles a schema whose patterns have at most so many bytes each.
fn build(json: &Value, pattern_bytes_max: usize) -> Result<jsonschema::Validator, jsonschema::ValidationError<'_>> {
    let patterns = jsonschema::PatternOptions::regex().size_limit(pattern_bytes_max).dfa_size_limit(pattern_bytes_max);
    jsonschema::options().with_pattern_options(patterns).should_validate_formats(false).offline().build(json)
}

/// How many places of a schema cost as much as `pattern`.
///
/// At its slowest, a linear regular expression is in every one of its states at once, at every byte.
fn cost_of_pattern(pattern: &str) -> u64 {
    let schema = serde_json::json!({"pattern": pattern});
    let sizes = std::iter::successors(Some(PATTERN_BYTES_MIN), |bytes| Some(bytes * 2));
    let size = sizes.take_while(|bytes| *bytes < PATTERN_BYTES_MAX).find(|bytes| build(&schema, *bytes).is_ok());
    (size.unwrap_or(PATTERN_BYTES_MAX) / PATTERN_BYTES_PER_PLACE) as u64
}

fn shortened(text: &str) -> String {
    text.chars().take(PROBLEM_CHARS_MAX).collect()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// What checking a value costs at the most, by the place in the schema and the depth of the value.
struct Costs<'a> {
    root: &'a Value,
    patterns: &'a Patterns,
    known: HashMap<(*const Value, usize), (u64, usize)>,
}

impl<'a> Costs<'a> {
    fn new(root: &'a Value, patterns: &'a Patterns) -> Self {
        Self { root, patterns, known: HashMap::new() }
    }

    /// How many places of the schema a checker visits for one value of this depth, and how many it is in at once; none
    /// if those would be more than `LEVELS_MAX`, of which `levels` are above, or if the count takes too long.
    fn of(&mut self, schema: &'a Value, depth: usize, levels: usize) -> Option<(u64, usize)> {
        if let Some((work, height)) = self.known.get(&(std::ptr::from_ref(schema), depth)) {
            return (levels + height <= LEVELS_MAX).then_some((*work, *height));
        }
        if levels >= LEVELS_MAX || self.known.len() >= COSTS_MAX {
            return None;
        }
        let (mut work, mut height) = (1 + self.of_patterns(schema), 1);
        for (part, inside) in self.parts(schema) {
            if inside && depth == 0 {
                continue;
            }
            let (more, below) = self.of(part, if inside { depth - 1 } else { depth }, levels + 1)?;
            work = more.saturating_add(work);
            height = height.max(below + 1);
        }
        self.known.insert((std::ptr::from_ref(schema), depth), (work, height));
        Some((work, height))
    }

    /// What the regular expressions cost that a schema itself has.
    fn of_patterns(&self, schema: &Value) -> u64 {
        let pattern = schema.get("pattern").and_then(Value::as_str).into_iter();
        let names = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(|map| map.keys());
        pattern.chain(names.map(String::as_str)).filter_map(|pattern| self.patterns.get(pattern)).sum()
    }

    /// The parts of a schema, and whether each is for what is inside a value rather than for the value itself.
    fn parts(&self, schema: &'a Value) -> Vec<(&'a Value, bool)> {
        let Some(map) = schema.as_object() else { return vec![] };
        let mut parts = Vec::new();
        for (keyword, value) in map {
            let inside = match keyword.as_str() {
                "$ref" => {
                    let target = value.as_str().and_then(|reference| self.root.pointer(reference.get(1..)?));
                    parts.extend(target.map(|target| (target, false)));
                    continue;
                }
                "$defs" | "definitions" | "default" | "examples" => continue,
                "properties"
                | "patternProperties"
                | "additionalProperties"
                | "propertyNames"
                | "items"
                | "prefixItems"
                | "additionalItems"
                | "contains" => true,
                _ => false,
            };
            match (keyword.as_str(), value) {
                ("properties" | "patternProperties" | "dependentSchemas" | "dependencies", Value::Object(map)) => {
                    parts.extend(map.values().map(|part| (part, inside)));
                }
                (_, Value::Array(items)) => parts.extend(items.iter().map(|part| (part, inside))),
                _ => parts.push((value, inside)),
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests;
