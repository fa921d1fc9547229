//! Builds what the tests run: the host's binary, and the guests. Does nothing if they are fresh.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace")
}

/// The host's binary, of the same profile as the tests; or the one that `COUNTERSIGN_BIN` names.
pub fn host() -> &'static Path {
    static HOST: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(path) = std::env::var_os("COUNTERSIGN_BIN") {
            return path.into();
        }
        let mut cargo = Command::new(env!("CARGO"));
        // Of the whole workspace, as `cargo test` in the Makefile, so that dependencies have the same features.
        cargo.args(["build", "--locked", "--quiet", "--workspace", "--bin", "countersign"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        run(&mut cargo);
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        root().join("target").join(profile).join("countersign")
    });
    &HOST
}

/// The component of a guest: `publish_with_review`, `publisher`, `testbed`, or `altered` for the testbed that asks
/// something else.
pub fn guest(name: &str) -> Vec<u8> {
    static BUILT: LazyLock<()> = LazyLock::new(|| {
        run(Command::new("make").args(["--silent", "guests"]));
    });
    LazyLock::force(&BUILT);
    let (directory, name) = if name == "altered" { ("guests-altered", "testbed") } else { ("guests", name) };
    let path = root().join(format!("target/{directory}/wasm32-wasip2/guest/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn run(command: &mut Command) {
    // Variables that cargo sets for the tests would make the inner cargo build everything anew.
    let inherited = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        !name.starts_with("CARGO_PKG_") && !name.starts_with("CARGO_MANIFEST") && name != "LD_LIBRARY_PATH"
    });
    let status = command.env_clear().envs(inherited).current_dir(root()).status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{command:?}: {status:?}");
}
