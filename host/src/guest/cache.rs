//! Compiled components: in memory, then on disk, then compiled.
//!
//! Loading machine code is running it, so a file is only loaded if this host's own key signed it: somebody who can
//! write to the cache, but does not have the key, gets nothing run.

use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use lru::LruCache;
use sha2::{Digest as _, Sha256};

use super::check::Invalid;
use super::compiler::{self, Compiler, Patience, Turn, Uncompiled};
use super::{Component, Engine};
use crate::execution::hex;
use crate::metrics;

/// How many linked components are kept in memory.
const IN_MEMORY_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not 0");

/// The form of a cache file: raised when the meaning of its content changes.
const FORMAT: &str = "countersign-component-1";

const MAC_BYTES: usize = 32;

/// The key that signs what this host has compiled.
#[derive(Clone)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The components that this host has at hand. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    engine: Engine,
    directory: PathBuf,
    key: CacheKey,
    memory: Mutex<LruCache<[u8; 32], Component>>,
    /// One compilation at a time in this process: each uses all cores.
    compiling: tokio::sync::Mutex<()>,
    /// What compiles for tenants.
    compiler: Compiler,
}

/// What has come of compiling a component.
pub struct Compilation {
    pub made: Result<Component, Uncompiled>,
    /// The CPU time that it took, also if nothing was made.
    pub cpu: Duration,
}

impl Cache {
    /// What the names of its files begin with.
    pub const FILE_PREFIX: &str = "countersign-component-";

    /// Keeps compiled components in `directory`, which must exist.
    pub fn new(engine: Engine, directory: PathBuf, key: CacheKey) -> Self {
        Self(Arc::new(Inner {
            engine,
            directory,
            key,
            memory: Mutex::new(LruCache::new(IN_MEMORY_MAX)),
            compiling: tokio::sync::Mutex::new(()),
            compiler: Compiler::new(),
        }))
    }

    /// The component of this digest, if it has been compiled here before.
    pub async fn find(&self, digest: &[u8; 32]) -> Option<Component> {
        if let Some(component) = self.memory().get(digest) {
            return Some(component.clone());
        }
        let (cache, digest) = (self.clone(), *digest);
        tokio::task::spawn_blocking(move || cache.load(&digest)).await.ok().flatten()
    }

    /// Checks, compiles and links a component of one's own in this process, and keeps it. `digest` is the SHA-256 of
    /// `wasm`.
    pub async fn compile(&self, digest: &[u8; 32], wasm: Arc<[u8]>) -> Result<Component, Invalid> {
        let _turn = self.0.compiling.lock().await;
        if let Some(component) = self.find(digest).await {
            return Ok(component);
        }
        let (cache, digest) = (self.clone(), *digest);
        let compiled = tokio::task::spawn_blocking(move || {
            let compiled = Component::compile(&cache.0.engine, &wasm)?;
            cache.keep(&digest, &compiled, compiled.serialize().ok().as_deref())
        });
        compiled.await.unwrap_or_else(|panic| Err(Invalid::NotCompiled(panic.to_string())))
    }

    /// Compiles a component that has been checked, as a host does for a tenant: in a process of its own, in the
    /// tenant's turn. Then links and keeps it.
    ///
    /// What another tenant's upload has left here is of no use to it: it is told nothing by how long this takes.
    pub async fn compile_anew(&self, tenant: &str, digest: &[u8; 32], wasm: Arc<[u8]>) -> Compilation {
        match self.0.compiler.turn(tenant, Patience::Bounded).await {
            Ok(turn) => self.compile_in(&turn, digest, &wasm).await,
            Err(why) => Compilation { made: Err(why), cpu: Duration::ZERO },
        }
    }

    /// The same for an execution of the tenant, which may use it: unless it has been compiled here meanwhile.
    pub async fn compile_for(&self, tenant: &str, digest: &[u8; 32], wasm: Arc<[u8]>) -> Result<Component, Uncompiled> {
        let turn = self.0.compiler.turn(tenant, Patience::Endless).await?;
        if let Some(component) = self.find(digest).await {
            return Ok(component);
        }
        self.compile_in(&turn, digest, &wasm).await.made
    }

    async fn compile_in(&self, turn: &Turn, digest: &[u8; 32], wasm: &Arc<[u8]>) -> Compilation {
        let (code, cpu) = compiler::compile(turn, digest, wasm).await;
        let code = match code {
            Ok(code) => code,
            Err(why) => return Compilation { made: Err(why), cpu },
        };
        let (cache, digest) = (self.clone(), *digest);
        let linked = tokio::task::spawn_blocking(move || match cache.deserialize(&code) {
            Some(compiled) => cache.keep(&digest, &compiled, Some(&code)),
            None => Err(Invalid::NotCompiled("what was compiled cannot be loaded".into())),
        });
        let linked = linked.await.unwrap_or_else(|panic| Err(Invalid::NotCompiled(panic.to_string())));
        Compilation { made: linked.map_err(Into::into), cpu }
    }

    /// Links what was compiled, and keeps it in memory, and `code` on disk.
    fn keep(
        &self,
        digest: &[u8; 32],
        compiled: &wasmtime::component::Component,
        code: Option<&[u8]>,
    ) -> Result<Component, Invalid> {
        let component = Component::link(&self.0.engine, compiled)?;
        if let Some(Err(error)) = code.map(|code| self.save(digest, code)) {
            tracing::warn!(%error, "a compiled component could not be kept on disk; it will be compiled again");
        }
        self.memory().put(*digest, component.clone());
        Ok(component)
    }

    fn load(&self, digest: &[u8; 32]) -> Option<Component> {
        let (name, path) = self.file(digest);
        let content = std::fs::read(&path).ok()?;
        let component = self.authenticate(&name, &content).and_then(|code| self.deserialize(code));
        let Some(component) = component else {
            tracing::warn!(path = %path.display(), "a compiled component on disk is not ours or not whole; not loaded");
            metrics::cache_refused();
            // Or it would be refused, and counted, until another takes its place.
            let _ = std::fs::remove_file(&path);
            return None;
        };
        let component = Component::link(&self.0.engine, &component).ok()?;
        self.memory().put(*digest, component.clone());
        Some(component)
    }

    /// The machine code in a cache file, if this host's key signed it under this name.
    fn authenticate<'a>(&self, name: &str, content: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, code) = content.split_at_checked(MAC_BYTES)?;
        self.mac(name, code).verify_slice(mac).ok()?;
        Some(code)
    }

    #[expect(unsafe_code, reason = "wasmtime cannot tell whether machine code is its own; the MAC can")]
    fn deserialize(&self, code: &[u8]) -> Option<wasmtime::component::Component> {
        // SAFETY: The bytes are from a compiler that this process started, whose MAC `compiler::compile` has checked; or
        // `authenticate` has just checked that a host with our key wrote them. Our hosts write nothing but what wasmtime
        // has serialised, under a name that holds the digest and the compatibility hash of the engine.
        unsafe { wasmtime::component::Component::deserialize(self.0.engine.wasmtime(), code) }.ok()
    }

    /// Writes to a temporary file and renames it, so that nobody ever reads half a file.
    fn save(&self, digest: &[u8; 32], code: &[u8]) -> std::io::Result<()> {
        let (name, path) = self.file(digest);
        let temporary = self.0.directory.join(format!("{}.tmp", uuid::Uuid::new_v4()));
        let mut file = private_file(&temporary)?;
        file.write_all(&self.mac(&name, code).finalize().into_bytes())?;
        file.write_all(code)?;
        drop(file);
        std::fs::rename(temporary, path)
    }

    fn mac(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0.key.0).expect("HMAC takes keys of any length");
        mac.update(&(name.len() as u64).to_be_bytes());
        mac.update(name.as_bytes());
        mac.update(code);
        mac
    }

    /// Named by what was compiled, and by everything of the engine that the machine code depends on.
    fn file(&self, digest: &[u8; 32]) -> (String, PathBuf) {
        let mut engine = Sha256Hasher(Sha256::new());
        self.0.engine.wasmtime().precompile_compatibility_hash().hash(&mut engine);
        let name = format!("{FORMAT}-{}-{}", hex(digest), hex(&engine.0.finalize()[..8]));
        let path = self.0.directory.join(&name);
        (name, path)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, LruCache<[u8; 32], Component>> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Feeds what is hashed to SHA-256, whose result is the same in every process.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the digest is read instead")
    }
}
