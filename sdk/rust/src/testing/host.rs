//! The host that a test runs on. It knows the asks of one function, and delivers one answer at a time.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::Value;

use super::Trace;
use super::answer::{Answer, Content};
use crate::Error;
use crate::bindings::countersign::agent::types::{
    AiError, ApprovalRequest, CallError, Completion, PauseError, Prompt, Review,
};

mod approval;
mod decision;
mod reply;
mod request;
mod votes;

use reply::Reply;
use request::Request;

/// The id of every execution under test.
const EXECUTION_ID: &str = "exec_00000000000000000000000000000000";

/// What the clock shows at the start: 2026-01-01T00:00:00Z.
const STARTED: Millis = 1_767_225_600_000;

/// The longest sleep, expiry or timeout, in milliseconds: 366 days, as on a host.
const WAIT_MS_MAX: u64 = 366 * 24 * 3600 * 1000;

type Millis = u64;

thread_local! {
    /// What asks go to that are made in this thread.
    static CURRENT: RefCell<Option<Rc<RefCell<Host>>>> = const { RefCell::new(None) };
}

/// Asks go to the host before again, when this is dropped.
pub(super) struct OnThisHost(Option<Rc<RefCell<Host>>>);

/// Has the asks of this thread go to `host`.
pub(super) fn enter(host: &Rc<RefCell<Host>>) -> OnThisHost {
    OnThisHost(CURRENT.replace(Some(host.clone())))
}

impl Drop for OnThisHost {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// One execution, as its host sees it.
pub(super) struct Host {
    pub(super) script: Script,
    pub(super) pick: Option<Box<Pick>>,
    now: Millis,
    asks: Vec<Ask>,
    /// In the order of delivery.
    answered: Vec<usize>,
    /// How many pauses were asked for under each name, and by which ask the last of them; none if that was refused.
    paused: HashMap<String, (u32, Option<usize>)>,
    /// Of every approval, by its id, asked for by a pause or a wait, when it is decided, and how. None: never.
    decisions: HashMap<String, Option<(Millis, Review)>>,
    log: Vec<String>,
}

/// The answers of the test.
#[derive(Default)]
pub(super) struct Script {
    /// In the order of asking.
    pub(super) list: VecDeque<Answer>,
    /// For the asks after them.
    pub(super) otherwise: Option<Box<Otherwise>>,
}

type Otherwise = dyn FnMut(&Value) -> Answer;
type Pick = dyn FnMut(&[&Value]) -> usize;

struct Ask {
    /// As in the journal of a host.
    json: Value,
    state: State,
    waker: Option<Waker>,
}

enum State {
    /// None: no answer ever comes.
    Open(Option<(Millis, Reply)>),
    Delivered(Reply),
    Done,
    GivenUp,
}

/// What [`Host::deliver`] did.
pub(super) enum Delivery {
    /// An answer was delivered, for this task.
    Made(Waker),
    NothingOpen,
    /// These asks are open, and none of them is ever answered.
    NoAnswer(String),
}

impl Default for Host {
    fn default() -> Self {
        Self {
            script: Script::default(),
            pick: None,
            now: STARTED,
            asks: vec![],
            answered: vec![],
            paused: HashMap::new(),
            decisions: HashMap::new(),
            log: vec![],
        }
    }
}

impl Host {
    fn ask(&mut self, request: &Request) -> usize {
        let (op, json) = (self.asks.len(), request.json());
        let due = self.due(op, request, &json);
        self.asks.push(Ask { json, state: State::Open(due), waker: None });
        op
    }

    /// The id of one more pause under a name.
    fn number(&mut self, op: usize, name: &str) -> String {
        let (count, last) = self.paused.entry(name.to_owned()).or_default();
        (*count, *last) = (*count + 1, Some(op));
        if *count == 1 { name.to_owned() } else { format!("{name}#{count}") }
    }

    /// A pause that was refused has not used its number up, unless the next one has followed.
    fn refused(&mut self, op: usize) {
        for (count, last) in self.paused.values_mut().filter(|(_, last)| *last == Some(op)) {
            (*count, *last) = (*count - 1, None);
        }
    }

    /// When the answer to a new ask arrives, and which one it is.
    fn due(&mut self, op: usize, request: &Request, json: &Value) -> Option<(Millis, Reply)> {
        let now = self.now;
        let until = |ms: u64| now + ms.min(WAIT_MS_MAX);
        match request {
            Request::Sleep(ms) => Some((until(*ms), Reply::Slept)),
            Request::Pause(pause) => {
                let id = self.number(op, &pause.approval_request_id);
                if let Err(why) = approval::check(pause) {
                    return Some((now, Reply::Review(Err(why))));
                }
                let decided = self.decided(op, &id, Some(pause), json);
                let over = pause.expires_in_ms.map(until).map(|at| (at, decision::timed_out(Some(pause), at)));
                let decided = reply::until(decided, over);
                self.decisions.insert(id, decided.clone());
                decided.map(|(at, review)| (at, Reply::Review(Ok(review))))
            }
            Request::Wait { id, timeout_ms } => {
                if let Err(why) = approval::check_wait(id) {
                    return Some((now, Reply::Review(Err(why))));
                }
                let decided = self.decided(op, id, None, json);
                self.decisions.insert(id.clone(), decided.clone());
                let over = timeout_ms.map(until).map(|at| (at, decision::timed_out(None, at)));
                reply::until(decided, over).map(|(at, review)| (at, Reply::Review(Ok(review))))
            }
            Request::Link { id, reviewer } => {
                let link = approval::check_link(id, reviewer)
                    .map(|()| format!("https://countersign.invalid/r/{id}/{reviewer}"));
                Some((now, Reply::Link(link)))
            }
            Request::Ai(_) | Request::Call { .. } => {
                let answer = self.script.next(json)?;
                let at = after(now, answer.after);
                Reply::to(request, answer, op, json).map(|reply| (at, reply))
            }
        }
    }

    /// When and how an approval is decided: as the test answers whoever asks for it first.
    fn decided(
        &mut self,
        op: usize,
        id: &str,
        pause: Option<&ApprovalRequest>,
        json: &Value,
    ) -> Option<(Millis, Review)> {
        if let Some(known) = self.decisions.get(id) {
            return known.clone();
        }
        let answer = self.script.next(json)?;
        let at = after(self.now, answer.after);
        let has_end = !(json["expires_in_ms"].is_null() && json["timeout_ms"].is_null());
        // What a wait opens has the default choices, and nothing else.
        let opened = ApprovalRequest { approval_request_id: id.to_owned(), ..ApprovalRequest::default() };
        match answer.content {
            Content::Decision(given) => Some((at, decision::review(pause.unwrap_or(&opened), &given, at))),
            Content::Never => None,
            Content::Expired if has_end => None,
            // Without an end, it is over at once.
            Content::Expired => Some((at, decision::timed_out(pause, at))),
            content => reply::misfit(&content, op, json),
        }
    }

    /// Delivers the answer that comes next.
    pub(super) fn deliver(&mut self) -> Delivery {
        let mut due: Vec<(Millis, usize)> = vec![];
        let mut open = vec![];
        for (op, ask) in self.asks.iter().enumerate() {
            let State::Open(answer) = &ask.state else { continue };
            open.push(format!("ask {op}: {}", ask.json));
            due.extend(answer.as_ref().map(|(at, _)| (*at, op)));
        }
        due.sort_unstable();
        if due.is_empty() {
            return if open.is_empty() { Delivery::NothingOpen } else { Delivery::NoAnswer(open.join("\n")) };
        }
        let next = match &mut self.pick {
            None => 0,
            Some(pick) => pick(&due.iter().map(|(_, op)| &self.asks[*op].json).collect::<Vec<_>>()),
        };
        let Some(&(at, op)) = due.get(next) else {
            panic!("`pick` chose {next}, and there are {} to choose from", due.len());
        };
        let ask = &mut self.asks[op];
        if let State::Open(Some((_, reply))) = std::mem::replace(&mut ask.state, State::Done) {
            ask.state = State::Delivered(reply);
        }
        let is_refused = matches!(ask.state, State::Delivered(Reply::Review(Err(_))));
        let waker = ask.waker.take().unwrap_or_else(|| Waker::noop().clone());
        if is_refused {
            self.refused(op);
        }
        self.now = self.now.max(at);
        self.answered.push(op);
        Delivery::Made(waker)
    }

    pub(super) fn into_trace(self, result: Result<Value, Error>) -> Trace {
        let given_up = |(op, ask): (usize, &Ask)| matches!(ask.state, State::GivenUp).then_some(op);
        Trace {
            result,
            given_up: self.asks.iter().enumerate().filter_map(given_up).collect(),
            asks: self.asks.into_iter().map(|ask| ask.json).collect(),
            answered: self.answered,
            log: self.log,
            elapsed: Duration::from_millis(self.now - STARTED),
        }
    }
}

impl Script {
    /// The answer to the next ask; none if the test has no more.
    fn next(&mut self, ask: &Value) -> Option<Answer> {
        self.list.pop_front().or_else(|| self.otherwise.as_mut().map(|answer| answer(ask)))
    }
}

fn after(now: Millis, wait: Duration) -> Millis {
    now.saturating_add(crate::execution::whole_millis(wait))
}

/// The function's end of an ask. Dropping it gives the ask up.
struct Pending {
    host: Rc<RefCell<Host>>,
    op: usize,
}

impl Future for Pending {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let mut host = self.host.borrow_mut();
        let ask = &mut host.asks[self.op];
        match std::mem::replace(&mut ask.state, State::Done) {
            State::Delivered(reply) => Poll::Ready(reply),
            state => {
                ask.state = state;
                ask.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let ask = &mut self.host.borrow_mut().asks[self.op];
        if let State::Open(_) = ask.state {
            ask.state = State::GivenUp;
        }
    }
}

fn current() -> Rc<RefCell<Host>> {
    CURRENT.with_borrow(Clone::clone).expect(
        "there is no host here to ask: outside of WebAssembly an agent runs in `countersign_sdk::testing`, on one thread",
    )
}

fn ask(request: &Request) -> Pending {
    let host = current();
    let op = host.borrow_mut().ask(request);
    Pending { host, op }
}

/// Notes a line of the log, if a test looks.
pub(crate) fn note(line: String) {
    if let Some(host) = CURRENT.with_borrow(Clone::clone) {
        host.borrow_mut().log.push(line);
    }
}

// What follows has the signatures of the contract.

const FITS: &str = "an answer was made for this kind of ask";

pub(crate) fn execution_id() -> String {
    drop(current());
    EXECUTION_ID.to_owned()
}

pub(crate) async fn ai(prompt: Prompt) -> Result<Completion, AiError> {
    let Reply::Ai(answer) = ask(&Request::Ai(prompt)).await else { unreachable!("{FITS}") };
    answer
}

pub(crate) async fn pause(request: ApprovalRequest) -> Result<Review, PauseError> {
    let Reply::Review(answer) = ask(&Request::Pause(Box::new(request))).await else { unreachable!("{FITS}") };
    answer
}

pub(crate) async fn wait_for_resume(id: String, timeout_ms: Option<u64>) -> Result<Review, PauseError> {
    let Reply::Review(answer) = ask(&Request::Wait { id, timeout_ms }).await else { unreachable!("{FITS}") };
    answer
}

pub(crate) async fn review_link(id: String, reviewer: String) -> Result<String, PauseError> {
    let Reply::Link(answer) = ask(&Request::Link { id, reviewer }).await else { unreachable!("{FITS}") };
    answer
}

pub(crate) async fn call(target: String, input: String) -> Result<String, CallError> {
    let Reply::Call(answer) = ask(&Request::Call { target, input }).await else { unreachable!("{FITS}") };
    answer
}

pub(crate) async fn sleep(duration_ms: u64) {
    ask(&Request::Sleep(duration_ms)).await;
}
