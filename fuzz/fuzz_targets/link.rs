//! Reviewers' links: no altered token is believed, and none with another one's parts.
#![no_main]

use arbitrary::Arbitrary;
use countersign::link::Links;
use countersign::link::redact;
use libfuzzer_sys::fuzz_target;

const KEY: &str = "cmk_dGhlIG1hc3RlciBrZXkgb2YgYWxsIHRlc3QgaG9zdHM=";
const NOW: u64 = 1_800_000_000_000;

#[derive(Debug, Arbitrary)]
enum Token<'a> {
    Text(&'a str),
    Changed { edits: Vec<(u16, u8)>, cut: u16 },
}

fuzz_target!(|token: Token<'_>| {
    let links = Links::new(KEY.parse().expect("a key"), "https://countersign.example");
    let execution = format!("exec_{}", "ab".repeat(16));
    let url = links.review_link("acme", &execution, "draft#2", "Ada", NOW + 1_000);
    let (_, good) = url.rsplit_once("/r/").expect("a link has a token");
    assert!(links.read(good, NOW).is_ok());
    let text = match token {
        Token::Text(text) => text.to_owned(),
        Token::Changed { edits, cut } => {
            let mut bytes = good.as_bytes().to_vec();
            for (place, byte) in edits {
                let place = usize::from(place) % bytes.len();
                bytes[place] = byte & 0x7f;
            }
            bytes.truncate(bytes.len() - usize::from(cut) % bytes.len());
            String::from_utf8(bytes).expect("ASCII")
        }
    };
    assert_eq!(links.read(&text, NOW).is_ok(), text == good, "{text}");
    assert!(links.read(&text, NOW + 1_000).is_err(), "{text}");
    // What makes it work is hidden wherever it stands, but in a token that was altered, which is none.
    let (_, secret) = good.rsplit_once('.').expect("a token has an end");
    if !text.contains(secret) {
        let said = format!("{text} {url} {text}");
        assert!(!redact(&said).contains(secret), "{said}");
    }
});
