//! Compiling what tenants upload: in a process of its own, which cannot take more than it is given, and takes with it
//! what it took.
//!
//! The child is this same program, and has nothing of the host's but two pipes: no environment, no files. It lowers its
//! own limits before it reads a byte (`child`). It is given a key that is used once, and its answer is believed only with
//! a MAC by that key over the digest and the code: one that is cut short, changed, or of another component is refused
//! before anything of it is loaded.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::check::Invalid;
use crate::random;

mod child;
mod turns;

pub use child::compile_child;
use turns::Turns;

/// How long a compilation may take. The child's own bound is on CPU time; this is for one that takes none. On a busy host
/// a child, which stands back behind all else, may be given little of it for long, and that is not the component's fault.
const WALL_MAX: Duration = Duration::from_secs(240);

/// How long a child may take to end after it has answered.
const END_MAX: Duration = Duration::from_secs(5);

/// Largest compiled component, in bytes: that of an agent in Python has 41 MB.
const CODE_BYTES_MAX: u64 = 256 << 20;

/// How many uploads wait for a compiler at the most, and for how long.
const QUEUED_MAX: usize = 16;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(120);

/// How many threads one child compiles on.
const THREADS_MAX: usize = 4;

/// One clock tick of `/proc`, the same on all of Linux. No compilation counts as less.
const TICK: Duration = Duration::from_millis(10);

/// The subcommand that makes this program a child that compiles.
pub(super) const SUBCOMMAND: &str = "compile-child";

/// The first byte of an answer. `child` has what follows it.
const COMPILED: u8 = 0;
const MALFORMED: u8 = 1;
const FORBIDDEN: u8 = 2;
const NOT_COMPILED: u8 = 3;

/// A MAC, and the byte after it.
const HEAD_BYTES: usize = 32 + 1;

/// Why there is no compiled component.
#[derive(Debug, thiserror::Error)]
pub enum Uncompiled {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("too many components are being compiled; try again in {} s", .0.as_secs())]
    Busy(Duration),
    #[error("a compiler could not be started: {0}")]
    Host(#[from] std::io::Error),
}

/// How long it waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Patience {
    /// Like a client: if too many wait, or for too long, it gives up.
    Bounded,
    /// Like an execution that cannot go on without.
    Endless,
}

/// What starts compilers, for one tenant after the other.
#[derive(Clone)]
pub(super) struct Compiler(Turns);

/// The right to compile, until it is dropped.
pub(super) use turns::Turn;

impl Compiler {
    pub(super) fn new() -> Self {
        Self(Turns::new((cores() / 2).max(2)))
    }

    /// Waits for this tenant's turn.
    pub(super) async fn turn(&self, tenant: &str, patience: Patience) -> Result<Turn, Uncompiled> {
        /// What a client is told to wait.
        const RETRY_AFTER: Duration = Duration::from_secs(5);
        let busy = || Uncompiled::Busy(RETRY_AFTER);
        match patience {
            Patience::Endless => self.0.take(tenant, usize::MAX).await.ok_or_else(busy),
            Patience::Bounded => {
                let turn = tokio::time::timeout(QUEUE_TIMEOUT, self.0.take(tenant, QUEUED_MAX)).await;
                turn.ok().flatten().ok_or_else(busy)
            }
        }
    }
}

/// Compiles in a child. Returns the machine code as wasmtime wrote it, and the CPU time that it took, which is spent
/// however it ends.
pub(super) async fn compile(
    _turn: &Turn,
    digest: &[u8; 32],
    wasm: &Arc<[u8]>,
) -> (Result<Vec<u8>, Uncompiled>, Duration) {
    let mut child = match start() {
        Ok(child) => child,
        Err(why) => return (Err(why.into()), Duration::ZERO),
    };
    let (began, key) = (Instant::now(), random::bytes32());
    let answer = tokio::time::timeout(WALL_MAX, ask(&mut child, &key, wasm)).await;
    let in_time = answer.is_ok();
    if !matches!(answer, Ok(Ok(_))) {
        let _ = child.start_kill();
    }
    // Before it is waited for, and then forgotten.
    let cpu = child.id().and_then(cpu_time).unwrap_or_else(|| began.elapsed()).max(TICK);
    let status = end(&mut child).await;
    let answer = answer.ok().and_then(Result::ok);
    let code = match (answer, status) {
        (Some(answer), Some(status)) if status.success() => read(&key, digest, answer),
        (_, status) => Err(Invalid::CompileLimit(if in_time { cause(status) } else { "it took more than 240 s" })),
    };
    tracing::debug!(
        digest = crate::execution::hex(&digest[..4]),
        cpu_ms = cpu.as_millis(),
        wall_ms = began.elapsed().as_millis(),
        ?status,
        "compiled"
    );
    (code.map_err(Into::into), cpu)
}

/// This program as it was started, even if another has taken its place on disk since.
#[cfg(target_os = "linux")]
fn program() -> std::io::Result<std::path::PathBuf> {
    Ok("/proc/self/exe".into())
}

#[cfg(not(target_os = "linux"))]
fn program() -> std::io::Result<std::path::PathBuf> {
    std::env::current_exe()
}

fn start() -> std::io::Result<Child> {
    let mut command = Command::new(program()?);
    command
        .arg0("countersign")
        .arg(SUBCOMMAND)
        // The host's has its secrets in it.
        .env_clear()
        .env("RAYON_NUM_THREADS", cores().min(THREADS_MAX).to_string())
        // Each arena reserves address space, of which the child has little.
        .env("MALLOC_ARENA_MAX", "2")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// Sends the component and reads the whole answer. The child's input stays open meanwhile: by its end the child learns
/// that its host has died.
async fn ask(child: &mut Child, key: &[u8; 32], wasm: &[u8]) -> std::io::Result<Vec<u8>> {
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("it has no pipes"));
    };
    to.write_all(key).await?;
    to.write_all(&(wasm.len() as u64).to_be_bytes()).await?;
    to.write_all(wasm).await?;
    to.flush().await?;
    let mut answer = vec![];
    let mut from = from.take(CODE_BYTES_MAX + HEAD_BYTES as u64 + 1);
    from.read_to_end(&mut answer).await?;
    if answer.len() as u64 > CODE_BYTES_MAX + HEAD_BYTES as u64 {
        return Err(std::io::Error::other("the answer is too large"));
    }
    Ok(answer)
}

/// How it has ended. One that does not is killed.
async fn end(child: &mut Child) -> Option<ExitStatus> {
    let ended = tokio::time::timeout(END_MAX, child.wait()).await;
    if ended.is_err() {
        let _ = child.start_kill();
        return child.wait().await.ok();
    }
    ended.ok().and_then(Result::ok)
}

/// The machine code in an answer, or what the child has found wrong; if the answer is to be believed.
fn read(key: &[u8; 32], digest: &[u8; 32], mut answer: Vec<u8>) -> Result<Vec<u8>, Invalid> {
    let believed = answer
        .split_at_checked(HEAD_BYTES)
        .map(|(head, rest)| {
            (head[HEAD_BYTES - 1], mac(key, digest, head[HEAD_BYTES - 1], rest), &head[..HEAD_BYTES - 1])
        })
        .filter(|(_, mac, sent)| mac.clone().verify_slice(sent).is_ok())
        .map(|(verdict, ..)| verdict);
    let Some(verdict) = believed else {
        tracing::warn!(bytes = answer.len(), "a compiler's answer is not whole, or not its own; refused");
        return Err(Invalid::NotCompiled("the compiler's answer was not whole".into()));
    };
    answer.drain(..HEAD_BYTES);
    if verdict == COMPILED {
        return Ok(answer);
    }
    let why = String::from_utf8_lossy(&answer).into_owned();
    Err(match verdict {
        MALFORMED => Invalid::Malformed(why),
        FORBIDDEN => Invalid::ForbiddenFeature(why),
        _ => Invalid::NotCompiled(why),
    })
}

/// Over the digest of what was compiled, and what came of it, each after its length.
fn mac(key: &[u8; 32], digest: &[u8; 32], verdict: u8, payload: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&(digest.len() as u64).to_be_bytes());
    mac.update(digest);
    mac.update(&(payload.len() as u64 + 1).to_be_bytes());
    mac.update(&[verdict]);
    mac.update(payload);
    mac
}

/// What stopped a child that did not end well.
fn cause(status: Option<ExitStatus>) -> &'static str {
    use std::os::unix::process::ExitStatusExt as _;

    use rustix::process::Signal;
    match status.and_then(|status| status.signal()).and_then(Signal::from_named_raw) {
        Some(Signal::XCPU) => "it took more than 60 s of CPU time",
        Some(Signal::ABORT | Signal::SEGV | Signal::BUS) => "it took more than 2 GiB of memory",
        Some(_) => "it was killed",
        None => "the compiler gave up",
    }
}

/// The CPU time that a process and its threads have used, until it has been waited for.
fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, in parentheses: the 12th and 13th.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    let ticks: u32 = fields.map(|ticks| ticks.parse::<u32>().ok()).sum::<Option<u32>>()?;
    Some(TICK * ticks)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
