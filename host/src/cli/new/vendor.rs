//! The SDK that a project brings along, so that it can be built without anything of ours being published.

use toml::{Table, Value};

use super::Files;
use super::packs::{SDK_PYTHON, SDK_RUST, SDK_TYPESCRIPT, WIT};
use crate::cli::project::Language;

/// The manifest that those of the SDK for Rust inherit from.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

const LICENSE: &[u8] = include_bytes!("../../../../LICENSE");

/// Where the SDK for Rust reads the contract in this repository, and in a project.
const WIT_HERE: &str = r#"path: "../../wit""#;
const WIT_THERE: &str = r#"path: "wit""#;

/// The SDK of a language, by its paths in a project.
pub(super) fn sdk(language: Language) -> Result<Files, String> {
    let (folder, pack) = match language {
        Language::Rust => ("vendor/countersign-sdk", SDK_RUST),
        Language::Python => ("vendor/countersign", SDK_PYTHON),
        Language::TypeScript => ("vendor/countersign", SDK_TYPESCRIPT),
    };
    if pack.is_empty() {
        return Err(format!("this countersign was built without the SDK for {}", language.title()));
    }
    let mut files: Vec<(String, Vec<u8>)> =
        pack.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
    if language == Language::Rust {
        files.iter_mut().try_for_each(|(path, bytes)| stand_alone(path, bytes))?;
        files.extend(WIT.iter().map(|(path, bytes)| (format!("wit/{path}"), bytes.to_vec())));
    }
    if !files.iter().any(|(path, _)| path == "LICENSE") {
        files.push(("LICENSE".to_owned(), LICENSE.to_vec()));
    }
    Ok(files.into_iter().map(|(path, bytes)| (format!("{folder}/{path}").into(), bytes)).collect())
}

/// Rewrites a file of the SDK for Rust that refers to this repository.
fn stand_alone(path: &str, bytes: &mut Vec<u8>) -> Result<(), String> {
    let text = || std::str::from_utf8(bytes).map_err(|error| format!("{path}: {error}"));
    if path.ends_with("Cargo.toml") {
        *bytes = manifest(text()?, WORKSPACE).map_err(|why| format!("{path}: {why}"))?.into_bytes();
    } else if path == "src/bindings.rs" {
        *bytes = text()?.replace(WIT_HERE, WIT_THERE).into_bytes();
    }
    Ok(())
}

/// A manifest with all that it inherits from `workspace` written into it.
fn manifest(text: &str, workspace: &str) -> Result<String, String> {
    let parse = |text: &str| text.parse::<Table>().map_err(|error| error.to_string());
    let (mut manifest, root) = (parse(text)?, parse(workspace)?);
    let root = root.get("workspace").and_then(Value::as_table).ok_or("the workspace's manifest is none")?;
    // How this repository is linted is its own affair.
    manifest.remove("lints");
    let inherited = |what: &str, name: &str| {
        let value = root.get(what).and_then(|table| table.get(name)).cloned();
        value.ok_or_else(|| format!("the workspace has no {what}.{name}"))
    };
    if let Some(package) = manifest.get_mut("package").and_then(Value::as_table_mut) {
        for (name, value) in package.iter_mut() {
            if is_inherited(value) {
                *value = inherited("package", name)?;
            }
        }
    }
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(dependencies) = manifest.get_mut(kind).and_then(Value::as_table_mut) else { continue };
        for (name, value) in dependencies.iter_mut() {
            if is_inherited(value) {
                *value = merged(inherited("dependencies", name)?, value);
            }
        }
    }
    toml::to_string(&manifest).map_err(|error| error.to_string())
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// A dependency of the workspace, with what its user adds: features, `optional`.
fn merged(base: Value, user: &Value) -> Value {
    let mut merged = match base {
        Value::Table(table) => table,
        version => Table::from_iter([("version".to_owned(), version)]),
    };
    for (name, value) in user.as_table().into_iter().flatten().filter(|(name, _)| *name != "workspace") {
        match (merged.get_mut(name), value) {
            (Some(Value::Array(features)), Value::Array(more)) => features.extend(more.iter().cloned()),
            _ => {
                merged.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Table(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_brings_along_what_it_inherits() {
        let workspace = "[workspace.package]\nversion = \"1.2.3\"\n[workspace.dependencies]\na = \"1\"\n\
            b = { version = \"2\", default-features = false, features = [\"x\"] }\n";
        let text = "[package]\nname = \"p\"\nversion.workspace = true\n[lints]\nworkspace = true\n[dependencies]\n\
            a.workspace = true\nb = { workspace = true, features = [\"y\"], optional = true }\nc = { path = \"c\" }\n";
        let alone: Table = manifest(text, workspace).expect("it resolves").parse().expect("it is TOML");
        let expected = "[package]\nname = \"p\"\nversion = \"1.2.3\"\n[dependencies]\na = { version = \"1\" }\n\
            b = { version = \"2\", default-features = false, features = [\"x\", \"y\"], optional = true }\n\
            c = { path = \"c\" }\n";
        assert_eq!(alone, expected.parse::<Table>().expect("it is TOML"));
        assert!(manifest("[dependencies]\nz.workspace = true", workspace).is_err_and(|why| why.contains('z')));
    }

    #[test]
    fn the_sdk_for_rust_refers_to_nothing_outside_of_itself() {
        let files = sdk(Language::Rust).expect("it is packed");
        let mut manifests = 0;
        for (path, bytes) in &files {
            let text = String::from_utf8_lossy(bytes);
            if path.ends_with("Cargo.toml") {
                manifests += 1;
                assert!(!text.contains("workspace") && !text.contains(".."), "{}:\n{text}", path.display());
            } else if path.extension().is_some_and(|it| it == "rs") {
                assert!(!text.contains("../../wit"), "{}", path.display());
            }
        }
        assert_eq!(manifests, 2);
        for needed in ["src/lib.rs", "macros/src/lib.rs", "wit/world.wit", "LICENSE"] {
            assert!(files.iter().any(|(path, _)| path.ends_with(needed)), "{needed} is missing");
        }
    }

    #[test]
    fn what_tools_leave_behind_is_not_packed() {
        for language in [Language::Rust, Language::Python, Language::TypeScript] {
            for (path, _) in sdk(language).unwrap_or_default() {
                for part in path.iter().map(|part| part.to_string_lossy().into_owned()) {
                    let is_left = ["__pycache__", "node_modules", ".venv", "target", "tests"].contains(&part.as_str());
                    assert!(!is_left && !part.ends_with(".pyc"), "{}", path.display());
                }
            }
        }
    }
}
