//! What lies in a folder: in which language its agent is written, and what it is called.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::failure::Failure;
use crate::execution::is_name;

/// Largest manifest file that is read, in bytes. People write them; a hundred lines are a long one.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// The languages that agents are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    Rust,
    Python,
    #[value(name = "typescript")]
    TypeScript,
}

impl Language {
    const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::TypeScript];

    /// The file by which a project in this language is known.
    pub(crate) fn manifest(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "pyproject.toml",
            Self::TypeScript => "package.json",
        }
    }

    /// Its name, for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::TypeScript => "TypeScript",
        }
    }

    /// Its name, as `--lang` takes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::TypeScript => "typescript",
        }
    }
}

/// A folder with the source of one agent.
#[derive(Debug)]
pub(crate) struct Project {
    /// Absolute.
    pub(crate) dir: PathBuf,
    pub(crate) language: Language,
    /// What the agent and its component are called: the name in the manifest file, with `-` for `_`.
    pub(crate) name: String,
}

impl Project {
    /// Looks at `dir`. If it has manifests of several languages, `wanted` says which one counts.
    pub(crate) fn find(dir: &Path, wanted: Option<Language>) -> Result<Self, Failure> {
        let shown = dir.display();
        let dir = dir.canonicalize().map_err(|error| Failure::Usage(format!("cannot look into {shown}: {error}")))?;
        let found: Vec<Language> = Language::ALL.into_iter().filter(|it| dir.join(it.manifest()).is_file()).collect();
        let language = match (wanted, found.as_slice()) {
            (Some(wanted), found) if found.contains(&wanted) => wanted,
            (Some(wanted), _) => {
                let manifest = wanted.manifest();
                return Err(Failure::Usage(format!("{shown} is no {} project: it has no {manifest}", wanted.title())));
            }
            (None, [language]) => *language,
            (None, []) => return Err(Failure::Usage(none(&shown))),
            (None, several) => return Err(Failure::Usage(ambiguous(&shown, several))),
        };
        let name = name(&dir.join(language.manifest()), language).map_err(Failure::Usage)?;
        Ok(Self { dir, language, name })
    }

    /// Where its component goes, unless somebody says otherwise.
    pub(crate) fn component(&self) -> PathBuf {
        self.dir.join("dist").join(format!("{}.wasm", self.name))
    }
}

fn none(dir: &dyn std::fmt::Display) -> String {
    let manifests = Language::ALL.map(|language| format!("{} ({})", language.manifest(), language.title())).join(", ");
    format!(
        "{dir} holds no project: there is none of {manifests}. \
         Make one: countersign new NAME --lang rust|python|typescript"
    )
}

fn ambiguous(dir: &dyn std::fmt::Display, found: &[Language]) -> String {
    let manifests: Vec<&str> = found.iter().map(|language| language.manifest()).collect();
    let options: Vec<&str> = found.iter().map(|language| language.word()).collect();
    format!("{dir} has {}: say which one counts, with --lang {}", manifests.join(" and "), options.join("|"))
}

/// The name in a manifest file, as agents are named.
fn name(manifest: &Path, language: Language) -> Result<String, String> {
    let shown = manifest.display();
    let unreadable = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let bytes = std::fs::metadata(manifest).map_err(unreadable)?.len();
    if bytes > MANIFEST_BYTES_MAX {
        return Err(format!("{shown} has {bytes} bytes; at most {MANIFEST_BYTES_MAX} are read"));
    }
    let text = std::fs::read_to_string(manifest).map_err(unreadable)?;
    let (place, name) = match language {
        Language::Rust => ("[package] name", name_in_toml(&text, "package")),
        Language::Python => ("[project] name", name_in_toml(&text, "project")),
        Language::TypeScript => ("\"name\"", name_in_json(&text)),
    };
    let name = name.map_err(|why| format!("{shown} cannot be understood: {why}"))?;
    let name = name.ok_or_else(|| format!("{shown} has no {place}; the agent is called by it"))?;
    // A package of an organisation is @organisation/name.
    let bare = if name.starts_with('@') { name.rsplit('/').next().unwrap_or(&name) } else { &name };
    let agent = bare.replace('_', "-");
    if is_name(&agent) {
        return Ok(agent);
    }
    Err(format!("{shown}: {place} is {name:?}, but an agent's name is 1 to 64 of a-z 0-9 _ -, starting with a letter"))
}

fn name_in_toml(text: &str, table: &str) -> Result<Option<String>, String> {
    let manifest: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    Ok(manifest.get(table).and_then(|table| table.get("name")).and_then(toml::Value::as_str).map(str::to_owned))
}

fn name_in_json(text: &str) -> Result<Option<String>, String> {
    let manifest: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(manifest.get("name").and_then(serde_json::Value::as_str).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, removed when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Self {
            let dir = std::env::temp_dir().join(format!("countersign-project-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir(&dir).expect("a folder");
            for (name, text) in files {
                std::fs::write(dir.join(name), text).expect("a file");
            }
            Self(dir)
        }

        fn find(&self, wanted: Option<Language>) -> Result<(Language, String), String> {
            let found = Project::find(&self.0, wanted);
            found.map(|project| (project.language, project.name)).map_err(|failure| failure.to_string())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const CARGO: (&str, &str) = ("Cargo.toml", "[package]\nname = \"my_agent\"\n");
    const NODE: (&str, &str) = ("package.json", r#"{"name": "@acme/desk"}"#);

    #[test]
    fn each_language_is_known_by_its_manifest() {
        let python = ("pyproject.toml", "[project]\nname = \"hello\"");
        for (file, language, name) in [
            (CARGO, Language::Rust, "my-agent"),
            (python, Language::Python, "hello"),
            (NODE, Language::TypeScript, "desk"),
        ] {
            assert_eq!(Folder::with(&[file]).find(None), Ok((language, name.to_owned())));
        }
    }

    #[test]
    fn a_folder_without_a_project_says_what_was_looked_for() {
        let why = Folder::with(&[]).find(None).expect_err("there is none");
        for manifest in ["Cargo.toml", "pyproject.toml", "package.json", "countersign new"] {
            assert!(why.contains(manifest), "{why}");
        }
        let gone = Project::find(Path::new("/no/such/folder"), None);
        assert!(matches!(gone, Err(Failure::Usage(why)) if why.contains("/no/such/folder")));
    }

    #[test]
    fn of_several_languages_one_must_be_named() {
        let folder = Folder::with(&[CARGO, NODE]);
        let why = folder.find(None).expect_err("it is ambiguous");
        assert!(why.ends_with("has Cargo.toml and package.json: say which one counts, with --lang rust|typescript"));
        assert_eq!(folder.find(Some(Language::TypeScript)), Ok((Language::TypeScript, "desk".into())));
        let why = folder.find(Some(Language::Python)).expect_err("there is none");
        assert!(why.ends_with("is no Python project: it has no pyproject.toml"), "{why}");
    }

    #[test]
    fn a_name_that_no_agent_can_have_is_refused() {
        for text in ["[package]\nname = \"../x\"", "[package]\nname = \"9\"", "[package]", "[workspace]", "name = "] {
            let why = Folder::with(&[("Cargo.toml", text)]).find(None).expect_err(text);
            assert!(why.contains("Cargo.toml"), "{why}");
        }
    }
}
