//! API keys: `cs_{tenant}_{8 id}{32 secret}{6 checksum}`, and what their bearers may do. Pure.
//!
//! The checksum lets a mistyped key be told from a wrong one without asking the database, and a scanner for leaked
//! secrets be sure of what it found.

use sha2::{Digest as _, Sha256};

use crate::execution::is_tenant;

const ID_CHARS: usize = 8;
/// 160 bits.
const SECRET_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;

/// Crockford's base 32, in lower case: no two characters look alike.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The tenant of the keys that are for the whole host. It owns nothing but these, and nobody else's is called so.
pub const HOST_TENANT: &str = "host";

/// What a key's bearer may do: within its tenant; of the role `host`, with tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Operator,
    Deployer,
    Runner,
    Reviewer,
    Host,
}

/// What can be done over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    SeeAgents,
    Deploy,
    SeeExecutions,
    Run,
    SeePauses,
    Decide,
    /// Let somebody else decide a pause, by a link.
    MakeLinks,
    SeeGroups,
    /// Secrets, settings, groups, reviewers' addresses, endpoints, deliveries.
    Administer,
    /// Keys of one's own tenant; no operator makes one of the role `host`.
    ManageKeys,
    /// The audit log of one's own tenant.
    SeeAudit,
    /// Make, look at, suspend and resume tenants, and make operators for them.
    ManageTenants,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Operator, Self::Deployer, Self::Runner, Self::Reviewer, Self::Host];

    /// The one table of who may do what. Which route asks for which action is in `http::access`; docs/api.md shows both.
    pub fn may(self, action: Action) -> bool {
        use Action::{
            Decide, Deploy, ManageKeys, ManageTenants, Run, SeeAgents, SeeAudit, SeeExecutions, SeeGroups, SeePauses,
        };
        match self {
            Self::Operator => action != ManageTenants,
            Self::Deployer => matches!(action, SeeAgents | Deploy | SeeExecutions),
            Self::Runner => matches!(action, SeeAgents | SeeExecutions | Run | SeePauses | SeeGroups),
            Self::Reviewer => matches!(action, SeeAgents | SeePauses | Decide | SeeGroups),
            Self::Host => matches!(action, ManageTenants | ManageKeys | SeeAudit),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Deployer => "deployer",
            Self::Runner => "runner",
            Self::Reviewer => "reviewer",
            Self::Host => "host",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// A key as its bearer has it.
pub struct ApiKey<'a> {
    pub tenant: &'a str,
    pub id: &'a str,
    secret: &'a str,
}

impl<'a> ApiKey<'a> {
    /// Reads a key's text. None if it is no key, or mistyped.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (tenant, rest) = text.strip_prefix("cs_")?.rsplit_once('_')?;
        if !is_tenant(tenant) || rest.len() != ID_CHARS + SECRET_CHARS + CHECKSUM_CHARS || !rest.is_ascii() {
            return None;
        }
        let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARS);
        if sum != checksum(body) {
            return None;
        }
        let (id, rest) = rest.split_at(ID_CHARS);
        Some(Self { tenant, id, secret: &rest[..SECRET_CHARS] })
    }

    /// What the database keeps of it.
    pub fn secret_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// Whether its secret is the one of this hash, in constant time.
    pub fn has_secret(&self, sha256: &[u8]) -> bool {
        let ours = self.secret_sha256();
        ours.len() == sha256.len() && ours.iter().zip(sha256).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

/// Makes a key's text from 32 random bytes.
pub fn generate(tenant: &str, random: [u8; 32]) -> String {
    // 40 characters of 5 bits each: 25 bytes.
    let text: String = characters(&random).take(ID_CHARS + SECRET_CHARS).collect();
    let body = format!("cs_{tenant}_{text}");
    let sum = checksum(&body);
    body + &sum
}

fn checksum(body: &str) -> String {
    characters(&Sha256::digest(body)).take(CHECKSUM_CHARS).collect()
}

fn characters(bytes: &[u8]) -> impl Iterator<Item = char> {
    bytes.chunks_exact(5).flat_map(|five| {
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..8).rev().map(move |place| char::from(ALPHABET[(bits >> (place * 5) & 31) as usize]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made_and_a_mistyped_one_is_none() {
        let text = generate("acme-1", [7; 32]);
        let key = ApiKey::parse(&text).unwrap();
        assert_eq!((key.tenant, key.id.len()), ("acme-1", 8));
        assert!(key.has_secret(&key.secret_sha256()));
        assert!(!key.has_secret(&[0; 32]));
        for place in 3..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[place] = if wrong[place] == b'0' { b'1' } else { b'0' };
            assert!(ApiKey::parse(std::str::from_utf8(&wrong).unwrap()).is_none(), "place {place}");
        }
        for bad in ["", "cs_", "cs__", "cs_a_b", "sk_a_b"] {
            assert!(ApiKey::parse(bad).is_none());
        }
    }

    #[test]
    fn nobody_but_an_operator_administers_and_nobody_but_the_host_has_to_do_with_tenants() {
        for role in Role::ALL {
            assert_eq!(role.may(Action::Administer), role == Role::Operator);
            assert_eq!(role.may(Action::ManageTenants), role == Role::Host);
            assert_eq!(role.may(Action::SeeAgents), role != Role::Host);
        }
        assert!(!Role::Runner.may(Action::Decide) && !Role::Reviewer.may(Action::Run));
    }
}
