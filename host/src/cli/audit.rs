//! `countersign audit`: who did what, and whether the log of it was changed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use chrono::DateTime;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use serde::Deserialize;
use serde_json::json;

use self::lines::Lines;
use super::client::{Client, with_query};
use super::failure::Failure;
use super::output::Output;
use super::table::Table;
use super::time;
use crate::audit::{self, Action, Chain, Head, NotAHead};

mod lines;

/// Where a whole log is to be had.
const EXPORT: &str = "/v1/audit/export";

/// What can be done with the audit log of the key's tenant.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List who did what, oldest first
    #[command(after_help = "Examples:
  countersign audit list
  countersign audit list --since 7d --action pause.decided
  countersign --json audit list --since 2026-01-01T00:00:00Z")]
    List {
        /// Only what happened since then: a time (2026-01-01T00:00:00Z), or how long ago (90m, 24h, 7d)
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = since)]
        since: Since,
        /// Only this action
        #[arg(long, value_name = "ACTION", value_parser = PossibleValuesParser::new(Action::ALL.map(Action::as_str)))]
        action: Option<String>,
    },
    /// Write the whole log, one JSON document a line, oldest first
    #[command(after_help = "Examples:
  countersign audit export --output audit.jsonl
  countersign audit export | jq -r 'select(.action == \"pause.decided\") | .subject'")]
    Export {
        /// A file to write to; it is there only once it is whole [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check that no entry of the log was changed, removed or moved since it was sealed
    ///
    /// Computes the hash of every entry anew, here and not on the host, and prints the head of the log: SEQ:HASH of its
    /// last entry. Keep it where those who run the host and its database cannot reach it: only a head that was kept
    /// shows that the end of the log was cut off, or that all of it was written anew. docs/audit.md has the form of the
    /// hash.
    #[command(after_help = "Exit code 1: the log is not as it was sealed.

Examples:
  countersign audit verify
  countersign audit verify --head 1207:5f1c…
  countersign audit verify --file audit.jsonl")]
    Verify {
        /// A log that was exported [default: ask the host]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The head of an earlier time, which the log must contain
        #[arg(long, value_name = "SEQ:HASH", value_parser = head)]
        head: Option<Head>,
    },
}

/// A time, as the API takes it.
#[derive(Debug, Clone)]
pub(crate) struct Since(String);

fn since(text: &str) -> Result<Since, String> {
    if time::parse(text).is_some() {
        return Ok(Since(text.to_owned()));
    }
    let ago = time::span(text).and_then(|span| DateTime::from_timestamp_millis(time::now().checked_sub(span)?));
    let ago = ago.filter(|at| *at >= DateTime::UNIX_EPOCH).map(|at| Since(audit::time(at)));
    ago.ok_or_else(|| "a time is like 2026-01-01T00:00:00Z, or like 90m, 24h or 7d ago".into())
}

fn head(text: &str) -> Result<Head, NotAHead> {
    text.parse()
}

/// An entry, as far as the list shows it.
#[derive(Debug, Deserialize)]
struct Item {
    seq: u64,
    at: String,
    actor: String,
    actor_name: Option<String>,
    action: String,
    subject: String,
}

/// Lists, exports or verifies the log. A file is verified without a client.
pub(crate) async fn audit(
    command: AuditCommand,
    client: impl FnOnce() -> Result<Client, Failure>,
    out: Output,
) -> Result<(), Failure> {
    match command {
        AuditCommand::List { since, action } => list(&since, action.as_deref(), &client()?, out).await,
        AuditCommand::Export { output } => export(output.as_deref(), &client()?, out).await,
        AuditCommand::Verify { file: Some(file), head } => {
            let mut log = Log::new(head);
            let read = |why| Failure::Usage(format!("{} cannot be read: {why}", file.display()));
            for line in BufReader::new(File::open(&file).map_err(read)?).lines() {
                log.line(&line.map_err(read)?)?;
            }
            log.end(out)
        }
        AuditCommand::Verify { file: None, head } => {
            let (client, mut log) = (client()?, Log::new(head));
            let mut lines = Lines::open(&client, EXPORT).await?;
            while let Some(batch) = lines.next().await? {
                batch.lines().try_for_each(|line| log.line(line))?;
            }
            log.end(out)
        }
    }
}

async fn list(since: &Since, action: Option<&str>, client: &Client, out: Output) -> Result<(), Failure> {
    let query = [("since", Some(since.0.as_str())), ("action", action)];
    let reply = client.list(&with_query("/v1/audit", &query)).await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let mut table = Table::new(["SEQ", "WHEN", "WHO", "ACTION", "SUBJECT"]);
    let now = time::now();
    for item in reply.items::<Item>()?.0 {
        let who = item.actor_name.filter(|name| !name.is_empty()).unwrap_or(item.actor);
        table.row([item.seq.to_string(), time::relative(&item.at, now), who, item.action, item.subject]);
    }
    Ok(out.table(&table, "Nothing since then. --since 30d looks further back.")?)
}

async fn export(output: Option<&Path>, client: &Client, out: Output) -> Result<(), Failure> {
    let mut lines = Lines::open(client, EXPORT).await?;
    let Some(path) = output else {
        while let Some(batch) = lines.next().await? {
            out.document(batch.trim_end_matches('\n'))?;
        }
        return Ok(());
    };
    let part = path.with_added_extension("part");
    let failed = |why: std::io::Error| Failure::Failed(format!("{} cannot be written: {why}", path.display()));
    let mut file = BufWriter::new(File::create(&part).map_err(failed)?);
    let mut count = 0;
    while let Some(batch) = lines.next().await? {
        file.write_all(batch.as_bytes()).map_err(failed)?;
        count += batch.lines().count();
    }
    file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)?;
    out.note(&format!("{count} entries"));
    Ok(())
}

/// A log that is being verified.
struct Log {
    chain: Chain,
    lines: u64,
}

impl Log {
    fn new(head: Option<Head>) -> Self {
        Self { chain: Chain::new(head), lines: 0 }
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.lines += 1;
        let entry = serde_json::from_str(line);
        let entry = entry.map_err(|why| Failure::Failed(format!("line {} is no entry: {why}", self.lines)))?;
        self.chain.push(&entry);
        Ok(())
    }

    fn end(self, out: Output) -> Result<(), Failure> {
        let head = self.chain.end().map_err(|fault| Failure::Failed(fault.to_string()))?;
        if out.json {
            return Ok(out.document(&json!({"entries": head.seq, "head": head.to_string()}).to_string())?);
        }
        out.line(&head.to_string())?;
        out.note(&format!(
            "{} entries, all as they were sealed. The line above is the head: keep it elsewhere, for --head.",
            head.seq
        ));
        Ok(())
    }
}
