//! The replay of a recording in a trial, and the account of where the agent leaves it.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::asks;
use super::text::{clean, clip, count};
use crate::execution::Failure;
use crate::guest::LogLine;
use crate::journal::{Ask, Entry};
use crate::trial::Trial;
use crate::trial::compare::{Difference, differences, hint};

/// How many lines of the log are shown before the place.
const LOG_LINES: usize = 10;

/// How many open asks are named.
const OPEN_SHOWN: usize = 5;

/// The agent asked something else than the journal holds, or had ended.
#[derive(Debug)]
pub(crate) struct Divergence {
    seq: usize,
    op: u64,
    /// The ask's text in the journal.
    recorded: String,
    /// The text of what the agent asked instead, as the same op.
    asked: Option<String>,
    /// The ops and names of the asks that are open.
    open: Vec<(u64, String)>,
    ended: Option<Result<String, Failure>>,
    log: Vec<LogLine>,
    same_component: bool,
}

/// Replays all `entries`. `each` sees every step, and what the agent printed in its last slice.
pub(crate) async fn replay(
    trial: &mut Trial,
    entries: &[Entry],
    same_component: bool,
    mut each: impl FnMut(Option<(usize, &Entry)>, &[LogLine]),
) -> Result<(), Divergence> {
    let mut log = VecDeque::new();
    let mut print = |trial: &mut Trial, step: Option<(usize, &Entry)>, log: &mut VecDeque<LogLine>| {
        let lines = trial.take_log();
        each(step, &lines);
        log.extend(lines);
        log.drain(..log.len().saturating_sub(LOG_LINES));
    };
    print(trial, None, &mut log);
    for (seq, entry) in entries.iter().enumerate() {
        let ended = trial.end();
        let mismatch = if ended.is_some() { None } else { trial.replay(entry).await.err() };
        if ended.is_some() || mismatch.is_some() {
            let asked = mismatch.and_then(|mismatch| mismatch.asked).filter(|asked| parse(asked).is_some());
            let open = trial.questions().map(|question| (question.op, asks::name(&question.ask)));
            return Err(Divergence {
                seq,
                op: entry.op,
                recorded: entry.ask.clone(),
                asked,
                open: open.collect(),
                ended,
                log: log.into(),
                same_component,
            });
        }
        print(trial, Some((seq, entry)), &mut log);
    }
    Ok(())
}

/// An ask from its journal form.
pub(crate) fn parse(text: &str) -> Option<Ask> {
    serde_json::from_str(text).ok()
}

impl Divergence {
    /// The account, for people.
    pub(crate) fn to_text(&self) -> String {
        let name = parse(&self.recorded).map(|ask| asks::name(&ask)).unwrap_or_default();
        let mut text = format!("diverges at entry {}, which answers ask {} ({name})\n", self.seq, self.op);
        match (&self.asked, &self.ended) {
            (Some(asked), _) => {
                for Difference { field, recorded, asked } in differences(&self.recorded, asked) {
                    let value = |value: Option<String>| value.map_or_else(|| "(not there)".into(), |text| clean(&text));
                    let _ = writeln!(text, "\n  {}", clean(&field));
                    let _ = writeln!(text, "    recorded  {}", value(recorded));
                    let _ = writeln!(text, "    asked     {}", value(asked));
                }
            }
            (None, ended) => {
                let _ = writeln!(text, "\n  recorded  {}", clip(&clean(&self.recorded), 400));
                let _ = writeln!(text, "  asked     {}", self.instead(ended.as_ref()));
            }
        }
        if !self.log.is_empty() {
            let _ = writeln!(text, "\nThe last lines of its log:");
            for line in &self.log {
                let _ = writeln!(text, "{}", asks::log_line(line));
            }
        }
        let _ = write!(text, "\n{}", hint(&self.recorded, self.asked.as_deref(), self.same_component));
        text
    }

    fn instead(&self, ended: Option<&Result<String, Failure>>) -> String {
        match ended {
            Some(Ok(result)) => return format!("nothing: it had returned {}", clip(&clean(result), 400)),
            Some(Err(failure)) => {
                return format!("nothing: it had failed: {} ({})", clip(&clean(&failure.message), 400), failure.code);
            }
            None => {}
        }
        let names: Vec<String> = self.open.iter().take(OPEN_SHOWN).map(|(op, name)| format!("{op} ({name})")).collect();
        let more = self.open.len().saturating_sub(OPEN_SHOWN);
        let more = if more > 0 { format!(" and {}", count(more, "more ask")) } else { String::new() };
        format!("nothing as ask {}; open are {}{more}", self.op, names.join(", "))
    }

    /// The same, for programs.
    pub(crate) fn to_json(&self) -> Value {
        let document = |text: &String| serde_json::from_str::<Value>(text).unwrap_or_default();
        let fields = self.asked.iter().flat_map(|asked| differences(&self.recorded, asked));
        let differences: Vec<Value> = fields
            .map(|Difference { field, recorded, asked }| json!({"field": field, "recorded": recorded, "asked": asked}))
            .collect();
        json!({
            "seq": self.seq,
            "op": self.op,
            "recorded": document(&self.recorded),
            "asked": self.asked.as_ref().map(document),
            "ended": self.ended.as_ref().map(end_json),
            "differences": differences,
            "log": self.log.iter().map(|line| &line.text).collect::<Vec<_>>(),
            "hint": hint(&self.recorded, self.asked.as_deref(), self.same_component),
        })
    }
}

/// How an execution ended, as the files have it.
pub(crate) fn end_json(end: &Result<String, Failure>) -> Value {
    match end {
        Ok(result) => json!({"result": serde_json::from_str::<Value>(result).unwrap_or_default()}),
        Err(failure) => {
            let text = serde_json::to_string(failure).unwrap_or_default();
            json!({"error": serde_json::from_str::<Value>(&Failure::public_text(&text)).unwrap_or_default()})
        }
    }
}
