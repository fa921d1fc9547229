//! Runs a language's tool, and keeps what it says.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::cli::text::clean_lines;

/// How much of each of its two outputs is kept, in bytes: the last of it.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// How long the outputs may stay open after the tool has ended. Daemons that a compiler starts inherit them.
const DRAIN: Duration = Duration::from_secs(1);

/// What a tool that ended well has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    /// How many of its lines are warnings.
    pub(crate) warnings: usize,
}

/// Why a tool made nothing.
#[derive(Debug)]
pub(crate) enum Unmade {
    NotStarted(std::io::Error),
    Failed { status: ExitStatus, said: String },
}

impl Unmade {
    /// For people: all that the tool said, and how it ended.
    pub(crate) fn told(&self, project: &str, command: &str) -> String {
        match self {
            Self::NotStarted(error) => format!("{project} was not built: cannot run `{command}`: {error}"),
            Self::Failed { status, said } => {
                let mut told = format!("{project} was not built: `{command}` failed ({status})");
                if !said.trim().is_empty() {
                    let _ = write!(told, "; it said:\n{}", clean_lines(said.trim_end()));
                }
                told
            }
        }
    }
}

/// Who ends a tool before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// Ctrl-C, which the terminal tells the tool and all that it has started, as it tells us.
    Terminal,
    /// Us, by dropping the run. The terminal does not reach it.
    Drop,
}

/// Runs a tool to its end, and hands over each of its lines. It is killed if this is dropped.
pub(crate) async fn run(
    command: std::process::Command,
    ended_by: EndedBy,
    mut on_line: impl FnMut(&str),
) -> Result<Said, Unmade> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if ended_by == EndedBy::Drop {
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(Unmade::NotStarted)?;
    let mut group = Group(child.id().filter(|_| ended_by == EndedBy::Drop));
    let (mut stdout, mut stderr) = (Kept::of(child.stdout.take()), Kept::of(child.stderr.take()));
    let mut status = None;
    let ended = tokio::time::sleep(Duration::MAX);
    tokio::pin!(ended);
    while stdout.pipe.is_some() || stderr.pipe.is_some() {
        tokio::select! {
            // Cargo's standard output is for programs; its lines are no progress.
            () = stdout.read(), if stdout.pipe.is_some() => stdout.lines(|line| if !line.starts_with('{') {
                on_line(line);
            }),
            () = stderr.read(), if stderr.pipe.is_some() => stderr.lines(&mut on_line),
            waited = child.wait(), if status.is_none() => {
                group.0 = None;
                status = Some(waited.map_err(Unmade::NotStarted)?);
                ended.as_mut().reset(tokio::time::Instant::now() + DRAIN);
            }
            () = &mut ended, if status.is_some() => break,
        }
    }
    let status = match status {
        Some(status) => status,
        None => child.wait().await.map_err(Unmade::NotStarted)?,
    };
    group.0 = None;
    let (stdout, stderr) = (stdout.text(), stderr.text());
    if status.success() {
        let warnings = stderr.lines().filter(|line| line.starts_with("warning:")).count();
        return Ok(Said { stdout, warnings });
    }
    let own_words = stdout.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n");
    Err(Unmade::Failed { status, said: format!("{own_words}\n{stderr}").trim().to_owned() })
}

/// A tool that runs, and all that it has started: compilers, and programs of a build. Killed when dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // Mostly gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// One output of a tool.
struct Kept<R> {
    pipe: Option<R>,
    bytes: Vec<u8>,
    /// Where the line begins that has not ended yet.
    line: usize,
    is_cut: bool,
}

impl<R: AsyncRead + Unpin> Kept<R> {
    fn of(pipe: Option<R>) -> Self {
        Self { pipe, bytes: vec![], line: 0, is_cut: false }
    }

    /// Reads some. Safe to be dropped at any time: what was read is kept.
    async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        if matches!(pipe.read_buf(&mut self.bytes).await, Ok(0) | Err(_)) {
            self.pipe = None;
        }
    }

    /// Hands over each line that has ended since the last time, and forgets the oldest beyond the bound.
    fn lines(&mut self, mut each: impl FnMut(&str)) {
        while let Some(end) = self.bytes[self.line..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let line = String::from_utf8_lossy(&self.bytes[self.line..self.line + end]);
            if !line.trim().is_empty() {
                each(&line);
            }
            self.line += end + 1;
        }
        // In large steps, so that little is moved.
        if self.bytes.len() > 2 * KEPT_BYTES_MAX {
            let cut = self.bytes.len() - KEPT_BYTES_MAX;
            self.bytes.drain(..cut);
            self.line = self.line.saturating_sub(cut);
            self.is_cut = true;
        }
    }

    fn text(self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        if self.is_cut { format!("[the beginning is left out]\n{text}") } else { text.into_owned() }
    }
}

/// A file beside its place, removed unless it was renamed.
pub(super) struct Temporary {
    pub(super) path: PathBuf,
}

impl Temporary {
    /// A name in the same folder as `place`, hidden, with the same ending.
    pub(super) fn beside(place: &Path) -> Self {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        Self { path: place.with_file_name(format!(".{}-{name}", std::process::id())) }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Mostly gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> std::process::Command {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_tool_that_ends_well_has_its_lines_told_and_its_output_kept() {
        let mut lines = vec![];
        let script = r#"echo '{"for":"programs"}'; echo one >&2; echo 'warning: two' >&2"#;
        let said =
            run(shell(script), EndedBy::Terminal, |line| lines.push(line.to_owned())).await.expect("it ends well");
        assert_eq!(lines, ["one", "warning: two"]);
        assert_eq!((said.stdout.as_str(), said.warnings), ("{\"for\":\"programs\"}\n", 1));
    }

    #[tokio::test]
    async fn a_tool_that_fails_is_quoted_in_full() {
        let failed = run(shell("echo out; echo '\x1b[31mwhy' >&2; exit 3"), EndedBy::Terminal, |_| ())
            .await
            .expect_err("it fails");
        let told = failed.told("hello", "tool");
        assert_eq!(told, "hello was not built: `tool` failed (exit status: 3); it said:\nout\n[31mwhy");
        let missing =
            run(std::process::Command::new("/no/such"), EndedBy::Drop, |_| ()).await.expect_err("it is not there");
        assert!(missing.told("hello", "tool").contains("cannot run `tool`"));
    }

    #[tokio::test]
    async fn a_daemon_that_keeps_the_output_open_does_not_hold_the_build_up() {
        let began = std::time::Instant::now();
        run(shell("sleep 20 & echo done"), EndedBy::Drop, |_| ()).await.expect("it ends well");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_tool_that_is_given_up_takes_along_what_it_has_started() {
        let mut child = String::new();
        let run = run(shell("sleep 600 & echo $!; wait"), EndedBy::Drop, |line| line.clone_into(&mut child));
        // The line comes at once.
        assert!(tokio::time::timeout(Duration::from_secs(2), run).await.is_err());
        let stat = || std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let began = std::time::Instant::now();
        // Whoever adopts it may leave its row for a moment, or for good.
        while stat().rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')) {
            assert!(began.elapsed() < Duration::from_secs(10), "{} is still there", stat());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!child.is_empty());
    }

    #[tokio::test]
    async fn a_tool_that_talks_without_end_fills_no_memory() {
        let mut count = 0;
        let script = "yes | head -c 20000000 >&2; yes | head -c 20000000";
        let said = run(shell(script), EndedBy::Terminal, |_| count += 1).await;
        let said = said.expect("it ends well");
        assert!(said.stdout.len() <= 2 * KEPT_BYTES_MAX + 100, "{}", said.stdout.len());
        assert_eq!(count, 20_000_000);
    }
}
