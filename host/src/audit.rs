//! The audit log: who did what, and the chain of hashes that shows whether it was changed. Pure: no I/O, no clock.
//!
//! The hash of an entry is SHA-256 over twelve fields, each written as a netstring (`5:hello,`; `-,` if there is none):
//! `countersign audit 1`, the hash of the entry before it in hexadecimal (64 zeros before the first), then of the entry
//! `tenant`, `seq`, `at`, `sealed_at`, `actor`, `actor_name`, `source`, `action`, `subject` and `details`, each as it
//! stands in the JSON of the API, `details` as the text of its object.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::execution::hex;

/// Which kind of record a hash is of, and the version of its form.
const LABEL: &str = "countersign audit 1";

/// What stands for the hash before the first entry.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Everything that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    TenantCreated,
    TenantSuspended,
    TenantResumed,
    TenantLimitsChanged,
    KeyCreated,
    KeyRevoked,
    SecretCreated,
    SecretRevoked,
    SecretReencrypted,
    SettingChanged,
    EndpointCreated,
    EndpointChanged,
    EndpointRemoved,
    EndpointSecretRotated,
    ReviewerChanged,
    ReviewerRemoved,
    GroupChanged,
    GroupRemoved,
    AgentDeployed,
    AgentActivated,
    AgentLimitsChanged,
    ExecutionStarted,
    ExecutionCancelled,
    /// An operator lets somebody decide a pause without a key.
    LinkCreated,
    PauseDecided,
    /// A vote that does not decide.
    PauseVoted,
    /// Nobody decided in time, and the default decision was taken.
    PauseExpired,
    /// A decision that came early did not fit its pause.
    PauseDecisionDropped,
}

impl Action {
    pub const ALL: [Self; 28] = [
        Self::TenantCreated,
        Self::TenantSuspended,
        Self::TenantResumed,
        Self::TenantLimitsChanged,
        Self::KeyCreated,
        Self::KeyRevoked,
        Self::SecretCreated,
        Self::SecretRevoked,
        Self::SecretReencrypted,
        Self::SettingChanged,
        Self::EndpointCreated,
        Self::EndpointChanged,
        Self::EndpointRemoved,
        Self::EndpointSecretRotated,
        Self::ReviewerChanged,
        Self::ReviewerRemoved,
        Self::GroupChanged,
        Self::GroupRemoved,
        Self::AgentDeployed,
        Self::AgentActivated,
        Self::AgentLimitsChanged,
        Self::ExecutionStarted,
        Self::ExecutionCancelled,
        Self::LinkCreated,
        Self::PauseDecided,
        Self::PauseVoted,
        Self::PauseExpired,
        Self::PauseDecisionDropped,
    ];

    /// Stable: entries keep it for ever.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenantCreated => "tenant.created",
            Self::TenantSuspended => "tenant.suspended",
            Self::TenantResumed => "tenant.resumed",
            Self::TenantLimitsChanged => "tenant.limits_changed",
            Self::KeyCreated => "key.created",
            Self::KeyRevoked => "key.revoked",
            Self::SecretCreated => "secret.created",
            Self::SecretRevoked => "secret.revoked",
            Self::SecretReencrypted => "secret.reencrypted",
            Self::SettingChanged => "setting.changed",
            Self::EndpointCreated => "endpoint.created",
            Self::EndpointChanged => "endpoint.changed",
            Self::EndpointRemoved => "endpoint.removed",
            Self::EndpointSecretRotated => "endpoint.secret_rotated",
            Self::ReviewerChanged => "reviewer.changed",
            Self::ReviewerRemoved => "reviewer.removed",
            Self::GroupChanged => "group.changed",
            Self::GroupRemoved => "group.removed",
            Self::AgentDeployed => "agent.deployed",
            Self::AgentActivated => "agent.activated",
            Self::AgentLimitsChanged => "agent.limits_changed",
            Self::ExecutionStarted => "execution.started",
            Self::ExecutionCancelled => "execution.cancelled",
            Self::LinkCreated => "link.created",
            Self::PauseDecided => "pause.decided",
            Self::PauseVoted => "pause.voted",
            Self::PauseExpired => "pause.expired",
            Self::PauseDecisionDropped => "pause.decision_dropped",
        }
    }

    /// The action of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// Who does something, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    pub who: Who<'a>,
    /// The name of the key; or of the reviewer, as the sender of a webhook claims.
    pub name: Option<&'a str>,
    /// The other end of the connection, if it is done by a request.
    pub from: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who<'a> {
    /// An API key, by its id.
    Key(&'a str),
    /// A key for the whole host, by its id.
    HostKey(&'a str),
    /// Whoever can sign for the tenant, by the id of the delivery, and the id of the secret that signed it.
    Webhook { id: &'a str, secret: &'a str },
    /// Whoever has the link that was made for this reviewer.
    Link(&'a str),
    /// What an agent did.
    Execution(&'a str),
    /// The command line on the host's machine, or the host by itself.
    Host,
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::HostKey(id) => write!(f, "host:{id}"),
            Self::Webhook { id, .. } => write!(f, "webhook:{id}"),
            Self::Link(reviewer) => write!(f, "link:{reviewer}"),
            Self::Execution(id) => write!(f, "execution:{id}"),
            Self::Host => f.write_str("host"),
        }
    }
}

impl Actor<'static> {
    pub const HOST: Self = Self { who: Who::Host, name: None, from: None };
}

impl<'a> Actor<'a> {
    pub fn execution(id: &'a str) -> Self {
        Self { who: Who::Execution(id), name: None, from: None }
    }

    /// The address as text; one of IPv4 as such, whatever the socket calls it.
    pub fn source(&self) -> Option<String> {
        self.from.map(|address| address.to_canonical().to_string())
    }
}

/// The details of an entry: the text of a JSON object with its names in order, so that the same details always are the
/// same text.
pub fn details<const N: usize>(pairs: [(&str, Value); N]) -> String {
    serde_json::to_string(&BTreeMap::from(pairs)).expect("a map of texts to values is JSON")
}

/// The details of a decision. Who signs a webhook says who decided; nobody has checked it.
pub fn decision(decision: &str, early: bool, actor: &Actor<'_>) -> String {
    let (decision, early) = (("decision", decision.into()), ("early", early.into()));
    let Who::Webhook { secret, .. } = actor.who else { return details([decision, early]) };
    let secret = ("secret", secret.into());
    if actor.name.is_some() {
        return details([decision, early, ("name_is_claimed", true.into()), secret]);
    }
    details([decision, early, secret])
}

/// A time as entries have it: in UTC, to the microsecond.
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A sealed entry, as the API shows it. Nothing in it is left out of its hash.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditEntry)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub tenant: String,
    /// Counts from 1 without a gap, in the order of sealing.
    pub seq: u64,
    /// When it happened.
    pub at: String,
    /// When it became part of the chain.
    pub sealed_at: String,
    /// `key:{id}`, `host:{id}`, `webhook:{webhook-id}`, `link:{reviewer}`, `execution:{id}` or `host`.
    pub actor: String,
    /// The name of the key, or of the reviewer.
    pub actor_name: Option<String>,
    /// The address that the request came from.
    pub source: Option<String>,
    pub action: String,
    /// The id or name of what was changed.
    pub subject: String,
    #[schema(value_type = serde_json::Value)]
    pub details: Box<RawValue>,
    /// 64 hexadecimal digits, over this entry and the hash of the one before it.
    pub sha256: String,
}

impl Entry {
    /// The hash that this entry has after one of hash `previous`.
    pub fn hash_after(&self, previous: &str) -> String {
        self.hash_at(self.seq, previous)
    }

    fn hash_at(&self, seq: u64, previous: &str) -> String {
        let seq = seq.to_string();
        let fields = [
            Some(LABEL),
            Some(previous),
            Some(&self.tenant),
            Some(&seq),
            Some(&self.at),
            Some(&self.sealed_at),
            Some(&self.actor),
            self.actor_name.as_deref(),
            self.source.as_deref(),
            Some(&self.action),
            Some(&self.subject),
            Some(self.details.get()),
        ];
        let mut hash = Sha256::new();
        for field in fields {
            match field {
                Some(text) => hash.update(format!("{}:{text},", text.len())),
                None => hash.update("-,"),
            }
        }
        hex(&hash.finalize())
    }
}

/// The last entry of a log: whoever keeps it can tell later whether all up to it is still as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub sha256: String,
}

impl Head {
    /// That of an empty log.
    pub fn none() -> Self {
        Self { seq: 0, sha256: NO_HASH.into() }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.sha256)
    }
}

/// The text is not a head.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a head is SEQ:HASH, such as `countersign audit verify` prints: a number and 64 hexadecimal digits")]
pub struct NotAHead;

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let (seq, sha256) = text.split_once(':').ok_or(NotAHead)?;
        let is_hash = sha256.len() == NO_HASH.len() && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        let seq = seq.parse().map_err(|_| NotAHead)?;
        if is_hash { Ok(Self { seq, sha256: sha256.to_ascii_lowercase() }) } else { Err(NotAHead) }
    }
}

/// The first entry that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(
        "entry {0} was changed: its hash is not the one of what it says (or the entry before it was changed, and its \
         hash with it)"
    )]
    Changed(u64),
    #[error("entry {0} is missing: entry {1} follows in its place")]
    Missing(u64, u64),
    #[error("entry {0} does not stand in its place, but further down: the log was reordered")]
    Reordered(u64),
    #[error("entry {0} belongs to another tenant's log, {1:?}")]
    OtherTenant(u64, String),
    #[error("the log ends at entry {ends}, but the head that was kept is of entry {kept}: it was cut at the end")]
    Cut { ends: u64, kept: u64 },
    #[error(
        "entry {0} has another hash than the head that was kept: it, or one before it, was changed and sealed anew"
    )]
    OtherHead(u64),
}

/// Takes the entries of a log from the first to the last, and finds out whether they are as they were sealed.
#[derive(Debug)]
pub struct Chain {
    tenant: Option<String>,
    /// The last entry that fits.
    head: Head,
    kept: Option<Head>,
    fault: Option<Fault>,
}

impl Chain {
    /// A log that must contain the head that was kept, if there is one.
    pub fn new(kept: Option<Head>) -> Self {
        Self { tenant: None, head: Head::none(), kept, fault: None }
    }

    /// Looks at the next entry.
    pub fn push(&mut self, entry: &Entry) {
        let expected = self.head.seq + 1;
        if let Some(fault) = &mut self.fault {
            // What comes after a fault can only say more about it: here is the entry that belongs there.
            let may_move = matches!(fault, Fault::Changed(_) | Fault::Missing(..));
            if may_move && entry.hash_at(expected, &self.head.sha256) == entry.sha256 {
                *fault = Fault::Reordered(expected);
            }
            return;
        }
        let tenant = self.tenant.get_or_insert_with(|| entry.tenant.clone());
        if *tenant != entry.tenant {
            self.fault = Some(Fault::OtherTenant(entry.seq, entry.tenant.clone()));
        } else if entry.seq != expected {
            self.fault = Some(Fault::Missing(expected, entry.seq));
        } else if entry.hash_after(&self.head.sha256) != entry.sha256 {
            self.fault = Some(Fault::Changed(expected));
        } else {
            self.head = Head { seq: expected, sha256: entry.sha256.clone() };
            if self.kept.as_ref().is_some_and(|kept| kept.seq == expected && *kept != self.head) {
                self.fault = Some(Fault::OtherHead(expected));
            }
        }
    }

    /// The head of the log, if nothing is wrong with it.
    pub fn end(self) -> Result<Head, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match self.kept {
            Some(kept) if kept.seq > self.head.seq => Err(Fault::Cut { ends: self.head.seq, kept: kept.seq }),
            _ => Ok(self.head),
        }
    }
}

#[cfg(test)]
mod tests;
