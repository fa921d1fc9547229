use serde_json::json;

use super::*;

#[test]
fn every_problem_is_told_with_its_place_up_to_five() {
    let schema = Schema::parse(
        r#"{"type":"object","required":["a"],"properties":{"b":{"type":"array","items":{"type":"string"}}}}"#,
    )
    .unwrap();
    assert_eq!(schema.check(r#"{"a":1,"b":["x"]}"#), Ok(()));
    assert!(schema.check("{").unwrap_err().starts_with("not JSON"));
    let why = schema.check(r#"{"b":["x",2]}"#).unwrap_err();
    let mut problems: Vec<&str> = why.split("; ").collect();
    problems.sort_unstable();
    assert_eq!(problems, ["at /b/1: 2 is not of type \"string\"", "at the top: \"a\" is a required property"]);
    assert_eq!(schema.check(r#"{"a":0,"b":[1,2,3,4,5,6,7]}"#).unwrap_err().matches("at /b/").count(), 5);
    let long = format!("{{\"a\":0,\"b\":\"{}\"}}", "x".repeat(10_000));
    assert_eq!(schema.check(&long).unwrap_err().chars().count(), PROBLEM_CHARS_MAX);
}

#[test]
fn what_schemars_writes_is_taken() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Order",
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
            "note": {"description": "Free text.", "type": ["string", "null"], "default": null},
            "kind": {"$ref": "#/$defs/Kind", "description": "What it is."},
        },
        "required": ["items", "kind"],
        "$defs": {
            "Item": {
                "type": "object",
                "properties": {
                    "count": {"type": "integer", "format": "uint32", "minimum": 0},
                    "parts": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
                },
                "required": ["count"],
            },
            "Kind": {"oneOf": [{"type": "string", "const": "gift"}, {"type": "string", "enum": ["loan", "sale"]}]},
        },
    });
    let schema = Schema::parse(&schema.to_string()).unwrap();
    assert_eq!(schema.check(r#"{"kind":"gift","items":[{"count":1,"parts":[{"count":2}]}]}"#), Ok(()));
    let why = schema.check(r#"{"kind":"gift","items":[{"count":1,"parts":[{"count":-2}]}]}"#).unwrap_err();
    assert!(why.starts_with("at /items/0/parts/0/count: -2"), "{why}");
}

#[test]
fn a_pattern_costs_what_its_size_costs() {
    let check = |pattern: &str, length: usize| {
        let schema = Schema::parse(&json!({"pattern": pattern}).to_string()).unwrap();
        schema.check(&json!("ab".repeat(length / 2)).to_string())
    };
    assert_eq!(check("^[a-z0-9_-]+$", 500_000), Ok(()));
    assert_eq!(check("^([ab]{2}){1,500}$", 1_000), Ok(()));
    assert!(check("^[a-z]{1,64}$", 2_000).unwrap_err().starts_with("at the top"));
    // Millions of bytes times thousands of states.
    let slow = check("[ab]*a[ab]{2000}[cd]", 500_000);
    assert_eq!(slow, Err("too large or too deep to be checked against this schema".into()));
}

#[test]
fn a_schema_whose_check_would_not_end_is_not_begun() {
    let refused = |schema: Value| Schema::parse(&schema.to_string()).err().unwrap_or_default();
    assert!(refused(json!(17)).contains("not a JSON Schema"));
    for outside in ["http://127.0.0.1/x", "file:///etc/passwd", "x", "#x", "#/$defs/none"] {
        assert!(refused(json!({"$ref": outside})).contains("$ref"), "{outside}");
    }
    assert!(refused(json!({"$ref": "#"})).contains("circle"));
    assert!(refused(json!({"$defs": {"a": {"$id": "x"}}})).contains("$id"));
    assert!(refused(json!({"unevaluatedProperties": false})).contains("unevaluated"));
    assert!(refused(json!({"$schema": "http://json-schema.org/draft-04/schema#"})).contains("$schema"));
    assert!(refused(json!({"allOf": vec![json!({"pattern": "a"}); 65]})).contains("patterns"));
    assert!(refused(json!({"pattern": "(a{1000}){1000}"})).contains("not a JSON Schema"));
    assert!(refused(json!({"description": "x".repeat(SCHEMA_BYTES_MAX)})).contains("64 KiB"));

    let doubling = |inside: &str, count: usize| {
        let mut schema = json!({"$ref": "#/$defs/d0", "$defs": {}});
        for index in 0..count {
            let next = json!({"$ref": format!("#/$defs/d{}", index + 1)});
            schema["$defs"][format!("d{index}")] = json!({inside: [next, next]});
        }
        schema["$defs"][format!("d{count}")] = json!(true);
        Schema::parse(&schema.to_string()).unwrap()
    };
    assert_eq!(doubling("allOf", 10).check("{}"), Ok(()));
    assert!(doubling("allOf", 100).check("{}").unwrap_err().contains("too large or too deep"));
    assert!(doubling("anyOf", 100).check("{}").unwrap_err().contains("too large or too deep"));

    let both = json!([{"$ref": "#"}, {"$ref": "#"}]);
    let schema = json!({"type": "object", "properties": {"c": {"anyOf": both}}});
    let schema = Schema::parse(&schema.to_string()).unwrap();
    let nested = |depth: usize| format!("{}1{}", "{\"c\":".repeat(depth), "}".repeat(depth));
    assert!(schema.check(&nested(2)).unwrap_err().starts_with("at /c"));
    assert!(schema.check(&nested(12)).unwrap_err().contains("does not satisfy"));
    assert!(schema.check(&nested(60)).unwrap_err().contains("too large or too deep"));
    assert!(schema.check(&nested(100)).is_err());
}

#[test]
fn a_long_chain_of_references_fits_on_the_stack() {
    let mut schema = json!({"$ref": "#/$defs/d0", "$defs": {"d200": true}});
    for index in 0..200 {
        let next = json!({"$ref": format!("#/$defs/d{}", index + 1)});
        schema["$defs"][format!("d{index}")] = json!({"not": {"not": next}});
    }
    let schema = Schema::parse(&schema.to_string()).unwrap();
    assert_eq!(schema.check("{}"), Ok(()));
    let mut deep = json!({"$defs": {}});
    for index in 0..250 {
        let mut next = json!({"$ref": format!("#/$defs/d{}", (index + 1) % 250)});
        for _ in 0..20 {
            next = json!({"not": next});
        }
        deep["$defs"][format!("d{index}")] = json!({"properties": {"c": next}});
    }
    deep["$ref"] = json!("#/$defs/d0");
    assert!(Schema::parse(&deep.to_string()).is_err(), "64 deep, some twenty schemas for each");
}
