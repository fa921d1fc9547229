//! What a schema says of what a document leaves out. Pure.

use serde_json::{Map, Value};

use super::DEPTH_MAX;
use crate::execution::JSON_BYTES_MAX;

/// See `Schema::completed`. A document that would grow beyond `JSON_BYTES_MAX` is left as it is.
pub(super) fn completed(schema: &Value, text: Option<&str>) -> Option<String> {
    let mut document = match text {
        Some(text) => serde_json::from_str(text).ok()?,
        None => match resolved(schema, schema).get("default") {
            Some(default) => return Some(default.to_string()),
            None => Value::Object(Map::new()),
        },
    };
    let mut room = JSON_BYTES_MAX.saturating_sub(text.map_or(2, str::len));
    let changed = fill(schema, schema, &mut document, &mut room, 0)?;
    changed.then(|| document.to_string())
}

/// Whether something was left out; none if there is no room for it.
fn fill(root: &Value, schema: &Value, document: &mut Value, room: &mut usize, depth: usize) -> Option<bool> {
    let schema = resolved(root, schema);
    let (Some(properties), Value::Object(object)) = (schema.get("properties").and_then(Value::as_object), document)
    else {
        return Some(false);
    };
    let mut changed = false;
    for (name, property) in properties {
        match object.get_mut(name) {
            Some(inner) if depth < DEPTH_MAX => changed |= fill(root, property, inner, room, depth + 1)?,
            Some(_) => {}
            None => {
                let Some(default) = resolved(root, property).get("default").or_else(|| property.get("default")) else {
                    continue;
                };
                *room = room.checked_sub(default.to_string().len() + name.len() + 4)?;
                object.insert(name.clone(), default.clone());
                changed = true;
            }
        }
    }
    Some(changed)
}

/// The schema that a reference leads to. It goes round in no circle: `Schema::new` has seen to that.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEPTH_MAX {
        // What stands beside a reference is nearer than what it leads to.
        if schema.get("default").is_some() || schema.get("properties").is_some() {
            return schema;
        }
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        match target.and_then(|pointer| root.pointer(pointer)) {
            Some(next) => schema = next,
            None => return schema,
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_gets_its_default_and_what_is_there_stays_as_it_was_written() {
        let schema = json!({"type": "object", "properties": {
            "amount": {"type": "number", "default": 10},
            "ship": {"$ref": "#/$defs/ship"},
            "note": {"type": "string"}
        }, "$defs": {"ship": {"type": "object", "properties": {"fast": {"type": "boolean", "default": false}}}}});
        let read = |text: Option<String>| text.map(|text| serde_json::from_str::<Value>(&text).unwrap());
        assert_eq!(
            read(completed(&schema, Some(r#"{"ship":{}}"#))),
            Some(json!({"amount": 10, "ship": {"fast": false}}))
        );
        assert_eq!(read(completed(&schema, None)), Some(json!({"amount": 10})));
        assert_eq!(completed(&schema, Some(r#"{"amount": 1.50, "ship": {"fast": true}}"#)), None);
        assert_eq!(completed(&json!({"type": "integer", "default": 7}), None), Some("7".into()));
        assert_eq!(completed(&json!({"type": "integer"}), None), None);
        assert_eq!(completed(&schema, Some("[1]")), None);
    }

    #[test]
    fn defaults_do_not_make_a_document_too_large() {
        let big = json!("x".repeat(JSON_BYTES_MAX / 2));
        let schema = json!({"properties": {"a": {"default": big}, "b": {"default": big}, "c": {"default": big}}});
        assert_eq!(completed(&schema, Some("{}")), None);
    }
}
