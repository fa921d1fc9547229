//! A private Postgres, for a host that was given no `DATABASE_URL`.
//!
//! It is an ordinary server process with an ordinary cluster under the data directory, not a
//! library: it outlives a killed host, and its own crash recovery is what durability rests on.
//!
//! Three locks (`flock`, so the kernel lets go of them however a process ends) keep hosts that
//! share a data directory apart:
//! - `start.lock`, held alone while a cluster is made, started or stopped;
//! - `users.lock`, shared by every host that uses the server, so that the last one stops it;
//! - `postgres.log`, whose lock is inherited by the server and all its children through their
//!   stderr: it is free exactly when nothing of a server we started still lives.

mod binaries;
mod files;
mod place;
mod server;

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use place::Place;
use server::Server;

/// How often a condition that cannot be awaited (a lock, a starting server) is looked at again.
const POLL: Duration = Duration::from_millis(50);
/// Bound on one `initdb`, which writes and syncs some 40 MB.
const INIT_WAIT: Duration = Duration::from_secs(120);
/// Bound on a server becoming ready, crash recovery included.
const START_WAIT: Duration = Duration::from_secs(60);
/// Bound on a fast shutdown, its checkpoint included.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// Bound on any other Postgres program: one `psql` statement, one `--version`.
const TOOL_WAIT: Duration = Duration::from_secs(10);
/// Bound on waiting for another host's start or stop: longer than the longest of those, which is
/// one `initdb`, one start and a few tools.
const LOCK_WAIT: Duration = Duration::from_secs(240);

/// The database, and the superuser that owns the cluster.
const NAME: &str = "countersign";
/// Only part of the socket's file name, as nothing listens on TCP.
const PORT: &str = "5432";

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No directory holds `initdb`, `postgres` and `psql` that the server's user can run.
    #[error(
        "no PostgreSQL found: install it (Debian/Ubuntu: apt install postgresql; Fedora: dnf \
         install postgresql-server; macOS: brew install postgresql) or set DATABASE_URL"
    )]
    NotInstalled,
    /// The cluster needs the major version that made it.
    #[error(
        "{cluster} was made by PostgreSQL {made_by} but only {found} is installed: install \
         PostgreSQL {made_by}, move the data with pg_upgrade, or set DATABASE_URL"
    )]
    Version {
        cluster: PathBuf,
        made_by: u32,
        /// The major versions that are there, as `15, 16`.
        found: String,
    },
    /// Postgres refuses root, and `/etc/passwd` has nobody else to run it.
    #[error(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it: \
         start the host as an ordinary user or set DATABASE_URL"
    )]
    NoUser,
    /// There is a cluster, but a directory above it now shuts its user out.
    #[error(
        "user id {uid} owns {cluster} but may not enter a directory above it: give that one o+x, \
         or set DATABASE_URL"
    )]
    Unreachable { cluster: PathBuf, uid: u32 },
    /// A directory that must be private to the server's user is not, so it is not trusted.
    #[error("{path} must be a directory (no link) of user id {uid} with mode 0700")]
    NotPrivate { path: PathBuf, uid: u32 },
    /// A Postgres program failed.
    #[error("{tool} failed: {output}")]
    Tool { tool: String, output: String },
    /// The server ended instead of becoming ready.
    #[error("PostgreSQL ended at once ({status}); {log} says: {tail}")]
    Exited { status: ExitStatus, log: PathBuf, tail: String },
    /// The server lives but is not ready. It is left alone, as it may be in a long recovery; a
    /// later start takes it up again.
    #[error("PostgreSQL is not ready after {START_WAIT:?}, see {log}; it last said: {last}")]
    NotReady { log: PathBuf, last: String },
    /// Something else took longer than its bound.
    #[error("{what} took longer than {bound:?}")]
    TimedOut { what: String, bound: Duration },
    /// The operating system refused something.
    #[error("cannot {doing}: {reason}")]
    Io { doing: String, reason: io::Error },
}

impl Error {
    /// For `map_err`: the error of the operating system while `doing` something with `path`.
    fn io(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let doing = format!("{doing} {}", path.display());
        move |reason| Error::Io { doing, reason }
    }
}

/// One host's use of the private Postgres.
///
/// Dropped without [`Embedded::stop`], or killed, it leaves the server running for the next start.
pub struct Embedded {
    server: Server,
    /// Locked shared as long as this host uses the server.
    users: File,
    url: String,
}

impl Embedded {
    /// Once this returns, the server accepts connections, and the database [`Embedded::url`] names
    /// exists. Idempotent: a cluster that exists is kept, and a server that still runs is reused.
    ///
    /// The first start makes the cluster (seconds). Bounds: `LOCK_WAIT` for other hosts on this
    /// data directory, `INIT_WAIT` for making it, `START_WAIT` for its start or recovery.
    ///
    /// # Errors
    /// Each [`Error`] says what to do, or quotes what failed. After any of them a later call starts
    /// afresh: a half-made cluster is removed then, and a slow server taken up again.
    pub async fn start(data_dir: &Path) -> Result<Embedded, Error> {
        let place = Place::prepare(data_dir)?;
        let _starting = files::exclusive(&place.start_lock(), LOCK_WAIT).await?;
        // Never refused: only `stop` locks it exclusively, and that needs `start.lock` too.
        let users = files::shared(&place.users_lock())?;
        let bin_dir = binaries::find(&place).await?;
        let url = url(&place.socket_dir);
        let server = Server { place, bin_dir };
        server.ensure_cluster().await?;
        server.ensure_running().await?;
        server.ensure_database().await?;
        Ok(Embedded { server, users, url })
    }

    /// A connection URL for sqlx. It also sets what sqlx would else take from `PGPORT`, `PGUSER`
    /// or `PGSSLMODE`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Once this returns, the server is gone, unless another host still uses it. Open connections
    /// are cut and their transactions rolled back (a fast shutdown).
    ///
    /// # Errors
    /// [`Error::TimedOut`] after `LOCK_WAIT` for other hosts' starts and stops or after
    /// `STOP_WAIT` for the server, which then goes on shutting down; [`Error::Io`].
    pub async fn stop(self) -> Result<(), Error> {
        let _starting = files::exclusive(&self.server.place.start_lock(), LOCK_WAIT).await?;
        if files::try_exclusive(&self.users, &self.server.place.users_lock())? {
            self.server.stop().await
        } else {
            tracing::info!("the private PostgreSQL stays up: another host uses it");
            Ok(())
        }
    }
}

/// The URL of the database behind the socket in `socket_dir`, which is UTF-8.
fn url(socket_dir: &Path) -> String {
    let mut host = String::new();
    for &byte in socket_dir.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() {
            host.push(char::from(byte));
        } else {
            write!(host, "%{byte:02X}").expect("a String takes every write");
        }
    }
    format!("postgres:///{NAME}?host={host}&port={PORT}&user={NAME}&sslmode=disable")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data directory whose server and files go with it, also when a test fails.
    struct DataDir(PathBuf);

    impl Drop for DataDir {
        fn drop(&mut self) {
            let pid_file = self.0.join("postgres/cluster/postmaster.pid");
            if let Some(pid) = server::pid_in(&pid_file) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            }
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_url_escapes_the_socket_directory() {
        assert_eq!(
            url(Path::new("/a b/ü+&")),
            "postgres:///countersign?host=%2Fa%20b%2F%C3%BC%2B%26&port=5432&user=countersign\
             &sslmode=disable"
        );
    }

    #[tokio::test]
    async fn a_killed_server_is_recovered_and_a_running_one_reused() {
        let name = format!("countersign-embedded-{}", uuid::Uuid::new_v4().simple());
        let dir = DataDir(std::env::temp_dir().join(name));

        let first = Embedded::start(&dir.0).await.unwrap();
        let pid = first.server.postmaster().await.unwrap();
        let made = "create table kept as select 7 as value";
        first.server.sql(NAME, made).await.unwrap();
        // What a killed host leaves behind: its locks are free, the server runs.
        drop(first);

        let second = Embedded::start(&dir.0).await.unwrap();
        assert_eq!(second.server.postmaster().await, Some(pid));
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

        let third = Embedded::start(&dir.0).await.unwrap();
        let recovered = third.server.postmaster().await.unwrap();
        assert_ne!(recovered, pid);
        let kept = third.server.sql(NAME, "select value from kept").await;
        assert_eq!(kept.unwrap(), "7");

        // `third` still uses it, so it survives the first stop and not the second.
        second.stop().await.unwrap();
        assert_eq!(third.server.postmaster().await, Some(recovered));
        third.stop().await.unwrap();
        // It has given up its files by now; init may take a moment to reap it.
        let gone = async {
            while rustix::process::test_kill_process(recovered).is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.expect("the server still runs");
    }
}
