//! A trial and those who answer: first what a host would know, then the file, then the terminal.

use std::time::{Duration, Instant};

use super::terminal::Terminal;
use crate::cli::asks;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::execution;
use crate::journal::{Answer, Ask, Entry, Millis};
use crate::trial::answers::Answers;
use crate::trial::{Question, Trial};

/// How long after the one before an answer comes, as the agent's clocks show it.
const STEP_MS: Millis = 10;

pub(super) struct Session {
    trial: Trial,
    /// None: there is no file, so all is asked at the terminal.
    answers: Option<Answers>,
    terminal: Terminal,
    clock: Clock,
    out: Output,
}

/// An ask that nobody answers.
pub(super) struct Stopped {
    pub(super) op: u64,
    pub(super) ask: String,
}

/// What is delivered next.
type Next = (u64, Answer, Millis);

impl Session {
    pub(super) fn new(trial: Trial, answers: Option<Answers>, real_time: bool, out: Output) -> Self {
        let clock = Clock { real: real_time.then(|| (Instant::now(), trial.now())) };
        // A file that runs out is no reason to read a script's standard input.
        let terminal = Terminal::new(out, answers.is_some());
        Self { trial, answers, terminal, clock, out }
    }

    /// Answers asks until the agent ends, or nobody answers.
    pub(super) async fn run(&mut self) -> Result<Option<Stopped>, Failure> {
        self.print_log();
        while self.trial.end().is_none() {
            let Some((op, answer, at)) = self.next()? else {
                let first = self.trial.questions().find(|question| !is_sleep(question));
                return Ok(first.map(|question| Stopped { op: question.op, ask: asks::name(&question.ask) }));
            };
            self.clock.wait_until(at).await;
            let before = self.trial.entries().len();
            let misfit = |why: crate::trial::Misfit| Failure::Failed(why.to_string());
            self.trial.deliver(op, answer, at).await.map_err(misfit)?;
            if let Some(entry) = self.trial.entries().get(before)
                && let Some(ask) = crate::cli::divergence::parse(&entry.ask)
            {
                self.out.note(&asks::step(before, &ask, &entry.answer));
            }
            self.print_log();
        }
        Ok(None)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        self.trial.entries()
    }

    pub(super) fn end(&self) -> Option<Result<String, execution::Failure>> {
        self.trial.end()
    }

    /// Tells which answers of the file nothing asked for.
    pub(super) fn tell_unused(&self) {
        let unused: Vec<String> =
            self.answers.iter().flat_map(Answers::unused).map(|place| place.to_string()).collect();
        if !unused.is_empty() {
            self.out.note(&format!("not used of the answers: {}", unused.join(", ")));
        }
    }

    fn next(&mut self) -> Result<Option<Next>, Failure> {
        let at = self.clock.next(&self.trial);
        if let Some((op, answer)) = self.trial.known() {
            return Ok(Some((op, answer, at)));
        }
        if let Some(overdue) = self.clock.overdue(&self.trial) {
            return Ok(Some(time_out(overdue)));
        }
        if let Some(answers) = &mut self.answers {
            let usage = |why: String| Failure::Usage(format!("--answers: {why}"));
            if let Some((_, op, answer)) = answers.take(&self.trial.questions(), at).map_err(usage)? {
                return Ok(Some(self.timed(op, answer, at)));
            }
        }
        let sleep =
            self.trial.questions().filter(|question| is_sleep(question)).min_by_key(|sleep| (sleep.due, sleep.op));
        if let Some(sleep) = sleep
            && (!self.terminal.answers() || self.trial.questions().all(is_sleep))
        {
            return Ok(Some(time_out(sleep)));
        }
        if !self.terminal.answers() {
            return Ok(None);
        }
        let questions: Vec<&Question> = self.trial.questions().collect();
        let Some(question) = self.terminal.pick(&questions)? else { return Ok(None) };
        if is_sleep(question) {
            return Ok(Some(time_out(question)));
        }
        let (question, op) = (question.clone(), question.op);
        let Some(answer) = self.terminal.ask(&question, at)? else { return Ok(None) };
        // In real time, some has passed since the question was shown.
        let at = self.clock.next(&self.trial);
        Ok(Some(self.timed(op, answer, at)))
    }

    /// What ends because its time is over ends at that time.
    fn timed(&self, op: u64, answer: Answer, at: Millis) -> Next {
        let due = self.trial.questions().find(|question| question.op == op).and_then(|question| question.due);
        match (&answer, due) {
            (Answer::Slept, Some(due)) => (op, answer, due),
            (Answer::Review(Ok(review)), Some(due)) if review.is_expired() => (op, answer, due),
            _ => (op, answer, at),
        }
    }

    fn print_log(&mut self) {
        for line in self.trial.take_log() {
            self.out.note(&asks::log_line(&line));
        }
    }
}

fn is_sleep(question: &Question) -> bool {
    matches!(&*question.ask, Ask::Sleep { .. })
}

/// The end of a question whose time is over.
fn time_out(question: &Question) -> Next {
    let due = question.due.unwrap_or_default();
    let answer =
        if is_sleep(question) { Answer::Slept } else { Answer::Review(Ok(crate::journal::Review::expired(due))) };
    (question.op, answer, due)
}

/// Tells when an answer comes. As on a host, nothing comes after the time of an ask that is still open.
struct Clock {
    /// When the trial began in real time, and what the agent's clocks showed then. None: time passes with answers only.
    real: Option<(Instant, Millis)>,
}

impl Clock {
    fn next(&self, trial: &Trial) -> Millis {
        let at = self.real_now().unwrap_or_else(|| trial.now() + STEP_MS);
        let due = trial.questions().filter_map(|question| question.due).min();
        at.min(due.unwrap_or(at)).max(trial.now())
    }

    fn real_now(&self) -> Option<Millis> {
        let (began, showed) = self.real?;
        Some(showed + u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The ask whose time has come first, in real time.
    fn overdue<'a>(&self, trial: &'a Trial) -> Option<&'a Question> {
        let now = self.real_now()?;
        let due = trial.questions().filter(|question| question.due.is_some_and(|due| due <= now));
        due.min_by_key(|question| (question.due, question.op))
    }

    async fn wait_until(&self, at: Millis) {
        if let Some(now) = self.real_now() {
            tokio::time::sleep(Duration::from_millis(at.saturating_sub(now))).await;
        }
    }
}
