//! What a component may import and export, by name. Whether the types are those of the contract is checked when it is
//! linked.

use wasmparser::{ComponentExternalKind, Payload};

use super::Invalid;

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

/// The longest name that a message repeats, in characters, and how many names.
const SHOWN_CHARS_MAX: usize = 100;
const SHOWN_MAX: usize = 20;

/// What the outermost component imports and exports.
#[derive(Default)]
pub(super) struct Names {
    imports: Vec<String>,
    exports: Vec<(String, ComponentExternalKind)>,
    has_runtime: bool,
}

impl Names {
    /// Notes the names of a section; `depth` is 1 in the outermost component.
    pub(super) fn note(&mut self, payload: &Payload<'_>, depth: usize) -> Result<(), Invalid> {
        match payload {
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section.clone() {
                    let import = import.map_err(|why| Invalid::malformed(&why))?;
                    self.imports.push(import.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section.clone() {
                    let export = export.map_err(|why| Invalid::malformed(&why))?;
                    self.exports.push((export.name.name.to_owned(), export.kind));
                }
            }
            Payload::CustomSection(section) if section.name() == DYNAMIC => self.has_runtime = true,
            _ => {}
        }
        Ok(())
    }

    /// Whether they are those of an agent, once all have been noted.
    pub(super) fn check(self) -> Result<(), Invalid> {
        let has_runtime = self.has_runtime;
        let forbidden = self.imports.iter().filter(|name| !is_allowed(name, has_runtime));
        let forbidden: Vec<String> = forbidden.take(SHOWN_MAX).map(|name| shown(name)).collect();
        if !forbidden.is_empty() {
            return Err(Invalid::ForbiddenImports(forbidden));
        }
        for wanted in ["describe", "run"] {
            if !self.exports.iter().any(|(name, kind)| name == wanted && *kind == ComponentExternalKind::Func) {
                return Err(Invalid::MissingExport(wanted));
            }
        }
        // Toolchains leave things of their own, which nobody calls. An interface was meant to be called by somebody.
        match self.exports.iter().find(|(name, _)| name.contains(':')) {
            Some((name, _)) => Err(Invalid::ForbiddenExport(shown(name))),
            None => Ok(()),
        }
    }
}

fn shown(name: &str) -> String {
    name.chars().take(SHOWN_CHARS_MAX).collect()
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
pub(super) fn hint(imports: &[String]) -> &'static str {
    let has = |prefix: &str| imports.iter().any(|import| import.starts_with(prefix));
    if has("wasi:http/") || has("wasi:sockets/") {
        ": look for std::net and for HTTP clients, in its dependencies too, and ask another agent with `call` instead"
    } else if has("wasi:filesystem/") {
        ": look for std::fs, in its dependencies too, and compile what it reads in with include_str! instead"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
