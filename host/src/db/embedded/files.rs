//! Files and directories that several hosts, and perhaps root and another user, share.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use tokio::time::{Instant, sleep};

use super::place::User;
use super::{Error, POLL};

/// Opens `path` to append, made if missing with mode 0600. It is closed on exec, as std does.
///
/// A link is refused: root may open this in a directory of the server's user, which must not be
/// able to have root write elsewhere.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(Error::io("open", path))
}

/// The file at `path`, locked for this caller alone until it is dropped.
///
/// # Errors
/// [`Error::TimedOut`] when it stays locked for `within`; [`Error::Io`].
pub(super) async fn exclusive(path: &Path, within: Duration) -> Result<File, Error> {
    let file = open(path)?;
    let deadline = Instant::now() + within;
    // Polled, as a thread that blocks in flock could be neither bounded nor cancelled.
    while !try_exclusive(&file, path)? {
        if Instant::now() >= deadline {
            return Err(Error::TimedOut {
                what: format!("another host that has {} locked", path.display()),
                bound: within,
            });
        }
        sleep(POLL).await;
    }
    Ok(file)
}

/// The file at `path`, locked together with others until it is dropped.
///
/// # Errors
/// [`Error::Io`], also when another process has it alone.
pub(super) fn shared(path: &Path) -> Result<File, Error> {
    let file = open(path)?;
    flock(&file, FlockOperation::NonBlockingLockShared).map_err(|reason| Error::io("lock", path)(reason.into()))?;
    Ok(file)
}

/// Whether `file` is now locked for this caller alone. If not, it may hold no lock at all: the
/// kernel lets go of a shared one before it tries. Of several hosts that try at once, the last
/// therefore gets it.
pub(super) fn try_exclusive(file: &File, path: &Path) -> Result<bool, Error> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(reason) => Err(Error::io("lock", path)(reason.into())),
    }
}

/// Makes the directory `path` with exactly `mode`, whatever the umask; one that exists stays as it
/// is. Returns whether it was made.
pub(super) fn make_dir(path: &Path, mode: u32) -> Result<bool, Error> {
    let made = match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => true,
        Err(reason) if reason.kind() == ErrorKind::AlreadyExists => false,
        Err(reason) => return Err(Error::io("make", path)(reason)),
    };
    if made {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path))?;
    }
    Ok(made)
}

/// Once this returns, `path` is a directory, not a link, which only `owner` (and root) can enter.
///
/// # Errors
/// [`Error::NotPrivate`] when somebody else made it, as anybody can in `/tmp`; [`Error::Io`].
pub(super) fn private_dir(path: &Path, owner: User) -> Result<(), Error> {
    make_dir(path, 0o700)?;
    let own = rustix::process::geteuid().as_raw();
    let found = |path| fs::symlink_metadata(path).map_err(Error::io("look at", path));
    let before = found(path)?;
    // Ours, so just made, or made by a root that was killed before it gave it away.
    if before.is_dir() && before.uid() == own && own != owner.uid {
        lchown(path, Some(owner.uid), Some(owner.gid)).map_err(Error::io("give away", path))?;
    }
    let after = found(path)?;
    if after.is_dir() && after.uid() == owner.uid && after.mode() & 0o7777 == 0o700 {
        Ok(())
    } else {
        Err(Error::NotPrivate { path: path.to_path_buf(), uid: owner.uid })
    }
}

/// Writes the entries of the directory `path` to disk.
pub(super) fn sync_dir(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", path))
}

/// The last `lines` lines of `path`, on one line; empty when it cannot be read.
pub(super) fn tail(path: &Path, lines: usize) -> String {
    const BYTES: u64 = 4096;
    let read = || -> io::Result<Vec<u8>> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join(" | ")
}
