//! What of two asks differs, for people. Pure.

use serde_json::Value;

use crate::journal::Ask;

/// How many differences are told at once, how deep they are looked for, and how much of a value is shown, in characters.
const DIFFERENCES_MAX: usize = 20;
const DEPTH_MAX: usize = 32;
const SHOWN_CHARS_MAX: usize = 160;

/// How much is shown of what is the same before a difference, in characters.
const CONTEXT_CHARS: usize = 30;

/// A field that differs, and its values; none: it has no such field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `messages[1].content`.
    pub field: String,
    pub recorded: Option<String>,
    pub asked: Option<String>,
}

/// What differs between two asks in their journal form, field by field; at most 20 fields.
///
/// A text that holds a JSON document is looked into.
pub fn differences(recorded: &str, asked: &str) -> Vec<Difference> {
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let mut found = vec![];
    compare("", Some(&value(recorded)), Some(&value(asked)), 0, &mut found);
    found
}

fn compare(field: &str, recorded: Option<&Value>, asked: Option<&Value>, depth: usize, found: &mut Vec<Difference>) {
    if recorded == asked || found.len() >= DIFFERENCES_MAX {
        return;
    }
    if depth < DEPTH_MAX {
        match (recorded, asked) {
            (Some(Value::Object(one)), Some(Value::Object(other))) => {
                let added = other.keys().filter(|name| !one.contains_key(*name));
                for name in one.keys().chain(added) {
                    let field = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                    compare(&field, one.get(name), other.get(name), depth + 1, found);
                }
                return;
            }
            (Some(Value::Array(one)), Some(Value::Array(other))) => {
                for place in 0..one.len().max(other.len()) {
                    compare(&format!("{field}[{place}]"), one.get(place), other.get(place), depth + 1, found);
                }
                return;
            }
            (Some(Value::String(one)), Some(Value::String(other))) => {
                if let (Some(one), Some(other)) = (document(one), document(other))
                    && one != other
                {
                    return compare(field, Some(&one), Some(&other), depth + 1, found);
                }
            }
            _ => {}
        }
    }
    let (recorded, asked) = (recorded.map(shown), asked.map(shown));
    let same = match (&recorded, &asked) {
        (Some(one), Some(other)) => one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count(),
        _ => 0,
    };
    let excerpt = |text: String| excerpt(&text, same);
    found.push(Difference { field: field.to_owned(), recorded: recorded.map(excerpt), asked: asked.map(excerpt) });
}

/// The object or list that a text holds.
fn document(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(|value: &Value| value.is_object() || value.is_array())
}

fn shown(value: &Value) -> String {
    value.to_string()
}

/// `text` around the place where it begins to differ.
fn excerpt(text: &str, same: usize) -> String {
    let start = if same > CONTEXT_CHARS * 2 { same - CONTEXT_CHARS } else { 0 };
    let mut chars = text.chars().skip(start);
    let middle: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if chars.next().is_some() { "…" } else { "" };
    format!("{before}{middle}{after}")
}

/// What usually makes an ask differ, and where to look.
///
/// `asked` is none if the agent did not ask at all. `same_component`: it is the one that was recorded.
pub fn hint(recorded: &str, asked: Option<&str>, same_component: bool) -> &'static str {
    if same_component {
        return "This is the very component that was recorded, and it always asks the same. So the recording was changed: \
                its input, its seed, its start, or an entry before this one.";
    }
    let kind = |text: &str| serde_json::from_str::<Ask>(text).ok().map(|ask| ask.kind());
    match asked.map(kind) {
        None => {
            "The agent came to another point: it makes fewer asks than before, or gave this one up, or its asks were \
             answered in another order. Look for a condition, a loop or a `select` before this ask that changed."
        }
        Some(asked) if asked != kind(recorded) => {
            "The asks come in another order: one was added, removed or moved. Look at what the agent asks before this one."
        }
        Some(_) => {
            "The agent asks the same kind of thing, but not the same. Look at how these fields are made. What comes from \
             random numbers or from the order of a hash map also changes when the code before it draws more or fewer."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(field: &str, recorded: Option<&str>, asked: Option<&str>) -> Difference {
        Difference { field: field.into(), recorded: recorded.map(Into::into), asked: asked.map(Into::into) }
    }

    #[test]
    fn fields_are_told_by_their_path() {
        let recorded = r#"{"kind":"ai","messages":[{"role":"user","content":"after"}],"model":"a"}"#;
        let asked = r#"{"kind":"ai","messages":[{"role":"user","content":"afterwards"},{"role":"user"}]}"#;
        let expected = [
            difference("messages[0].content", Some("\"after\""), Some("\"afterwards\"")),
            difference("messages[1]", None, Some(r#"{"role":"user"}"#)),
            difference("model", Some("\"a\""), None),
        ];
        assert_eq!(differences(recorded, asked), expected);
    }

    #[test]
    fn documents_in_texts_are_looked_into() {
        let call = |input: &str| Ask::Call { target: "a.b".into(), input: input.into() }.to_text();
        let found = differences(&call(r#"{"a":{"b":[1,2]}}"#), &call(r#"{"a":{"b":[1,3]}}"#));
        assert_eq!(found, [difference("input.a.b[1]", Some("2"), Some("3"))]);
        // The same document, written otherwise, is another text.
        let found = differences(&call(r#"{"a":1}"#), &call(r#"{"a": 1}"#));
        assert_eq!(found, [difference("input", Some(r#""{\"a\":1}""#), Some(r#""{\"a\": 1}""#))]);
    }

    #[test]
    fn long_texts_are_shown_where_they_differ() {
        let text = |end: &str| format!("\"{}{end}\"", "é".repeat(500));
        let found = differences(&text("one"), &text("two"));
        let recorded = found[0].recorded.as_deref().unwrap();
        assert!(
            recorded.starts_with("…é") && recorded.ends_with("one\"") && recorded.chars().count() < 50,
            "{recorded}"
        );
        let many: Vec<u32> = (0..100).collect();
        assert_eq!(differences(&format!("{many:?}"), "[]").len(), DIFFERENCES_MAX);
    }

    #[test]
    fn a_hint_fits_what_happened() {
        let (sleep, wait) =
            (r#"{"kind":"sleep","duration_ms":1}"#, r#"{"kind":"wait_for_resume","approval_request_id":"x"}"#);
        assert!(hint(sleep, Some(sleep), true).contains("recording was changed"));
        assert!(hint(sleep, None, false).contains("another point"));
        assert!(hint(sleep, Some(wait), false).contains("another order"));
        assert!(hint(sleep, Some(sleep), false).contains("not the same"));
    }
}
