//! Notices that the sources of a project have changed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::event::ModifyKind;
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

/// How long nothing must have changed: an editor or `git checkout` writes many files.
const CALM: Duration = Duration::from_millis(150);

/// How long to wait for that, if something writes all the time.
const CALM_MAX: Duration = Duration::from_secs(2);

/// How many files are looked at. A project of one agent has some dozens.
const FILES_MAX: usize = 5_000;

/// Of larger files only the length and the time are looked at, in bytes.
const READ_BYTES_MAX: u64 = 4 << 20;

/// What is no source: tools make it, or install it. Neither is whatever begins with a dot.
const IGNORED: [&str; 7] = ["target", "dist", "venv", "node_modules", "vendor", "__pycache__", "Cargo.lock"];

/// The sources of a project, watched.
pub(super) struct Sources {
    dir: PathBuf,
    /// What the last build was made of.
    built: [u8; 32],
    changed: Arc<Notify>,
    watcher: RecommendedWatcher,
    watched: HashSet<PathBuf>,
}

impl Sources {
    /// Watches from now on.
    pub(super) fn watch(dir: &Path) -> notify::Result<Self> {
        let changed = Arc::new(Notify::new());
        let (notify, top) = (changed.clone(), dir.to_owned());
        // Permits do not add up, so however much is written there is one to take.
        let hear = move |event: notify::Result<Event>| match event {
            Ok(event) if is_change(&event, &top) => notify.notify_one(),
            Ok(_) => (),
            // Events were lost, perhaps: the look at the files tells.
            Err(_) => notify.notify_one(),
        };
        // Not through links, which may lead anywhere; the look at the files does not, either.
        let watcher = RecommendedWatcher::new(hear, Config::default().with_follow_symlinks(false))?;
        let mut sources = Self { dir: dir.to_owned(), built: [0; 32], changed, watcher, watched: HashSet::new() };
        sources.watcher.watch(dir, RecursiveMode::NonRecursive)?;
        sources.watch_folders()?;
        Ok(sources)
    }

    /// Remembers what a build is made of that begins now.
    pub(super) fn note(&mut self) {
        self.built = fingerprint(&self.dir);
    }

    /// Waits until the sources are others than those of the last build. Safe to be dropped.
    pub(super) async fn changed(&mut self) {
        loop {
            self.changed.notified().await;
            let began = Instant::now();
            while began.elapsed() < CALM_MAX && tokio::time::timeout(CALM, self.changed.notified()).await.is_ok() {}
            // A folder that is new, too. It may be gone again, which is a change like any other.
            let _ = self.watch_folders();
            if fingerprint(&self.dir) != self.built {
                return;
            }
        }
    }

    /// Watches the folders of the project one by one: an ignored one has thousands of folders, and costs a watch each.
    fn watch_folders(&mut self) -> notify::Result<()> {
        self.watched.retain(|folder| folder.is_dir());
        for entry in std::fs::read_dir(&self.dir).map_err(notify::Error::io)?.flatten() {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && is_source(&path, &self.dir) && !self.watched.contains(&path) {
                self.watcher.watch(&path, RecursiveMode::Recursive)?;
                self.watched.insert(path);
            }
        }
        Ok(())
    }
}

fn is_change(event: &Event, top: &Path) -> bool {
    let is_write = match event.kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        EventKind::Any | EventKind::Access(_) | EventKind::Other => event.need_rescan(),
    };
    is_write && (event.need_rescan() || event.paths.iter().any(|path| is_source(path, top)))
}

/// Whether a path below `top` belongs to the sources.
fn is_source(path: &Path, top: &Path) -> bool {
    path.strip_prefix(top).unwrap_or(path).iter().all(|part| {
        let part = part.to_string_lossy();
        !IGNORED.contains(&part.as_ref())
            && !part.starts_with('.')
            && !part.ends_with(".egg-info")
            && !part.ends_with('~')
    })
}

/// A hash of all sources: what is written again as it was is no change.
fn fingerprint(dir: &Path) -> [u8; 32] {
    let mut files = vec![];
    collect(dir, dir, &mut files);
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.as_os_str().as_encoded_bytes());
        let Ok(metadata) = std::fs::metadata(&file) else { continue };
        hash.update(metadata.len().to_le_bytes());
        match std::fs::read(&file) {
            Ok(bytes) if metadata.len() <= READ_BYTES_MAX => hash.update(bytes),
            _ => hash.update(format!("{:?}", metadata.modified().ok())),
        }
    }
    hash.finalize().into()
}

fn collect(dir: &Path, top: &Path, files: &mut Vec<PathBuf>) {
    // What cannot be read now is noticed when it can.
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if files.len() >= FILES_MAX || !is_source(&path, top) {
            continue;
        }
        // Not through links, which may lead anywhere.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, top, files),
            Ok(kind) if kind.is_file() => files.push(path),
            _ => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_write_is_no_source() {
        let top = Path::new("/p/target");
        for source in ["src/lib.rs", "agent.py", "package.json", "src/dist.ts"] {
            assert!(is_source(&top.join(source), top), "{source}");
        }
        for other in ["target/x", "src/__pycache__/a.pyc", ".git/HEAD", ".venv/x", "dist/a.wasm", "vendor/x", "a.py~"] {
            assert!(!is_source(&top.join(other), top), "{other}");
        }
    }

    #[test]
    fn a_link_is_not_followed_wherever_it_leads() {
        let dir = std::env::temp_dir().join(format!("countersign-sources-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(dir.join("src")).expect("a folder");
        for link in ["everything", "src/everything"] {
            std::os::unix::fs::symlink("/", dir.join(link)).expect("a link");
        }
        let began = Instant::now();
        let sources = Sources::watch(&dir).expect("it can be watched");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(sources.watched, HashSet::from([dir.join("src")]));
        std::fs::remove_dir_all(dir).expect("it is ours");
    }

    #[tokio::test]
    async fn a_change_is_noticed_and_a_file_written_again_as_it_was_is_none() {
        let dir = std::env::temp_dir().join(format!("countersign-sources-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(dir.join("src")).expect("a folder");
        std::fs::write(dir.join("src/a"), "1").expect("a file");
        let mut sources = Sources::watch(&dir).expect("it can be watched");
        sources.note();
        let patience = Duration::from_secs(20);
        std::fs::write(dir.join("src/a"), "1").expect("a file");
        std::fs::write(dir.join(".hidden"), "1").expect("a file");
        assert!(tokio::time::timeout(CALM * 4, sources.changed()).await.is_err());
        std::fs::write(dir.join("src/a"), "2").expect("a file");
        tokio::time::timeout(patience, sources.changed()).await.expect("a write");
        sources.note();
        // A folder that was not there at first.
        std::fs::create_dir_all(dir.join("new/deep")).expect("a folder");
        std::fs::write(dir.join("new/deep/b"), "1").expect("a file");
        tokio::time::timeout(patience, sources.changed()).await.expect("a new folder");
        sources.note();
        std::fs::write(dir.join("new/deep/b"), "2").expect("a file");
        tokio::time::timeout(patience, sources.changed()).await.expect("a write in the new folder");
        std::fs::remove_dir_all(dir).expect("it is ours");
    }
}
