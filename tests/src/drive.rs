//! Drives a guest in memory, without a database, a network or a clock: the host's `guest` is a pure state machine.

use std::sync::LazyLock;

use countersign::execution::Failure;
use countersign::guest::{Cache, CacheKey, Call, Component, Engine, LogLine, State};
use countersign::journal::{Answer, Ask, Completion, Entry, Mismatch, Review};
use countersign::limits::Limits;
use countersign::trial::{Question, Trial};
use sha2::{Digest as _, Sha256};

use crate::build::{guest, root};

/// What the clocks of a guest show at its start; each answer comes 10 ms after the one before.
pub const STARTED: u64 = 1_767_225_600_000;

/// Which of the open asks is answered next: an index into them.
pub type Pick = fn(seq: usize, open: usize) -> usize;

/// The oldest first, the newest first, and a mixture: as answers may arrive.
pub const PICKS: [(&str, Pick); 3] =
    [("oldest", |_, _| 0), ("newest", |_, open| open - 1), ("mixed", |seq, open| (seq * 7 + 3) % open)];

/// How an execution went.
#[derive(Debug, PartialEq)]
pub struct Run {
    pub journal: Vec<Entry>,
    pub end: State,
    pub log: Vec<LogLine>,
}

/// A guest, compiled.
pub async fn component(name: &str) -> Component {
    static CACHE: LazyLock<Cache> = LazyLock::new(|| cache(Engine::new().expect("an engine")));
    compile(&CACHE, name).await
}

/// The same, on an engine that knows no time.
pub async fn timeless_component(name: &str) -> Component {
    compile(&cache(Engine::timeless().expect("an engine")), name).await
}

fn cache(engine: Engine) -> Cache {
    let directory = root().join("target/test-hosts/shared/cache");
    std::fs::create_dir_all(&directory).expect("a folder for compiled guests");
    Cache::new(engine, directory, CacheKey::new([7; 32]))
}

async fn compile(cache: &Cache, name: &str) -> Component {
    let wasm = guest(name);
    let digest = Sha256::digest(&wasm).into();
    cache.compile(&digest, wasm.into()).await.expect("the guest fits the contract")
}

/// One call of a function, always of the same execution.
pub fn call(function: &str, input: &serde_json::Value) -> Call {
    Call {
        execution_id: format!("exec_{}", "0".repeat(32)),
        function: function.into(),
        input: input.to_string(),
        seed: [5; 32],
        started: STARTED,
        limits: Limits::default(),
        is_replay: false,
    }
}

/// Replays `journal`, then goes on to the end, answering in the order of `pick`.
pub async fn run(component: &Component, call: Call, journal: &[Entry], pick: Pick) -> Result<Run, Mismatch> {
    let mut trial = Trial::start(component, call).await;
    for entry in journal {
        trial.replay(entry).await?;
    }
    while trial.end().is_none() {
        let done = trial.entries().len();
        let (op, answer) = trial.known().unwrap_or_else(|| {
            let open: Vec<&Question> = trial.questions().collect();
            let asked = open[pick(done, open.len())];
            (asked.op, answer(&asked.ask))
        });
        trial.deliver(op, answer, STARTED + 10 * (done as u64 + 1)).await.expect("an open ask takes its answer");
    }
    Ok(Run { journal: trial.entries().to_vec(), end: trial.state().clone(), log: trial.take_log() })
}

/// The same answer to the same ask, always.
fn answer(ask: &Ask) -> Answer {
    match ask {
        Ask::Ai(prompt) => Answer::Ai(Ok(Completion {
            text: format!("echo: {}", prompt.messages.last().map_or("", |message| &message.content)),
            model: "m".into(),
            input_tokens: 1,
            output_tokens: 1,
        })),
        Ask::Pause(_) | Ask::WaitForResume { .. } => Answer::Review(Ok(Review {
            decision: "approved".into(),
            feedback: Some("Shorter.".into()),
            response: None,
            reviewer: Some("Ann".into()),
            decided_at_ms: STARTED,
            votes: vec![],
        })),
        Ask::ReviewLink { .. } => Answer::Link(Ok("https://countersign.invalid/r/x".into())),
        Ask::Call { input, .. } => Answer::Call(Ok(input.clone())),
        Ask::Sleep { .. } => Answer::Slept,
    }
}

/// The result of a run that ended well.
pub fn result(run: &Run) -> serde_json::Value {
    match &run.end {
        State::Returned(Ok(json)) => serde_json::from_str(json).expect("a result is JSON"),
        end => panic!("it ended otherwise: {end:?}"),
    }
}

/// The failure of a run that did not.
pub fn failure(run: &Run) -> &Failure {
    match &run.end {
        State::Failed(failure) => failure,
        end => panic!("it ended otherwise: {end:?}"),
    }
}
