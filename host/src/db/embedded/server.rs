//! Making the cluster, and starting, asking and stopping its server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Duration, Instant, sleep};

use super::place::{Place, output_of};
use super::{Error, INIT_WAIT, NAME, POLL, PORT, START_WAIT, STOP_WAIT, TOOL_WAIT, files};

/// How often a wait for the server is logged.
const PROGRESS: Duration = Duration::from_secs(5);
/// What the directories are called in which clusters are made.
const DRAFT: &str = "cluster.init-";
/// How much of the log an error quotes.
const QUOTED_LINES: usize = 5;
/// On the command line, as that overrides the cluster's own files and `ALTER SYSTEM`.
const SETTINGS: [&str; 14] = [
    // Only the socket; whoever is to reach it is decided by its directory.
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    // Nothing replicates from here, so the log need only serve crash recovery.
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=100",
    "shared_buffers=128MB",
    // A safety net: the host holds no transaction open while it waits for anything.
    "idle_in_transaction_session_timeout=10s",
    // All to the one file that is its stderr; some distributions default to a collector.
    "logging_collector=off",
    "log_destination=stderr",
    "log_line_prefix=%m [%p] ",
    "log_timezone=UTC",
];

/// The server of one place, whether it runs or not. Who makes, starts or stops it holds `start.lock`.
pub(super) struct Server {
    pub(super) place: Place,
    /// Where `initdb`, `postgres` and `psql` are, of the cluster's major version.
    pub(super) bin_dir: PathBuf,
}

impl Server {
    /// Once this returns, the cluster exists, on disk and whole.
    pub(super) async fn ensure_cluster(&self) -> Result<(), Error> {
        self.remove_drafts()?;
        if self.place.cluster.exists() {
            return Ok(());
        }
        tracing::info!(cluster = %self.place.cluster.display(), "making a private PostgreSQL cluster");
        let home = &self.place.home;
        // Made under another name: whatever is called `cluster` was finished.
        let draft = home.join(format!("{DRAFT}{}", uuid::Uuid::new_v4().simple()));
        files::private_dir(&draft, self.place.user)?;
        let mut initdb = self.tool("initdb");
        // Trust lets in whoever reaches the socket, and only the server's user (and root) can: the
        // socket's directory is theirs with mode 0700, and nothing listens on TCP. A password
        // would have to lie in a file that the same users can read.
        initdb
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={NAME}"))
            .arg("-D")
            .arg(&draft);
        // It syncs what it wrote; the rename is synced here, as otherwise a power failure could
        // bring back the old name, and the next start remove the cluster as a draft.
        output_of(initdb, INIT_WAIT).await?;
        let cluster = &self.place.cluster;
        fs::rename(&draft, cluster).map_err(Error::io("rename the new cluster to", cluster))?;
        files::sync_dir(home)?;
        home.parent().map_or(Ok(()), files::sync_dir)
    }

    /// Once this returns, the server accepts connections: the one that ran, or a new one, which
    /// then has recovered what a crash left.
    ///
    /// # Errors
    /// [`Error::NotReady`] after [`START_WAIT`], [`Error::Exited`]; [`Error::Io`].
    pub(super) async fn ensure_running(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let mut noted = begun;
        let mut child: Option<Child> = None;
        // Asking comes first: a server that answers is up, whatever its pid file says.
        while let Err(refusal) = self.sql("postgres", "select 1").await {
            match &mut child {
                Some(child) => self.check_lives(child)?,
                // No lock: an older server starts, stops, or its last children are still to go.
                None => {
                    if let Some(log) = self.lock_log()? {
                        child = Some(self.launch(log).await?);
                    }
                }
            }
            if begun.elapsed() >= START_WAIT {
                return Err(Error::NotReady { log: self.place.log(), last: refusal.to_string() });
            }
            if noted.elapsed() >= PROGRESS {
                noted = Instant::now();
                tracing::info!(seconds = begun.elapsed().as_secs(), %refusal, "waiting for the private PostgreSQL");
            }
            sleep(POLL).await;
        }
        if let Some(mut child) = child {
            // So that it does not stay a zombie, which would look alive to its successor.
            tokio::spawn(async move {
                let status = child.wait().await;
                tracing::info!(?status, "the private PostgreSQL ended");
            });
        }
        Ok(())
    }

    /// Once this returns, the host's database exists.
    pub(super) async fn ensure_database(&self) -> Result<(), Error> {
        let known = format!("select 1 from pg_database where datname = '{NAME}'");
        if self.sql("postgres", &known).await?.is_empty() {
            self.sql("postgres", &format!("create database {NAME}")).await?;
        }
        Ok(())
    }

    /// Once this returns, nothing of the server lives. One that does not run is left so.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after [`STOP_WAIT`]; [`Error::Io`].
    pub(super) async fn stop(&self) -> Result<(), Error> {
        let Some(pid) = self.postmaster().await else {
            return Ok(());
        };
        // SIGINT is Postgres's fast shutdown.
        match kill_process(pid, Signal::INT) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(reason) => {
                return Err(Error::io("stop the server of", &self.place.cluster)(reason.into()));
            }
        }
        let deadline = Instant::now() + STOP_WAIT;
        while self.postmaster().await.is_some() || self.lock_log()?.is_none() {
            if Instant::now() >= deadline {
                return Err(Error::TimedOut {
                    what: format!("stopping the server of {}", self.place.cluster.display()),
                    bound: STOP_WAIT,
                });
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// What `statement` returns, one row per line. Bounded by [`TOOL_WAIT`].
    pub(super) async fn sql(&self, database: &str, statement: &str) -> Result<String, Error> {
        let mut psql = self.tool("psql");
        psql.args(["--no-psqlrc", "--no-password", "--quiet"])
            .args(["--tuples-only", "--no-align"])
            .arg("-h")
            .arg(&self.place.socket_dir)
            .args(["-p", PORT, "-U", NAME, "-d", database, "-c", statement]);
        output_of(psql, TOOL_WAIT).await
    }

    /// The process that the pid file names, if that really is a server of this cluster.
    pub(super) async fn postmaster(&self) -> Option<Pid> {
        let pid = pid_in(&self.pid_file())?;
        let args = arguments_of(pid).await;
        let cluster = format!("-D {}", self.place.cluster.to_string_lossy());
        (is_postgres(&args) && args.join(" ").contains(&cluster)).then_some(pid)
    }

    fn tool(&self, name: &str) -> Command {
        self.place.command(self.bin_dir.join(name))
    }

    fn pid_file(&self) -> PathBuf {
        self.place.cluster.join("postmaster.pid")
    }

    /// The log, locked, unless something of a server still has it.
    fn lock_log(&self) -> Result<Option<File>, Error> {
        let path = self.place.log();
        let log = files::open(&path)?;
        Ok(files::try_exclusive(&log, &path)?.then_some(log))
    }

    /// Starts the server with `log`, which is locked, as its output. The host keeps no descriptor
    /// of it, so the lock ends with the server and its children.
    async fn launch(&self, log: File) -> Result<Child, Error> {
        self.remove_misleading_pid_files().await?;
        let mut postgres = self.tool("postgres");
        postgres
            .arg("-D")
            .arg(&self.place.cluster)
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .args(["-c", &format!("port={PORT}"), "-c"])
            .arg(format!("unix_socket_directories={}", self.place.socket_dir.display()));
        let same = log.try_clone().map_err(Error::io("share", &self.place.log()))?;
        postgres.stdout(Stdio::from(same)).stderr(Stdio::from(log));
        tracing::info!(cluster = %self.place.cluster.display(), "starting the private PostgreSQL");
        postgres.spawn().map_err(Error::io("run", &self.bin_dir.join("postgres")))
    }

    /// # Errors
    /// [`Error::Exited`] when it does not.
    fn check_lives(&self, child: &mut Child) -> Result<(), Error> {
        let log = self.place.log();
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Error::Exited { status, tail: files::tail(&log, QUOTED_LINES), log }),
            Err(reason) => Err(Error::io("wait for the server of", &self.place.cluster)(reason)),
        }
    }

    /// Removes the pid files, the cluster's and the socket's, of a server that is gone if its number
    /// now is another program's, as easily happens when a container restarts, or a zombie's.
    /// Postgres would take that for its predecessor and refuse to start. The other cases Postgres
    /// decides better itself: it overrides a number that is free, and gives way to a Postgres.
    ///
    /// Its caller holds the log's lock, which rules out that a child of the old server still
    /// writes to the cluster; the pid file would have led Postgres to that child.
    async fn remove_misleading_pid_files(&self) -> Result<(), Error> {
        let socket_lock = format!(".s.PGSQL.{PORT}.lock");
        for path in [self.pid_file(), self.place.socket_dir.join(socket_lock)] {
            let Some(pid) = pid_in(&path) else {
                continue;
            };
            if test_kill_process(pid).is_ok() && !is_postgres(&arguments_of(pid).await) {
                tracing::info!(pid = pid.as_raw_pid(), file = %path.display(), "removing what a server that is gone left");
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes what an `initdb` that was killed left. One that still runs, of a killed host, then
    /// fails.
    fn remove_drafts(&self) -> Result<(), Error> {
        let home = &self.place.home;
        for entry in fs::read_dir(home).map_err(Error::io("list", home))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(DRAFT)
                && let Err(reason) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(draft = %entry.path().display(), %reason, "cannot remove a half-made cluster");
            }
        }
        Ok(())
    }
}

/// The process id in a `postmaster.pid`. A negative one belongs to a single-user session.
pub(super) fn pid_in(pid_file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(pid_file).ok()?;
    let raw = text.lines().next()?.trim().parse().ok();
    raw.filter(|&raw: &i32| raw > 0).and_then(Pid::from_raw)
}

/// The command line of `pid`; empty for a zombie, or when there is no such process.
///
/// It is asked for, rather than the working directory or the executable, because in a container
/// root may not see those of other users.
async fn arguments_of(pid: Pid) -> Vec<String> {
    let pid = pid.as_raw_pid().to_string();
    if cfg!(target_os = "linux") {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let args = text.split_terminator('\0').map(str::to_owned);
        return args.collect();
    }
    let mut ps = Command::new("/bin/ps");
    ps.args(["-ww", "-o", "command=", "-p", &pid]);
    let line = output_of(ps, TOOL_WAIT).await.unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

/// Whether a command line is that of a Postgres server process, of whatever cluster. The children
/// of one call themselves `postgres: checkpointer` and the like.
fn is_postgres(args: &[String]) -> bool {
    args.first().is_some_and(|program| {
        let name = program.rsplit('/').next().unwrap_or_default();
        name == "postgres" || name == "postmaster" || program.starts_with("postgres:")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgres_is_taken_for_postgres() {
        let is = |args: &str| is_postgres(&[args.to_owned()]);
        assert!(is("/usr/lib/postgresql/15/bin/postgres"));
        assert!(is("postgres: startup recovering 1/2"));
        assert!(!is("/usr/bin/postgres_exporter"));
        assert!(!is_postgres(&[]));
    }
}
