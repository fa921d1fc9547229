//! A host as a child process of this one, as `demo` and `dev` run it: until it is ready, and until it has stopped.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::client::Client;
use super::text::clean;

/// How long a start may take; the first one makes a Postgres cluster.
const START_MAX: Duration = Duration::from_secs(120);

/// How often to look whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much of the log is shown when it does not start.
const LOG_LINES_SHOWN: usize = 15;

/// What must not leak from the user's shell: such a host has its own database, and a master key that stays with it.
const FOREIGN: [&str; 2] = ["DATABASE_URL", "COUNTERSIGN_MASTER_KEY"];

/// This program, as a process that Ctrl-C at the terminal does not reach: its parent stops it, in its own time.
pub(crate) fn command(subcommand: &str, log: std::fs::File) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.arg(subcommand).env("NO_COLOR", "1").stdout(log.try_clone()?).stderr(log).process_group(0);
    for name in FOREIGN {
        command.env_remove(name);
    }
    Ok(command)
}

/// Waits until the host at `url` is ready; says what it logged if it ends before, or takes too long.
pub(crate) async fn ready(child: &mut Child, url: &str, log: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let client = Client::new(url, None)?;
    while client.get("/readyz").await.is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the host did not start ({status}); it said:\n{}", log_end(log));
        }
        if began.elapsed() > START_MAX {
            bail!("the host was not ready after {} s; it said:\n{}", START_MAX.as_secs(), log_end(log));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Asks the host to stop, so that it stops its Postgres, and makes it stop if it has not after `patience`.
pub(crate) async fn stop(mut child: Child, patience: Duration) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // One that is gone already cannot be asked; the wait below sees that, too.
    let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
    if !asked || tokio::time::timeout(patience, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// The last lines of a log.
pub(crate) fn log_end(log: &Path) -> String {
    let log = std::fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<String> = log.lines().map(clean).collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}
