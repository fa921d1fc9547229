//! The child: reads one component, writes what came of it, and ends.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use hmac::Mac as _;
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use sha2::{Digest as _, Sha256};

use super::{COMPILED, FORBIDDEN, MALFORMED, NOT_COMPILED, mac};
use crate::guest::check::{COMPONENT_BYTES_MAX, Invalid, validate};
use crate::guest::engine;

/// Address space of a child, in bytes: CPython takes 0.4 GB to compile.
const ADDRESS_SPACE_MAX: u64 = 2 << 30;

/// CPU time of a child, over all its threads, in seconds: CPython takes 13. It may end itself a little after it is told.
const CPU_SECONDS_MAX: u64 = 60;
const CPU_SECONDS_END: u64 = CPU_SECONDS_MAX + 2;

/// Files: its input, its output, and where its last words go.
const FILES_MAX: u64 = 3;

/// How far it stands back behind whatever else runs.
const NICE: i32 = 10;

/// Longest message about what is wrong, in characters.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// Compiles the component on standard input. Only a host starts it, and tells it what to sign its answer with.
pub fn compile_child() -> ExitCode {
    match lower_limits().and_then(|()| answer()) {
        Ok(()) => ExitCode::SUCCESS,
        // It has nobody to tell; its host sees that there is no answer.
        Err(_) => ExitCode::FAILURE,
    }
}

fn lower_limits() -> std::io::Result<()> {
    let both = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::As, both(ADDRESS_SPACE_MAX))?;
    setrlimit(Resource::Cpu, Rlimit { current: Some(CPU_SECONDS_MAX), maximum: Some(CPU_SECONDS_END) })?;
    setrlimit(Resource::Fsize, both(0))?;
    setrlimit(Resource::Nofile, both(FILES_MAX))?;
    nice(NICE)?;
    Ok(())
}

fn answer() -> std::io::Result<()> {
    let (mut key, mut length) = ([0; 32], [0; 8]);
    let mut input = std::io::stdin().lock();
    input.read_exact(&mut key)?;
    input.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > COMPONENT_BYTES_MAX {
        return Err(std::io::Error::other("the component is too large"));
    }
    let mut wasm = vec![0; length];
    input.read_exact(&mut wasm)?;
    drop(input);
    std::thread::spawn(die_with_parent);

    let (verdict, payload) = compile(&wasm);
    let digest: [u8; 32] = Sha256::digest(&wasm).into();
    let mut output = std::io::stdout().lock();
    output.write_all(&mac(&key, &digest, verdict, &payload).finalize().into_bytes())?;
    output.write_all(&[verdict])?;
    output.write_all(&payload)?;
    output.flush()
}

/// The host keeps our input open for as long as it waits for us.
fn die_with_parent() {
    let _ = std::io::stdin().lock().read(&mut [0]);
    std::process::exit(1);
}

fn compile(wasm: &[u8]) -> (u8, Vec<u8>) {
    let failed = |verdict, why: String| (verdict, why.chars().take(MESSAGE_CHARS_MAX).collect::<String>().into());
    match validate(wasm) {
        Err(Invalid::Malformed(why)) => return failed(MALFORMED, why),
        Err(Invalid::ForbiddenFeature(what)) => return failed(FORBIDDEN, what),
        Err(other) => return failed(NOT_COMPILED, other.to_string()),
        Ok(()) => {}
    }
    match engine::precompile(wasm) {
        Ok(code) => (COMPILED, code),
        Err(why) => failed(NOT_COMPILED, format!("{why:#}")),
    }
}
