//! JSON as people read it: objects as lists of terms, lists of like objects as tables. Pure.

use askama::Template;
use serde_json::{Map, Value};

/// How much of a document a page shows: how many values, how many characters of texts, and how deep. The rest is left
/// out, and the page says so.
const VALUES_MAX: usize = 2_000;
const CHARS_MAX: usize = 200_000;
const DEPTH_MAX: usize = 12;

/// How many columns a table may have.
const COLUMNS_MAX: usize = 6;

/// How many characters a cell of a table may have; a list with longer ones is no table.
const CELL_CHARS_MAX: usize = 80;

/// A value as it is shown.
#[derive(Debug, PartialEq, Template)]
#[template(path = "value.html")]
pub(super) enum Shown {
    Text(String),
    /// A number, a truth value, or nothing.
    Word(String),
    Empty(&'static str),
    Terms(Vec<(String, Shown)>),
    List(Vec<Shown>),
    Table {
        heads: Vec<String>,
        rows: Vec<Vec<Shown>>,
    },
    Cut,
}

/// What may still be shown.
struct Room {
    values: usize,
    chars: usize,
    /// Whether something was left out.
    is_cut: bool,
}

/// The value as it is shown, and whether something was left out.
pub(super) fn shown(value: &Value) -> (Shown, bool) {
    let mut room = Room { values: VALUES_MAX, chars: CHARS_MAX, is_cut: false };
    let shown = show(value, &mut room, 0);
    (shown, room.is_cut)
}

fn show(value: &Value, room: &mut Room, depth: usize) -> Shown {
    if room.values == 0 || depth > DEPTH_MAX {
        room.is_cut = true;
        return Shown::Cut;
    }
    room.values -= 1;
    match value {
        Value::Null => Shown::Empty("none"),
        Value::Bool(true) => Shown::Word("yes".into()),
        Value::Bool(false) => Shown::Word("no".into()),
        Value::Number(number) => Shown::Word(number.to_string()),
        Value::String(text) if text.is_empty() => Shown::Empty("empty text"),
        Value::String(text) => Shown::Text(room.take(text)),
        Value::Array(list) if list.is_empty() => Shown::Empty("empty list"),
        Value::Array(list) => match columns(list) {
            Some(heads) => table(heads, list, room, depth),
            None => Shown::List(some(list.iter(), room, |value, room| show(value, room, depth + 1))),
        },
        Value::Object(object) if object.is_empty() => Shown::Empty("empty"),
        Value::Object(object) => {
            Shown::Terms(some(object.iter(), room, |(key, value), room| (room.take(key), show(value, room, depth + 1))))
        }
    }
}

/// As many as there is room for.
fn some<T, U>(all: impl Iterator<Item = T>, room: &mut Room, show: impl Fn(T, &mut Room) -> U) -> Vec<U> {
    let mut shown = vec![];
    for item in all {
        if room.values == 0 {
            room.is_cut = true;
            break;
        }
        shown.push(show(item, room));
    }
    shown
}

/// The columns of a list of objects that all have the same few short members.
fn columns(list: &[Value]) -> Option<Vec<&String>> {
    let heads: Vec<&String> = list.first()?.as_object()?.keys().collect();
    let is_short = |value: &Value| match value {
        Value::String(text) => text.chars().count() <= CELL_CHARS_MAX && !text.contains('\n'),
        Value::Array(_) | Value::Object(_) => false,
        _ => true,
    };
    let is_row = |object: &Map<String, Value>| {
        object.len() == heads.len() && heads.iter().all(|head| object.get(*head).is_some_and(is_short))
    };
    let fits = list.len() > 1
        && (1..=COLUMNS_MAX).contains(&heads.len())
        && list.iter().all(|item| item.as_object().is_some_and(is_row));
    fits.then_some(heads)
}

fn table(heads: Vec<&String>, list: &[Value], room: &mut Room, depth: usize) -> Shown {
    let row = |item: &Value, room: &mut Room| {
        heads.iter().map(|head| show(&item[head.as_str()], room, depth + 1)).collect::<Vec<_>>()
    };
    let rows = some(list.iter(), room, row);
    Shown::Table { rows, heads: heads.into_iter().map(|head| room.take(head)).collect() }
}

impl Room {
    /// The text, or what there is room for.
    fn take(&mut self, text: &str) -> String {
        let taken: String = text.chars().take(self.chars).collect();
        self.chars -= taken.chars().count();
        if taken.len() == text.len() {
            return taken;
        }
        self.is_cut = true;
        taken + "…"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn markup_in_a_document_is_text() {
        let value = json!({"<b>": "<script>alert(1)</script>", "rows": [{"<i>": "\"&'"}, {"<i>": "<img>"}]});
        let html = shown(&value).0.render().unwrap();
        for markup in ["<b>", "<i>", "<script", "<img", "\"&'"] {
            assert!(!html.contains(markup), "{html}");
        }
        assert!(html.contains("<dl>") && html.contains("<table>"), "{html}");
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        let (many, long) = (json!(vec![json!({"a": 1, "b": [1]}); 5_000]), json!("x".repeat(CHARS_MAX + 1)));
        for value in [deep, many, json!([long]), json!(vec![json!({"a": 1}); 5_000])] {
            let (shown, is_cut) = shown(&value);
            assert!(is_cut);
            assert!(shown.render().unwrap().len() < 2 * CHARS_MAX);
        }
        assert!(!shown(&json!({"a": ["b", 1, null, true, {}]})).1);
    }
}
