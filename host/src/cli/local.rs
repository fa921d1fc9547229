//! A component on this machine, made ready to run without a host: checked and compiled as a host does it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::failure::Failure;
use super::output::Output;
use super::text::bytes;
use crate::execution::hex;
use crate::guest::{COMPONENT_BYTES_MAX, Cache, CacheKey, Component, Engine, Invalid, Manifest};
use crate::random;

/// How many compiled components are kept for the next time; the newest.
const KEPT_MAX: usize = 16;

/// A component, and what it says about itself.
pub(crate) struct Local {
    pub(crate) component: Component,
    /// `sha256:…`.
    pub(crate) digest: String,
    pub(crate) manifest: Manifest,
}

/// Reads and compiles the component at `path`; of a project's folder, the one in its `dist`.
pub(crate) async fn load(path: &Path, out: Output) -> Result<Local, Failure> {
    let path = file(path)?;
    let wrong = |why: Invalid| Failure::Usage(format!("{}: {why}", path.display()));
    let wasm = read(&path)?;
    let digest: [u8; 32] = Sha256::digest(&wasm).into();
    let store = Store::open()?;
    let engine = Engine::new().map_err(|why| Failure::Failed(format!("WebAssembly cannot be run here: {why:#}")))?;
    let cache = Cache::new(engine, store.directory.clone(), store.key.clone());
    let component = match cache.find(&digest).await {
        Some(component) => component,
        None => {
            let size = bytes(wasm.len() as u64);
            out.note(&format!("compiling {} ({size}); the next time it is at hand", path.display()));
            let component = cache.compile(&digest, wasm).await.map_err(wrong)?;
            store.prune();
            component
        }
    };
    let manifest = component.describe().await.map_err(wrong)?;
    Ok(Local { component, digest: format!("sha256:{}", hex(&digest)), manifest })
}

/// The component that `path` means.
pub(crate) fn file(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let dist = path.join("dist");
    // A hidden one is half of a component, which a build has not ended, or did not.
    let files = fs::read_dir(&dist).into_iter().flatten().flatten();
    let files = files.filter(|file| !file.file_name().as_encoded_bytes().starts_with(b".")).map(|file| file.path());
    let mut found: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "wasm")).collect();
    match (found.pop(), found.pop()) {
        (Some(file), None) => Ok(file),
        (None, _) => {
            let word = super::text::shell_word(&path.display().to_string());
            Err(Failure::Usage(format!("{} holds no component; build it: countersign build {word}", dist.display())))
        }
        (Some(_), Some(_)) => {
            Err(Failure::Usage(format!("{} holds several components; name one of them", dist.display())))
        }
    }
}

fn read(path: &Path) -> Result<Arc<[u8]>, Failure> {
    let unreadable = |why: std::io::Error| Failure::Usage(format!("cannot read {}: {why}", path.display()));
    let file = fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    // A device has no length, and no end.
    let mut wasm = vec![];
    file.take(COMPONENT_BYTES_MAX as u64 + 1).read_to_end(&mut wasm).map_err(unreadable)?;
    if wasm.len() > COMPONENT_BYTES_MAX {
        let why = Invalid::TooLarge(usize::try_from(length).unwrap_or(usize::MAX).max(wasm.len()));
        return Err(Failure::Usage(format!("{}: {why}", path.display())));
    }
    Ok(wasm.into())
}

/// Where this user's compiled components are, and the key that signs them.
struct Store {
    directory: PathBuf,
    key: CacheKey,
    /// Whether it is only for this process.
    is_passing: bool,
}

impl Store {
    /// `countersign` in the user's cache directory; without one, a directory that goes with this process.
    fn open() -> Result<Self, Failure> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let parent = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        if let Some(directory) = parent.map(|parent| parent.join("countersign"))
            && let Ok(key) = Self::prepare(&directory)
        {
            return Ok(Self { directory, key, is_passing: false });
        }
        // Nobody else can have made it before us: its name is random, and making it fails if it is there.
        let directory = std::env::temp_dir().join(format!("countersign-{}", uuid::Uuid::new_v4()));
        let made = fs::DirBuilder::new().mode(0o700).create(&directory);
        made.map_err(|why| Failure::Failed(format!("cannot make {}: {why}", directory.display())))?;
        Ok(Self { directory, key: CacheKey::new(random::bytes32()), is_passing: true })
    }

    fn prepare(directory: &Path) -> anyhow::Result<CacheKey> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let key = crate::config::secret(&directory.join("cache.key"), || random::bytes32().to_vec())?;
        let key = <[u8; 32]>::try_from(key).map_err(|_| anyhow::anyhow!("cache.key must have 32 bytes"))?;
        Ok(CacheKey::new(key))
    }

    /// Removes all but the newest files. What cannot be removed stays.
    fn prune(&self) {
        let files = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let ours = files.filter(|file| file.file_name().to_string_lossy().starts_with(Cache::FILE_PREFIX));
        let mut files: Vec<(SystemTime, PathBuf)> =
            ours.filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path()))).collect();
        files.sort();
        let surplus = files.len().saturating_sub(KEPT_MAX);
        for (_, path) in &files[..surplus] {
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.is_passing {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_left_behind_is_no_component() {
        let dir = std::env::temp_dir().join(format!("countersign-local-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(dir.join("dist")).expect("a folder");
        fs::write(dir.join("dist/.17-hello.wasm"), "half").expect("a file");
        assert!(matches!(file(&dir), Err(Failure::Usage(why)) if why.contains("holds no component")));
        fs::write(dir.join("dist/hello.wasm"), "all").expect("a file");
        assert_eq!(file(&dir).expect("there is one"), dir.join("dist/hello.wasm"));
        fs::write(dir.join("dist/other.wasm"), "all").expect("a file");
        assert!(matches!(file(&dir), Err(Failure::Usage(why)) if why.contains("several")));
        fs::remove_dir_all(dir).expect("it is ours");
    }

    #[test]
    fn a_device_without_an_end_is_too_large() {
        assert!(matches!(read("/dev/zero".as_ref()), Err(Failure::Usage(why)) if why.contains("at most")));
    }
}
