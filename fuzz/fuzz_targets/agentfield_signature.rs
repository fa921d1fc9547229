//! Signatures as AgentField's tools make them: none is believed but over these very bytes, with this very secret.
#![no_main]

use arbitrary::Arbitrary;
use countersign::signature::agentfield::Signature;
use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "whsec_c2VjcmV0";

#[derive(Debug, Arbitrary)]
struct Webhook<'a> {
    header: Option<&'a str>,
    seconds: i16,
    body: &'a [u8],
    takes_bare: bool,
}

fuzz_target!(|webhook: Webhook<'_>| {
    let of = |parts: &[&[u8]]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let at = NOW.saturating_add_signed(webhook.seconds.into()).to_string();
    let timed = of(&[at.as_bytes(), b".", webhook.body]);
    let header = webhook.header.map_or_else(|| format!("t={at},v1={timed}"), ToOwned::to_owned);
    let Ok(signature) = Signature::parse(&header) else { return };
    let believed = signature.verify(&[SECRET], webhook.body, NOW, webhook.takes_bare).is_ok();
    if webhook.header.is_none() {
        assert_eq!(believed, webhook.seconds.unsigned_abs() <= 300, "{header}");
    } else if believed {
        // What was not signed here is believed only if it happens to be what would have been signed.
        let lower = header.to_ascii_lowercase();
        let bare = of(&[webhook.body]);
        let time: String =
            lower.split("t=").nth(1).unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        let signed = of(&[time.as_bytes(), b".", webhook.body]);
        assert!(lower.contains(&signed) || (webhook.takes_bare && lower.contains(&bare)), "{header}");
    }
});
