//! The call of another agent's function: an execution of its own, made exactly once.

use std::sync::Arc;
use std::time::Instant;

use crate::db::agents::Version;
use crate::db::calls::{Called, NewCall};
use crate::db::claims::{Claim, FencedResult};
use crate::db::entries::NewEntries;
use crate::db::limits::Terms;
use crate::db::usage::Full;
use crate::db::{self, Db};
use crate::execution::{JSON_BYTES_MAX, Target, child_id};
use crate::guest::Manifest;
use crate::journal::CallError;
use crate::json;
use crate::limits::Limits;
use crate::rate::Rates;

/// What became of a call when it was begun.
#[derive(Debug)]
pub enum Begun {
    /// The execution of this id exists, and will bring the answer. Whether it was made now, and what was told written.
    Runs {
        child: String,
        is_new: bool,
    },
    Refused(CallError),
}

/// The target of a call, if the request is within the bounds of the contract.
pub fn check(target: &str, input: &str) -> Result<Target, CallError> {
    let parsed = target.parse().map_err(|why| CallError::NotFound(format!("{target:?}: {why}")))?;
    if input.len() > JSON_BYTES_MAX {
        return Err(CallError::Denied(format!("the input has {} bytes; at most {JSON_BYTES_MAX}", input.len())));
    }
    if let Err(why) = json::check(input) {
        return Err(CallError::Denied(format!("the input is not JSON: {why}")));
    }
    Ok(parsed)
}

/// What calls: an execution that a worker drives.
pub struct Caller<'a> {
    pub db: &'a Db,
    pub claim: &'a Claim,
    pub limits: &'a Limits,
    /// How many executions each tenant starts on this host.
    pub starts: &'a Rates,
}

impl Caller<'_> {
    /// Makes the execution that ask `op` calls for, or finds it, if an earlier attempt has made it.
    ///
    /// What the calling one was `told` and is not in its journal is written if the call is made now.
    pub async fn begin(&self, op: u64, target: &str, input: &str, told: NewEntries<'_>) -> FencedResult<Begun> {
        let child = child_id(&self.claim.tenant, &self.claim.execution, op);
        let why = loop {
            let (target, version) = match self.plan(target, input).await? {
                Ok(planned) => planned,
                Err(why) => break why,
            };
            let limit_set = self.db.limit_set(&self.claim.tenant, &version.terms.limits()?).await?;
            let seed = crate::random::bytes32();
            let new = NewCall { op, target: &target, version: version.version, input, seed, limit_set, told };
            match self.db.call_execution(self.claim, &new).await? {
                Err(fenced) => return Ok(Err(fenced)),
                Ok(Called::Made) => return Ok(Ok(Begun::Runs { child, is_new: true })),
                Ok(Called::Exists) => return Ok(Ok(Begun::Runs { child, is_new: false })),
                Ok(Called::TooMany) => {
                    let why = "no more executions may be called in all from the one that a client started (limit \
                               `children`)";
                    return Ok(Ok(Begun::Refused(CallError::Denied(why.into()))));
                }
                Ok(Called::Outdated) => {}
            }
        };
        // What was called once stays called, whatever has been deployed since.
        if self.db.find_execution(&self.claim.tenant, &child).await?.is_some() {
            return Ok(Ok(Begun::Runs { child, is_new: false }));
        }
        Ok(Ok(Begun::Refused(why)))
    }

    /// What a call would make, or why it is refused.
    async fn plan(&self, target: &str, input: &str) -> db::Result<Result<(Target, Arc<Version>), CallError>> {
        let target = match check(target, input) {
            Ok(target) => target,
            Err(why) => return Ok(Err(why)),
        };
        let (depth, depth_max) = (self.claim.depth.unsigned_abs(), self.limits.call_depth);
        if u64::from(depth) >= depth_max {
            return Ok(Err(CallError::Denied(format!("calls may nest {depth_max} deep (limit `call_depth`)"))));
        }
        let Some(version) = self.db.active_version(&self.claim.tenant, &target.agent).await? else {
            return Ok(Err(CallError::NotFound(format!("there is no agent {:?}", target.agent))));
        };
        let has_function = serde_json::from_str::<Manifest>(&version.manifest)
            .is_ok_and(|manifest| manifest.functions.iter().any(|function| function.name == target.function));
        if !has_function {
            let why = format!("agent {:?} has no function {:?}", target.agent, target.function);
            return Ok(Err(CallError::NotFound(why)));
        }
        if let Some(why) = self.is_full(&version.terms).await? {
            return Ok(Err(CallError::Unavailable(why)));
        }
        Ok(Ok((target, version)))
    }

    /// The quota of the tenant that leaves no room for one more execution, in words for the agent.
    async fn is_full(&self, terms: &Terms) -> db::Result<Option<String>> {
        let (tenant, quotas) = (&self.claim.tenant, terms.settings()?.quotas);
        if let Err(full) = self.db.room_to_start(tenant, &terms.usage(), &quotas).await? {
            return Ok(Some(full.to_string()));
        }
        let taken = self.starts.take(tenant, quotas.starts_per_second, Instant::now());
        Ok(taken.is_err().then(|| Full::too_fast(&quotas).to_string()))
    }
}
