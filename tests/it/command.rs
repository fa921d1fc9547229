//! The command line as a user has it: the binary, in a folder of its own. For `projects.rs` and `dev.rs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use countersign_tests::build::{self, root};
use uuid::Uuid;

/// A folder, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = root().join("target/test-projects").join(Uuid::now_v7().simple().to_string());
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("it is below the folder")).expect("its folder");
        std::fs::write(path, content).expect("a file");
    }

    /// Writes a program, to be found where `PATH` says that this folder is.
    pub(crate) fn program(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        self.write(name, format!("#!/bin/sh\n{script}\n"));
        let all = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.0.join(name), all).expect("it is ours");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("it is a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// `countersign` in this folder.
    pub(crate) fn countersign(&self, arguments: &[&str]) -> Command {
        self.command(build::host(), arguments)
    }

    /// A program in this folder. Nothing that the tests themselves were started with gets in its way.
    pub(crate) fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let foreign = |name: &str| {
            name.starts_with("CARGO") && !["CARGO_HOME", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL"].contains(&name)
                || name.starts_with("COUNTERSIGN")
                || ["DATABASE_URL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH"].contains(&name)
        };
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| !foreign(&name.to_string_lossy())))
            // Shared by all projects, so that the SDK is compiled once.
            .env("CARGO_TARGET_DIR", root().join("target/projects"))
            .current_dir(&self.0)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Runs the command to its end, without holding up the other tasks of the test.
    pub(crate) async fn by(mut command: Command) -> Self {
        let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
        let Output { status, stdout, stderr } = ran.expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("it writes text");
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// Its standard output, if it ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self.out
    }

    /// Its standard error, if it failed with this exit code and said nothing to standard output.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        self.err
    }
}
