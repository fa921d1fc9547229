//! Runs a function of an agent in memory: no Wasm, no host, no waiting.
//!
//! A test [`start`]s a function, says what it is answered, and looks at what it asked and returned. Whatever would take
//! days takes no time: a clock of the test's own goes on to whatever happens next.
//!
//! ```
//! # use countersign_sdk::agent;
//! #[agent(name = "shop", version = "1.0.0")]
//! mod shop {
//!     use countersign_sdk::{Error, Value, ai, call, json, pause};
//!
//!     /// Offers a price, and sells if the customer agrees.
//!     #[function]
//!     async fn sell(item: String) -> Result<Value, Error> {
//!         let price = ai().user(format!("What does {item} cost?")).text().await?;
//!         let review = pause("offer").title(format!("{item} for {price}?")).await?;
//!         if !review.approved() {
//!             return Ok(json!({ "sold": false, "why": review.feedback }));
//!         }
//!         let order: Value = call("warehouse.ship", &json!({ "item": item })).await?;
//!         Ok(json!({ "sold": true, "order": order["number"] }))
//!     }
//! }
//!
//! // In a crate of your own this is a `#[test]`.
//! use countersign_sdk::json;
//! use countersign_sdk::testing::{self, approved, rejected};
//!
//! let trace = testing::start(shop::Agent, "sell", json!({"item": "a pen"}))
//!     .answer("2 €")                   // the model's
//!     .answer(approved())              // the customer's
//!     .answer(json!({"number": 17}))   // the warehouse's
//!     .finish();
//! assert_eq!(trace.result, Ok(json!({"sold": true, "order": 17})));
//! assert_eq!(trace.asks[1]["title"], "a pen for 2 €?");
//!
//! let trace = testing::start(shop::Agent, "sell", json!({"item": "a pen"}))
//!     .answer("200 €")
//!     .answer(rejected().feedback("Too much."))
//!     .finish();
//! assert_eq!(trace.result, Ok(json!({"sold": false, "why": "Too much."})));
//! ```
//!
//! # Answers
//!
//! They are given in the order of asking: the first [`answer`](Execution::answer) is that of the first ask, whenever it
//! arrives. What the host answers by itself takes none: a [`sleep`](crate::sleep) ends when its time has come, a pause
//! with an expiry that nobody decides is `expired`, or its default decision, one that is out of the contract's bounds is
//! refused, a [`wait_for_resume`](crate::wait_for_resume) for a pause that was asked before gets the decision of that,
//! and a [`review_link`](crate::review_link) is `https://countersign.invalid/r/{id}/{reviewer}`.
//!
//! Of a pause that asks several, one decision stands for everybody's, unless it has [`votes`](Decision::votes) of its
//! own. A decision that no host would take fails the test: one that is none of the choices, that leaves a form or
//! feedback out, or that its votes do not lead to. To what a form has a default for, that is added; a payload that can
//! be edited and is approved without a response is the response.
//!
//! For a function that asks in no fixed order, [`answer_with`](Execution::answer_with) chooses by the ask.
//!
//! # Time and order
//!
//! An answer arrives at once, or [`after`](Answer::after) a while. One is delivered at a time, the earliest first, and
//! of those that arrive together the one that was asked for first; [`pick`](Execution::pick) chooses otherwise. After
//! each the function runs until all of it waits, as on a host.
//!
//! # What differs from a host
//!
//! `SystemTime`, `Instant` and random numbers are the machine's: only [`Trace::elapsed`] and
//! [`Review::decided_at_ms`](crate::Review::decided_at_ms) show the clock of the test. Neither the answers of models nor
//! the responses of reviewers are checked against a schema, and most bounds of the host are not there. Nobody is
//! reminded or told, and no group has members. Nothing is
//! replayed: that what a function asks follows from its input and its answers is shown by `countersign replay`, on the
//! component. A panic is the test's.

mod answer;
pub(crate) mod host;

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

pub use answer::{Answer, Decision, approved, decided, expired, never, rejected};

use crate::Error;
use crate::macro_support::Guest;
use host::{Delivery, Host};

/// How often a function that waits for nothing may wake itself before it counts as one that never rests.
const POLLS_MAX: usize = 1_000_000;

type Outcome = Pin<Box<dyn Future<Output = Result<Value, Error>>>>;

/// Begins an execution of a function of an agent, by its name and its input, as a client of the host does.
///
/// `agent` is the type `Agent` that [`#[agent]`](crate::agent) puts into its module: `content_pipeline::Agent`.
pub fn start<A: Guest + 'static>(_agent: A, function: &str, input: Value) -> Execution {
    let function = function.to_owned();
    Execution::new(Box::pin(async move {
        match A::run(function, input.to_string()).await {
            Ok(result) => Ok(parsed(&result)),
            Err(error) => Err(serde_json::from_value(parsed(&error)).expect("an error is a code and a message")),
        }
    }))
}

/// Begins an execution of any future that asks: of a part of a function, or of one with values for its input.
///
/// ```
/// # use std::time::Duration;
/// # use countersign_sdk::{Error, json, pause, testing, timeout};
/// let trace = testing::start_future(async {
///     let review = timeout(Duration::from_secs(3600), pause("gate")).await??;
///     Ok::<_, Error>(review.decision)
/// })
/// .answer(testing::approved().after(Duration::from_secs(7200)))
/// .finish();
/// assert_eq!(trace.result.unwrap_err().code, "timeout");
/// assert_eq!(trace.given_up, [0]);
/// ```
pub fn start_future<T, E>(future: impl Future<Output = Result<T, E>> + 'static) -> Execution
where
    T: Serialize,
    E: Into<Error>,
{
    Execution::new(Box::pin(async {
        let output = future.await.map_err(Into::into)?;
        serde_json::to_value(output).map_err(|error| Error::new("invalid_result", error.to_string()))
    }))
}

/// An execution that has not begun to run. [`finish`](Execution::finish) runs it.
#[must_use = "it runs when it is told to `finish`"]
pub struct Execution {
    outcome: Outcome,
    host: Host,
}

impl Execution {
    fn new(outcome: Outcome) -> Self {
        Self { outcome, host: Host::default() }
    }

    /// Answers the next ask that has no answer yet: the first call answers the first ask, the second the second.
    ///
    /// See [`Answer`] for what can be given.
    pub fn answer(mut self, answer: impl Into<Answer>) -> Self {
        self.host.script.list.push_back(answer.into());
        self
    }

    /// Answers all further asks by a function of the ask, in its JSON form.
    ///
    /// ```
    /// # use countersign_sdk::testing::{self, approved, rejected};
    /// # use countersign_sdk::{Error, futures::join, json, pause};
    /// # let both = async {
    /// #     let (a, b) = join!(pause("legal"), pause("finance"));
    /// #     Ok::<_, Error>([a?.decision, b?.decision])
    /// # };
    /// let trace = testing::start_future(both)
    ///     .answer_with(|ask| if ask["approval_request_id"] == "legal" { rejected() } else { approved() })
    ///     .finish();
    /// assert_eq!(trace.result, Ok(json!(["rejected", "approved"])));
    /// ```
    pub fn answer_with<A: Into<Answer>>(mut self, mut answer: impl FnMut(&Value) -> A + 'static) -> Self {
        self.host.script.otherwise = Some(Box::new(move |ask| answer(ask).into()));
        self
    }

    /// Chooses which of the open asks is answered next: an index into those that have an answer, the earliest first.
    ///
    /// One whose answer arrives later is delivered when its time has come; the others are late then.
    pub fn pick(mut self, pick: impl FnMut(&[&Value]) -> usize + 'static) -> Self {
        self.host.pick = Some(Box::new(pick));
        self
    }

    /// Runs the function to its end.
    ///
    /// One that still waits, though everything that it asked is answered, ends with the error `stuck`.
    ///
    /// # Panics
    ///
    /// If an answer is missing, is left over, or does not fit its ask; and if the function panics.
    #[track_caller]
    pub fn finish(self) -> Trace {
        let Self { mut outcome, host } = self;
        let host = Rc::new(RefCell::new(host));
        let on_this_host = host::enter(&host);
        let result = loop {
            if let Some(result) = run_slice(&mut outcome) {
                break result;
            }
            let delivery = host.borrow_mut().deliver();
            match delivery {
                Delivery::Made(waker) => waker.wake(),
                Delivery::NothingOpen => break Err(Error::new("stuck", "it waits, but for none of its asks")),
                Delivery::NoAnswer(open) => panic!("no answer was given to {open}"),
            }
        };
        // What it holds open is given up now.
        drop(outcome);
        drop(on_this_host);
        let host = host.take();
        let left = host.script.list.len();
        assert!(left == 0, "answers that nothing asked for: the last {left}; it ended with {result:?}");
        host.into_trace(result)
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution").field("answers", &self.host.script.list).finish_non_exhaustive()
    }
}

/// How an execution went.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What the function returned, as its caller sees it.
    pub result: Result<Value, Error>,
    /// What it asked, in the order of asking, as the journal of the host has it:
    /// `{"kind": "ai", "messages": […]}`, `{"kind": "pause", "approval_request_id": …}` and so on. JSON documents in
    /// it (`input`, `payload`, schemas) are texts.
    pub asks: Vec<Value>,
    /// Which asks were answered, as indexes into `asks`, in the order in which the answers were delivered.
    pub answered: Vec<usize>,
    /// Which asks were given up: their futures were dropped before the answer, or were left at the end.
    pub given_up: Vec<usize>,
    /// What it wrote by [`note!`](crate::note).
    pub log: Vec<String>,
    /// How much time it took by the clock of the test.
    pub elapsed: Duration,
}

impl Trace {
    /// The input of a call, read: `asks[ask]` has it as text.
    ///
    /// # Panics
    ///
    /// If that ask is not a call.
    #[track_caller]
    pub fn call_input(&self, ask: usize) -> Value {
        match self.asks[ask]["input"].as_str() {
            Some(input) => parsed(input),
            None => panic!("ask {ask} is no call: {}", self.asks[ask]),
        }
    }
}

/// Whether a task was woken since it was last polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the function until all of it waits for the host. Some if it has returned.
fn run_slice(outcome: &mut Outcome) -> Option<Result<Value, Error>> {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    for _ in 0..POLLS_MAX {
        match outcome.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return Some(result),
            Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
            Poll::Pending => return None,
        }
    }
    panic!("the function wakes itself for ever, and never waits for the host");
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).expect("this crate wrote it as JSON")
}

#[cfg(test)]
mod people_tests;
#[cfg(test)]
mod tests;
