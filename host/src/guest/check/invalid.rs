//! Why a component is not taken: a stable code, and a sentence that says what to do.

use wasmparser::BinaryReaderError;

use super::counts::Excess;
use super::names::hint;
use super::{COMPONENT_BYTES_MAX, NESTING_MAX};

/// What is wrong with a component. Its author is to blame for all of it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
    #[error("the component exports {0}, which no world of ours has; leave it out of the component")]
    ForbiddenExport(String),
    #[error("the component uses {0}, which this host does not take; build it without")]
    ForbiddenFeature(String),
    #[error("the component nests components or their types more than {NESTING_MAX} deep; compose it flatter")]
    TooDeep,
    #[error("{0}")]
    TooMuch(Excess),
    #[error("compiling the component was stopped: {0}; make it smaller, or split its largest functions")]
    CompileLimit(&'static str),
    #[error("the component could not be compiled: {0}")]
    NotCompiled(String),
    #[error("the component does not fit the contract countersign:agent@0.1.0: {0}")]
    WrongWorld(String),
    #[error("`describe` failed: {0}")]
    NotDescribed(String),
    #[error("`describe` returned a manifest that is not valid: {0}")]
    BadManifest(String),
}

impl Invalid {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::NotWasm
            | Self::CoreModule
            | Self::Malformed(_)
            | Self::MissingExport(_)
            | Self::NotCompiled(_)
            | Self::WrongWorld(_)
            | Self::BadManifest(_) => "invalid_component",
            Self::ForbiddenImports(_) => "forbidden_import",
            Self::ForbiddenExport(_) => "forbidden_export",
            Self::ForbiddenFeature(_) => "forbidden_feature",
            Self::TooDeep => "component_too_deep",
            Self::TooMuch(excess) => excess.code(),
            Self::CompileLimit(_) => "compile_limit",
            Self::NotDescribed(_) => "describe_failed",
        }
    }

    /// What the validator says. It has no kinds of errors, so those about a feature that is off are told by their words.
    pub(super) fn malformed(why: &BinaryReaderError) -> Self {
        const OF_FEATURES: [&str; 5] = ["enabled", "disabled", "proposal", "feature", "required for"];
        let said = why.message();
        if OF_FEATURES.iter().any(|word| said.contains(word)) {
            return Self::ForbiddenFeature(format!("something that is switched off ({why})"));
        }
        Self::Malformed(why.to_string())
    }
}
