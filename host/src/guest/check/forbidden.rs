//! Features that validate, and that no agent needs: young, or known for holes in the hosts that run them.

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentDefinedType, ComponentType, ComponentTypeDeclaration,
    InstanceTypeDeclaration, Payload, PrimitiveValType, WasmFeatures,
};

use super::Invalid;

/// What wasmtime runs here, less than it could. Without `CM_ERROR_CONTEXT`, an error context does not validate; and so
/// it is with threads, 64-bit memory, garbage collection, exceptions, tail calls, and asynchrony beyond what the worlds
/// have.
pub(super) fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::CM_ASYNC
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::EXTENDED_CONST
}

/// Refuses a payload that uses one of them.
pub(super) fn look(payload: &Payload<'_>) -> Result<(), Invalid> {
    match payload {
        Payload::ComponentTypeSection(section) => {
            for defined in section.clone() {
                look_at_type(&defined.map_err(|why| Invalid::malformed(&why))?)?;
            }
        }
        Payload::ComponentCanonicalSection(section) => {
            for function in section.clone() {
                look_at_function(&function.map_err(|why| Invalid::malformed(&why))?)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn look_at_type(defined: &ComponentType<'_>) -> Result<(), Invalid> {
    match defined {
        ComponentType::Defined(ComponentDefinedType::Stream(_)) => forbidden("`stream`"),
        ComponentType::Defined(ComponentDefinedType::Future(_)) => forbidden("`future`"),
        ComponentType::Defined(ComponentDefinedType::Primitive(PrimitiveValType::ErrorContext)) => {
            forbidden("`error-context`")
        }
        ComponentType::Component(declared) => declared.iter().try_for_each(|one| match one {
            ComponentTypeDeclaration::Type(inner) => look_at_type(inner),
            _ => Ok(()),
        }),
        ComponentType::Instance(declared) => declared.iter().try_for_each(|one| match one {
            InstanceTypeDeclaration::Type(inner) => look_at_type(inner),
            _ => Ok(()),
        }),
        _ => Ok(()),
    }
}

/// Text in memory is UTF-8: transcoding between encodings is where hosts have written out of bounds.
fn look_at_function(function: &CanonicalFunction) -> Result<(), Invalid> {
    let options: &[CanonicalOption] = match function {
        CanonicalFunction::Lift { options, .. }
        | CanonicalFunction::Lower { options, .. }
        | CanonicalFunction::TaskReturn { options, .. }
        | CanonicalFunction::ErrorContextNew { options }
        | CanonicalFunction::ErrorContextDebugMessage { options } => options,
        _ => &[],
    };
    let has = |option: &CanonicalOption| options.contains(option);
    if has(&CanonicalOption::UTF16) || has(&CanonicalOption::CompactUTF16) {
        return forbidden("a string encoding other than UTF-8");
    }
    let is_async = has(&CanonicalOption::Async);
    let has_callback = options.iter().any(|option| matches!(option, CanonicalOption::Callback(_)));
    if matches!(function, CanonicalFunction::Lift { .. }) && is_async && !has_callback {
        return forbidden("an `async` lift without a callback");
    }
    Ok(())
}

fn forbidden(what: &str) -> Result<(), Invalid> {
    Err(Invalid::ForbiddenFeature(what.into()))
}
