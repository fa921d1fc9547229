//! How the secrets of webhooks and endpoints are encrypted at rest: XChaCha20-Poly1305, under a key that the hosts have
//! and the database does not; and what other keys are derived from it. Pure: no I/O, no clock.
//!
//! An encrypted secret is version (1 byte), id of the key (4), nonce (24), ciphertext and tag (16). The version, the id,
//! the tenant and the secret's id are authenticated with it: a row that is moved to another tenant or id is not
//! decrypted.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::execution::hex;
use crate::signature::Secret;

/// How many keys a host takes. More than two are needed only if one rotation begins before the last has ended.
pub const KEYS_MAX: usize = 8;

/// How many random bytes each encryption needs: so many that they never repeat.
pub const NONCE_BYTES: usize = 24;

const KEY_BYTES: usize = 32;
const KEY_PREFIX: &str = "cmk_";

const VERSION: u8 = 1;
const ID_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + ID_BYTES;

/// What a key's id is a hash of, before the key.
const ID_CONTEXT: &[u8] = b"countersign master key id\0";

/// What is encrypted. It is authenticated between the header and the tenant: no kind of row is ever taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// What signs webhooks that come in.
    WebhookSecret,
    /// What signs notifications for an endpoint.
    EndpointSecret,
    /// Where an endpoint is.
    EndpointAddress,
}

impl Purpose {
    fn context(self) -> &'static [u8] {
        match self {
            Self::WebhookSecret => b"webhook_secret\0",
            Self::EndpointSecret => b"endpoint_secret\0",
            Self::EndpointAddress => b"endpoint_address\0",
        }
    }
}

/// Which key: a hash of it, and no secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    pub fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    pub fn to_bytes(self) -> [u8; ID_BYTES] {
        self.0
    }

    /// The key that this is encrypted under. Its first bytes suffice. None if it is of no form that is known here.
    pub fn of(encrypted: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = encrypted.split_first()? else { return None };
        rest.first_chunk().copied().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct MasterKey {
    id: KeyId,
    /// Wipes its key when it is dropped.
    cipher: XChaCha20Poly1305,
    /// What other keys are derived from.
    key: Zeroizing<Vec<u8>>,
}

/// The keys of a host, at least one: the first encrypts, all decrypt. Cheap to clone.
#[derive(Clone)]
pub struct MasterKeys(Arc<[MasterKey]>);

/// The text is not a list of keys. Says nothing of what it holds.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMasterKeys {
    #[error("key {place} of {count} is not `cmk_` and the base64 of 32 bytes")]
    Form { place: usize, count: usize },
    #[error("there are more than {KEYS_MAX} keys")]
    TooMany,
    #[error("two keys have the id {0}; give each key once")]
    Twice(KeyId),
}

/// An encrypted secret that this host cannot decrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it is encrypted under the master key {0}, which this host does not have")]
    NoKey(KeyId),
    #[error("the master key {0} does not decrypt it: it was altered, or belongs to another tenant or id")]
    Altered(KeyId),
    #[error("it is not of a form that this version knows")]
    Form,
}

/// The text of the key of these bytes, which must be random.
pub fn expose(key: &[u8; KEY_BYTES]) -> Zeroizing<String> {
    Zeroizing::new(format!("{KEY_PREFIX}{}", STANDARD.encode(key)))
}

impl MasterKeys {
    /// Encrypts a tenant's secret under the first key. The nonce must be random, and used for nothing else.
    pub fn encrypt(&self, tenant: &str, secret_id: &str, secret: &Secret, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        self.seal(Purpose::WebhookSecret, tenant, secret_id, secret.key(), nonce)
    }

    /// Decrypts a tenant's secret, by whichever key it was encrypted under.
    pub fn decrypt(&self, tenant: &str, secret_id: &str, encrypted: &[u8]) -> Result<Secret, Unreadable> {
        let secret = self.unseal(Purpose::WebhookSecret, tenant, secret_id, encrypted)?;
        Secret::from_key(secret).map_err(|_| Unreadable::Form)
    }

    /// Encrypts anything that is short, as `encrypt` does.
    pub fn seal(&self, purpose: Purpose, tenant: &str, id: &str, plain: &[u8], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let key = &self.0[0];
        let mut encrypted = vec![VERSION];
        encrypted.extend(key.id.0);
        let associated = associated(&encrypted, purpose, tenant, id);
        encrypted.extend(nonce);
        let payload = Payload { msg: plain, aad: &associated };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload);
        encrypted.extend(sealed.expect("a secret is short, and so is what is authenticated with it"));
        encrypted
    }

    /// Decrypts what `seal` has made for the same purpose, tenant and id.
    pub fn unseal(
        &self,
        purpose: Purpose,
        tenant: &str,
        id: &str,
        encrypted: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let key_id = KeyId::of(encrypted).ok_or(Unreadable::Form)?;
        let (header, rest) = encrypted.split_at(HEADER_BYTES);
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Unreadable::Form)?;
        let associated = associated(header, purpose, tenant, id);
        let key = self.0.iter().find(|key| key.id == key_id).ok_or(Unreadable::NoKey(key_id))?;
        let payload = Payload { msg: sealed, aad: &associated };
        let plain = key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Unreadable::Altered(key_id))?;
        Ok(Zeroizing::new(plain))
    }

    /// A key of its own for `purpose`, from the master key of this id; none if there is no such key.
    ///
    /// HMAC-SHA256 of `purpose`, keyed with the master key: whoever learns it learns nothing of the master key, nor of the
    /// key for another purpose.
    pub fn derive(&self, id: KeyId, purpose: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        let key = self.0.iter().find(|key| key.id == id)?;
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key.key).expect("HMAC takes keys of any length");
        mac.update(purpose);
        Some(Zeroizing::new(mac.finalize().into_bytes().into()))
    }

    /// The ids of all keys; that of the first encrypts.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(|key| key.id)
    }

    /// The id of the key that encrypts.
    pub fn first(&self) -> KeyId {
        self.0[0].id
    }
}

impl FromStr for MasterKeys {
    type Err = NotMasterKeys;

    /// `cmk_…`, or several, separated by commas.
    fn from_str(text: &str) -> Result<Self, NotMasterKeys> {
        let count = text.split(',').count();
        if count > KEYS_MAX {
            return Err(NotMasterKeys::TooMany);
        }
        let mut keys: Vec<MasterKey> = Vec::with_capacity(count);
        for (place, text) in text.split(',').enumerate() {
            let key = MasterKey::parse(text.trim()).ok_or(NotMasterKeys::Form { place: place + 1, count })?;
            // Its id alone says which key to decrypt with, and what need not be encrypted anew.
            if keys.iter().any(|other| other.id == key.id) {
                return Err(NotMasterKeys::Twice(key.id));
            }
            keys.push(key);
        }
        Ok(Self(keys.into()))
    }
}

/// Shows the ids, not the keys.
impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl MasterKey {
    fn parse(text: &str) -> Option<Self> {
        let key = Zeroizing::new(STANDARD.decode(text.strip_prefix(KEY_PREFIX)?).ok()?);
        let cipher = XChaCha20Poly1305::new_from_slice(&key).ok()?;
        let digest = Sha256::new().chain_update(ID_CONTEXT).chain_update(&*key).finalize();
        Some(Self { id: KeyId(*digest.first_chunk()?), cipher, key })
    }
}

/// What is authenticated with a secret. Neither a tenant nor an id holds a NUL, so no two have the same.
fn associated(header: &[u8], purpose: Purpose, tenant: &str, id: &str) -> Vec<u8> {
    [header, purpose.context(), tenant.as_bytes(), b"\0", id.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
