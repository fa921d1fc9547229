//! The host of `countersign dev`: a child process that stops, Postgres and all, when its parent is gone.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Signal, kill_process};
use tokio::process::{Child, ChildStdin};

use crate::cli::child;

/// How long the host may take to stop itself and its Postgres.
const STOP_MAX: Duration = Duration::from_secs(20);

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
        let mut child = child::command("serve-below", log)?
            .args(["--listen", &listen.to_string()])
            .arg("--data-dir")
            .arg(data_dir)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start the host")?;
        let lifeline = child.stdin.take();
        let mut host = Self { child, _lifeline: lifeline, url: format!("http://{listen}"), log: path };
        child::ready(&mut host.child, &host.url, &host.log).await?;
        Ok(host)
    }

    /// Waits until it ends by itself, which it should not; tells why it did. Safe to be dropped.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        let status = self.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow::anyhow!("the host ended ({status}); it said:\n{}", child::log_end(&self.log))
    }

    /// Asks it to stop, so that it stops its Postgres, and makes it stop if it does not.
    pub(super) async fn stop(self) {
        child::stop(self.child, STOP_MAX).await;
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
