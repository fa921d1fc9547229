//! `countersign new`: makes a project with an agent that works, and the SDK that belongs to this host.

mod packs;
mod vendor;

use std::path::{Path, PathBuf};

use serde_json::json;

use self::packs::{TEMPLATE_PYTHON, TEMPLATE_RUST, TEMPLATE_TYPESCRIPT};
use super::failure::Failure;
use super::output::{Output, Style};
use super::project::Language;
use super::text::shell_word;
use crate::execution::NAME_BYTES_MAX;

/// Files of the template or the SDK, by their paths in a project.
type Files = Vec<(PathBuf, Vec<u8>)>;

/// The packages of the SDK for Rust. Cargo takes no two of one name and version, whatever their folders.
const SDK_RUST_PACKAGES: [&str; 2] = ["countersign-sdk", "countersign-sdk-macros"];

/// The options of `countersign new`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The project has an agent, a test that needs no host, and in vendor/ the SDK that belongs to this
host. Its README.md says the next commands.

Examples:
  countersign new hello --lang python
  countersign new hello --lang rust --dir agents/hello"
)]
pub(crate) struct NewArgs {
    /// What the agent and its project are called: 1 to 64 of a-z 0-9 -, starting with a letter
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// The language that it is written in
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    lang: Language,
    /// Where it is made; there must be nothing, or an empty folder [default: NAME]
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    let fits = text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        return Err(format!("a name is 1 to {NAME_BYTES_MAX} of a-z 0-9 -, starting with a letter"));
    }
    // Python's packages end so, and the names of the others may.
    if text.ends_with('-') { Err("a name ends with a letter or a digit".into()) } else { Ok(text.to_owned()) }
}

/// Makes the project, or nothing.
pub(crate) fn new(args: &NewArgs, out: Output) -> Result<(), Failure> {
    if args.lang == Language::Rust && SDK_RUST_PACKAGES.contains(&args.name.as_str()) {
        return Err(Failure::Usage(format!("the SDK has a package {}; choose another name", args.name)));
    }
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let files = files(&args.name, args.lang).map_err(Failure::Failed)?;
    refuse_existing(&dir)?;
    write(&dir, &files).map_err(|error| Failure::Failed(format!("cannot make {}: {error}", dir.display())))?;
    if out.json {
        let document = json!({"name": args.name, "language": args.lang.word(), "dir": dir});
        return Ok(out.document(&document.to_string())?);
    }
    let shown = shell_word(&dir.display().to_string());
    out.line(&format!("{shown} {}", out.paint(Style::Good, "made")))?;
    out.note(&next(&shown, args));
    Ok(())
}

/// The commands that come next, as in the project's own README.
fn next(dir: &str, args: &NewArgs) -> String {
    let prepare = match args.lang {
        Language::Rust => "cargo test",
        Language::Python => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        Language::TypeScript => "npm install",
    };
    format!("\nNext:\n  cd {dir}\n  {prepare}\n  countersign dev      # README.md says more")
}

/// Every file of a project.
fn files(name: &str, language: Language) -> Result<Files, String> {
    let template = match language {
        Language::Rust => TEMPLATE_RUST,
        Language::Python => TEMPLATE_PYTHON,
        Language::TypeScript => TEMPLATE_TYPESCRIPT,
    };
    let mut files: Files = template.iter().map(|(path, bytes)| render(path, bytes, name)).collect();
    files.extend(vendor::sdk(language)?);
    Ok(files)
}

/// A file of a template, about the agent `name`. The repository of the host shall not heed a template's `.gitignore`,
/// so that is called otherwise there.
fn render(path: &str, bytes: &[u8], name: &str) -> (PathBuf, Vec<u8>) {
    let path = path.replace("dot-", ".");
    let text = String::from_utf8_lossy(bytes).replace("{{name}}", name);
    (path.into(), text.into_bytes())
}

fn refuse_existing(dir: &Path) -> Result<(), Failure> {
    let refused = |why: &str| Failure::Usage(format!("{} {why}; choose another --dir", dir.display()));
    match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| Err(refused("exists and is not empty"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(refused("is no folder")),
        Err(error) => Err(refused(&format!("cannot be looked into: {error}"))),
    }
}

/// Writes the files to a folder of their own first, so that there is never half a project.
fn write(dir: &Path, files: &Files) -> std::io::Result<()> {
    let dir = std::path::absolute(dir)?;
    // Before anything is made: `new/..` is not there yet, and afterwards a folder that nobody has looked into.
    let is_there = dir.exists();
    // In a folder that is there: the one around it may be somebody else's, or on another disk.
    let around = if is_there { &dir } else { dir.parent().unwrap_or(&dir) };
    std::fs::create_dir_all(around)?;
    let fresh = around.join(format!(".countersign-new-{}", uuid::Uuid::new_v4().simple()));
    let made = write_all(&fresh, files)
        .and_then(|()| if is_there { fill(&fresh, &dir) } else { std::fs::rename(&fresh, &dir) });
    // What is left of it; after success, nothing.
    let _ = std::fs::remove_dir_all(&fresh);
    made
}

fn write_all(fresh: &Path, files: &Files) -> std::io::Result<()> {
    for (path, bytes) in files {
        let path = fresh.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(fresh))?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

/// Moves what is in `fresh` up to `dir`, which stays the folder it is: somebody's shell may be in it.
fn fill(fresh: &Path, dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(fresh)? {
        let entry = entry?;
        std::fs::rename(entry.path(), dir.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_agents_and_packages_of_all_languages_can_have() {
        let longest = "a".repeat(64);
        for good in ["a", "hello", "my-agent-2", &longest] {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        let too_long = "a".repeat(65);
        for bad in ["", "-a", "a-", "9a", "Hello", "my_agent", "a b", "../x", "é", &too_long] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_agents_on_the_start_page_are_those_of_the_templates() {
        let page = include_str!("../../../docs/start.md");
        for template in [TEMPLATE_RUST, TEMPLATE_PYTHON, TEMPLATE_TYPESCRIPT] {
            let is_agent = |path: &str| ["src/lib.rs", "app.py", "src/agent.ts"].contains(&path);
            let (path, bytes) = template.iter().find(|(path, _)| is_agent(path)).expect("it has an agent");
            let (_, bytes) = render(path, bytes, "hello");
            let text = String::from_utf8(bytes.to_vec()).expect("templates are text");
            // The page leaves the test of the Rust agent out.
            let agent = text.split("\n#[cfg(test)]").next().unwrap_or_default();
            assert!(page.contains(agent), "docs/start.md has not {path}:\n{agent}");
        }
    }

    #[test]
    fn no_project_in_rust_is_called_as_a_package_of_the_sdk() {
        let files = vendor::sdk(Language::Rust).expect("it is packed");
        let manifests = files.iter().filter(|(path, _)| path.ends_with("Cargo.toml"));
        for (path, bytes) in manifests {
            let manifest: toml::Table = String::from_utf8_lossy(bytes).parse().expect("it is TOML");
            let name = manifest["package"]["name"].as_str().expect("it has a name");
            assert!(SDK_RUST_PACKAGES.contains(&name), "{}: {name}", path.display());
            let args = NewArgs { name: name.into(), lang: Language::Rust, dir: Some("/no/such/folder".into()) };
            assert!(matches!(new(&args, Output::new(true)), Err(Failure::Usage(why)) if why.contains(name)));
        }
    }

    #[test]
    fn every_template_is_about_the_agent_and_leaves_no_blank() {
        for template in [TEMPLATE_RUST, TEMPLATE_PYTHON, TEMPLATE_TYPESCRIPT] {
            let files: Files = template.iter().map(|(path, bytes)| render(path, bytes, "good-news")).collect();
            let names: Vec<_> = files.iter().map(|(path, _)| path.to_string_lossy().into_owned()).collect();
            for needed in [".gitignore", "README.md"] {
                assert!(names.iter().any(|name| name == needed), "{names:?}");
            }
            for (path, bytes) in &files {
                let text = std::str::from_utf8(bytes).expect("templates are text");
                assert!(!text.contains("{{"), "{} has a blank", path.display());
                assert!(text.ends_with('\n') && !text.contains('\t'), "{}", path.display());
            }
            assert!(files.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("good-news")));
        }
    }

    #[test]
    fn a_detour_through_a_folder_that_is_not_there_leads_to_no_other_folder() {
        let dir = std::env::temp_dir().join(format!("countersign-new-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).expect("a folder");
        std::fs::write(dir.join("README.md"), "precious").expect("a file");
        write(&dir.join("new/.."), &vec![("README.md".into(), vec![1])]).expect_err("it is not empty");
        assert_eq!(std::fs::read(dir.join("README.md")).expect("it is there"), b"precious");
        std::fs::remove_dir_all(dir).expect("it is ours");
    }

    #[test]
    fn an_empty_folder_is_filled_without_a_file_beside_it() {
        use std::os::unix::fs::MetadataExt as _;
        let around = std::env::temp_dir().join(format!("countersign-new-{}", uuid::Uuid::new_v4()));
        let dir = around.join("hello");
        std::fs::create_dir_all(&dir).expect("a folder");
        let changed = || std::fs::metadata(&around).map(|it| (it.mtime(), it.mtime_nsec())).expect("it is there");
        let before = changed();
        write(&dir, &vec![("a/b".into(), vec![1]), ("c".into(), vec![2])]).expect("an empty folder is filled");
        assert_eq!(changed(), before, "the folder around it may be read-only");
        assert_eq!(std::fs::read_dir(&dir).expect("it is there").count(), 2);
        std::fs::remove_dir_all(around).expect("it is ours");
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let dir = std::env::temp_dir().join(format!("countersign-new-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).expect("a folder");
        assert!(refuse_existing(&dir).is_ok());
        write(&dir, &vec![("a/b".into(), vec![1])]).expect("an empty folder is filled");
        assert_eq!(std::fs::read(dir.join("a/b")).expect("it is there"), [1]);
        assert!(matches!(refuse_existing(&dir), Err(Failure::Usage(why)) if why.contains("not empty")));
        assert!(matches!(refuse_existing(&dir.join("a/b")), Err(Failure::Usage(why)) if why.contains("no folder")));
        std::fs::remove_dir_all(dir).expect("it is ours");
    }
}
