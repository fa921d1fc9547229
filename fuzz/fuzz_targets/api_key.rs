//! API keys: what is read is one that could have been made, and no other text is the same key.
#![no_main]

use countersign::api_key::{ApiKey, generate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let good = generate("acme", [7; 32]);
    let key = ApiKey::parse(&good).expect("it was just made");
    let hash = key.secret_sha256();
    assert!(key.has_secret(&hash) && !key.has_secret(&hash[1..]) && !key.has_secret(&[]));
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(other) = ApiKey::parse(text)
    {
        assert!(text.starts_with(&format!("cs_{}_{}", other.tenant, other.id)), "{text}");
        assert_eq!(other.has_secret(&hash) && other.id == key.id && other.tenant == key.tenant, text == good, "{text}");
    }
    // The good one, changed at one place.
    if let [place, byte, ..] = bytes {
        let mut changed = good.clone().into_bytes();
        let place = usize::from(*place) % changed.len();
        changed[place] = *byte;
        if let Ok(text) = String::from_utf8(changed) {
            assert_eq!(ApiKey::parse(&text).is_some(), text == good, "{text}");
        }
    }
});
