//! What clients and reviewers send as JSON: documents, schemas and what is held against them, recordings, answers, names.
#![no_main]

use countersign::execution::{Target, split_pause_id};
use countersign::schema::Schema;
use countersign::{address, approval, json, limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (text.parse::<Target>(), split_pause_id(text), approval::is_reviewer(text), approval::is_group(text));
    let _ = address::Rules::default().read(text);
    if json::check(text).is_ok() {
        // Every reader can read what was found good.
        let value: serde_json::Value = serde_json::from_str(text).expect("it is JSON");
        let _ = limits::Settings::parse(&value);
    }
    let (schema, document) = text.split_once('\n').unwrap_or((text, text));
    if let Ok(schema) = Schema::parse(schema) {
        let _ = schema.check(document);
        if json::check(document).is_ok()
            && let Some(completed) = schema.completed(Some(document))
        {
            json::check(&completed).expect("what was completed is JSON");
        }
    }
});
