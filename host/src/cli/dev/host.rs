//! The host of `countersign dev`: a child process that stops, Postgres and all, when its parent is gone.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};

use crate::cli::client::Client;
use crate::cli::text::clean;

/// How long a start may take; the first one makes a Postgres cluster.
const START_MAX: Duration = Duration::from_secs(120);

/// How long the host may take to stop itself and its Postgres.
const STOP_MAX: Duration = Duration::from_secs(20);

/// How often to look whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much of the log is shown when it does not start.
const LOG_LINES_SHOWN: usize = 15;

/// A host that runs.
pub(super) struct Host {
    child: Child,
    /// The host stops when this is closed, which it is when this process is gone, however it went.
    _lifeline: Option<ChildStdin>,
    pub(super) url: String,
    log: PathBuf,
}

impl Host {
    /// Starts a host with this data directory and waits until it is ready. Dropped meanwhile, it stops by itself.
    pub(super) async fn start(data_dir: &Path, listen: SocketAddr) -> anyhow::Result<Self> {
        let listen = free(listen)?;
        std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
        // A project may be a repository without a word about this folder.
        let ignore = data_dir.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(&ignore, "*\n").with_context(|| format!("cannot write {}", ignore.display()))?;
        }
        let path = data_dir.join("host.log");
        let log = empty_log(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut child = Command::new(std::env::current_exe().context("cannot find this program")?)
            .arg("serve-below")
            .args(["--listen", &listen.to_string()])
            .arg("--data-dir")
            .arg(data_dir)
            // It has a database of its own, and a master key that stays with it, whichever shell it is started from.
            .env_remove("DATABASE_URL")
            .env_remove("COUNTERSIGN_MASTER_KEY")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for `dev`, which then stops the host in its own time.
            .process_group(0)
            .spawn()
            .context("cannot start the host")?;
        let lifeline = child.stdin.take();
        let mut host = Self { child, _lifeline: lifeline, url: format!("http://{listen}"), log: path };
        host.ready().await?;
        Ok(host)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let client = Client::new(&self.url, None)?;
        while client.get("/readyz").await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the host did not start ({status}); it said:\n{}", self.log_end());
            }
            if began.elapsed() > START_MAX {
                bail!("the host was not ready after {} s; it said:\n{}", START_MAX.as_secs(), self.log_end());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until it ends by itself, which it should not; tells why it did. Safe to be dropped.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        let status = self.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow::anyhow!("the host ended ({status}); it said:\n{}", self.log_end())
    }

    /// Asks it to stop, so that it stops its Postgres, and makes it stop if it does not.
    pub(super) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        // One that is gone already cannot be asked; the wait below sees that, too.
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if !asked || tokio::time::timeout(STOP_MAX, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    fn log_end(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<String> = log.lines().map(clean).collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

/// An empty file to append to: another host with this data directory may write there, too.
fn empty_log(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::File::create(path)?;
    std::fs::File::options().append(true).open(path)
}

/// The address, with a free port for port 0: bound and let go, so that its number is known.
fn free(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    let bound = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    bound.with_context(|| {
        format!(
            "cannot listen on {listen}; choose another --listen (port 0: a free one), or use the host there by --url"
        )
    })
}

/// Runs a host until its standard input ends: what `dev` starts.
pub(crate) async fn serve_below(config: crate::config::Config) -> anyhow::Result<()> {
    std::thread::spawn(|| {
        // Nobody writes there. An error is an end, too.
        let _ = std::io::stdin().read(&mut [0]);
        // As if somebody had asked it to stop.
        let _ = kill_process(rustix::process::getpid(), Signal::TERM);
    });
    crate::serve(config).await
}
