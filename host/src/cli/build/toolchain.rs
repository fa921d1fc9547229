//! Which tool builds which language, and what it needs.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::tool::Said;
use crate::cli::failure::Failure;
use crate::cli::project::{Language, Project};
use crate::cli::text::shell_word;

/// The target that Rust agents are built for.
const TARGET: &str = "wasm32-wasip2";

/// Where the SDK for TypeScript keeps its builder, below the project or, of a workspace, a folder above.
const BUILDER: &str = "node_modules/countersign/bin/countersign-build.js";

/// What is going to be run.
pub(super) struct Plan {
    language: Language,
    dir: PathBuf,
    program: PathBuf,
    /// Before the folder and the output, which the tools of Python and TypeScript take.
    arguments: Vec<OsString>,
    /// For people.
    pub(super) shown: String,
}

/// Finds the tool for the project's language; fails with how to install what is missing.
pub(super) fn plan(project: &Project) -> Result<Plan, Failure> {
    let (program, arguments) = match project.language {
        Language::Rust => rust(project),
        Language::Python => python(project),
        Language::TypeScript => typescript(project),
    }
    .map_err(Failure::Failed)?;
    // One from the path is shown as people would type it.
    let name = program.file_name().filter(|_| !program.starts_with(&project.dir)).unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(arguments.iter().map(OsString::as_os_str));
    let shown: Vec<String> = words.map(|word| shell_word(&super::shown(Path::new(word)))).collect();
    let (language, dir) = (project.language, project.dir.clone());
    Ok(Plan { language, dir, program, arguments, shown: shown.join(" ") })
}

impl Plan {
    /// The command that leaves the component at `output`, or says where it left it.
    pub(super) fn command(&self, output: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.dir).env("CARGO_TERM_COLOR", "never").env("NO_COLOR", "1");
        match self.language {
            Language::Rust => {
                // Cargo's answer names the file, wherever the target folder is.
                command.arg("--message-format=json-render-diagnostics");
            }
            Language::Python | Language::TypeScript => {
                // Absolute, for the tool runs in the project's folder.
                let output = std::path::absolute(output).unwrap_or_else(|_| output.to_owned());
                command.arg(&self.dir).arg("--output").arg(output);
            }
        }
        command
    }

    /// The file that the command made.
    pub(super) fn made(&self, said: &Said, output: &Path) -> Result<PathBuf, String> {
        match self.language {
            Language::Rust => artifact(&said.stdout, &self.dir.join("Cargo.toml")),
            Language::Python | Language::TypeScript if output.is_file() => Ok(output.to_owned()),
            Language::Python | Language::TypeScript => {
                Err(format!("`{}` ended well, but left no {}", self.shown, output.display()))
            }
        }
    }
}

type Tool = (PathBuf, Vec<OsString>);

fn rust(project: &Project) -> Result<Tool, String> {
    let cargo = which("cargo")
        .ok_or("cargo is missing. Install Rust: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh")?;
    // Without rustc on the path, cargo says better what it lacks.
    if let Some(rustc) = which("rustc") {
        let asked = Command::new(rustc)
            .args(["--print", "target-libdir", "--target", TARGET])
            .current_dir(&project.dir)
            .output();
        let libdir = asked.ok().filter(|asked| asked.status.success()).map(|asked| asked.stdout);
        let libdir = libdir.and_then(|path| String::from_utf8(path).ok());
        if !libdir.is_some_and(|path| Path::new(path.trim()).is_dir()) {
            return Err(format!("Rust's target {TARGET} is missing. Install it: rustup target add {TARGET}"));
        }
    }
    Ok((cargo, ["build", "--release", "--target", TARGET].map(OsString::from).into()))
}

fn python(project: &Project) -> Result<Tool, String> {
    let own = project.dir.join(".venv/bin/python");
    let active = std::env::var_os("VIRTUAL_ENV").map(|venv| Path::new(&venv).join("bin/python"));
    let python = [Some(own), active].into_iter().flatten().find(|python| python.exists()).or_else(|| which("python3"));
    let python = python.ok_or(
        "python3 is missing. Install Python 3.11 or newer (Debian: apt install python3 python3-venv; \
         macOS: brew install python)",
    )?;
    let lacks =
        "import importlib.util as u; print(*[m for m in ('countersign', 'componentize_py') if not u.find_spec(m)])";
    // Without the folder that we are in, where a module of the project may be called alike.
    let asked = Command::new(&python).args(["-P", "-c", lacks]).output();
    let asked = asked.map_err(|error| format!("cannot run {}: {error}", python.display()))?;
    let missing = String::from_utf8_lossy(&asked.stdout).trim().replace(' ', " and ");
    if !asked.status.success() || !missing.is_empty() {
        let missing = if missing.is_empty() { "what Python 3.11 has, or does not run" } else { &missing };
        return Err(format!(
            "{} lacks {missing}. Install it: {}python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            python.display(),
            enter(&project.dir)
        ));
    }
    Ok((python, ["-m", "countersign", "build"].map(OsString::from).into()))
}

fn typescript(project: &Project) -> Result<Tool, String> {
    let node = which("node").ok_or(
        "node is missing. Install Node.js 20 or newer (https://nodejs.org; Debian: apt install nodejs npm; \
         macOS: brew install node)",
    )?;
    let Some(builder) = builder(&project.dir) else {
        let npm = if which("npm").is_some() { "" } else { ", which is missing, too: it comes with Node.js" };
        let enter = enter(&project.dir);
        return Err(format!(
            "the project's packages are not installed: there is no {BUILDER}. Run: {enter}npm install{npm}"
        ));
    };
    Ok((node, vec![builder.into()]))
}

/// The builder of a project, looked for as Node.js looks for packages: a workspace has them in the folder around.
fn builder(project: &Path) -> Option<PathBuf> {
    project.ancestors().map(|folder| folder.join(BUILDER)).find(|file| file.is_file())
}

/// The command that goes to the project, if one is needed.
fn enter(dir: &Path) -> String {
    let here = std::env::current_dir().is_ok_and(|here| here == dir);
    if here { String::new() } else { format!("cd {} && ", shell_word(&super::shown(dir))) }
}

/// The program of that name on the path.
fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    find_program(&path, name)
}

fn find_program(path: &OsStr, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_program =
        |file: &PathBuf| std::fs::metadata(file).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    std::env::split_paths(path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(is_program)
}

/// The component among what cargo says it made for this manifest.
fn artifact(stdout: &str, manifest: &Path) -> Result<PathBuf, String> {
    #[derive(Deserialize)]
    struct Message {
        manifest_path: PathBuf,
        filenames: Vec<PathBuf>,
    }
    let messages = stdout.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let ours = messages.filter(|message| message.manifest_path == manifest).flat_map(|message| message.filenames);
    let components: Vec<PathBuf> = ours.filter(|file| file.extension().is_some_and(|it| it == "wasm")).collect();
    match components.as_slice() {
        [component] => Ok(component.clone()),
        [] => Err(format!(
            "{} has no library that becomes a component; it needs:\n[lib]\ncrate-type = [\"cdylib\"]",
            manifest.display()
        )),
        several => Err(format!("{} makes {} components; an agent is one", manifest.display(), several.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_which_file_is_the_component() {
        let manifest = Path::new("/p/Cargo.toml");
        let line = |manifest: &str, file: &str| format!(r#"{{"manifest_path":"{manifest}","filenames":["{file}"]}}"#);
        let said =
            [line("/p/vendor/x/Cargo.toml", "/t/x.wasm"), "no JSON".into(), line("/p/Cargo.toml", "/t/agent.wasm")];
        assert_eq!(artifact(&said.join("\n"), manifest), Ok("/t/agent.wasm".into()));
        let why = artifact(&line("/p/Cargo.toml", "/t/libagent.rlib"), manifest).expect_err("no component");
        assert!(why.contains("cdylib"), "{why}");
        let two = [line("/p/Cargo.toml", "/t/a.wasm"), line("/p/Cargo.toml", "/t/b.wasm")].join("\n");
        assert!(artifact(&two, manifest).is_err_and(|why| why.contains("2 components")));
    }

    #[test]
    fn the_builder_of_a_workspace_is_found_in_the_folder_around() {
        let around = std::env::temp_dir().join(format!("countersign-toolchain-{}", uuid::Uuid::new_v4()));
        let project = around.join("packages/hello");
        std::fs::create_dir_all(&project).expect("a folder");
        assert_eq!(builder(&project), None);
        for folder in [&around, &project] {
            let place = folder.join(BUILDER);
            std::fs::create_dir_all(place.parent().expect("it has one")).expect("a folder");
            std::fs::write(&place, "").expect("a file");
            assert_eq!(builder(&project), Some(place), "the nearest");
        }
        std::fs::remove_dir_all(around).expect("it is ours");
    }

    #[test]
    fn programs_are_looked_for_on_the_path_only() {
        assert_eq!(find_program("/no/such:/bin".as_ref(), "sh"), Some("/bin/sh".into()));
        assert_eq!(find_program("/bin".as_ref(), "no-such-program"), None);
        assert_eq!(find_program("".as_ref(), "sh"), None);
        assert_eq!(find_program("/".as_ref(), "bin"), None, "a folder is no program");
    }
}
