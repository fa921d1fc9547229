//! How much there is of everything in a component that makes it slow or large to compile, or to look at.
//!
//! The bounds leave agents in Rust, TypeScript and Python room: at least twice what they have, but for data, of which
//! CPython alone has 16 MB.

use wasmparser::{ComponentInstance, Instance, Payload};

use super::Invalid;
use super::types::{core_types, has_types, types};
use crate::limits::Limits;

/// How many instances a component may be made of, in all. CPython is made of 15.
pub(super) const INSTANCES_MAX: u64 = 256;

/// Core modules in it. CPython has 14.
const MODULES_MAX: u64 = 32;

/// Functions of its own, and those that lift and lower. CPython has 13,500; each takes 65 µs and 6 KB to compile.
const FUNCTIONS_MAX: u64 = 50_000;

/// Local variables, in all and in one function. CPython has 48,000 and 271; each takes 0.1 µs to compile.
const LOCALS_MAX: u64 = 500_000;
const FUNCTION_LOCALS_MAX: u64 = 2_000;

/// Bytes of one function. The largest of CPython has 427 KB; 6 MB take ten seconds and 1.3 GB to compile.
const FUNCTION_BYTES_MAX: usize = 1 << 20;

/// Types of modules and components, with what is declared in them. CPython has 1,800.
const TYPES_MAX: u64 = 10_000;

/// Imports of all modules and components. CPython has 2,300.
const IMPORTS_MAX: u64 = 5_000;

/// Exports of all modules and components. CPython has 4,200.
const EXPORTS_MAX: u64 = 10_000;

/// Everything else that has an index, and sections: globals, tables, aliases, arguments and so on. CPython has 4,700.
const DEFINITIONS_MAX: u64 = 20_000;

/// How often types are taken up, each time counted as all that have been declared: the validator makes those that an
/// imported, exported or instantiated component has anew, in 1.4 µs each. Agents have a quarter of that.
const TAKEN_UP_MAX: u64 = 100_000;

/// Bytes of everything but code, data and custom sections. CPython has 0.3 MB.
const STRUCTURE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of data that memories begin with. CPython has 16 MB.
const DATA_BYTES_MAX: u64 = 24 << 20;

/// The size of a page of memory.
const PAGE_BYTES: u64 = 64 << 10;

/// Of what there is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    #[error("the component is made of more than {INSTANCES_MAX} instances; instantiate fewer")]
    Instances,
    #[error("the component has more than {MODULES_MAX} core modules; link them into fewer")]
    Modules,
    #[error("the component has more than {FUNCTIONS_MAX} functions; leave out code that it does not use")]
    Functions,
    #[error(
        "the functions of the component have more than {LOCALS_MAX} local variables; leave out what it does not use"
    )]
    Locals,
    #[error(
        "a function of the component has more than {FUNCTION_LOCALS_MAX} local variables; split it, or optimise it"
    )]
    FunctionLocals,
    #[error("a function of the component has more than {FUNCTION_BYTES_MAX} bytes; split it, or keep tables as data")]
    FunctionBytes,
    #[error("the component has more than {TYPES_MAX} types; import and define fewer")]
    Types,
    #[error("the component imports, exports and instantiates too many types too often; use fewer interfaces")]
    TypesTakenUp,
    #[error("the component and its modules have more than {IMPORTS_MAX} imports; import less")]
    Imports,
    #[error("the component and its modules have more than {EXPORTS_MAX} exports; export less")]
    Exports,
    #[error("the component has more than {DEFINITIONS_MAX} globals, aliases and other definitions; link it into less")]
    Definitions,
    #[error(
        "the component has more than {STRUCTURE_BYTES_MAX} bytes of types, names and other definitions; use fewer or \
         shorter ones"
    )]
    Structure,
    #[error("the component has more than {DATA_BYTES_MAX} bytes of data; embed less, and give the rest as input")]
    Data,
    #[error(
        "the component begins with more than {0} bytes of memory, which is the limit `memory_bytes`; begin with less"
    )]
    Memory(u64),
    #[error(
        "the component begins with more than {0} elements of tables, which is the limit `table_elements`; begin with \
         fewer"
    )]
    Tables(u64),
}

impl Excess {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Instances => "too_many_instances",
            Self::Modules => "too_many_modules",
            Self::Functions => "too_many_functions",
            Self::Locals | Self::FunctionLocals => "too_many_locals",
            Self::FunctionBytes => "function_too_large",
            Self::Types | Self::TypesTakenUp => "too_many_types",
            Self::Imports => "too_many_imports",
            Self::Exports => "too_many_exports",
            Self::Definitions | Self::Structure => "too_many_definitions",
            Self::Data => "data_too_large",
            Self::Memory(_) => "memory_too_large",
            Self::Tables(_) => "table_too_large",
        }
    }
}

/// What has been counted so far, over the payloads of a component.
pub(super) struct Counts {
    limits: Limits,
    modules: u64,
    functions: u64,
    locals: u64,
    types: u64,
    imports: u64,
    exports: u64,
    definitions: u64,
    /// Of components.
    declared: u64,
    taken_up: u64,
    structure_bytes: u64,
    data_bytes: u64,
    memory_bytes: u64,
    table_elements: u64,
}

type Result<T = (), E = Invalid> = std::result::Result<T, E>;

impl Counts {
    /// `limits` are those of the executions of whoever uploads it.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            modules: 0,
            functions: 0,
            locals: 0,
            types: 0,
            imports: 0,
            exports: 0,
            definitions: 0,
            declared: 0,
            taken_up: 0,
            structure_bytes: 0,
            data_bytes: 0,
            memory_bytes: 0,
            table_elements: 0,
        }
    }

    /// How much of each bound there is, as a fraction.
    #[cfg(test)]
    pub(super) fn used(&self) -> [(&'static str, f64); 10] {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let share = |used: u64, max: u64| used as f64 / max as f64;
        [
            ("modules", share(self.modules, MODULES_MAX)),
            ("functions", share(self.functions, FUNCTIONS_MAX)),
            ("locals", share(self.locals, LOCALS_MAX)),
            ("types", share(self.types, TYPES_MAX)),
            ("imports", share(self.imports, IMPORTS_MAX)),
            ("exports", share(self.exports, EXPORTS_MAX)),
            ("definitions", share(self.definitions, DEFINITIONS_MAX)),
            ("types taken up", share(self.taken_up, TAKEN_UP_MAX)),
            ("structure", share(self.structure_bytes, STRUCTURE_BYTES_MAX)),
            ("data", share(self.data_bytes, DATA_BYTES_MAX)),
        ]
    }

    /// Counts what is in a payload. To be called before anything else looks at it: that takes time by these numbers.
    pub(super) fn add(&mut self, payload: &Payload<'_>) -> Result {
        match payload {
            Payload::CodeSectionEntry(body) => return self.function(body),
            Payload::DataSection(section) => {
                add(&mut self.data_bytes, section.range().len() as u64, DATA_BYTES_MAX, Excess::Data)?;
            }
            Payload::CustomSection(_) | Payload::End(_) | Payload::CodeSectionStart { .. } => {}
            other => {
                // What is nested comes as payloads of its own.
                if let (false, Some((_, range))) = (is_nested(other), other.as_section()) {
                    self.structure(range.len() as u64)?;
                }
            }
        }
        self.define(1)?;
        self.core(payload)?;
        self.component(payload)
    }

    /// The sections of a core module.
    fn core(&mut self, payload: &Payload<'_>) -> Result {
        match payload {
            Payload::ModuleSection { .. } => add(&mut self.modules, 1, MODULES_MAX, Excess::Modules),
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    self.types(group.map_err(malformed)?.types().len() as u64)?;
                }
                Ok(())
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    import.map_err(malformed)?;
                    self.imports(1)?;
                }
                Ok(())
            }
            Payload::FunctionSection(section) => self.functions(section.count()),
            Payload::TableSection(section) => {
                for table in section.clone() {
                    let (initial, max) = (table.map_err(malformed)?.ty.initial, self.limits.table_elements);
                    self.define(1)?;
                    add(&mut self.table_elements, initial, max, Excess::Tables(max))?;
                }
                Ok(())
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let bytes = memory.map_err(malformed)?.initial.saturating_mul(PAGE_BYTES);
                    let max = self.limits.memory_bytes;
                    self.define(1)?;
                    add(&mut self.memory_bytes, bytes, max, Excess::Memory(max))?;
                }
                Ok(())
            }
            Payload::TagSection(section) => self.define(section.count()),
            Payload::GlobalSection(section) => self.define(section.count()),
            Payload::ElementSection(section) => self.define(section.count()),
            Payload::ExportSection(section) => self.exports(section.count()),
            _ => Ok(()),
        }
    }

    /// The sections of a component.
    fn component(&mut self, payload: &Payload<'_>) -> Result {
        match payload {
            Payload::CoreTypeSection(section) => {
                for defined in section.clone() {
                    self.types(core_types(&defined.map_err(malformed)?))?;
                }
                Ok(())
            }
            Payload::ComponentTypeSection(section) => {
                for defined in section.clone() {
                    let found = types(&defined.map_err(malformed)?);
                    self.declared += found.types;
                    self.types(found.types)?;
                    self.take_up(found.instances)?;
                }
                Ok(())
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    match instance.map_err(malformed)? {
                        Instance::Instantiate { args, .. } => self.define(args.len())?,
                        Instance::FromExports(exports) => self.define(exports.len())?,
                    }
                }
                Ok(())
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    match instance.map_err(malformed)? {
                        ComponentInstance::Instantiate { args, .. } => {
                            self.define(args.len())?;
                            let instances = args.iter().filter(|arg| has_types(arg.kind)).count();
                            self.take_up(1 + instances as u64)?;
                        }
                        ComponentInstance::FromExports(exports) => {
                            self.define(exports.len())?;
                            self.declared += exports.len() as u64;
                        }
                    }
                }
                Ok(())
            }
            Payload::ComponentAliasSection(section) => self.define(section.count()),
            Payload::ComponentCanonicalSection(section) => self.functions(section.count()),
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let kind = import.map_err(malformed)?.ty.kind();
                    self.imports(1)?;
                    self.take_up(has_types(kind).into())?;
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let kind = export.map_err(malformed)?.kind;
                    self.exports(1)?;
                    self.take_up(has_types(kind).into())?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn function(&mut self, body: &wasmparser::FunctionBody<'_>) -> Result {
        if body.range().len() > FUNCTION_BYTES_MAX {
            return Err(Invalid::TooMuch(Excess::FunctionBytes));
        }
        let mut locals = 0;
        for local in body.get_locals_reader().map_err(malformed)? {
            // A declaration of none takes its time, too.
            let count = local.map_err(malformed)?.0.max(1);
            add(&mut locals, count.into(), FUNCTION_LOCALS_MAX, Excess::FunctionLocals)?;
        }
        add(&mut self.locals, locals, LOCALS_MAX, Excess::Locals)
    }

    fn functions(&mut self, count: u32) -> Result {
        add(&mut self.functions, count.into(), FUNCTIONS_MAX, Excess::Functions)
    }

    fn types(&mut self, count: u64) -> Result {
        add(&mut self.types, count, TYPES_MAX, Excess::Types)
    }

    fn take_up(&mut self, times: u64) -> Result {
        add(&mut self.taken_up, times.saturating_mul(self.declared), TAKEN_UP_MAX, Excess::TypesTakenUp)
    }

    fn imports(&mut self, count: u32) -> Result {
        add(&mut self.imports, count.into(), IMPORTS_MAX, Excess::Imports)
    }

    fn exports(&mut self, count: u32) -> Result {
        add(&mut self.exports, count.into(), EXPORTS_MAX, Excess::Exports)
    }

    fn define(&mut self, count: impl TryInto<u64>) -> Result {
        add(&mut self.definitions, count.try_into().unwrap_or(u64::MAX), DEFINITIONS_MAX, Excess::Definitions)
    }

    fn structure(&mut self, bytes: u64) -> Result {
        add(&mut self.structure_bytes, bytes, STRUCTURE_BYTES_MAX, Excess::Structure)
    }
}

fn add(total: &mut u64, count: u64, max: u64, excess: Excess) -> Result {
    *total = total.saturating_add(count);
    if *total > max { Err(Invalid::TooMuch(excess)) } else { Ok(()) }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn malformed(why: wasmparser::Error) -> Invalid {
    Invalid::malformed(&why)
}

fn is_nested(payload: &Payload<'_>) -> bool {
    matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. })
}
