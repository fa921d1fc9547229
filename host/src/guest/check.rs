//! What is looked at in an uploaded component before a byte of it is compiled.
//!
//! Only form and names: whether the types of its imports and exports are those of the contract is checked when it is
//! linked.

use wasmparser::{
    ComponentAlias, ComponentDefinedType, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentType, ComponentTypeRef, Encoding, Instance, Parser, Payload, Validator, WasmFeatures,
};

/// Largest component, in bytes: an agent in Python has 21 MB.
pub const COMPONENT_BYTES_MAX: usize = 32 << 20;

/// How deep components may be nested. Toolchains make one or two levels.
const NESTING_MAX: usize = 4;

/// How many instances a component may be made of, in all.
///
/// A few hundred bytes can ask for billions: ten instances of what is made of ten instances of something else, and so on.
const INSTANCES_MAX: u64 = 1_000;

/// The interfaces of ours that a component may import.
const OURS: [&str; 3] =
    ["countersign:agent/types@0.1.0", "countersign:agent/host@0.1.0", "countersign:agent/host-blocking@0.1.0"];

/// The interfaces of WASI 0.2 that the standard library of Rust needs.
const WASI: [&str; 18] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Those of WASI 0.3: a toolchain that cannot import `async` functions of ours can wait with them.
const TIMERS: [&str; 2] = ["wasi:clocks/monotonic-clock@0.3.0", "wasi:clocks/types@0.3.0"];

/// What a language runtime imports beside, whether its program uses it or not: CPython all of it, QuickJS the files.
///
/// It is linked so that it opens nothing (see `wasi`). Who compiles to Wasm imports it only for use, which is then
/// better refused here than where it runs.
const RUNTIME: [&str; 9] = [
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The custom section of a module that is linked dynamically: the runtimes of Python and JavaScript are, others not.
const DYNAMIC: &str = "dylink.0";

/// Why a component is not taken. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    #[error("the component has {0} bytes; at most {COMPONENT_BYTES_MAX} are taken")]
    TooLarge(usize),
    #[error("this is not WebAssembly: it does not begin with \\0asm")]
    NotWasm,
    #[error(
        "this is a core module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    #[error("this is not a valid component: {0}")]
    Malformed(String),
    #[error(
        "the component imports {}, which this host does not give; it gives countersign:agent/host@0.1.0 (or \
         host-blocking) and what std needs of WASI 0.2, but no files, sockets or HTTP{}", .0.join(", "), hint(.0)
    )]
    ForbiddenImports(Vec<String>),
    #[error("the component does not export {0}; see the worlds in wit/")]
    MissingExport(&'static str),
    #[error("the component exports {0}, which no world of ours has")]
    ForbiddenExport(String),
    #[error("the component uses {0}, which this host does not take")]
    ForbiddenType(&'static str),
    #[error("the component nests components more than {NESTING_MAX} deep")]
    TooDeep,
    #[error("the component is made of more than {INSTANCES_MAX} instances")]
    TooManyInstances,
    #[error("the component could not be compiled: {0}")]
    NotCompiled(String),
    #[error("the component does not fit the contract countersign:agent@0.1.0: {0}")]
    WrongWorld(String),
    #[error("`describe` failed: {0}")]
    NotDescribed(String),
    #[error("`describe` returned a manifest that is not valid: {0}")]
    BadManifest(String),
}

/// Looks through the component. Bounded by its size; runs nothing of it.
pub fn check(wasm: &[u8]) -> Result<(), Invalid> {
    if wasm.len() > COMPONENT_BYTES_MAX {
        return Err(Invalid::TooLarge(wasm.len()));
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(Invalid::NotWasm);
    }
    if Parser::is_core_wasm(wasm) {
        return Err(Invalid::CoreModule);
    }
    let malformed = |why: wasmparser::BinaryReaderError| Invalid::Malformed(why.to_string());
    Validator::new_with_features(features()).validate_all(wasm).map_err(malformed)?;

    let (mut depth, mut imports, mut exports, mut has_runtime) = (0, vec![], vec![], false);
    let mut instances = Instances::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(malformed)?;
        instances.count(&payload)?;
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(Invalid::TooDeep);
                }
            }
            // A core module inside a component ends, too.
            Payload::Version { encoding: Encoding::Module, .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(malformed)?;
                    exports.push((export.name.name.to_owned(), export.kind));
                }
            }
            Payload::ComponentTypeSection(section) => {
                for defined in section {
                    check_type(&defined.map_err(malformed)?)?;
                }
            }
            Payload::CustomSection(section) if section.name() == DYNAMIC => has_runtime = true,
            _ => {}
        }
    }
    check_names(imports, &exports, has_runtime)
}

/// Counts the instances that a component will be made of, without making them.
#[derive(Default)]
struct Instances {
    /// One for each component or module that is being read, the outermost first.
    open: Vec<Counted>,
}

/// How many instances a component is made of, and those that it can name, in the order of their index.
#[derive(Default)]
struct Counted {
    is_component: bool,
    count: u64,
    components: Vec<u64>,
}

impl Instances {
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Invalid> {
        let malformed = |why: wasmparser::BinaryReaderError| Invalid::Malformed(why.to_string());
        match payload {
            Payload::Version { encoding, .. } => {
                self.open.push(Counted { is_component: *encoding == Encoding::Component, ..Counted::default() });
            }
            Payload::End(_) => {
                if let Some(done) = self.open.pop().filter(|done| done.is_component)
                    && let Some(outer) = self.open.last_mut()
                {
                    outer.components.push(done.count + 1);
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if matches!(instance.map_err(malformed)?, Instance::Instantiate { .. }) {
                        self.add(1)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance.map_err(malformed)? {
                        self.add(self.of(0, component_index))?;
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias.map_err(malformed)?)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    if matches!(import.map_err(malformed)?.ty, ComponentTypeRef::Component(_)) {
                        return Err(Invalid::ForbiddenType("an imported component"));
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(malformed)?;
                    if export.kind == ComponentExternalKind::Component {
                        self.name(self.of(0, export.index));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), Invalid> {
        match alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                self.name(self.of(*count, *index));
                Ok(())
            }
            // What it is made of would have to be followed through the instance.
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                Err(Invalid::ForbiddenType("a component that an instance exports"))
            }
            _ => Ok(()),
        }
    }

    /// How many instances component `index` is made of, as counted `outwards` levels up.
    fn of(&self, outwards: u32, index: u32) -> u64 {
        let level = self.open.iter().rev().nth(outwards as usize);
        level.and_then(|level| level.components.get(index as usize)).copied().unwrap_or(u64::MAX)
    }

    fn name(&mut self, count: u64) {
        if let Some(inner) = self.open.last_mut() {
            inner.components.push(count);
        }
    }

    fn add(&mut self, count: u64) -> Result<(), Invalid> {
        let Some(inner) = self.open.last_mut() else { return Ok(()) };
        inner.count = inner.count.saturating_add(count);
        if inner.count > INSTANCES_MAX { Err(Invalid::TooManyInstances) } else { Ok(()) }
    }
}

fn check_names(
    imports: Vec<String>,
    exports: &[(String, ComponentExternalKind)],
    has_runtime: bool,
) -> Result<(), Invalid> {
    let forbidden: Vec<String> = imports.into_iter().filter(|name| !is_allowed(name, has_runtime)).collect();
    if !forbidden.is_empty() {
        return Err(Invalid::ForbiddenImports(forbidden));
    }
    for wanted in ["describe", "run"] {
        if !exports.iter().any(|(name, kind)| name == wanted && *kind == ComponentExternalKind::Func) {
            return Err(Invalid::MissingExport(wanted));
        }
    }
    // Toolchains leave things of their own, which nobody calls. An interface was meant to be called by somebody.
    let other = exports.iter().find(|(name, _)| name.contains(':'));
    match other {
        Some((name, _)) => Err(Invalid::ForbiddenExport(name.clone())),
        None => Ok(()),
    }
}

fn is_allowed(import: &str, has_runtime: bool) -> bool {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    OURS.contains(&import)
        || TIMERS.contains(&import)
        || version.starts_with("0.2.") && (WASI.contains(&name) || has_runtime && RUNTIME.contains(&name))
        // A world's `use` of a type imports the type itself.
        || !import.contains(':')
}

/// Where an author may look for what brings a forbidden import in.
fn hint(imports: &[String]) -> &'static str {
    let has = |prefix: &str| imports.iter().any(|import| import.starts_with(prefix));
    if has("wasi:http/") || has("wasi:sockets/") {
        ": look for std::net and for HTTP clients, in its dependencies too, and ask another agent with `call` instead"
    } else if has("wasi:filesystem/") {
        ": look for std::fs, in its dependencies too, and compile what it reads in with include_str! instead"
    } else {
        ""
    }
}

/// Streams, futures and error contexts are young, and no agent needs them.
fn check_type(defined: &ComponentType<'_>) -> Result<(), Invalid> {
    match defined {
        ComponentType::Defined(ComponentDefinedType::Stream(_)) => Err(Invalid::ForbiddenType("`stream`")),
        ComponentType::Defined(ComponentDefinedType::Future(_)) => Err(Invalid::ForbiddenType("`future`")),
        _ => Ok(()),
    }
}

/// What wasmtime runs here, less than it could. Without `CM_ERROR_CONTEXT`, an error context does not validate.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::CM_ASYNC
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::EXTENDED_CONST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert!(matches!(check(b""), Err(Invalid::NotWasm)));
        assert!(matches!(check(b"(component)"), Err(Invalid::NotWasm)));
        assert!(matches!(check(b"\0asm\x01\0\0\0"), Err(Invalid::CoreModule)));
        assert!(matches!(check(b"\0asm\x0d\0\x01"), Err(Invalid::Malformed(_))));
        assert!(matches!(check(b"\0asm\x0d\0\x01\0\xff\xff"), Err(Invalid::Malformed(_))));
        // The empty component.
        assert!(matches!(check(b"\0asm\x0d\0\x01\0"), Err(Invalid::MissingExport("describe"))));
        assert!(matches!(check(&vec![0; COMPONENT_BYTES_MAX + 1]), Err(Invalid::TooLarge(_))));
    }

    #[test]
    fn only_the_contract_and_the_needs_of_std_may_be_imported() {
        for good in ["countersign:agent/host@0.1.0", "wasi:cli/stdout@0.2.6", "wasi:io/poll@0.2.0"] {
            assert!(is_allowed(good, false), "{good}");
        }
        for runtime in ["wasi:filesystem/types@0.2.9", "wasi:sockets/tcp@0.2.9"] {
            assert!(is_allowed(runtime, true) && !is_allowed(runtime, false), "{runtime}");
        }
        for bad in [
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:sockets/tcp@0.3.0",
            "wasi:cli/stdout@0.3.0",
            "wasi:cli/stdout",
            "countersign:agent/host@0.2.0",
            "other:agent/host@0.1.0",
        ] {
            assert!(!is_allowed(bad, true), "{bad}");
        }
    }
}
