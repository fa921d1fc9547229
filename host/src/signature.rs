//! How a webhook proves who sent it: Standard Webhooks 1.0.0, the symmetric scheme `v1`. Pure: no I/O, no clock.
//!
//! A signature is HMAC-SHA256 over `{id}.{timestamp}.{body}`, where the body is the bytes as they were sent.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

pub mod agentfield;

/// How far a webhook's timestamp may be from now, either way, in seconds.
pub const TOLERANCE_SECONDS: u64 = 300;

/// Longest `webhook-id`, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// Longest `webhook-timestamp`, in digits: enough until the year 5138.
pub const TIMESTAMP_DIGITS_MAX: usize = 11;

/// How many signatures one webhook may bear.
///
/// More than one is needed only while a secret is being replaced.
pub const SIGNATURES_MAX: usize = 5;

/// Longest single signature, with its `v1,`, in bytes.
pub const SIGNATURE_BYTES_MAX: usize = 256;

/// Shortest key, in bytes.
pub const KEY_BYTES_MIN: usize = 24;

/// Longest key, in bytes: the block of SHA-256, beyond which HMAC would hash it first.
pub const KEY_BYTES_MAX: usize = 64;

const SECRET_PREFIX: &str = "whsec_";
const SCHEME_PREFIX: &str = "v1,";

/// The key that a sender and a receiver share: 24 to 64 bytes. Wiped when it is dropped.
#[derive(Clone)]
pub struct Secret {
    key: Zeroizing<Vec<u8>>,
}

/// The text is not a secret.
#[derive(Debug, thiserror::Error)]
#[error("a secret is `whsec_` and the base64 of 24 to 64 bytes")]
pub struct NotASecret;

impl Secret {
    /// The secret of these bytes, which must be random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(bytes.to_vec()) }
    }

    /// The secret of this key, if it is one.
    pub(crate) fn from_key(key: Zeroizing<Vec<u8>>) -> Result<Self, NotASecret> {
        if (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) { Ok(Self { key }) } else { Err(NotASecret) }
    }

    /// The key itself, to be encrypted.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The text that the other side is given: `whsec_` and the key in base64.
    ///
    /// Not `Display`, so that nobody prints it by accident.
    pub fn expose(&self) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(&*self.key))
    }

    /// The MAC of a webhook, not yet finished.
    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

impl FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let key = text.strip_prefix(SECRET_PREFIX).ok_or(NotASecret)?;
        Self::from_key(Zeroizing::new(STANDARD.decode(key).map_err(|_| NotASecret)?))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The three headers of a webhook, as they came.
///
/// That each came exactly once is for the HTTP layer to see to.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`
    pub timestamp: &'a str,
    /// `webhook-signature`
    pub signature: &'a str,
}

/// The webhook is not to be believed.
///
/// What it displays is the same whatever was wrong, so that a forger learns nothing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct Invalid {
    reason: &'static str,
}

impl Invalid {
    /// What was wrong, for the operator's log and nobody else.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// The `webhook-signature` of a webhook: `v1,` and base64.
///
/// The receiver refuses an id, a timestamp or a secret outside the bounds of `verify`; this does not.
pub fn sign(secret: &Secret, id: &str, timestamp: u64, body: &[u8]) -> String {
    let mac = secret.mac(id, &timestamp.to_string(), body);
    format!("{SCHEME_PREFIX}{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The place of the secret that one of the signatures was made with, not long ago.
///
/// The id must be 1 to 64 of `A-Z a-z 0-9 _ -`; the timestamp decimal seconds without sign or leading zero, within
/// `TOLERANCE_SECONDS` of `now_seconds`; the signatures 1 to `SIGNATURES_MAX`, separated by single spaces. Signatures of
/// other schemes than `v1` are passed over. The time that this takes does not depend on which pair matches.
///
/// # Errors
///
/// `Invalid` if any of this is not so. A caller must not tell the sender its reason.
pub fn verify(secrets: &[Secret], headers: &Headers<'_>, body: &[u8], now_seconds: u64) -> Result<usize, Invalid> {
    let invalid = |reason| Err(Invalid { reason });
    if !is_id(headers.id) {
        return invalid("webhook-id is not 1 to 64 of A-Z a-z 0-9 _ -");
    }
    let Some(timestamp) = seconds(headers.timestamp) else {
        return invalid("webhook-timestamp is not a number of seconds");
    };
    if timestamp.abs_diff(now_seconds) > TOLERANCE_SECONDS {
        return invalid("webhook-timestamp is too far from now");
    }
    let tokens: Vec<&str> = headers.signature.split(' ').take(SIGNATURES_MAX + 1).collect();
    if tokens.len() > SIGNATURES_MAX || tokens.iter().any(|token| token.len() > SIGNATURE_BYTES_MAX) {
        return invalid("webhook-signature has too many signatures, or too long ones");
    }
    let candidates: Vec<Vec<u8>> = tokens
        .iter()
        .filter_map(|token| token.strip_prefix(SCHEME_PREFIX))
        .filter_map(|text| STANDARD.decode(text).ok())
        .collect();
    if candidates.is_empty() {
        return invalid("webhook-signature has no readable v1 signature");
    }

    // Every pair is looked at, so that the time taken does not tell which of the secrets was the right one.
    let mut found = None;
    for (place, secret) in secrets.iter().enumerate() {
        let mac = secret.mac(headers.id, headers.timestamp, body);
        for candidate in &candidates {
            if mac.clone().verify_slice(candidate).is_ok() {
                found = Some(place);
            }
        }
    }
    found.ok_or(Invalid { reason: "no signature fits: another secret, or something was changed on the way" })
}

fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// The number, if the text is the only way to write it: `parse` alone would take `+1` and `01`.
fn seconds(text: &str) -> Option<u64> {
    let canonical = (1..=TIMESTAMP_DIGITS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && !text.starts_with('0');
    canonical.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
