//! How much there is in a type.

use wasmparser::{
    ComponentExternalKind, ComponentType, ComponentTypeDeclaration, ComponentTypeRef, CoreType, InstanceTypeDeclaration,
};

/// Whether what is of this kind has types of its own.
pub(super) fn has_types(kind: ComponentExternalKind) -> bool {
    matches!(kind, ComponentExternalKind::Instance | ComponentExternalKind::Component)
}

/// What is in a type.
pub(super) struct Found {
    /// Types, and whatever else it declares.
    pub(super) types: u64,
    /// Imports and exports that have types themselves.
    pub(super) instances: u64,
}

/// Looks into a type, whose depth has been bounded.
pub(super) fn types(defined: &ComponentType<'_>) -> Found {
    let mut found = Found { types: 1, instances: 0 };
    let mut add = |inner: Found| {
        found.types += inner.types;
        found.instances += inner.instances;
    };
    let named = |ty: &ComponentTypeRef| Found { types: 1, instances: has_types(ty.kind()).into() };
    let core = |inner| Found { types: core_types(inner), instances: 0 };
    match defined {
        ComponentType::Component(declared) => declared.iter().for_each(|one| match one {
            ComponentTypeDeclaration::Type(inner) => add(types(inner)),
            ComponentTypeDeclaration::CoreType(inner) => add(core(inner)),
            ComponentTypeDeclaration::Import(import) => add(named(&import.ty)),
            ComponentTypeDeclaration::Export { ty, .. } => add(named(ty)),
            ComponentTypeDeclaration::Alias(_) => add(Found { types: 1, instances: 0 }),
        }),
        ComponentType::Instance(declared) => declared.iter().for_each(|one| match one {
            InstanceTypeDeclaration::Type(inner) => add(types(inner)),
            InstanceTypeDeclaration::CoreType(inner) => add(core(inner)),
            InstanceTypeDeclaration::Export { ty, .. } => add(named(ty)),
            InstanceTypeDeclaration::Alias(_) => add(Found { types: 1, instances: 0 }),
        }),
        _ => {}
    }
    found
}

pub(super) fn core_types(defined: &CoreType<'_>) -> u64 {
    match defined {
        CoreType::Rec(group) => group.types().len() as u64,
        CoreType::Module(declared) => 1 + declared.len() as u64,
    }
}
