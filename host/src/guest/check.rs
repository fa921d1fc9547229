//! What is looked at in an uploaded component before a byte of it is compiled.
//!
//! Form, sizes and names: in one pass over its sections, each of which is counted (`counts`) before anything else looks
//! at it, so that the pass takes at most 200 ms and little memory, whatever was uploaded. The bodies of functions are
//! only measured. Whether they are valid is looked at where they are compiled; whether the types of imports and exports
//! are those of the contract, when it is linked.

use wasmparser::{Encoding, Parser, Payload, Validator};

use crate::limits::Limits;

mod counts;
mod forbidden;
mod instances;
mod invalid;
mod names;
#[cfg(test)]
mod tests;
mod types;

use counts::Counts;
use instances::Instances;
pub use invalid::Invalid;
use names::Names;

/// Largest component, in bytes, whatever the quota of a tenant: an agent in Python has 24 MB.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// How deep components may be nested, and their types. Toolchains make one or two levels.
const NESTING_MAX: usize = 4;

/// Places in a section that could be a type in a type. In what toolchains make there are a few.
///
/// The parser calls itself for each level of such types, without a bound of its own: 100,000 would overflow the stack.
const TYPES_IN_TYPES_MAX: usize = 200;

/// Looks through the component, on this thread. Runs nothing of it. `limits` are those of its executions.
pub fn check(wasm: &[u8], limits: &Limits) -> Result<(), Invalid> {
    if wasm.len() > COMPONENT_BYTES_MAX {
        return Err(Invalid::TooLarge(wasm.len()));
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(Invalid::NotWasm);
    }
    if Parser::is_core_wasm(wasm) {
        return Err(Invalid::CoreModule);
    }
    let mut validator = Validator::new_with_features(forbidden::features());
    let (mut depth, mut counts) = (0, Counts::new(limits));
    let (mut instances, mut names) = (Instances::default(), Names::default());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|why| Invalid::malformed(&why))?;
        match &payload {
            Payload::Version { encoding, .. } => {
                depth += 1;
                // A module in the innermost component is no level of its own.
                if depth > NESTING_MAX + usize::from(*encoding == Encoding::Module) {
                    return Err(Invalid::TooDeep);
                }
            }
            Payload::ComponentTypeSection(section) if types_in_types(&wasm[section.range()]) > TYPES_IN_TYPES_MAX => {
                return Err(Invalid::TooDeep);
            }
            _ => {}
        }
        counts.add(&payload)?;
        forbidden::look(&payload)?;
        names.note(&payload, depth)?;
        validator.payload(&payload).map_err(|why| Invalid::malformed(&why))?;
        instances.count(&payload)?;
        if matches!(payload, Payload::End(_)) {
            depth -= 1;
        }
    }
    names.check()
}

/// Validates all of it, the bodies of functions included: what `check` leaves to where it is compiled.
pub(super) fn validate(wasm: &[u8]) -> Result<(), Invalid> {
    let valid = Validator::new_with_features(forbidden::features()).validate_all(wasm);
    valid.map(|_| ()).map_err(|why| Invalid::malformed(&why))
}

/// How many types are in types in this section, at the most: each begins with these two bytes.
fn types_in_types(section: &[u8]) -> usize {
    const DECLARES_TYPE: u8 = 0x01;
    const OF_COMPONENT_OR_INSTANCE: [u8; 2] = [0x41, 0x42];
    let begins = |pair: &&[u8]| pair[0] == DECLARES_TYPE && OF_COMPONENT_OR_INSTANCE.contains(&pair[1]);
    section.windows(2).filter(begins).count()
}
