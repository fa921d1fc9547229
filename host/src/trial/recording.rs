//! A recording: the journal of one execution with all that it takes to replay it, as a file. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::execution::{ASKS_MAX, Blame, Failure, JSON_BYTES_MAX, hex};
use crate::journal::{Answer, Ask, Entry, Millis};
use crate::limits::Limits;

/// What the file says that it is. Another form will have another number.
pub const FORMAT: &str = "countersign-journal/1";

/// Largest file that is read, in bytes. The largest journal takes less, laid out for people.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// One execution: what it was started with, what it asked and was told, and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// What the component calls itself, or what it was deployed as.
    pub agent: String,
    /// `sha256:…` of the component, if it is known.
    pub digest: Option<String>,
    pub function: String,
    /// JSON text, to the byte as the agent got it.
    pub input: String,
    pub seed: [u8; 32],
    pub started: Millis,
    pub execution_id: String,
    /// What it was started with; none: the defaults.
    pub limits: Option<Limits>,
    pub entries: Vec<Entry>,
    /// None: it has not ended, or was cancelled.
    pub end: Option<Result<String, Failure>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<E> {
    format: String,
    agent: String,
    digest: Option<String>,
    function: String,
    input: Box<RawValue>,
    seed: String,
    started: DateTime<Utc>,
    execution_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    entries: Vec<E>,
    end: Option<End>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Result(Box<RawValue>),
    Error(Fault),
}

#[derive(Serialize, Deserialize)]
struct Fault {
    code: String,
    message: String,
    blame: Blame,
    #[serde(default)]
    detail: Option<Box<RawValue>>,
}

/// An entry, as the API has it, too.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<A> {
    seq: u64,
    op: u64,
    at: DateTime<Utc>,
    ask: A,
    answer: Answer,
}

impl Recording {
    /// Reads a file. An error says what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            format: Option<Value>,
        }
        let head: Head = serde_json::from_str(text).map_err(|why| format!("it is no JSON object: {why}"))?;
        match head.format {
            Some(Value::String(format)) if format == FORMAT => {}
            Some(other) => return Err(format!("its format is {other}; this version reads \"{FORMAT}\"")),
            None => return Err(format!("it is no journal file: it has no \"format\":\"{FORMAT}\"")),
        }
        let file: File<Box<RawValue>> = serde_json::from_str(text).map_err(|why| why.to_string())?;
        if file.input.get().len() > JSON_BYTES_MAX {
            return Err(format!("`input` has more than {JSON_BYTES_MAX} bytes"));
        }
        Ok(Self {
            agent: file.agent,
            digest: file.digest,
            function: file.function,
            input: file.input.get().to_owned(),
            seed: seed(&file.seed).ok_or("`seed` must be 64 hexadecimal digits")?,
            started: millis(file.started).ok_or("`started` is before 1970")?,
            execution_id: file.execution_id,
            limits: file.limits,
            entries: entries(&file.entries)?,
            end: file.end.map(|end| match end {
                End::Result(result) => Ok(result.get().to_owned()),
                End::Error(Fault { code, message, blame, detail }) => {
                    Err(Failure { code, message, blame, detail: detail.map(|detail| detail.get().to_owned()) })
                }
            }),
        })
    }

    /// The file's text, laid out for people and for `diff`.
    ///
    /// # Errors
    ///
    /// Something in it is no JSON, or a time that no calendar has.
    pub fn to_text(&self) -> serde_json::Result<String> {
        let raw = |text: &String| RawValue::from_string(text.clone());
        let lines = self.entries.iter().enumerate().map(|(seq, entry)| {
            let ask: Ask = serde_json::from_str(&entry.ask)?;
            Ok(Line { seq: seq as u64, op: entry.op, at: time(entry.at)?, ask, answer: entry.answer.clone() })
        });
        let end = match &self.end {
            None => None,
            Some(Ok(result)) => Some(End::Result(raw(result)?)),
            Some(Err(Failure { code, message, blame, detail })) => Some(End::Error(Fault {
                code: code.clone(),
                message: message.clone(),
                blame: *blame,
                detail: detail.as_ref().map(raw).transpose()?,
            })),
        };
        let file = File {
            format: FORMAT.into(),
            agent: self.agent.clone(),
            digest: self.digest.clone(),
            function: self.function.clone(),
            input: raw(&self.input)?,
            seed: hex(&self.seed),
            started: time(self.started)?,
            execution_id: self.execution_id.clone(),
            limits: self.limits.clone(),
            entries: lines.collect::<serde_json::Result<Vec<Line<Ask>>>>()?,
            end,
        };
        Ok(serde_json::to_string_pretty(&file)? + "\n")
    }
}

/// Reads entries, as the API and the files have them.
pub fn entries(lines: &[Box<RawValue>]) -> Result<Vec<Entry>, String> {
    if lines.len() as u64 > ASKS_MAX {
        return Err(format!("it has {} entries; an execution has at most {ASKS_MAX}", lines.len()));
    }
    let read = |(seq, line)| entry(seq as u64, line).map_err(|why| format!("entries[{seq}]: {why}"));
    lines.iter().map(|line| line.get()).enumerate().map(read).collect()
}

fn entry(seq: u64, line: &str) -> Result<Entry, String> {
    let line: Line<Box<RawValue>> = serde_json::from_str(line).map_err(|why| why.to_string())?;
    if line.seq != seq {
        return Err(format!("its `seq` is {}, not {seq}: entries are missing, doubled or out of order", line.seq));
    }
    let ask: Ask = serde_json::from_str(line.ask.get()).map_err(|why| format!("`ask`: {why}"))?;
    let text = ask.to_text();
    // What this version does not know, it could not compare.
    let value = |text: &str| serde_json::from_str::<Value>(text).map_err(|why| why.to_string());
    if value(line.ask.get())? != value(&text)? {
        return Err("`ask` has fields that this version of Countersign does not know".into());
    }
    if !line.answer.fits(&ask) {
        return Err(format!("`answer` is of another kind than `ask`, which is {}", ask.kind()));
    }
    let at = millis(line.at).ok_or("`at` is before 1970")?;
    Ok(Entry { op: line.op, ask: text, answer: line.answer, at })
}

/// 32 bytes from 64 hexadecimal digits.
pub fn seed(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()?;
    }
    // `from_str_radix` takes a sign.
    (hex(&bytes) == text.to_ascii_lowercase()).then_some(bytes)
}

fn millis(time: DateTime<Utc>) -> Option<Millis> {
    time.timestamp_millis().try_into().ok()
}

fn time(millis: Millis) -> serde_json::Result<DateTime<Utc>> {
    let time = millis.try_into().ok().and_then(DateTime::from_timestamp_millis);
    time.ok_or_else(|| serde::ser::Error::custom("a time that no calendar has"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Message, Prompt, Role};

    fn recording() -> Recording {
        let prompt = Prompt {
            messages: vec![Message { role: Role::User, content: "tick \"0\"\n".into() }],
            model: None,
            schema: Some("{ }".into()),
            temperature: Some(0.7),
            max_tokens: None,
        };
        Recording {
            agent: "a".into(),
            digest: Some("sha256:0".into()),
            function: "f".into(),
            input: "{\"z\": 1.50, \"a\":2}".into(),
            seed: [0xab; 32],
            started: 1_767_225_600_001,
            execution_id: "exec_0".into(),
            limits: Some(Limits { asks: 3, ..Limits::default() }),
            entries: vec![Entry {
                op: 3,
                ask: Ask::Ai(prompt).to_text(),
                answer: Answer::Ai(Err(crate::journal::AiError::RateLimited)),
                at: 1_767_225_600_010,
            }],
            end: Some(Err(Failure::agent(r#"{"code":"x","message":"y"}"#))),
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let recording = recording();
        assert_eq!(Recording::parse(&recording.to_text().unwrap()), Ok(recording));
    }

    #[test]
    fn what_is_no_journal_file_is_told_apart() {
        let text = recording().to_text().unwrap();
        for (from, to, why) in [
            ("journal/1", "journal/2", "this version reads \"countersign-journal/1\""),
            ("\"format\"", "\"from\"", "no journal file"),
            ("\"seq\": 0", "\"seq\": 1", "entries[0]: its `seq` is 1, not 0"),
            ("\"temperature\"", "\"warmth\"", "entries[0]: `ask` has fields that this version"),
            ("\"kind\": \"ai\"", "\"kind\": \"sleep\", \"duration_ms\": 1", "entries[0]: `ask` has fields"),
            ("\"rate_limited\"", "\"rate\"", "entries[0]: "),
            ("abab", "xyxy", "64 hexadecimal"),
            ("\n}\n", "", "it is no JSON object"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Recording::parse(&text.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(why), "{to}: {error}");
        }
        for text in ["", "[]", "7", "\"x\""] {
            assert!(Recording::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_seed_is_64_hexadecimal_digits() {
        assert_eq!(seed(&"0f".repeat(32)), Some([15; 32]));
        for bad in ["", "0f", &"+f".repeat(32), &"é".repeat(32)] {
            assert_eq!(seed(bad), None, "{bad}");
        }
    }
}
