//! Compiled components: in memory, then on disk, then compiled.
//!
//! Loading machine code is running it, so a file is only loaded if this host's own key signed it: somebody who can
//! write to the cache, but does not have the key, gets nothing run.

use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use lru::LruCache;
use sha2::{Digest as _, Sha256};

use super::check::Invalid;
use super::{Component, Engine};
use crate::execution::hex;

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
    /// One compilation at a time: each uses all cores.
    compiling: tokio::sync::Mutex<()>,
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

    /// Checks, compiles and links a component, and keeps it. `digest` is the SHA-256 of `wasm`.
    pub async fn compile(&self, digest: &[u8; 32], wasm: Arc<[u8]>) -> Result<Component, Invalid> {
        let _turn = self.0.compiling.lock().await;
        if let Some(component) = self.find(digest).await {
            return Ok(component);
        }
        let (cache, digest) = (self.clone(), *digest);
        let compiled = tokio::task::spawn_blocking(move || cache.compile_here(&digest, &wasm)).await;
        compiled.unwrap_or_else(|panic| Err(Invalid::NotCompiled(panic.to_string())))
    }

    fn compile_here(&self, digest: &[u8; 32], wasm: &[u8]) -> Result<Component, Invalid> {
        let compiled = Component::compile(&self.0.engine, wasm)?;
        let component = Component::link(&self.0.engine, &compiled)?;
        if let Err(error) =
            compiled.serialize().map_err(std::io::Error::other).and_then(|code| self.save(digest, &code))
        {
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
        // SAFETY: `authenticate` has just checked, on these very bytes, that a host with our key wrote them, and our
        // hosts write nothing but what `Component::serialize` gave them, under a name that holds the digest and the
        // compatibility hash of the engine.
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
