//! A trial: an execution in memory, without a host, a database or a network. Whoever drives it answers its asks.
//!
//! What a host answers by itself is answered here as there: a request out of its bounds, a wait for what has been
//! decided. So an agent cannot tell a trial from an execution.
//!
//! ```text
//! let mut trial = Trial::start(&component, call).await;
//! for entry in &recording.entries { trial.replay(entry).await?; }
//! while trial.end().is_none() {
//!     let (op, answer) = trial.known().unwrap_or(…a person's, to one of trial.questions()…);
//!     trial.deliver(op, answer, at).await?;
//! }
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::decision::Form;
use crate::effects::pause::{self, Numbering};
use crate::effects::{ai, call, deadline};
use crate::execution::Failure;
use crate::guest::{Call, Component, Guest, LogLine, OpenAsk, State};
use crate::journal::{Answer, Ask, Entry, Millis, Mismatch, PauseError, Review};
use crate::limits::Limits;
use crate::schema::Schema;

pub mod answers;
pub mod compare;
pub mod recording;

/// The link to a pause in a trial. It leads nowhere: there is no host.
const TRIAL_LINK: &str = "https://countersign.invalid/r/";

/// An ask that waits for somebody's answer.
#[derive(Debug, Clone)]
pub struct Question {
    pub op: u64,
    pub ask: Arc<Ask>,
    /// The `approval_request_id` of the decision that it waits for.
    pub pause: Option<String>,
    /// When a sleep, an expiry or a timeout is over.
    pub due: Option<Millis>,
    /// What a reviewer fills in.
    pub form: Option<Form>,
    /// The decision that is taken when the time is over.
    pub default: Option<String>,
    /// What a model's answer must satisfy.
    pub schema: Option<Arc<Schema>>,
}

/// The answer does not answer an open ask.
#[derive(Debug, thiserror::Error)]
#[error("ask {0} is not open, or takes another kind of answer")]
pub struct Misfit(pub u64);

/// One execution, in memory.
pub struct Trial {
    guest: Guest,
    entries: Vec<Entry>,
    limits: Limits,
    journal_bytes: usize,
    /// The answer that made the journal too large has ended it.
    failure: Option<Failure>,
    questions: BTreeMap<u64, Question>,
    known: BTreeMap<u64, Answer>,
    numbering: Numbering,
    /// The `approval_request_id`s of the pauses that were asked for, by `op`.
    ids: HashMap<u64, String>,
    /// The forms of the pauses that are open.
    forms: HashMap<String, Form>,
    decided: HashMap<String, Review>,
}

impl Trial {
    /// Makes an instance and runs its first slice.
    pub async fn start(component: &Component, call: Call) -> Self {
        let mut trial = Self {
            limits: call.limits.clone(),
            numbering: Numbering::new(call.limits.pauses),
            guest: Guest::start(component, call),
            entries: vec![],
            journal_bytes: 0,
            failure: None,
            questions: BTreeMap::new(),
            known: BTreeMap::new(),
            ids: HashMap::new(),
            forms: HashMap::new(),
            decided: HashMap::new(),
        };
        trial.go_on().await;
        trial
    }

    /// Delivers the answer of the next journal entry, if the agent asked what it answers, and runs the next slice.
    pub async fn replay(&mut self, entry: &Entry) -> Result<(), Mismatch> {
        self.guest.replay(self.entries.len(), entry)?;
        self.take(entry.clone());
        self.go_on().await;
        Ok(())
    }

    /// Delivers an answer, moves the agent's clocks to `at`, and runs the next slice.
    pub async fn deliver(&mut self, op: u64, answer: Answer, at: Millis) -> Result<(), Misfit> {
        let Some(open) = self.guest.open_asks().into_iter().find(|open| open.op == op) else { return Err(Misfit(op)) };
        let entry = Entry { op, ask: open.ask.to_text(), answer, at: at.max(self.guest.now()) };
        let bytes = entry.bytes();
        self.failure = self.limits.journal_failure(bytes, self.journal_bytes + bytes);
        if self.failure.is_some() {
            return Ok(());
        }
        if !self.guest.deliver(op, entry.answer.clone(), entry.at) {
            return Err(Misfit(op));
        }
        self.take(entry);
        self.go_on().await;
        Ok(())
    }

    /// How it has ended, if it has: with its result, a JSON text, or not well.
    pub fn end(&self) -> Option<Result<String, Failure>> {
        match &self.failure {
            Some(failure) => Some(Err(failure.clone())),
            None => self.guest.state().end(),
        }
    }

    /// What the guest is at, without what the trial itself has ended.
    pub fn state(&self) -> &State {
        self.guest.state()
    }

    /// An open ask to which a host would need nobody's answer, and that answer. It comes before all others.
    pub fn known(&self) -> Option<(u64, Answer)> {
        self.known.first_key_value().map(|(op, answer)| (*op, answer.clone()))
    }

    /// The asks that wait for an answer from outside, in the order of asking.
    pub fn questions(&self) -> impl Iterator<Item = &Question> + Clone {
        self.questions.values()
    }

    /// What has been answered so far.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the agent's clocks show.
    pub fn now(&self) -> Millis {
        self.guest.now()
    }

    /// What the agent printed since the last time.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        self.guest.take_log()
    }

    async fn go_on(&mut self) {
        self.guest.run_slice().await;
        for given_up in self.guest.take_abandoned() {
            self.questions.remove(&given_up.op);
            self.known.remove(&given_up.op);
            if let Some(id) = self.ids.remove(&given_up.op) {
                self.forms.remove(&id);
            }
        }
        for fresh in self.guest.take_fresh() {
            match self.prepare(&fresh) {
                Ok(question) => drop(self.questions.insert(fresh.op, question)),
                Err(answer) => drop(self.known.insert(fresh.op, *answer)),
            }
        }
    }

    /// What an ask waits for; or the answer, if a host would know it.
    fn prepare(&mut self, open: &OpenAsk) -> Result<Question, Box<Answer>> {
        let plain = Question {
            op: open.op,
            ask: open.ask.clone(),
            pause: None,
            due: None,
            form: None,
            default: None,
            schema: None,
        };
        let refused = |why| Box::new(Answer::Review(Err(why)));
        Ok(match &*open.ask {
            Ask::Ai(prompt) => {
                let schema = ai::check(prompt).map_err(|why| Box::new(Answer::Ai(Err(why))))?;
                Question { schema: schema.map(Arc::new), ..plain }
            }
            Ask::Pause(request) => {
                let id = self.numbering.id(open.op, &request.approval_request_id);
                self.ids.insert(open.op, id.clone());
                self.numbering.count(&id).map_err(refused)?;
                let planned = pause::plan(open.op, &id, request, open.asked_at).map_err(refused)?;
                self.decision_of(&id)?;
                self.forms.insert(id.clone(), planned.form.clone());
                let default = planned.default_decision.clone();
                Question { due: planned.expires, form: Some(planned.form), pause: Some(id), default, ..plain }
            }
            Ask::WaitForResume { approval_request_id: name, timeout_ms } => {
                let planned = pause::plan_wait(open.op, name, open.asked_at).map_err(refused)?;
                self.numbering.count(name).map_err(refused)?;
                self.decision_of(name)?;
                let form = self.forms.get(name).cloned().unwrap_or(planned.form);
                let due = timeout_ms.map(|timeout| deadline(open.asked_at, timeout));
                Question { due, form: Some(form), pause: Some(name.clone()), ..plain }
            }
            Ask::ReviewLink { approval_request_id, reviewer } => {
                let link = pause::check_link(approval_request_id, reviewer);
                return Err(Box::new(Answer::Link(
                    link.map(|()| format!("{TRIAL_LINK}{approval_request_id}/{reviewer}")),
                )));
            }
            Ask::Call { target, input } => {
                call::check(target, input).map_err(|why| Box::new(Answer::Call(Err(why))))?;
                plain
            }
            Ask::Sleep { duration_ms } => Question { due: Some(deadline(open.asked_at, *duration_ms)), ..plain },
        })
    }

    /// An error is the decision of this name.
    fn decision_of(&self, name: &str) -> Result<(), Box<Answer>> {
        self.decided.get(name).map_or(Ok(()), |review| Err(Box::new(Answer::Review(Ok(review.clone())))))
    }

    /// Takes note of an answer that was delivered. A pause that was refused has not used up its name.
    fn take(&mut self, entry: Entry) {
        self.journal_bytes += entry.bytes();
        self.known.remove(&entry.op);
        let asked = self.questions.remove(&entry.op);
        let id = self.ids.remove(&entry.op);
        match (&entry.answer, asked.as_ref().map(|question| &*question.ask)) {
            (Answer::Review(Err(PauseError::InvalidRequest(_))), _) => self.numbering.refused(entry.op),
            (Answer::Review(Ok(review)), Some(Ask::Pause(_))) => self.decide(&id.unwrap_or_default(), review),
            // The time of a wait is over; the pause is not.
            (Answer::Review(Ok(review)), Some(Ask::WaitForResume { approval_request_id, .. }))
                if !review.is_expired() =>
            {
                self.decide(approval_request_id, review);
            }
            _ => {}
        }
        self.entries.push(entry);
    }

    /// Whoever else waits for the same decision gets it.
    fn decide(&mut self, name: &str, review: &Review) {
        self.forms.remove(name);
        self.decided.insert(name.to_owned(), review.clone());
        let waits: Vec<u64> = self
            .questions
            .values()
            .filter(|question| question.pause.as_deref() == Some(name))
            .map(|question| question.op)
            .collect();
        for op in waits {
            self.questions.remove(&op);
            self.known.insert(op, Answer::Review(Ok(review.clone())));
        }
    }
}
