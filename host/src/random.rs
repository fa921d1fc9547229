//! Random bytes from the operating system.

use uuid::Uuid;

use crate::master_key::NONCE_BYTES;

/// 32 bytes, of which 244 bits are random: two version-4 UUIDs.
pub(crate) fn bytes32() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    bytes[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    bytes
}

/// 24 bytes, of which 182 bits are random: what one encryption needs, and no other may have.
pub(crate) fn nonce() -> [u8; NONCE_BYTES] {
    *bytes32().first_chunk().expect("24 of 32")
}

/// A fresh id of an execution. Later ones sort after earlier ones, which keeps indexes dense.
pub(crate) fn execution_id() -> String {
    format!("exec_{}", Uuid::now_v7().simple())
}

/// A number from 0 to 1.
pub(crate) fn chance() -> f64 {
    // The first 48 bits of a version-4 UUID are all random.
    let bits = Uuid::new_v4().as_bytes()[..6].iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    bits as f64 / (1_u64 << 48) as f64
}
