use serde_json::{Value, json};

use crate::effects::ai::tests::{prompt, with_schema};
use crate::effects::ai::{Models, Settings};
use crate::journal::{AiError, Completion, Message, Prompt, Role};

async fn rehearse(prompt: &Prompt) -> Result<Completion, AiError> {
    Models::new(Settings::default()).ok().unwrap().complete(prompt, "k").await
}

#[tokio::test]
async fn the_rehearsal_takes_up_the_brief_and_the_feedback() {
    let brief = prompt("Write a short post about durable agents in Rust.");
    let draft = rehearse(&brief).await.unwrap();
    assert!(draft.text.contains("durable agents in Rust") && draft.text.contains("first draft"), "{}", draft.text);
    assert_eq!((draft.model.as_str(), draft.input_tokens), ("rehearsal", 9));
    assert_eq!(draft.output_tokens, draft.text.split_whitespace().count() as u64);
    assert_eq!(rehearse(&brief).await.unwrap(), draft, "the same prompt, the same answer");

    let again =
        prompt(&format!("{}\n\nDraft:\n{}\n\nFeedback: mention crash safety!", brief.messages[0].content, draft.text));
    let revised = rehearse(&again).await.unwrap().text;
    assert!(revised.contains("mention crash safety") && revised.contains("durable agents in Rust"), "{revised}");
    assert_ne!(revised, draft.text);

    let mut messages = brief.messages.clone();
    messages.push(Message { role: Role::Assistant, content: draft.text });
    messages.push(Message { role: Role::User, content: "Feedback: make it shorter".into() });
    let shorter = rehearse(&Prompt { messages, ..brief.clone() }).await.unwrap().text;
    assert!(shorter.contains("make it shorter") && shorter.contains("durable agents"), "{shorter}");
    assert!(shorter.len() < revised.len());

    let cut = rehearse(&Prompt { max_tokens: Some(5), ..brief }).await.unwrap();
    assert_eq!(cut.output_tokens, 5);
}

#[tokio::test]
async fn the_rehearsal_satisfies_common_schemas() {
    let node = json!({"type": "object", "properties": {"v": {"type": "string"}, "kids": {"type": "array",
        "items": {"$ref": "#/$defs/node"}}, "up": {"$ref": "#/$defs/node"}}, "required": ["v", "kids"]});
    let schemas = [
        json!(true),
        json!({"const": {"a": 1}}),
        json!({"enum": ["approve", "reject"]}),
        json!({"type": ["null", "integer"], "minimum": 5, "multipleOf": 4}),
        json!({"type": "number", "exclusiveMinimum": 0, "maximum": 0.3}),
        json!({"type": "integer", "maximum": -3}),
        json!({"type": "string", "minLength": 300, "maxLength": 310}),
        json!({"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": true}),
        json!({"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}], "items": false}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "string", "format": "date-time"}),
        json!({"anyOf": [false, {"type": "integer"}]}),
        json!({"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "boolean"}}, "required": ["b"]}]}),
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"required": ["a"]}]}),
        json!({"type": "object", "properties": {"title": {"type": "string"}, "score": {"type": "number", "maximum": 1},
            "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["title", "score", "tags"],
            "additionalProperties": false}),
        json!({"$ref": "#/$defs/node", "$defs": {"node": node}}),
    ];
    for schema in schemas {
        let answer = rehearse(&with_schema("Write about tea and rain in Lisbon", &schema)).await;
        let text = answer.unwrap_or_else(|why| panic!("{schema}: {why:?}")).text;
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
    }
}

#[tokio::test]
async fn the_rehearsal_gives_up_on_what_it_cannot_make() {
    let schemas = [
        json!(false),
        json!({"type": "string", "pattern": "^[0-9]{3}$"}),
        json!({"type": "array", "items": true, "minItems": 1_000_000}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]}),
    ];
    for schema in schemas {
        let answer = rehearse(&with_schema("tea", &schema)).await;
        assert!(matches!(answer, Err(AiError::InvalidOutput(_))), "{schema}: {answer:?}");
    }
    for odd in ["", "Feedback:", "ä", "\u{0}", &"é".repeat(100_000)] {
        assert!(rehearse(&prompt(odd)).await.unwrap().text.len() < 5_000);
    }
}
