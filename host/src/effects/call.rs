//! The call of another agent's function: an execution of its own, made exactly once.

use crate::db::Db;
use crate::db::claims::{Claim, FencedResult};
use crate::db::executions::Called;
use crate::execution::{CALL_DEPTH_MAX, JSON_BYTES_MAX, Target, child_id};
use crate::guest::Manifest;
use crate::journal::CallError;
use crate::json;

/// What became of a call when it was begun.
#[derive(Debug)]
pub enum Begun {
    /// The execution of this id exists, and will bring the answer.
    Runs(String),
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

/// Makes the execution that ask `op` calls for, or finds it, if an earlier attempt has made it.
pub async fn begin(db: &Db, claim: &Claim, op: u64, target: &str, input: &str) -> FencedResult<Begun> {
    let refused = |why| Ok(Ok(Begun::Refused(why)));
    let child = child_id(&claim.tenant, &claim.execution, op);
    // What was called once stays called, whatever has been deployed since.
    if db.find_execution(&claim.tenant, &child).await?.is_some() {
        return Ok(Ok(Begun::Runs(child)));
    }
    let target = match check(target, input) {
        Ok(target) => target,
        Err(why) => return refused(why),
    };
    let Some(version) = db.find_version(&claim.tenant, &target.agent, None).await? else {
        return refused(CallError::NotFound(format!("there is no agent {:?}", target.agent)));
    };
    let has_function = serde_json::from_str::<Manifest>(&version.manifest)
        .is_ok_and(|manifest| manifest.functions.iter().any(|function| function.name == target.function));
    if !has_function {
        let why = format!("agent {:?} has no function {:?}", target.agent, target.function);
        return refused(CallError::NotFound(why));
    }
    let seed = crate::random::bytes32();
    Ok(match db.call_execution(claim, op, &target, version.version, input, seed).await? {
        Err(fenced) => Err(fenced),
        Ok(Called::Exists) => Ok(Begun::Runs(child)),
        Ok(Called::TooDeep) => {
            let why = format!("calls may nest {CALL_DEPTH_MAX} deep");
            Ok(Begun::Refused(CallError::Denied(why)))
        }
    })
}
