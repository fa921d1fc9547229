//! One drive of one execution: replay what is in the journal, go on live, suspend or settle.

use std::sync::Arc;

use super::Worker;
use super::live::{Live, Next};
use super::room::{Newcomer, Place};
use crate::crash;
use crate::db;
use crate::db::claims::{Claim, Fenced};
use crate::db::entries::{NewEntries, NewEntry};
use crate::db::logs::LogLine;
use crate::db::outcomes::Outcome;
use crate::db::recall::Recalled;
use crate::execution::Failure;
use crate::guest::{Call, Component, Guest, State, Stream};
use crate::journal::{Answer, Entry};
use crate::limits::Limits;
use crate::link::redact;

/// How an attempt ended.
pub(super) enum End {
    /// It waits, as rows.
    Suspended,
    /// It has its outcome.
    Settled,
    /// It is not ours any more, or must not be.
    Lost,
    /// There is no room for it, which has grown beyond what was expected of it.
    Evicted,
}

impl End {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Settled => "settled",
            Self::Lost => "lost",
            Self::Evicted => "evicted",
        }
    }
}

/// What the host failed at. Another attempt may succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error("the component of version {0} is not in the database")]
    NoComponent(i32),
    #[error("the component could not be made ready: {0}")]
    Component(#[from] crate::guest::Uncompiled),
    #[error("the host that drove it vanished")]
    Vanished,
    #[error("the answer to ask {0} does not fit it")]
    Misfit(u64),
}

/// Drives an execution until it waits, has ended, or is not ours any more.
///
/// No transaction is open while the guest runs or a model answers. What it was told so far may have been `recalled` already.
pub(super) async fn drive(worker: &Worker, claim: &Claim, recalled: Option<Recalled>) -> Result<End, Error> {
    let component = component(worker, claim).await?;
    let newcomer = Newcomer {
        tenant: &claim.tenant,
        execution: &claim.execution,
        digest: &claim.digest,
        at_start: component.memory_at_start(),
    };
    match worker.room.enter(newcomer).await {
        Ok(place) => tokio::select! {
            end = drive_instance(worker, claim, &component, &place, recalled) => end,
            () = place.evicted() => Ok(End::Evicted),
        },
        Err(too_large) => {
            let failure = Failure::host("memory_limit", too_large.to_string());
            settle(worker, claim, NewEntries::default(), &Outcome::Failed(failure)).await
        }
    }
}

async fn drive_instance(
    worker: &Worker,
    claim: &Claim,
    component: &Component,
    place: &Place,
    recalled: Option<Recalled>,
) -> Result<End, Error> {
    let limits = worker.db.limits(&claim.tenant, claim.limit_set).await?;
    let mut guest = start(claim, &limits, component);
    place.is_of(guest.memory());
    // The first slice needs nothing of the journal, and is done before that is read.
    let recall = async {
        match recalled {
            Some(recalled) => Ok(recalled),
            None => worker.db.recall(claim).await,
        }
    };
    let (recalled, ()) = tokio::join!(recall, guest.run_slice());
    let Recalled { mut journal, unread } = recalled?;
    let entries = journal.entries();
    let mut live = Live::new(worker, claim, &limits, entries, unread);
    live.note(&mut guest);
    let mut attempt = Attempt { worker, claim, limits: &limits, guest, live, live_from: entries, journal_bytes: 0 };
    let mut replayed = 0;
    while let Some(page) = journal.next().await? {
        attempt.journal_bytes += page.bytes;
        for entry in &page.entries {
            if let Err(failure) = attempt.replay(replayed, entry).await {
                return attempt.settle(Outcome::Failed(failure)).await;
            }
            replayed += 1;
        }
    }
    crash::point("after_replay");
    attempt.go_on().await
}

/// Writes that the host has failed at this execution for good.
pub(super) async fn give_up(worker: &Worker, claim: &Claim, error: &Error) -> db::Result<()> {
    let message = format!(
        "attempts at it failed {} times in a row by the host's fault, the last time because: {error}",
        claim.failures
    );
    let outcome = Outcome::Failed(Failure::host("host_failure", message));
    worker.db.settle(claim, NewEntries::default(), &outcome).await.map(|_| ())
}

async fn settle(worker: &Worker, claim: &Claim, told: NewEntries<'_>, outcome: &Outcome) -> Result<End, Error> {
    crash::point("before_settle");
    let settled = worker.db.settle(claim, told, outcome).await?;
    crash::point("after_settle");
    Ok(if settled.is_ok() { End::Settled } else { End::Lost })
}

async fn component(worker: &Worker, claim: &Claim) -> Result<Component, Error> {
    if let Some(component) = worker.cache.find(&claim.digest).await {
        return Ok(component);
    }
    let wasm = worker.db.component_bytes(&claim.tenant, &claim.digest).await?;
    let wasm: Arc<[u8]> = wasm.ok_or(Error::NoComponent(claim.version))?.into();
    Ok(worker.cache.compile_for(&claim.tenant, &claim.digest, wasm).await?)
}

fn start(claim: &Claim, limits: &Limits, component: &Component) -> Guest {
    let call = Call {
        execution_id: claim.execution.clone(),
        function: claim.function.clone(),
        input: claim.input.clone(),
        seed: claim.seed,
        started: claim.started,
        limits: limits.clone(),
        is_replay: claim.attempts > 1,
    };
    Guest::start_of(&claim.tenant, component, call)
}

struct Attempt<'a> {
    worker: &'a Worker,
    claim: &'a Claim,
    limits: &'a Limits,
    guest: Guest,
    live: Live<'a>,
    /// How many entries there were when the attempt began.
    live_from: usize,
    journal_bytes: usize,
}

impl Attempt<'_> {
    /// Gives the guest the answer of journal entry `seq`, and runs the next slice.
    async fn replay(&mut self, seq: usize, entry: &Entry) -> Result<(), Failure> {
        // By a limit that it reached earlier this time; what it asked is not to blame.
        if let State::Failed(failure) = self.guest.state() {
            return Err(failure.clone());
        }
        let replayed = self.guest.replay(seq, entry);
        replayed.map_err(|mismatch| Failure::guest("mismatch", mismatch.to_string()))?;
        self.live.answered(entry.op, &entry.answer);
        // What was printed in a slice whose end is in the journal has been kept.
        self.guest.take_log();
        self.run_slice().await;
        Ok(())
    }

    /// Beyond the journal: starts the effects of open asks, and delivers what arrives first.
    async fn go_on(mut self) -> Result<End, Error> {
        loop {
            if let Err(Fenced) = self.keep_log().await? {
                return Ok(End::Lost);
            }
            if let Some(end) = self.guest.state().end() {
                return self.settle(end.map_or_else(Outcome::Failed, Outcome::Succeeded)).await;
            }
            let (op, answer, kept) = match self.live.next().await? {
                Next::Answer(op, answer, kept) => (op, answer, kept),
                Next::Suspended => return Ok(End::Suspended),
                Next::Lost => return Ok(End::Lost),
            };
            let Some(ask) = self.live.text_of(op) else { continue };
            let at = self.claim.now().max(self.guest.now());
            let is_only_here = matches!(answer, Answer::Ai(_));
            let entry = NewEntry { op, ask, answer: answer.to_text(), at, is_only_here };
            let bytes = entry.bytes();
            self.journal_bytes += bytes;
            if let Some(failure) = self.limits.journal_failure(bytes, self.journal_bytes) {
                return self.settle(Outcome::Failed(failure)).await;
            }
            if let Err(Fenced) = self.live.record.add(entry, kept).await? {
                return Ok(End::Lost);
            }
            self.live.answered(op, &answer);
            if !self.guest.deliver(op, answer, at) {
                return Err(Error::Misfit(op));
            }
            self.run_slice().await;
        }
    }

    async fn run_slice(&mut self) {
        self.guest.run_slice().await;
        self.live.note(&mut self.guest);
    }

    async fn settle(self, outcome: Outcome) -> Result<End, Error> {
        let Self { worker, claim, live, .. } = self;
        settle(worker, claim, live.record.unwritten(), &outcome).await
    }

    /// Keeps what the guest printed since the last time: all of a slice whose end is not yet in the journal.
    async fn keep_log(&mut self) -> Result<Result<(), Fenced>, Error> {
        let lines: Vec<LogLine> = self
            .guest
            .take_log()
            .into_iter()
            .filter(|line| line.slice >= self.live_from)
            .map(|line| LogLine {
                slice: i32::try_from(line.slice).unwrap_or(i32::MAX),
                line: i32::try_from(line.line).unwrap_or(i32::MAX),
                stream: match line.stream {
                    Stream::Stdout => "stdout".into(),
                    Stream::Stderr => "stderr".into(),
                },
                // Whoever may see the log must not be able to decide by a link in it.
                text: redact(&line.text).into_owned(),
            })
            .collect();
        if lines.is_empty() {
            return Ok(Ok(()));
        }
        if let Err(fenced) = self.live.record.write().await? {
            return Ok(Err(fenced));
        }
        Ok(self.worker.db.append_logs(self.claim, &lines, self.limits.log_bytes).await?)
    }
}
