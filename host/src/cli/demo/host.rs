//! The host of the demo: a child process that is started, killed and started again.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::process::Child;

use crate::cli::child;
use crate::cli::client::Client;

/// How long the host may take to stop itself and its Postgres.
const STOP_MAX: Duration = Duration::from_secs(15);

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
        let (url, log, child) = (self.url(), self.log(), self.spawn()?);
        // Kept from now on, so that it is stopped if the demo ends before it is ready.
        let child = self.child.insert(child);
        if let Err(error) = child::ready(child, &url, &log).await {
            if matches!(child.try_wait(), Ok(Some(_))) {
                self.child = None;
            }
            return Err(error);
        }
        Ok(started.elapsed())
    }

    fn spawn(&mut self) -> anyhow::Result<Child> {
        let log = OpenOptions::new().append(true).create(true).open(self.log())?;
        let mut command = child::command("serve", log)?;
        command
            .args(["--listen", &self.listen.to_string()])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .env("COUNTERSIGN_AI_BASE_URL", &self.model_url)
            .env("COUNTERSIGN_AI_MODEL", "demo-model")
            .env("COUNTERSIGN_AI_KEY", "demo")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let child = command.spawn().context("cannot start the host")?;
        self.killed = false;
        Ok(child)
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
        if let Some(child) = self.child.take() {
            child::stop(child, STOP_MAX).await;
        }
    }
}
