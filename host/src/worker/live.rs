//! What the open asks of a live execution wait for, and which of their answers comes next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use super::Worker;
use super::attempt::Error;
use super::record::Record;
use super::wait::Wait;
use crate::crash;
use crate::db::answers::{Arrived, BATCH, ForWhom};
use crate::db::bell::{Ear, Ends};
use crate::db::claims::{Claim, Fenced};
use crate::db::outcomes::{Suspended, Suspension};
use crate::db::pauses::NewPause;
use crate::effects::call::{Begun, Caller};
use crate::effects::deadline;
use crate::effects::pause::{self, Numbering};
use crate::execution::{child_id, is_approval_request_id};
use crate::guest::{Guest, OpenAsk};
use crate::journal::{AiError, Answer, Ask, Millis, PauseError, Review};
use crate::limits::Limits;
use crate::link::LIFE_MS_MAX;

/// A wait that is over this soon is waited for with the instance in memory: suspending would take as long.
const LINGER_MS: Millis = 20;

/// How long a call that was just made is waited for with the instance in memory. Most are over by then, and suspending for
/// them, to be claimed and replayed at once, would take longer than they do.
const CALL_LINGER: Duration = Duration::from_millis(50);

/// How long to wait for a model before looking again whether another answer has arrived.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What happens next to a live execution.
pub(super) enum Next {
    /// This ask is answered. It is still open.
    Answer(u64, Answer, Kept),
    /// Nothing, until an answer arrives or a time comes: it is `waiting`.
    Suspended,
    Lost,
}

/// Where an answer is found by the next attempt, if it is in no journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// In a row of its own, which is on disk: a decision, or the outcome of a call.
    InRows,
    /// Nowhere: it would be found anew.
    Nowhere,
}

pub(super) struct Live<'a> {
    worker: &'a Worker,
    claim: &'a Claim,
    limits: &'a Limits,
    /// What the guest was told.
    pub(super) record: Record<'a>,
    open: BTreeMap<u64, (OpenAsk, Wait)>,
    models: JoinSet<(u64, Answer)>,
    numbering: Numbering,
    /// The `approval_request_id`s of the pauses that were asked for, by `op`.
    ids: HashMap<u64, String>,
    /// Pauses that are planned, but not yet in the database.
    unopened: Vec<NewPause>,
    /// What the guest has given up, and the database does not know yet.
    closed_pauses: BTreeSet<String>,
    closed_calls: Vec<String>,
    /// Answers that were found in the database, oldest first.
    arrived: Vec<Arrived>,
    /// Whether the database may hold answers that we have not looked at.
    look: bool,
    bell: Ear,
    /// Since the last call that this attempt has made: until when it is waited for here, and who hears of its end.
    call: Option<(Instant, Ends)>,
}

impl<'a> Live<'a> {
    /// Goes on after so many entries. Knows the answers that are in the database, but not in the journal.
    pub(super) fn new(
        worker: &'a Worker,
        claim: &'a Claim,
        limits: &'a Limits,
        entries: usize,
        mut unread: Vec<Arrived>,
    ) -> Self {
        unread.sort_by_key(|arrived| arrived.at);
        Self {
            worker,
            claim,
            limits,
            record: Record::new(&worker.db, claim, entries),
            open: BTreeMap::new(),
            models: JoinSet::new(),
            numbering: Numbering::new(limits.pauses),
            ids: HashMap::new(),
            unopened: vec![],
            closed_pauses: BTreeSet::new(),
            closed_calls: vec![],
            look: unread.len() >= BATCH,
            arrived: unread,
            bell: worker.db.bell().listen(),
            call: None,
        }
    }

    /// Takes note of what the guest asked and gave up in the last slice. Starts nothing.
    pub(super) fn note(&mut self, guest: &mut Guest) {
        for given_up in guest.take_abandoned() {
            let known = self.open.remove(&given_up.op);
            if let Some((_, Wait::Model(task))) = known {
                task.abort();
            }
            self.unopened.retain(|pause| pause.op != given_up.op);
            match &*given_up.ask {
                Ask::Pause(_) => {
                    if let Some(id) = self.ids.remove(&given_up.op) {
                        self.close(&id);
                    }
                }
                Ask::WaitForResume { approval_request_id, .. } => self.close(approval_request_id),
                Ask::Call { .. } => {
                    self.closed_calls.push(child_id(&self.claim.tenant, &self.claim.execution, given_up.op));
                }
                Ask::Ai(_) | Ask::ReviewLink { .. } | Ask::Sleep { .. } => {}
            }
        }
        for fresh in guest.take_fresh() {
            let wait = self.count(&fresh).map_or_else(|why| Wait::Known(Answer::Review(Err(why))), |()| Wait::New);
            self.open.insert(fresh.op, (fresh, wait));
        }
    }

    /// Gives a pause that is asked for its id, and counts it, as one that is waited for; or says why it is one too many.
    fn count(&mut self, fresh: &OpenAsk) -> Result<(), PauseError> {
        match &*fresh.ask {
            Ask::Pause(request) => {
                let id = self.numbering.id(fresh.op, &request.approval_request_id);
                self.ids.insert(fresh.op, id.clone());
                self.numbering.count(&id)
            }
            Ask::WaitForResume { approval_request_id, .. } if is_approval_request_id(approval_request_id) => {
                self.numbering.count(approval_request_id)
            }
            _ => Ok(()),
        }
    }

    /// Takes note that an ask was answered. A pause that was refused has not used up its name.
    pub(super) fn answered(&mut self, op: u64, answer: &Answer) {
        self.open.remove(&op);
        self.unopened.retain(|pause| pause.op != op);
        self.ids.remove(&op);
        if let Answer::Review(Err(PauseError::InvalidRequest(_))) = answer {
            self.numbering.refused(op);
        }
    }

    /// The journal form of an ask that is open.
    pub(super) fn text_of(&self, op: u64) -> Option<String> {
        self.open.get(&op).map(|(open, _)| open.ask.to_text())
    }

    /// Waits for the next answer, or suspends when nothing but durable asks is open.
    pub(super) async fn next(&mut self) -> Result<Next, Error> {
        if let Err(Fenced) = self.start_new().await? {
            return Ok(Next::Lost);
        }
        loop {
            if let Some(op) = self.known() {
                return Ok(op);
            }
            if std::mem::take(&mut self.look) {
                self.look_for_answers().await?;
            }
            if let Some(next) = self.earliest().await? {
                return Ok(next);
            }
            let due = self.next_due();
            let soon = due.map(|due| Duration::from_millis(due.saturating_sub(self.claim.now())));
            if !self.models.is_empty() {
                if let Err(Fenced) = self.open_pauses().await? {
                    return Ok(Next::Lost);
                }
                if let Some(answer) = self.wait_for_model(soon.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)).await {
                    return Ok(answer);
                }
                self.look = true;
            } else if let Some(soon) = soon.filter(|soon| soon.as_millis() <= u128::from(LINGER_MS)) {
                tokio::time::sleep(soon.max(Duration::from_millis(1))).await;
            } else if let Some((until, ends)) = self.call.take_if(|_| waits_only_for_calls(&self.open)) {
                self.wait_for_call(until, ends, soon).await;
            } else {
                match self.suspend(due).await? {
                    Ok(Suspended::Waiting) => return Ok(Next::Suspended),
                    Ok(Suspended::Answered) => self.look = true,
                    Err(Fenced) => return Ok(Next::Lost),
                }
            }
        }
    }

    /// Starts the effects of asks that are not yet under way.
    async fn start_new(&mut self) -> Result<Result<(), Fenced>, Error> {
        let new: Vec<OpenAsk> =
            self.open.values().filter(|(_, wait)| matches!(wait, Wait::New)).map(|(open, _)| open.clone()).collect();
        for open in new {
            // Nothing outside comes of what is not written. A call writes it by itself.
            if matches!(&*open.ask, Ask::Ai(prompt) if !self.worker.models.is_built_in(prompt))
                && let Err(fenced) = self.record.write().await?
            {
                return Ok(Err(fenced));
            }
            let wait = match &*open.ask {
                Ask::Ai(_) => self.ask_model(&open),
                Ask::Pause(_) => self.start_pause(&open).await?,
                Ask::WaitForResume { approval_request_id, timeout_ms } => {
                    match self.plan_wait(&open, approval_request_id).await? {
                        Ok(pause) => {
                            // It may have been decided, and that decision be in the journal for another ask.
                            self.look = true;
                            self.plan_decision(pause);
                            let until = timeout_ms.map(|timeout| deadline(open.asked_at, timeout));
                            Wait::Decision { name: approval_request_id.clone(), until }
                        }
                        Err(why) => Wait::Known(Answer::Review(Err(why))),
                    }
                }
                Ask::Call { target, input } => {
                    crash::point("before_call");
                    let ends = self.worker.db.bell().listen_for_ends();
                    match self.caller().begin(open.op, target, input, self.record.unwritten()).await? {
                        Ok(Begun::Runs { child, is_new: true }) => {
                            self.record.is_written();
                            crash::point("after_call");
                            self.call = Some((Instant::now() + CALL_LINGER, ends));
                            Wait::Call { child }
                        }
                        Ok(Begun::Runs { child, is_new: false }) => {
                            // If the acknowledgement was lost of what made it, that has written it, too.
                            if let Err(fenced) = self.record.write().await? {
                                return Ok(Err(fenced));
                            }
                            crash::point("after_call");
                            // It may have finished before this attempt; `unread` does not know of calls.
                            self.look = true;
                            Wait::Call { child }
                        }
                        Ok(Begun::Refused(why)) => Wait::Known(Answer::Call(Err(why))),
                        Err(fenced) => return Ok(Err(fenced)),
                    }
                }
                Ask::ReviewLink { approval_request_id, reviewer } => {
                    Wait::Known(Answer::Link(self.link(open.asked_at, approval_request_id, reviewer)))
                }
                Ask::Sleep { duration_ms } => Wait::Sleep { until: deadline(open.asked_at, *duration_ms) },
            };
            self.open.insert(open.op, (open, wait));
        }
        Ok(Ok(()))
    }

    async fn start_pause(&mut self, open: &OpenAsk) -> Result<Wait, Error> {
        let id = self.ids.get(&open.op).cloned().unwrap_or_default();
        let refused = |why| Wait::Known(Answer::Review(Err(why)));
        let pause = match plan(open, id).await {
            Ok(pause) => pause,
            Err(why) => return Ok(refused(why)),
        };
        if let Some(why) = self.worker.db.cannot_be_asked(self.claim, &pause).await? {
            return Ok(refused(PauseError::InvalidRequest(why)));
        }
        Ok(match self.has_room(&pause).await? {
            Ok(()) => self.plan_decision(pause),
            Err(why) => refused(why),
        })
    }

    async fn plan_wait(&self, open: &OpenAsk, id: &str) -> Result<Result<NewPause, PauseError>, Error> {
        let pause = match pause::plan_wait(open.op, id, open.asked_at) {
            Ok(pause) => pause,
            Err(why) => return Ok(Err(why)),
        };
        Ok(self.has_room(&pause).await?.map(|()| pause))
    }

    /// Whether the tenant may have one more pause open.
    async fn has_room(&self, pause: &NewPause) -> Result<Result<(), PauseError>, Error> {
        if self.unopened.iter().any(|planned| planned.approval_request_id == pause.approval_request_id) {
            return Ok(Ok(()));
        }
        let room = self.worker.db.room_to_pause(self.claim, self.unopened.len(), pause).await?;
        Ok(room.map_err(|full| PauseError::InvalidRequest(full.to_string())))
    }

    fn caller(&self) -> Caller<'a> {
        Caller { db: &self.worker.db, claim: self.claim, limits: self.limits, starts: &self.worker.starts }
    }

    /// A link for a reviewer. Not looked up is whether the pause will ever be: an agent may ask for it before.
    fn link(&self, asked_at: Millis, approval_request_id: &str, reviewer: &str) -> Result<String, PauseError> {
        pause::check_link(approval_request_id, reviewer)?;
        let (expires, claim) = (deadline(asked_at, LIFE_MS_MAX), self.claim);
        Ok(self.worker.links.review_link(&claim.tenant, &claim.execution, approval_request_id, reviewer, expires))
    }

    fn ask_model(&mut self, open: &OpenAsk) -> Wait {
        let (models, ask, op) = (self.worker.models.clone(), open.ask.clone(), open.op);
        let idempotency_key = format!("{}-{op}", self.claim.execution);
        Wait::Model(self.models.spawn(async move {
            let Ask::Ai(prompt) = &*ask else { unreachable!("only an ask of a model is given to one") };
            crash::point("before_ai");
            let answer = models.complete(prompt, &idempotency_key).await;
            crash::point("after_ai");
            (op, Answer::Ai(answer))
        }))
    }

    fn plan_decision(&mut self, pause: NewPause) -> Wait {
        let wait = Wait::Decision { name: pause.approval_request_id.clone(), until: pause.expires };
        self.unopened.push(pause);
        wait
    }

    /// An answer that needs nothing from outside.
    fn known(&mut self) -> Option<Next> {
        let (op, answer) = self.open.iter().find_map(|(op, (_, wait))| match wait {
            Wait::Known(answer) => Some((*op, answer.clone())),
            _ => None,
        })?;
        Some(Next::Answer(op, answer, Kept::Nowhere))
    }

    /// Reads the answers that others have written.
    async fn look_for_answers(&mut self) -> Result<(), Error> {
        // Those that are only planned, too: an attempt before this one may have opened them.
        let pauses = self.awaited_pauses();
        let calls: Vec<u64> =
            self.open.iter().filter(|(_, (_, wait))| matches!(wait, Wait::Call { .. })).map(|(op, _)| *op).collect();
        self.arrived = self.worker.db.arrived(self.claim, &pauses, &calls).await?;
        self.arrived.sort_by_key(|arrived| arrived.at);
        self.look = self.arrived.len() >= BATCH;
        Ok(())
    }

    /// The answer that was there first: one that arrived, or a time that has come.
    async fn earliest(&mut self) -> Result<Option<Next>, Error> {
        while !self.arrived.is_empty() {
            let arrived = &self.arrived[0];
            if let Some((op, due)) = self.overdue()
                && due < arrived.at
            {
                return self.time_out(op, due).await.map(Some);
            }
            let op = match &arrived.for_whom {
                ForWhom::Call(op) => self.open.contains_key(op).then_some(*op),
                ForWhom::Pause(name) => self.waiting_for(name),
            };
            match op {
                // Left where it is: another ask may wait for the same decision.
                Some(op) => return Ok(Some(Next::Answer(op, arrived.answer.clone(), Kept::InRows))),
                None => drop(self.arrived.remove(0)),
            }
        }
        match self.overdue() {
            Some((op, due)) => self.time_out(op, due).await.map(Some),
            None => Ok(None),
        }
    }

    /// The ask whose time came first, if any has.
    fn overdue(&self) -> Option<(u64, Millis)> {
        let now = self.claim.now();
        let due = self.open.iter().filter_map(|(op, (_, wait))| Some((*op, wait.until()?)));
        due.filter(|(_, due)| *due <= now).min_by_key(|(op, due)| (*due, *op))
    }

    /// The answer of an ask whose time has come. A decision that was made before is still the answer.
    async fn time_out(&mut self, op: u64, due: Millis) -> Result<Next, Error> {
        let Some((open, wait)) = self.open.get(&op) else { return Ok(Next::Lost) };
        let Wait::Decision { name, .. } = wait else { return Ok(Next::Answer(op, Answer::Slept, Kept::Nowhere)) };
        let (name, is_pause) = (name.clone(), matches!(&*open.ask, Ask::Pause(_)));
        // One that was never opened may hold an early decision, and stays open after a wait for it is over.
        if let Err(Fenced) = self.open_pauses().await? {
            return Ok(Next::Lost);
        }
        if is_pause {
            if let Err(Fenced) = self.record.write().await? {
                return Ok(Next::Lost);
            }
            crash::point("before_expire");
            self.worker.db.expire(self.claim, &name).await?;
            crash::point("after_expire");
            // Nobody counts this as an answer that was brought; and another ask may wait for the same pause.
            self.look = true;
        }
        let arrived = self.worker.db.arrived(self.claim, std::slice::from_ref(&name), &[]).await?;
        let answer = arrived.into_iter().next().map(|arrived| arrived.answer);
        let answer = answer.unwrap_or(Answer::Review(Ok(Review::expired(due))));
        Ok(Next::Answer(op, answer, Kept::Nowhere))
    }

    fn next_due(&self) -> Option<Millis> {
        self.open.values().filter_map(|(_, wait)| wait.until()).min()
    }

    fn waiting_for(&self, wanted: &str) -> Option<u64> {
        self.open.iter().find_map(|(op, (_, wait))| match wait {
            Wait::Decision { name, .. } if name == wanted => Some(*op),
            _ => None,
        })
    }

    fn awaited_pauses(&self) -> Vec<String> {
        let name = |(_, wait): &(OpenAsk, Wait)| match wait {
            Wait::Decision { name, .. } => Some(name.clone()),
            _ => None,
        };
        self.open.values().filter_map(name).collect()
    }

    /// Opens planned pauses at once, and closes those that were given up, because a suspend may be far: a model is still
    /// busy.
    async fn open_pauses(&mut self) -> Result<Result<(), Fenced>, Error> {
        let closed = self.closed();
        if self.unopened.is_empty() && closed.is_empty() {
            return Ok(Ok(()));
        }
        if let Err(fenced) = self.record.write().await? {
            return Ok(Err(fenced));
        }
        let opened = self.worker.db.open(self.claim, &self.unopened, &closed).await?;
        if opened.is_ok() {
            self.unopened.clear();
            self.closed_pauses.clear();
            // One of them may have been decided early.
            self.look = true;
        }
        Ok(opened)
    }

    /// Takes note that a pause is given up. What could not be opened need not be closed.
    fn close(&mut self, name: &str) {
        if is_approval_request_id(name) {
            self.closed_pauses.insert(name.to_owned());
        }
    }

    /// The pauses that were given up, and that no other ask waits for.
    fn closed(&mut self) -> Vec<String> {
        for name in self.awaited_pauses() {
            self.closed_pauses.remove(&name);
        }
        self.closed_pauses.iter().cloned().collect()
    }

    /// Waits for the end of a call until then, or until the next time comes.
    async fn wait_for_call(&mut self, until: Instant, mut ends: Ends, soon: Option<Duration>) {
        let left = until.saturating_duration_since(Instant::now());
        let calls = |(op, (_, wait)): (&u64, &(OpenAsk, Wait))| match wait {
            Wait::Call { child } => Some((child.clone(), *op)),
            _ => None,
        };
        let calls: HashMap<String, u64> = self.open.iter().filter_map(calls).collect();
        let ended = ends.of(|ended| calls.contains_key(ended));
        let Ok(ended) = tokio::time::timeout(left.min(soon.unwrap_or(left)), ended).await else { return };
        let result = ended.and_then(|ended| Some((*calls.get(&*ended.execution)?, ended.result?)));
        match result {
            Some((op, (json, at))) => self.arrived.push(Arrived::of_result(op, &json, at)),
            None => self.look = true,
        }
        // There may be others.
        self.call = Some((until, ends));
    }

    async fn wait_for_model(&mut self, at_most: Duration) -> Option<Next> {
        tokio::select! {
            answered = self.models.join_next() => match answered {
                Some(Ok((op, answer))) if self.open.contains_key(&op) => Some(Next::Answer(op, answer, Kept::Nowhere)),
                // Given up meanwhile.
                Some(Ok(_)) | None => None,
                Some(Err(ended)) => {
                    self.answer_for(&ended);
                    None
                }
            },
            () = self.bell.wait(at_most) => None,
        }
    }

    /// Answers the ask whose task has panicked. One that was aborted belongs to an ask that is given up.
    fn answer_for(&mut self, ended: &JoinError) {
        for (_, wait) in self.open.values_mut() {
            if matches!(wait, Wait::Model(task) if task.id() == ended.id()) {
                let why = "the host failed while it asked the model";
                *wait = Wait::Known(Answer::Ai(Err(AiError::Unavailable(why.into()))));
            }
        }
    }

    async fn suspend(&mut self, until: Option<Millis>) -> Result<Result<Suspended, Fenced>, Error> {
        let pauses = self.awaited_pauses();
        let calls: Vec<String> = self
            .open
            .values()
            .filter_map(|(_, wait)| match wait {
                Wait::Call { child } => Some(child.clone()),
                _ => None,
            })
            .collect();
        let closed_pauses = self.closed();
        crash::point("before_suspend");
        let suspended = self
            .worker
            .db
            .suspend(
                self.claim,
                &Suspension {
                    told: self.record.unwritten(),
                    open: &self.unopened,
                    pauses: &pauses,
                    calls: &calls,
                    closed_pauses: &closed_pauses,
                    closed_calls: &self.closed_calls,
                    until,
                },
            )
            .await?;
        crash::point("after_suspend");
        if suspended.is_ok() {
            self.record.is_written();
            self.unopened.clear();
            self.closed_pauses.clear();
            self.closed_calls.clear();
        }
        Ok(suspended)
    }
}

/// Whether what is open are calls and times, so that a suspend would open nothing that somebody waits for.
fn waits_only_for_calls(open: &BTreeMap<u64, (OpenAsk, Wait)>) -> bool {
    open.values().all(|(_, wait)| matches!(wait, Wait::Call { .. } | Wait::Sleep { .. }))
}

/// Plans a pause. A form's schema may take a tenth of a second to read, in which nobody else should have to wait.
async fn plan(open: &OpenAsk, id: String) -> Result<NewPause, PauseError> {
    let plan = move |open: &OpenAsk| {
        let Ask::Pause(request) = &*open.ask else { unreachable!("only a pause is planned") };
        pause::plan(open.op, &id, request, open.asked_at)
    };
    if matches!(&*open.ask, Ask::Pause(request) if request.response_schema.is_none()) {
        return plan(open);
    }
    let open = open.clone();
    let planned = tokio::task::spawn_blocking(move || plan(&open));
    planned.await.unwrap_or_else(|_| Err(PauseError::InvalidRequest("the request could not be worked on".into())))
}
