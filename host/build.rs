//! Packs what `countersign new` writes out: the templates, and the SDKs that belong to this host.
//!
//! Every file becomes an `include_bytes!`, in debug builds too, so that an installed binary needs nothing beside itself.
//! Neither Python nor Node is needed for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The name of each pack, and its folder. `cli::new::packs` has the same names.
const PACKS: [(&str, &str); 6] = [
    ("TEMPLATE_RUST", "templates/rust"),
    ("TEMPLATE_PYTHON", "templates/python"),
    ("TEMPLATE_TYPESCRIPT", "templates/typescript"),
    ("SDK_RUST", "../sdk/rust"),
    ("SDK_PYTHON", "../sdk/python"),
    ("SDK_TYPESCRIPT", "../sdk/typescript"),
];

/// What tools leave behind, at any depth.
const LEFT_OUT: [&str; 7] =
    ["__pycache__", "dist", "node_modules", "package-lock.json", "Cargo.lock", "target", "venv"];

/// The tests of an SDK are no part of it. Those of a template are.
const TESTS: [&str; 2] = ["test", "tests"];

/// An SDK has some 50 files; beyond this, something was packed that should not be.
const FILES_MAX: usize = 300;

/// Largest pack, in bytes, for the same reason.
const PACK_BYTES_MAX: u64 = 2 << 20;

fn main() -> io::Result<()> {
    let host = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut code = String::new();
    // sqlx reads this folder as it compiles, but does not tell cargo of new files.
    println!("cargo::rerun-if-changed={}", host.join("../migrations").display());
    for (name, folder) in PACKS {
        let top = host.join(folder);
        let mut files = vec![];
        if top.is_dir() {
            let left_out: &[&str] = if folder.starts_with("../sdk") { &TESTS } else { &[] };
            collect(&top, left_out, &mut files)?;
        } else {
            // Looked for again when its parent changes.
            println!("cargo::rerun-if-changed={}", top.parent().unwrap_or(&host).display());
        }
        files.sort();
        check(&top, &files)?;
        writeln!(code, "pub(super) const {name}: &[(&str, &[u8])] = &[").expect("a String takes it");
        for file in files {
            // The files, not their folders: tests leave caches in those, and would have the host built again.
            println!("cargo::rerun-if-changed={}", file.display());
            let path = file.strip_prefix(&top).expect("found below it").to_str().expect("a path of ours is UTF-8");
            writeln!(code, "    ({path:?}, include_bytes!({:?})),", file.display().to_string()).expect("as above");
        }
        code.push_str("];\n");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("packs.rs"), code)
}

fn collect(folder: &Path, left_out: &[&str], files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_hidden = name.starts_with('.');
        if LEFT_OUT.contains(&name)
            || left_out.contains(&name)
            || name.ends_with(".egg-info")
            || name.ends_with(".pyc")
            || is_hidden
        {
            continue;
        }
        if path.is_dir() {
            collect(&path, left_out, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn check(top: &Path, files: &[PathBuf]) -> io::Result<()> {
    let mut bytes = 0;
    for file in files {
        bytes += fs::metadata(file)?.len();
    }
    let few = files.len() <= FILES_MAX && bytes <= PACK_BYTES_MAX;
    assert!(few, "{} has {} files of {bytes} bytes; is something there that is no source?", top.display(), files.len());
    Ok(())
}
