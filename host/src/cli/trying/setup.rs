//! What a trial starts with: from the command line, and from a recording if it has one.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::TryArgs;
use crate::cli::failure::Failure;
use crate::cli::local::Local;
use crate::cli::run::read_json;
use crate::cli::time;
use crate::execution::{JSON_BYTES_MAX, is_execution_id};
use crate::guest::{Call, Function, Manifest};
use crate::journal::Entry;
use crate::random;
use crate::schema::Schema;
use crate::trial::answers::Answers;
use crate::trial::recording::{self, FILE_BYTES_MAX, Recording};

/// What the format of a recording begins with, of whatever number, and within how many bytes from the file's beginning.
const FORMAT_BEGIN: &str = "\"countersign-journal/";
const HEAD_BYTES: u64 = 256;

/// What an answers file holds.
pub(super) enum Given {
    Recording(Box<Recording>),
    /// A journal without its execution.
    Entries(Vec<Entry>),
    Answers(Answers),
}

impl Given {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = read_text(path)?;
        Self::parse(&text).map_err(|why| Failure::Usage(format!("{}: {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            return Ok(Self::Recording(Box::new(Recording::parse(text)?)));
        }
        let items: Vec<Box<RawValue>> =
            serde_json::from_str(text).map_err(|why| format!("it is neither a journal file nor a JSON list: {why}"))?;
        let is_entry = |item: &RawValue| {
            serde_json::from_str::<BTreeMap<String, IgnoredAny>>(item.get())
                .is_ok_and(|fields| fields.contains_key("ask"))
        };
        if items.first().is_some_and(|first| is_entry(first)) {
            return Ok(Self::Entries(recording::entries(&items)?));
        }
        Ok(Self::Answers(Answers::parse(text)?))
    }
}

/// Reads a text file of bounded size.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let unreadable = |why: &dyn std::fmt::Display| Failure::Usage(format!("cannot read {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|why| unreadable(&why))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|why| unreadable(&why))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(&format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The recording that a trial makes, still without entries.
pub(super) fn start(args: &TryArgs, given: Option<&Recording>, local: &Local) -> Result<Recording, Failure> {
    let wanted = args.function.as_deref().or(given.map(|given| given.function.as_str()));
    let function = function(&local.manifest, wanted)?;
    let input = match (&args.input, given) {
        (Some(input), _) => read_json("--input", input)?.get().to_owned(),
        (None, Some(given)) => given.input.clone(),
        (None, None) => "{}".into(),
    };
    check_input(function, &input)?;
    let execution_id = args.execution_id.clone().or(given.map(|given| given.execution_id.clone()));
    if let Some(id) = args.execution_id.as_ref().filter(|id| !is_execution_id(id)) {
        return Err(Failure::Usage(format!(
            "--execution-id {id}: it must be exec_ and 32 hexadecimal digits, lower case"
        )));
    }
    let seed = args.seed.as_deref().map(|text| {
        recording::seed(text).ok_or_else(|| Failure::Usage("--seed: it must be 64 hexadecimal digits".into()))
    });
    let started = args.started.as_deref().map(|text| {
        let millis = time::parse(text).and_then(|millis| millis.try_into().ok());
        millis.ok_or_else(|| Failure::Usage(format!("--started {text}: it must be like 2026-01-01T00:00:00Z")))
    });
    Ok(Recording {
        agent: local.manifest.name.clone(),
        digest: Some(local.digest.clone()),
        function: function.name.clone(),
        input,
        seed: seed.transpose()?.or(given.map(|given| given.seed)).unwrap_or_else(random::bytes32),
        started: started
            .transpose()?
            .or(given.map(|given| given.started))
            .unwrap_or_else(|| time::now().unsigned_abs()),
        execution_id: execution_id.unwrap_or_else(random::execution_id),
        limits: given.and_then(|given| given.limits.clone()),
        entries: vec![],
        end: None,
    })
}

/// The call of a guest that a recording is of.
pub(crate) fn call(recording: &Recording, is_replay: bool) -> Call {
    Call {
        execution_id: recording.execution_id.clone(),
        function: recording.function.clone(),
        input: recording.input.clone(),
        seed: recording.seed,
        started: recording.started,
        limits: recording.limits.clone().unwrap_or_default(),
        is_replay,
    }
}

/// The function of this name; without a name, the only one.
pub(crate) fn function<'a>(manifest: &'a Manifest, wanted: Option<&str>) -> Result<&'a Function, Failure> {
    let names = || manifest.functions.iter().map(|function| function.name.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted, manifest.functions.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(Failure::Usage(format!("the agent has several functions; name one with --function: {}", names())))
        }
        (Some(wanted), all) => all
            .iter()
            .find(|function| function.name == wanted)
            .ok_or_else(|| Failure::Usage(format!("the agent has no function {wanted:?}; it has {}", names()))),
    }
}

/// As a host checks the input of an execution that a client starts.
fn check_input(function: &Function, input: &str) -> Result<(), Failure> {
    if input.len() > JSON_BYTES_MAX {
        return Err(Failure::Usage(format!("--input has more than {JSON_BYTES_MAX} bytes")));
    }
    let Some(schema) = &function.input_schema else { return Ok(()) };
    Schema::parse(&schema.to_string())
        .and_then(|schema| schema.check(input))
        .map_err(|why| Failure::Usage(format!("--input does not satisfy the schema of {}: {why}", function.name)))
}

/// Where the journal of a trial of this component is written; looked at before somebody gives answers that could then
/// not be kept.
pub(super) fn journal_path(args: &TryArgs) -> Result<PathBuf, Failure> {
    let path = match &args.journal {
        Some(path) => path.clone(),
        None => crate::cli::local::file(&args.component)?.with_extension("journal.json"),
    };
    check_place(&path)?;
    if is_replaced(&path) {
        let temporary = Temporary::beside(&path);
        std::fs::write(&temporary.0, "").map_err(|why| unwritable(&path, &why))?;
    }
    Ok(path)
}

/// Refuses a file that is no recording: an answers file or a component is named in the wrong place sooner or later.
fn check_place(path: &Path) -> Result<(), Failure> {
    if !path.is_file() {
        return Ok(());
    }
    let mut head = vec![];
    let read = std::fs::File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.map_err(|why| unwritable(path, &why))?;
    if head.is_empty() || String::from_utf8_lossy(&head).contains(FORMAT_BEGIN) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{} is there and is no journal, so it is not overwritten; choose another --journal, or remove it",
        path.display()
    )))
}

/// Writes a recording to a file, whole or not at all. What is no regular file, like a pipe, is written to.
pub(crate) fn save(recording: &Recording, path: &Path) -> Result<(), Failure> {
    check_place(path)?;
    let text = recording.to_text().map_err(|why| unwritable(path, &why))?;
    if !is_replaced(path) {
        return std::fs::write(path, text).map_err(|why| unwritable(path, &why));
    }
    let temporary = Temporary::beside(path);
    std::fs::write(&temporary.0, text)
        .and_then(|()| std::fs::rename(&temporary.0, target(path)))
        .map_err(|why| unwritable(path, &why))
}

/// Whether a recording takes the place of what is at `path`, rather than being written to it.
fn is_replaced(path: &Path) -> bool {
    path.is_file() || !path.exists()
}

/// A link stays a link.
fn target(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn unwritable(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::Failed(format!("cannot write {}: {why}", path.display()))
}

/// A file beside the one that it becomes, removed unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path) -> Self {
        Self(target(path).with_extension(format!("{}.tmp", uuid::Uuid::new_v4())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Mostly gone already.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Recording {
        Recording {
            agent: "a".into(),
            digest: None,
            function: "f".into(),
            input: "{}".into(),
            seed: [0; 32],
            started: 0,
            execution_id: random::execution_id(),
            limits: None,
            entries: vec![],
            end: None,
        }
    }

    #[test]
    fn a_journal_overwrites_journals_only() {
        let dir = std::env::temp_dir().join(format!("countersign-setup-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).expect("a folder");
        let path = dir.join("a.json");
        for _ in 0..2 {
            save(&recording(), &path).expect("nothing, or a journal");
        }
        for precious in ["[\"an answer\"]", "\0asm", "{\"format\": \"mine\"}"] {
            std::fs::write(&path, precious).expect("a file");
            let why = save(&recording(), &path).expect_err(precious);
            assert!(matches!(why, Failure::Usage(why) if why.contains("no journal")));
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), precious);
        }
        assert_eq!(std::fs::read_dir(&dir).expect("it is there").count(), 1, "nothing is left behind");
        std::fs::remove_dir_all(dir).expect("it is ours");
    }
}
