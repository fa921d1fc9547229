//! JSON as people read it: objects as lists of terms, lists of like objects as tables. Pure.

use askama::Template;
use serde_json::value::RawValue;

use super::members::members;

/// How much of a document a page shows: how many values, how many characters of texts, and how deep. The rest is left
/// out, and the page says so.
const VALUES_MAX: usize = 2_000;
const CHARS_MAX: usize = 200_000;
const DEPTH_MAX: usize = 12;

/// How many columns a table may have.
const COLUMNS_MAX: usize = 6;

/// How many bytes a cell of a table may have; a list with longer ones is no table.
const CELL_BYTES_MAX: usize = 80;

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

/// A JSON document as it is shown, and whether something was left out. None if it is none.
pub(super) fn shown(text: &str) -> Option<(Shown, bool)> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    let mut room = Room { values: VALUES_MAX, chars: CHARS_MAX, is_cut: false };
    let shown = show(value, &mut room, 0);
    Some((shown, room.is_cut))
}

/// Each level is read when it is shown, so that members stay in their order, and numbers as they were written.
fn show(value: &RawValue, room: &mut Room, depth: usize) -> Shown {
    if room.values == 0 || depth > DEPTH_MAX {
        room.is_cut = true;
        return Shown::Cut;
    }
    room.values -= 1;
    let text = value.get();
    if let Some(members) = members(text) {
        return match members.is_empty() {
            true => Shown::Empty("empty"),
            false => {
                Shown::Terms(some(members, room, |(key, value), room| (room.take(&key), show(value, room, depth + 1))))
            }
        };
    }
    if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(text) {
        return match table(&list, room, depth) {
            Some(table) => table,
            None if list.is_empty() => Shown::Empty("empty list"),
            None => Shown::List(some(list, room, |value, room| show(value, room, depth + 1))),
        };
    }
    match serde_json::from_str::<String>(text) {
        Ok(text) if text.is_empty() => Shown::Empty("empty text"),
        Ok(text) => Shown::Text(room.take(&text)),
        Err(_) => match text {
            "null" => Shown::Empty("none"),
            "true" => Shown::Word("yes".into()),
            "false" => Shown::Word("no".into()),
            number => Shown::Word(room.take(number)),
        },
    }
}

/// As many as there is room for.
fn some<T, U>(all: Vec<T>, room: &mut Room, show: impl Fn(T, &mut Room) -> U) -> Vec<U> {
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

/// A table, if the list is of objects that all have the same few short members.
fn table(list: &[&RawValue], room: &mut Room, depth: usize) -> Option<Shown> {
    if list.len() < 2 {
        return None;
    }
    let rows: Vec<_> = list.iter().map(|item| members(item.get())).collect::<Option<_>>()?;
    let heads: Vec<String> = rows[0].iter().map(|(key, _)| key.clone()).collect();
    let is_short = |value: &RawValue| {
        let text = value.get();
        text.len() <= CELL_BYTES_MAX && !text.starts_with(['[', '{']) && !text.contains("\\n")
    };
    let mut sorted = vec![];
    for row in &rows {
        let cells: Option<Vec<&RawValue>> = heads
            .iter()
            .map(|head| row.iter().find(|(key, value)| key == head && is_short(value)).map(|(_, value)| *value))
            .collect();
        sorted.push(cells.filter(|cells| cells.len() == row.len())?);
    }
    if !(1..=COLUMNS_MAX).contains(&heads.len()) {
        return None;
    }
    let cells =
        |row: Vec<&RawValue>, room: &mut Room| row.into_iter().map(|value| show(value, room, depth + 1)).collect();
    let rows = some(sorted, room, cells);
    Some(Shown::Table { rows, heads: heads.iter().map(|head| room.take(head)).collect() })
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
        let html = shown(&value.to_string()).unwrap().0.render().unwrap();
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
            let (shown, is_cut) = shown(&value.to_string()).unwrap();
            assert!(is_cut);
            assert!(shown.render().unwrap().len() < 2 * CHARS_MAX);
        }
        assert!(!shown(r#"{"a": ["b", 1, null, true, {}]}"#).unwrap().1);
    }

    #[test]
    fn members_stay_in_their_order_and_numbers_to_the_digit() {
        let html =
            shown(r#"{"z": 129.90, "a": [{"y": 1.0, "b": "x"}, {"b": "y", "y": 2}]}"#).unwrap().0.render().unwrap();
        let places = ["z", "129.90", "a", "y", "b", "1.0"].map(|part| html.find(&format!(">{part}<")));
        assert!(places.is_sorted() && places[0].is_some(), "{html}");
        assert!(html.contains("<table>"), "{html}");
    }
}
