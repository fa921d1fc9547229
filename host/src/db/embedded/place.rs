//! Where the private Postgres lives, and as whom it runs.

use std::env;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::files::{make_dir, private_dir};
use super::{Error, PORT};

/// Where root keeps the clusters whose data directory the server's user cannot reach.
const APART: &str = "/var/lib/countersign";
/// The longest path a socket can have everywhere: 107 bytes on Linux, 103 on macOS.
const SOCKET_PATH_MAX: usize = 103;
/// What of the host's environment Postgres needs. The rest may hold API keys, and `PG…` variables
/// that would lead its tools to another server.
const KEPT_ENV: [&str; 2] = ["PATH", "LD_LIBRARY_PATH"];

/// A user and its main group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The paths of one private Postgres, and the user it runs as.
pub(super) struct Place {
    /// Holds all but, perhaps, the socket. Where the host is root, home is root's: the server's
    /// user cannot put links in it for root to follow.
    pub(super) home: PathBuf,
    /// The server's data directory: missing or whole, never half made.
    pub(super) cluster: PathBuf,
    /// Private to the server's user; UTF-8 without a comma.
    pub(super) socket_dir: PathBuf,
    /// The server's user, which is not root.
    pub(super) user: User,
    /// Whether the host is root, and its children have to become `user`.
    drops_root: bool,
}

impl Place {
    /// Chooses the place for `data_dir`, and makes its directories, but not the cluster.
    ///
    /// Where a cluster exists already it stays, with its owner; the modes of directories and the
    /// users of the machine count only for a new one.
    pub(super) fn prepare(data_dir: &Path) -> Result<Place, Error> {
        fs::create_dir_all(data_dir).map_err(Error::io("make", data_dir))?;
        let data_dir = data_dir.canonicalize().map_err(Error::io("resolve", data_dir))?;
        let drops_root = rustix::process::geteuid().is_root();
        let (home, user) = if drops_root {
            home_for_root(&data_dir)?
        } else {
            let uid = rustix::process::geteuid().as_raw();
            let gid = rustix::process::getegid().as_raw();
            (data_dir.join("postgres"), User { uid, gid })
        };
        // Root's home lets the server's user through to its own directories, and no further.
        make_dir(&home, if drops_root { 0o711 } else { 0o700 })?;
        let socket_dir = socket_dir(&home);
        private_dir(&socket_dir, user)?;
        Ok(Place { cluster: cluster_in(&home), home, socket_dir, user, drops_root })
    }

    /// Locked while a cluster is made, started or stopped.
    pub(super) fn start_lock(&self) -> PathBuf {
        self.home.join("start.lock")
    }

    /// Locked shared by every host that uses the server.
    pub(super) fn users_lock(&self) -> PathBuf {
        self.home.join("users.lock")
    }

    /// The server's log, locked as long as the server lives. Nothing rotates or bounds it: it gets
    /// a few lines per start, stop, error and checkpoint. As it is only appended to, an operator
    /// may truncate it at any time.
    pub(super) fn log(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    /// A command that runs `program` as the server's user, without the host's environment.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("LC_ALL", "C");
        for name in KEPT_ENV {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        // The user may not be able to enter the host's working directory. Its own process group
        // keeps Ctrl-C in the host's terminal from it: the host says when it ends.
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        if self.drops_root {
            // Called as root, this also empties the list of further groups.
            command.uid(self.user.uid).gid(self.user.gid);
        }
        command
    }
}

/// What `command` wrote to stdout, trimmed, once it succeeded. It is killed when it runs longer
/// than `within`, or when this future is dropped.
///
/// # Errors
/// [`Error::Tool`], [`Error::TimedOut`], [`Error::Io`].
pub(super) async fn output_of(mut command: Command, within: Duration) -> Result<String, Error> {
    let program = PathBuf::from(command.as_std().get_program());
    let output = tokio::time::timeout(within, command.kill_on_drop(true).output())
        .await
        .map_err(|_| Error::TimedOut { what: program.display().to_string(), bound: within })?
        .map_err(Error::io("run", &program))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().map(str::trim).collect();
        Err(Error::Tool {
            tool: program.display().to_string(),
            output: format!("{} ({})", said.join(" | "), output.status),
        })
    }
}

fn cluster_in(home: &Path) -> PathBuf {
    home.join("cluster")
}

/// The home of `data_dir`'s Postgres for a host that is root, and the user who runs it: the owner
/// of the cluster that exists, else `postgres`, else `nobody`.
fn home_for_root(data_dir: &Path) -> Result<(PathBuf, User), Error> {
    let owner = |home: &Path| {
        let found = fs::symlink_metadata(cluster_in(home)).ok()?;
        let (uid, gid) = (found.uid(), found.gid());
        (uid != 0).then_some(User { uid, gid })
    };
    let beside = data_dir.join("postgres");
    let apart = Path::new(APART).join(short_hash(data_dir));
    if let Some(user) = owner(&apart) {
        tracing::info!(home = %apart.display(), "using the private PostgreSQL outside of the data directory");
        return Ok((apart, user));
    }
    let made_by = owner(&beside);
    let passwd = || fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = made_by.or_else(|| unprivileged_user(&passwd())).ok_or(Error::NoUser)?;
    if may_reach(data_dir, user)? {
        return Ok((beside, user));
    }
    if made_by.is_some() {
        return Err(Error::Unreachable { cluster: cluster_in(&beside), uid: user.uid });
    }
    tracing::info!(
        home = %apart.display(), data_dir = %data_dir.display(), uid = user.uid,
        "the private PostgreSQL goes outside of the data directory, which its user cannot reach"
    );
    make_dir(Path::new(APART), 0o711)?;
    Ok((apart, user))
}

/// Whether `user` may enter `dir`, which is canonical, and every directory above it.
fn may_reach(dir: &Path, user: User) -> Result<bool, Error> {
    for dir in dir.ancestors() {
        let found = fs::metadata(dir).map_err(Error::io("look at", dir))?;
        let owner = User { uid: found.uid(), gid: found.gid() };
        if !may_enter(found.mode(), owner, user) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a directory's mode lets `user`, who is in no further groups, pass through it.
fn may_enter(mode: u32, owner: User, user: User) -> bool {
    let bit = if owner.uid == user.uid {
        0o100
    } else if owner.gid == user.gid {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

/// The user `postgres` of a passwd file, else `nobody`.
fn unprivileged_user(passwd: &str) -> Option<User> {
    let named = |name: &str| {
        let mut entries = passwd.lines().map(|line| line.split(':'));
        let mut fields = entries.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
        let uid = fields.nth(1)?.parse().ok().filter(|&uid| uid != 0)?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, gid })
    };
    named("postgres").or_else(|| named("nobody"))
}

/// The socket's directory: in `home`, unless the socket's path is then too long, unfit for a URL, or
/// has a comma, at which Postgres and psql would split it. Then it is one under `/tmp`, not `TMPDIR`,
/// which may be long and differ between hosts.
fn socket_dir(home: &Path) -> PathBuf {
    let beside = home.join("socket");
    let longest = beside.as_os_str().len() + "/.s.PGSQL.".len() + PORT.len();
    let fit = |path: &str| longest <= SOCKET_PATH_MAX && !path.contains(',');
    if beside.to_str().is_some_and(fit) {
        beside
    } else {
        Path::new("/tmp").join(format!("countersign-{}", short_hash(home)))
    }
}

/// 16 hex digits of the SHA-256 of `path`.
fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn postgres_is_preferred_to_nobody_and_root_never_taken() {
        let nobody = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        let both = format!("{nobody}postgres:x:101:104::/:/bin/sh\n");
        let user = |uid, gid| Some(User { uid, gid });
        assert_eq!(unprivileged_user(&both), user(101, 104));
        assert_eq!(unprivileged_user(nobody), user(65534, 65533));
        assert_eq!(unprivileged_user("postgres:x:0:0::/:/bin/sh"), None);
        assert_eq!(unprivileged_user("postgresql:x:9:9::/:/bin/sh"), None);
    }

    #[test]
    fn a_directory_is_entered_by_the_first_class_that_fits() {
        let user = User { uid: 5, gid: 6 };
        let other = User { uid: 1, gid: 1 };
        assert!(may_enter(0o711, other, user));
        assert!(!may_enter(0o710, other, user));
        assert!(may_enter(0o710, User { uid: 1, gid: 6 }, user));
        assert!(!may_enter(0o077, user, user));
    }

    #[test]
    fn a_socket_path_that_is_too_long_or_unfit_goes_to_tmp() {
        let longest = format!("/{}", "a".repeat(SOCKET_PATH_MAX - "//socket/.s.PGSQL.5432".len()));
        let beside = Path::new(&longest).join("socket");
        assert_eq!(socket_dir(Path::new(&longest)), beside);
        let in_tmp = |home: &Path| socket_dir(home).starts_with("/tmp");
        assert!(in_tmp(Path::new(&format!("{longest}a"))));
        assert!(in_tmp(Path::new(OsStr::from_bytes(b"/\xff"))));
        assert!(in_tmp(Path::new("/a,b")));
    }

    #[test]
    fn the_hash_is_the_start_of_sha256() {
        assert_eq!(short_hash(Path::new("abc")), "ba7816bf8f01cfea");
    }
}
