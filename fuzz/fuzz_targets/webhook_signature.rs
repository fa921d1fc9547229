//! Signed webhooks: believed just when a plain reading of Standard Webhooks would believe them.
#![no_main]

use arbitrary::Arbitrary;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::signature::{Headers, Secret, sign, verify};
use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

const NOW: u64 = 1_800_000_000;
const KEY: [u8; 32] = [9; 32];

#[derive(Debug, Arbitrary)]
struct Webhook<'a> {
    id: &'a str,
    timestamp: Timestamp<'a>,
    signatures: Vec<Signature<'a>>,
    body: &'a [u8],
}

#[derive(Debug, Arbitrary)]
enum Timestamp<'a> {
    Text(&'a str),
    Near(i16),
}

#[derive(Debug, Arbitrary)]
enum Signature<'a> {
    Text(&'a str),
    /// The right one.
    Right,
    /// The right one, changed at one place.
    Changed(u8, u8),
    OfOther(u8),
}

fuzz_target!(|webhook: Webhook<'_>| {
    let secret = Secret::from_bytes(KEY);
    let timestamp = match webhook.timestamp {
        Timestamp::Text(text) => text.to_owned(),
        Timestamp::Near(seconds) => NOW.saturating_add_signed(seconds.into()).to_string(),
    };
    let right = || {
        let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("any length");
        mac.update(format!("{}.{timestamp}.", webhook.id).as_bytes());
        mac.update(webhook.body);
        mac.finalize().into_bytes().to_vec()
    };
    let signatures = webhook.signatures.iter().map(|signature| match signature {
        Signature::Text(text) => (*text).to_owned(),
        Signature::Right => format!("v1,{}", BASE64_STANDARD.encode(right())),
        Signature::Changed(place, bits) => {
            let mut mac = right();
            mac[usize::from(*place) % 32] ^= bits;
            format!("v1,{}", BASE64_STANDARD.encode(mac))
        }
        Signature::OfOther(key) => match timestamp.parse() {
            Ok(seconds) => sign(&Secret::from_bytes([*key; 32]), webhook.id, seconds, webhook.body),
            Err(_) => "v1,".into(),
        },
    });
    let header = signatures.collect::<Vec<_>>().join(" ");
    let headers = Headers { id: webhook.id, timestamp: &timestamp, signature: &header };
    let believed = verify(&[secret], &headers, webhook.body, NOW).is_ok();
    assert_eq!(believed, plain(webhook.id, &timestamp, &header, &right()), "{headers:?}");
});

/// The same by the letter of the standard, and the bounds of this host.
fn plain(id: &str, timestamp: &str, header: &str, right: &[u8]) -> bool {
    let is_id = !id.is_empty() && id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    // The only way to write the number.
    let seconds = timestamp.parse::<u64>().ok().filter(|seconds| seconds.to_string() == timestamp && *seconds > 0);
    let is_now = seconds.is_some_and(|seconds| seconds.abs_diff(NOW) <= 300);
    let all: Vec<&str> = header.split(' ').collect();
    let is_bounded = all.len() <= 5 && all.iter().all(|one| one.len() <= 256);
    let wanted = format!("v1,{}", BASE64_STANDARD.encode(right));
    is_id && is_now && is_bounded && all.contains(&wanted.as_str())
}
