//! Journals, as they come from the database and from files: read or refused, and what is read is written the same.
#![no_main]

use countersign::journal::{Answer, Ask};
use countersign::trial::recording::{Recording, entries};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(ask) = serde_json::from_str::<Ask>(text) {
        let (_, _) = (ask.kind(), ask.bytes());
        let written = ask.to_text();
        let again: Ask = serde_json::from_str(&written).expect("what was written can be read");
        assert_eq!(again.to_text(), written);
    }
    if let Ok(answer) = serde_json::from_str::<Answer>(text) {
        let written = answer.to_text();
        let again: Answer = serde_json::from_str(&written).expect("what was written can be read");
        assert_eq!(again.to_text(), written);
    }
    if let Ok(lines) = serde_json::from_str::<Vec<Box<RawValue>>>(text) {
        let _ = entries(&lines);
    }
    if let Ok(recording) = Recording::parse(text)
        && let Ok(written) = recording.to_text()
    {
        let again = Recording::parse(&written).expect("what was written can be read");
        assert_eq!(again.to_text().ok(), Some(written));
    }
});
