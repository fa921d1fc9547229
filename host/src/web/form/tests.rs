use serde_json::json;

use super::*;
use crate::web::field::Kind;

fn blank(schema: &Value) -> Blank {
    Blank::new(Some(&schema.to_string()), None)
}

fn typed(parts: &[(&str, &str)]) -> Typed {
    Typed(parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn read(blank: &Blank, parts: &[(&str, &str)]) -> Value {
    let text = blank.response(&typed(parts), false).unwrap().expect("a response");
    serde_json::from_str(&text).unwrap()
}

fn kinds(blank: &Blank) -> Vec<&'static str> {
    let Layout::Fields(fields) = &blank.layout else { panic!("{:?}", blank.layout) };
    let kind = |field: &Field| match field.kind {
        Kind::Text { is_long: true, .. } => "area",
        Kind::Text { .. } => "line",
        Kind::Number { is_integer: true, .. } => "integer",
        Kind::Number { .. } => "number",
        Kind::Tick => "tick",
        Kind::Options(_) => "options",
    };
    fields.iter().map(kind).collect()
}

#[test]
fn each_kind_of_property_has_a_field_and_is_read_as_what_it_is() {
    let blank = blank(&json!({"type": "object", "required": ["amount", "who"], "properties": {
        "amount": {"type": "number"}, "count": {"type": "integer"}, "fast": {"type": "boolean"},
        "how": {"enum": ["air", "sea", 3]}, "note": {"type": "string"}, "who": {"type": "string", "maxLength": 20}
    }}));
    assert_eq!(kinds(&blank), ["number", "integer", "tick", "options", "area", "line"]);
    let all = [
        ("field.amount", "12345678901234567890.10"),
        ("field.count", "-3"),
        ("field.fast", "true"),
        ("field.how", "\"sea\""),
        ("field.note", "a\n\"b\""),
        ("field.who", "Zoë"),
    ];
    let text = blank.response(&typed(&all), false).unwrap().unwrap();
    let expected =
        r#"{"amount":12345678901234567890.10,"count":-3,"fast":true,"how":"sea","note":"a\n\"b\"","who":"Zoë"}"#;
    assert_eq!(text, expected, "a number stays as it was typed");
    assert_eq!(read(&blank, &[("field.amount", ".5"), ("field.how", "3")])["amount"], 0.5);
    let least = read(&blank, &[("field.amount", "1"), ("field.count", " "), ("field.how", ""), ("field.note", "")]);
    assert_eq!(least, json!({"amount": 1, "fast": false, "who": ""}), "what is left out is left out");
}

#[test]
fn what_is_wrong_is_told_at_its_field() {
    let blank = blank(&json!({"required": ["amount", "how"], "properties": {
        "amount": {"type": "number"}, "count": {"type": "integer"}, "how": {"enum": ["air"]}
    }}));
    let wrong = blank.response(&typed(&[("field.count", "NaN"), ("field.how", "\"sea\"")]), false).unwrap_err();
    assert_eq!(wrong.keys().collect::<Vec<_>>(), ["field.amount", "field.count", "field.how"]);
    let named = super::wrong("at /a~1b: 3 is too much; at the top: no; at /c/0: is no string");
    assert_eq!(named.keys().collect::<Vec<_>>(), ["field.a/b", "field.c"]);
}

#[test]
fn defaults_are_filled_in_and_a_choice_may_be_described() {
    let blank =
        blank(&json!({"$defs": {"how": {"oneOf": [{"const": "air", "description": "fast"}, {"const": "sea"}]}},
            "required": ["how"], "properties": {
                "amount": {"type": ["number", "null"], "default": 5},
                "fast": {"type": "boolean", "default": true},
                "how": {"$ref": "#/$defs/how", "default": "sea"},
                "maybe": {"anyOf": [{"$ref": "#/$defs/how"}, {"type": "null"}]},
                "ref": {"allOf": [{"$ref": "#/$defs/how"}], "description": "again"}
        }}));
    assert_eq!(kinds(&blank), ["number", "tick", "options", "options", "options"]);
    let untouched = blank.untouched();
    assert_eq!(untouched.get("field.how"), Some("\"sea\""));
    let response: Value = serde_json::from_str(&blank.response(&untouched, false).unwrap().unwrap()).unwrap();
    assert_eq!(response, json!({"amount": 5, "fast": true, "how": "sea"}));
    let emptied = read(&blank, &[("field.amount", ""), ("field.how", "\"air\"")]);
    assert_eq!(emptied, json!({"amount": null, "fast": false, "how": "air"}));
}

#[test]
fn who_refuses_may_leave_the_form_as_it_is_or_half_filled_in() {
    let blank = blank(&json!({"required": ["amount"], "properties": {
        "amount": {"type": "number"}, "note": {"type": "string"}
    }}));
    assert_eq!(blank.response(&blank.untouched(), true), Ok(None));
    assert!(blank.response(&blank.untouched(), false).is_err());
    assert_eq!(blank.response(&typed(&[("field.amount", "x")]), true), Ok(None));
    assert_eq!(blank.response(&typed(&[("field.amount", "2")]), true), Ok(Some(r#"{"amount":2}"#.into())));
}

#[test]
fn a_payload_is_edited_in_fields_and_is_not_sent_back_as_long_as_it_is_the_same() {
    let blank = Blank::new(None, Some(r#"{"amount":1.50,"draft":"a\r\nb","ok":true}"#));
    assert_eq!(kinds(&blank), ["number", "area", "tick"]);
    assert!(blank.shows_payload());
    for is_refusal in [true, false] {
        assert_eq!(blank.response(&blank.untouched(), is_refusal), Ok(None));
    }
    let edited = [("field.amount", "1.5"), ("field.draft", "c"), ("field.ok", "true")];
    assert_eq!(read(&blank, &edited), json!({"amount": 1.5, "draft": "c", "ok": true}));
    let wrong = blank.response(&typed(&[("field.draft", "c")]), false).unwrap_err();
    assert!(wrong.contains_key("field.amount"), "a number stays one");

    let text = Blank::new(None, Some(r#""Dear all""#));
    assert!(matches!(text.layout, Layout::Single(_)));
    assert_eq!(text.response(&typed(&[(RESPONSE, "Dear both")]), false), Ok(Some(r#""Dear both""#.into())));
}

#[test]
fn what_fields_cannot_show_is_json() {
    let nested = json!({"properties": {"lines": {"type": "array"}, "total": {"type": "number", "default": 3}}});
    let many: Map<String, Value> = (0..=FIELDS_MAX).map(|n| (n.to_string(), json!({"type": "string"}))).collect();
    for schema in [
        nested.clone(),
        json!({"type": "object"}),
        json!({}),
        json!({"type": "array"}),
        json!({"properties": many}),
        json!({"properties": {"a": {"type": "string"}}, "oneOf": [{"required": ["a"]}]}),
        json!({"properties": {"a": {"type": "string"}}, "required": ["b"]}),
        json!({"properties": {"a": {"type": "string", "default": 3}}}),
        json!({"properties": {"a": {"type": ["string", "number"]}}}),
        json!({"properties": {"a\n": {"type": "string"}}}),
        json!({"properties": {"a": true}}),
        json!({"properties": {"a": {"$ref": "#/properties/a"}}}),
    ] {
        assert!(matches!(blank(&schema).layout, Layout::Json(_)), "{schema}");
    }
    let Layout::Json(prefill) = blank(&nested).layout else { panic!("fields") };
    assert_eq!(serde_json::from_str::<Value>(&prefill).unwrap(), json!({"total": 3}));
    for payload in [r#"{"a":{"b":1}}"#, r#"[1]"#, r#"{"a":null}"#, "{}"] {
        let blank = Blank::new(None, Some(payload));
        assert!(matches!(blank.layout, Layout::Json(_)), "{payload}");
        assert_eq!(blank.response(&blank.untouched(), false), Ok(None));
        assert_eq!(blank.response(&typed(&[(RESPONSE, " [2] ")]), false), Ok(Some("[2]".into())));
        assert!(blank.response(&typed(&[(RESPONSE, "{")]), false).is_err());
    }
    // A payload that has more than its schema shows.
    let more = Blank::new(Some(r#"{"properties":{"a":{"type":"string"}}}"#), Some(r#"{"a":"x","b":1}"#));
    assert!(matches!(more.layout, Layout::Json(_)));
}

#[test]
fn fields_are_in_the_order_in_which_they_were_written() {
    let keys = |blank: &Blank| {
        let Layout::Fields(fields) = &blank.layout else { panic!("{:?}", blank.layout) };
        fields.iter().map(|field| field.key.clone()).collect::<Vec<_>>()
    };
    let schema = r#"{"properties": {"z": {"type": "string"}, "a": {"type": "string"}, "m": {"type": "string"}}}"#;
    assert_eq!(keys(&Blank::new(Some(schema), None)), ["z", "a", "m"]);
    assert_eq!(keys(&Blank::new(None, Some(r#"{"z": 1, "a": "x", "m": true}"#))), ["z", "a", "m"]);
}

#[test]
fn a_body_with_too_many_parts_is_refused() {
    let body = |parts: usize| (0..parts).map(|n| format!("{n}=1&")).collect::<String>();
    assert!(Typed::parse(body(PARTS_MAX).as_bytes()).is_some());
    assert!(Typed::parse(body(PARTS_MAX + 1).as_bytes()).is_none());
    assert_eq!(Typed::parse(b"feedback=a+b%0D%0Ac").unwrap().get(FEEDBACK), Some("a b\nc"));
}
