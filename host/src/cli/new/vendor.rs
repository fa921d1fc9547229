//! The SDK that a project brings along, so that it can be built without anything of ours being published.
//!
//! Each SDK's folder stands alone, and is packed as it lies in the repository.

use super::Files;
use super::packs::{SDK_PYTHON, SDK_RUST, SDK_TYPESCRIPT};
use crate::cli::project::Language;

const LICENSE: &[u8] = include_bytes!("../../../../LICENSE");

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
    let mut files: Files =
        pack.iter().map(|(path, bytes)| (format!("{folder}/{path}").into(), bytes.to_vec())).collect();
    if !pack.iter().any(|(path, _)| *path == "LICENSE") {
        files.push((format!("{folder}/LICENSE").into(), LICENSE.to_vec()));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sdk_is_packed_and_refers_to_nothing_outside_of_itself() {
        let needed = [
            (Language::Rust, vec!["Cargo.toml", "src/lib.rs", "macros/src/lib.rs", "wit/world.wit", "README.md"]),
            (Language::Python, vec!["pyproject.toml", "src/countersign/__init__.py", "README.md"]),
            (Language::TypeScript, vec!["package.json", "src/index.ts", "bin/countersign-build.js", "README.md"]),
        ];
        for (language, needed) in needed {
            let files = sdk(language).expect("it is packed");
            for end in needed.into_iter().chain(["LICENSE"]) {
                assert!(files.iter().any(|(path, _)| path.ends_with(end)), "{end} of {language:?} is missing");
            }
            for (path, bytes) in files.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
                let text = String::from_utf8_lossy(bytes);
                assert!(!text.contains("workspace = true") && !text.contains("../"), "{}:\n{text}", path.display());
            }
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
