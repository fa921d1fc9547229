//! How AgentField's reviewer tools sign: HMAC-SHA256 in hexadecimal, keyed with the text of a secret. Pure: no I/O, no
//! clock.
//!
//! `t=<unix>,v1=<hex>` is a signature over `{t}.{body}`. The bare forms, `sha256=<hex>` and `<hex>`, are over the body
//! alone: nothing in them grows old.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{Invalid, SIGNATURES_MAX, TOLERANCE_SECONDS, seconds};
use crate::execution::hex;

/// Longest signature header, in bytes: a time, and a few signatures.
pub const HEADER_BYTES_MAX: usize = 512;

const MAC_BYTES: usize = 32;

/// What a delivery's id is a hash of, before what makes it the same delivery.
const DELIVERY_CONTEXT: &str = "countersign/agentfield/delivery/1";

/// How many hexadecimal digits a delivery's id has: 160 bits.
const DELIVERY_DIGITS: usize = 40;

/// A signature as it came, not yet verified.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Unix seconds; none of the bare forms.
    timestamp: Option<(&'a str, u64)>,
    macs: Vec<[u8; MAC_BYTES]>,
}

impl<'a> Signature<'a> {
    /// Reads a signature header.
    ///
    /// # Errors
    ///
    /// `Invalid` if it is of none of the three forms.
    pub fn parse(header: &'a str) -> Result<Self, Invalid> {
        let invalid = |reason| Err(Invalid { reason });
        if header.len() > HEADER_BYTES_MAX {
            return invalid("the signature is too long");
        }
        if !header.contains("t=") {
            let digits = header.strip_prefix("sha256=").unwrap_or(header);
            let Some(mac) = mac_of(digits) else { return invalid("the signature is of no form that is known") };
            return Ok(Self { timestamp: None, macs: vec![mac] });
        }
        let (mut timestamp, mut macs) = (None, vec![]);
        for part in header.split(',') {
            match part.split_once('=') {
                Some(("t", text)) if timestamp.is_none() => timestamp = seconds(text).map(|number| (text, number)),
                Some(("t", _)) => return invalid("the signature has two times"),
                Some(("v1", digits)) => macs.extend(mac_of(digits)),
                // Of another version.
                _ => {}
            }
        }
        if timestamp.is_none() {
            return invalid("the signature's time is not a number of seconds");
        }
        if macs.is_empty() || macs.len() > SIGNATURES_MAX {
            return invalid("the signature has no v1, or too many");
        }
        Ok(Self { timestamp, macs })
    }

    /// Whether it is over the body alone.
    pub fn is_bare(&self) -> bool {
        self.timestamp.is_none()
    }

    /// The place of the key that it was made with, not long ago. The time that this takes does not depend on which.
    ///
    /// # Errors
    ///
    /// `Invalid` if not; or if it is bare, unless `takes_bare`. A caller must not tell the sender its reason.
    pub fn verify(
        &self,
        keys: &[impl AsRef<[u8]>],
        body: &[u8],
        now_seconds: u64,
        takes_bare: bool,
    ) -> Result<usize, Invalid> {
        let invalid = |reason| Err(Invalid { reason });
        match self.timestamp {
            None if !takes_bare => return invalid("the signature has no time, and the tenant takes none without"),
            Some((_, seconds)) if seconds.abs_diff(now_seconds) > TOLERANCE_SECONDS => {
                return invalid("the signature's time is too far from now");
            }
            _ => {}
        }
        // Every pair is looked at, so that the time taken does not tell which of the keys was the right one.
        let mut found = None;
        for (place, key) in keys.iter().enumerate() {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.as_ref()).expect("HMAC takes keys of any length");
            if let Some((text, _)) = self.timestamp {
                mac.update(text.as_bytes());
                mac.update(b".");
            }
            mac.update(body);
            for candidate in &self.macs {
                if mac.clone().verify_slice(candidate).is_ok() {
                    found = Some(place);
                }
            }
        }
        found.ok_or(Invalid { reason: "no signature fits: another secret, or something was changed on the way" })
    }

    /// The id of the delivery that it signs, which has none of its own: the same for the same event, or else for the
    /// same time and body. It has the form of a `webhook-id`.
    pub fn delivery_id(&self, event: Option<&str>, body: &[u8]) -> String {
        let parts: [&[u8]; 3] = match (event, self.timestamp) {
            (Some(event), _) => [b"event", event.as_bytes(), b""],
            (None, Some((text, _))) => [b"time", text.as_bytes(), body],
            (None, None) => [b"bare", b"", body],
        };
        let mut hash = Sha256::new_with_prefix(DELIVERY_CONTEXT);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        format!("af_{}", &hex(&hash.finalize())[..DELIVERY_DIGITS])
    }
}

/// 64 hexadecimal digits, of either case.
fn mac_of(digits: &str) -> Option<[u8; MAC_BYTES]> {
    let digits: Vec<u8> = digits.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 2 * MAC_BYTES { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests;
