//! Links for reviewers: who has one may look at one pause and decide it, as one reviewer. Pure: no I/O, no clock.
//!
//! A token is `csl_`, the base64url of its fields, a `.`, and the base64url of a MAC over them; both without padding.
//! The fields, numbers being big-endian:
//!
//! | Bytes | |
//! |---|---|
//! | 1 | version: 1 |
//! | 4 | id of the master key |
//! | 8 | when it expires, in milliseconds since 1970 |
//! | 16 | the number in the execution's id |
//! | 2, n | length and text of the tenant |
//! | 2, n | length and text of the `approval_request_id` |
//! | 2, n | length and text of the reviewer |
//!
//! The MAC is HMAC-SHA256 of the length of `LABEL` (2 bytes), `LABEL` and the fields, keyed with the tenant's key. That is
//! HMAC-SHA256 of the length of `LABEL`, `LABEL`, the length of the tenant and the tenant, keyed with the master key.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::approval::{REVIEWER_BYTES_MAX, is_reviewer};
use crate::execution::{
    APPROVAL_REQUEST_ID_BYTES_MAX, NAME_BYTES_MAX, hex, is_approval_request_id, is_execution_id, is_tenant,
};
use crate::journal::Millis;
use crate::master_key::{KeyId, MasterKeys};

/// How long a link is good at the most, in seconds: 31 days. Long enough for a holiday, and no longer, because a link
/// that lies about in a mailbox is a key.
pub const LIFE_SECONDS_MAX: u64 = 31 * 24 * 3600;

/// The same, in milliseconds.
pub const LIFE_MS_MAX: Millis = LIFE_SECONDS_MAX * 1_000;

/// Longest address of a host that links begin with, in bytes.
pub const BASE_URL_BYTES_MAX: usize = 1_024;

/// What every token begins with, so that it is found in any text.
const PREFIX: &str = "csl_";

/// What stands in the place of the MAC where a link is shown to others than its reviewer.
const REDACTED: &str = "redacted";

const VERSION: u8 = 1;
const LABEL: &[u8] = b"countersign/review-link/1";
const ID_LABEL: &[u8] = b"countersign/review-link-id/1";

/// A SHA-256 in base64.
const MAC_CHARS: usize = 43;
/// Before the three texts: version, id of the key, expiry, execution.
const HEAD_BYTES: usize = 1 + 4 + 8 + EXECUTION_BYTES;
const EXECUTION_BYTES: usize = 16;
const EXECUTION_PREFIX: &str = "exec_";
/// What the number of a second pause under a name may add to it: `#200000`.
const NUMBER_BYTES_MAX: usize = 7;
const FIELDS_BYTES_MAX: usize =
    HEAD_BYTES + 3 * 2 + NAME_BYTES_MAX + APPROVAL_REQUEST_ID_BYTES_MAX + NUMBER_BYTES_MAX + REVIEWER_BYTES_MAX;
/// Longest token.
const TOKEN_BYTES_MAX: usize = PREFIX.len() + FIELDS_BYTES_MAX.div_ceil(3) * 4 + 1 + MAC_CHARS;

/// What makes and reads links. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Links {
    keys: MasterKeys,
    /// Where the host is reached, without a `/` at the end.
    base_url: Arc<str>,
}

/// What a link that is to be believed says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Tells links apart, and is no secret.
    pub id: String,
    pub tenant: String,
    pub execution: String,
    pub approval_request_id: String,
    pub reviewer: String,
    pub expires: Millis,
}

/// The link is not to be believed, or not any more. Which of the two, and why, nobody is told: it would help a forger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the link is not valid")]
pub struct Invalid;

impl Links {
    /// Links that begin with `base_url`.
    pub fn new(keys: MasterKeys, base_url: &str) -> Self {
        Self { keys, base_url: base_url.trim_end_matches('/').into() }
    }

    /// The link by which `reviewer` can decide a pause until `expires`.
    ///
    /// The names must be within the bounds of what they name: another link than that is never believed.
    pub fn review_link(
        &self,
        tenant: &str,
        execution: &str,
        approval_request_id: &str,
        reviewer: &str,
        expires: Millis,
    ) -> String {
        let key_id = self.keys.first();
        let mut fields = vec![VERSION];
        fields.extend(key_id.to_bytes());
        fields.extend(expires.to_be_bytes());
        fields.extend(number_of(execution).unwrap_or_default());
        for text in [tenant, approval_request_id, reviewer] {
            push(&mut fields, text.as_bytes());
        }
        // The key was one of these a moment ago.
        let mac = self.mac(key_id, tenant, &fields).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
        let [fields, mac] = [&fields, &mac[..]].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        format!("{}/r/{PREFIX}{fields}.{mac}", self.base_url)
    }

    /// Reads the token of a link.
    ///
    /// # Errors
    ///
    /// It is no token, was altered, was signed with a key that this host does not have, or has expired.
    pub fn read(&self, token: &str, now: Millis) -> Result<Link, Invalid> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Invalid);
        }
        let (fields, mac) = token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')).ok_or(Invalid)?;
        let [fields, mac] = [fields, mac].map(|text| URL_SAFE_NO_PAD.decode(text).map_err(|_| Invalid));
        let (fields, mac) = (fields?, mac?);
        let (key_id, link) = parse(&fields).ok_or(Invalid)?;
        // In constant time.
        let expected = self.mac(key_id, &link.tenant, &fields).ok_or(Invalid)?;
        expected.verify_slice(&mac).map_err(|_| Invalid)?;
        if link.expires <= now { Err(Invalid) } else { Ok(link) }
    }

    fn mac(&self, key_id: KeyId, tenant: &str, fields: &[u8]) -> Option<Hmac<Sha256>> {
        let mut purpose = vec![];
        push(&mut purpose, LABEL);
        push(&mut purpose, tenant.as_bytes());
        let key = self.keys.derive(key_id, &purpose)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes keys of any length");
        let mut label = vec![];
        push(&mut label, LABEL);
        mac.update(&label);
        mac.update(fields);
        Some(mac)
    }
}

/// A text and its length before it, so that no two lists of texts have the same bytes.
fn push(bytes: &mut Vec<u8>, text: &[u8]) {
    // Longer ones are beyond every bound, and are refused when they are read.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(text);
}

/// The number in an execution's id.
fn number_of(execution: &str) -> Option<[u8; EXECUTION_BYTES]> {
    let digits = execution.strip_prefix(EXECUTION_PREFIX).filter(|_| is_execution_id(execution))?;
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

/// The fields, if they are all there is and all within their bounds.
fn parse(bytes: &[u8]) -> Option<(KeyId, Link)> {
    let (&VERSION, rest) = bytes.split_first()? else { return None };
    let (key_id, rest) = rest.split_first_chunk()?;
    let (expires, rest) = rest.split_first_chunk()?;
    let (execution, mut rest) = rest.split_first_chunk::<EXECUTION_BYTES>()?;
    let mut text = || {
        let (length, after) = rest.split_first_chunk()?;
        let (text, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        rest = after;
        String::from_utf8(text.to_vec()).ok()
    };
    let (tenant, approval_request_id, reviewer) = (text()?, text()?, text()?);
    let fits = is_tenant(&tenant) && is_approval_request_id(&approval_request_id) && is_reviewer(&reviewer);
    let digest = Sha256::new().chain_update(ID_LABEL).chain_update(bytes).finalize();
    let link = Link {
        id: hex(&digest[..8]),
        tenant,
        execution: format!("{EXECUTION_PREFIX}{}", hex(execution)),
        approval_request_id,
        reviewer,
        expires: u64::from_be_bytes(*expires),
    };
    (rest.is_empty() && fits).then_some((KeyId::from_bytes(*key_id), link))
}

/// The text without what makes the links in it work: their MACs, whole or cut off, are replaced.
///
/// The same text always becomes the same, and what has been redacted stays as it is. So an agent that is given a redacted
/// link asks on replay what a redacted journal holds.
pub fn redact(text: &str) -> Cow<'_, str> {
    if !text.contains(PREFIX) {
        return Cow::Borrowed(text);
    }
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find(PREFIX) {
        let after = start + PREFIX.len();
        let end = after + run(&rest[after..]);
        let is_token = rest[end..].starts_with('.');
        let (before, more) = rest.split_at(if is_token { end } else { after });
        kept.push_str(before);
        rest = if is_token { redact_macs(more, &mut kept) } else { more };
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// Keeps the `.` that `rest` begins with, and what stands for the MAC behind it. Returns what comes after.
fn redact_macs<'a>(mut rest: &'a str, kept: &mut String) -> &'a str {
    while let Some(mac) = rest.strip_prefix('.') {
        kept.push('.');
        let length = run(mac);
        if length == 0 || mac.starts_with(REDACTED) {
            return mac;
        }
        kept.push_str(REDACTED);
        // What stands right behind a MAC, without a space, is no part of it.
        let (_, behind) = mac.split_at(length.min(MAC_CHARS));
        if !mac[..length].contains(PREFIX) {
            return behind;
        }
        // This may have been the beginning of another token.
        let (tail, more) = behind.split_at(length - length.min(MAC_CHARS));
        kept.push_str(tail);
        rest = more;
    }
    rest
}

/// How many characters of base64url a text begins with.
fn run(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).count()
}

#[cfg(test)]
mod tests;
