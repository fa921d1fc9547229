//! The host of the demo: a child process that is started, killed and started again.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::cli::client::Client;
use crate::cli::text::clean;

/// How long a start may take; the first one makes a Postgres cluster.
const START_MAX: Duration = Duration::from_secs(120);

/// How long the host may take to stop itself and its Postgres.
const STOP_MAX: Duration = Duration::from_secs(15);

/// How often to look whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much of the log is shown when it does not start.
const LOG_LINES_SHOWN: usize = 15;

/// What must not leak from the user's shell into the demo: it has its own database, and a master key for that.
const FOREIGN: [&str; 3] = ["DATABASE_URL", "COUNTERSIGN_DATABASE_URL", "COUNTERSIGN_MASTER_KEY"];

/// A host that can be started, killed and stopped.
pub(super) struct Host {
    data_dir: PathBuf,
    listen: SocketAddr,
    model_url: String,
    child: Option<Child>,
    /// Whether the last process was killed, so that its Postgres runs on alone.
    killed: bool,
}

impl Host {
    /// A host on a free port; it is not started yet.
    pub(super) fn new(data_dir: PathBuf, model_url: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
        // Bound and let go: the host binds it again in a moment, every time with the same number.
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let host = Self { data_dir, listen, model_url: model_url.to_owned(), child: None, killed: false };
        std::fs::write(host.log(), "").with_context(|| format!("cannot write {}", host.log().display()))?;
        Ok(host)
    }

    /// Where the host writes its log.
    pub(super) fn log(&self) -> PathBuf {
        self.data_dir.join("demo-host.log")
    }

    /// Where the host keeps its data.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where the host listens.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The id of the process, while there is one.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Whether there is something to stop.
    pub(super) fn is_running(&self) -> bool {
        self.child.is_some() || self.killed
    }

    /// A client with the key that the host left on its first start.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let file = self.data_dir.join("api-key");
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let key = text.lines().next().context("the file with the API key is empty")?;
        Ok(Client::new(&self.url(), Some(key.trim().to_owned()))?)
    }

    /// Starts the process and waits until it is ready; tells how long that took.
    pub(super) async fn start(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.spawn()?;
        let client = Client::new(&self.url(), None)?;
        while client.get("/readyz").await.is_err() {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                self.child = None;
                bail!("the host did not start ({status}); it said:\n{}", self.log_end());
            }
            if started.elapsed() > START_MAX {
                bail!("the host was not ready after {} s; it said:\n{}", START_MAX.as_secs(), self.log_end());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(started.elapsed())
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().append(true).create(true).open(self.log())?;
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        command
            .arg("serve")
            .args(["--listen", &self.listen.to_string()])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .env("COUNTERSIGN_AI_BASE_URL", &self.model_url)
            .env("COUNTERSIGN_AI_MODEL", "demo-model")
            .env("COUNTERSIGN_AI_KEY", "demo")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the demo, which then stops the host in its own time.
            .process_group(0)
            .kill_on_drop(true);
        for name in FOREIGN {
            command.env_remove(name);
        }
        self.child = Some(command.spawn().context("cannot start the host")?);
        self.killed = false;
        Ok(())
    }

    /// Kills the process as a power cut would, and tells by which signal it died.
    pub(super) async fn kill(&mut self) -> anyhow::Result<i32> {
        let mut child = self.child.take().context("there is no host to kill")?;
        self.killed = true;
        child.start_kill()?;
        let status = child.wait().await?;
        status.signal().with_context(|| format!("the host was not killed but ended by itself: {status}"))
    }

    /// Asks the process to stop, so that it stops its Postgres, and makes it stop if it does not.
    pub(super) async fn stop(&mut self) {
        if self.killed {
            // Only a host can stop the Postgres that a killed one left. If it does not start, the demo has failed
            // already, and said why.
            let _ = self.start().await;
        }
        let Some(mut child) = self.child.take() else { return };
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        // A process that is gone already cannot be asked; the wait below sees that, too.
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if !asked || tokio::time::timeout(STOP_MAX, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }

    fn log_end(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<String> = log.lines().map(clean).collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}
