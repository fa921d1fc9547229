//! All of wasmtime: one component, one instance, one slice at a time.
//!
//! A guest never sees the outside world. Each of its asks is only noted; it runs until everything in it waits for an
//! answer, which is a *slice*; then exactly one answer is delivered, and the next slice runs. Live, that is the answer
//! that arrived first; on replay, the next in the journal. The guest cannot tell the difference. So it is a pure
//! function of its input, its seed and the answers, and can be driven without a database or a network:
//!
//! ```text
//! let mut guest = Guest::start(&component, call);
//! guest.run_slice().await;
//! while let State::Asking = guest.state() { … guest.deliver(op, answer, at); guest.run_slice().await; }
//! ```

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use wasmtime::Store;

use crate::execution::{Failure, JSON_BYTES_MAX};
use crate::journal::{Answer, Entry, Millis, Mismatch};
use crate::json;
use crate::limits::Limits;

mod asks;
mod bindings;
mod cache;
mod check;
mod compiler;
mod component;
mod cpu;
mod engine;
mod limits;
mod turns;
mod wasi;

pub use asks::{LogLine, OpenAsk, Stream};
pub use cache::{Cache, CacheKey, Compilation};
pub use check::{COMPONENT_BYTES_MAX, Invalid, check};
pub use compiler::{Uncompiled, compile_child};
pub use component::{Component, Function, Manifest};
pub use engine::Engine;
pub use limits::MemoryUse;

use asks::{Asks, Pending};
use limits::Meter;
use turns::Seat;

/// One execution of one function, as a guest sees it.
#[derive(Debug, Clone)]
pub struct Call {
    pub execution_id: String,
    pub function: String,
    /// JSON text.
    pub input: String,
    /// Where its random numbers come from.
    pub seed: [u8; 32],
    /// What its clocks show before the first answer.
    pub started: Millis,
    pub limits: Limits,
    /// Whether its first slice has run before, in an attempt before this one.
    pub is_replay: bool,
}

/// What a guest is at, when it is quiescent.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It waits for an answer to one of its open asks.
    Asking,
    /// It returned: JSON texts.
    Returned(Result<String, String>),
    /// It trapped, reached a limit, or waits for nothing that could ever come.
    Failed(Failure),
}

impl State {
    /// How an execution in this state has ended: with its result, or not well. None: it goes on.
    pub fn end(&self) -> Option<Result<String, Failure>> {
        match self {
            Self::Asking => None,
            Self::Returned(Ok(result)) => Some(Ok(result.clone())),
            Self::Returned(Err(error)) => Some(Err(Failure::agent(error))),
            Self::Failed(failure) => Some(Err(failure.clone())),
        }
    }
}

type Running = Pin<Box<dyn Future<Output = wasmtime::Result<Result<String, String>>> + Send>>;

/// An instance, and what it asked. Dropping it drops the instance.
pub struct Guest {
    /// The guest's main task, until it has ended. It owns the store.
    running: Option<Running>,
    asks: Arc<Asks>,
    limits: Limits,
    meter: Arc<Meter>,
    seat: Seat,
    state: State,
}

impl Guest {
    /// Makes an instance. Nothing of the guest has run before the first slice.
    pub fn start(component: &Component, call: Call) -> Self {
        Self::start_of("", component, call)
    }

    /// The same; it takes turns with the guests of other tenants, and its CPU time is counted with that of this one's.
    pub fn start_of(tenant: &str, component: &Component, call: Call) -> Self {
        let asks = Arc::new(Asks::new(call.started, call.limits.entry_bytes));
        let meter = Arc::new(Meter::new(&call.limits));
        meter.set_replay(call.is_replay);
        let store = component.store(&call, &asks, &meter);
        let running = Some(component.run(store, call.function, call.input));
        Self { running, asks, limits: call.limits, meter, seat: component.seat(tenant), state: State::Asking }
    }

    /// The memory that it uses, to be looked at while it runs.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse::new(&self.meter)
    }

    /// Runs the guest until everything in it waits.
    ///
    /// Yields to the other tasks of this thread every few milliseconds, and waits for its turn then. A guest that uses more
    /// CPU time in one slice than its limit fails.
    pub async fn run_slice(&mut self) {
        let Some(running) = self.running.take() else { return };
        match until_quiescent(&self.meter, &self.seat, running).await {
            Slice::Ended(ended) => self.state = self.ended(ended),
            Slice::Waits(running) => match self.overasked().or_else(|| self.meter.failure()) {
                Some(failure) => self.state = State::Failed(failure),
                None => self.running = Some(running),
            },
        }
    }

    /// Delivers the answer of journal entry `seq`, if the guest asked what it answers. Run the next slice then.
    pub fn replay(&mut self, seq: usize, entry: &Entry) -> Result<(), Mismatch> {
        let asked = self.asks.open_text(entry.op);
        if asked.as_deref() == Some(&entry.ask) && self.deliver(entry.op, entry.answer.clone(), entry.at) {
            self.meter.set_replay(true);
            return Ok(());
        }
        Err(Mismatch {
            seq,
            op: entry.op,
            recorded: entry.ask.clone(),
            asked: asked.or_else(|| self.asks.past(entry.op)),
        })
    }

    /// Delivers an answer, and moves the guest's clocks to `at`. Run the next slice then.
    ///
    /// False if no such ask is open, or the answer does not fit it; nothing has happened then.
    pub fn deliver(&mut self, op: u64, answer: Answer, at: Millis) -> bool {
        self.meter.set_replay(false);
        self.asks.deliver(op, answer, at)
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// The asks that wait for an answer, in the order of asking.
    pub fn open_asks(&self) -> Vec<OpenAsk> {
        self.asks.open()
    }

    /// The asks that the guest has opened since the last time, and still waits for.
    pub fn take_fresh(&mut self) -> Vec<OpenAsk> {
        self.asks.take_fresh()
    }

    /// The asks that the guest has given up since the last time.
    pub fn take_abandoned(&mut self) -> Vec<OpenAsk> {
        self.asks.take_abandoned()
    }

    /// What the guest printed since the last time.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        self.asks.take_log()
    }

    /// What the guest's clocks show.
    pub fn now(&self) -> Millis {
        self.asks.now()
    }

    fn ended(&self, ended: wasmtime::Result<Result<String, String>>) -> State {
        let json = match ended {
            Ok(json) => json,
            Err(error) => {
                return State::Failed(limits::failure(&error, &self.limits, &self.meter, self.asks.last_words()));
            }
        };
        let (Ok(text) | Err(text)) = &json;
        if text.len() > JSON_BYTES_MAX {
            let message = format!("the function returned {} bytes; at most {JSON_BYTES_MAX} are kept", text.len());
            return State::Failed(Failure::guest("too_large", message));
        }
        if let Err(why) = json::check(text) {
            return State::Failed(Failure::guest("invalid_result", format!("the function returned no JSON: {why}")));
        }
        State::Returned(json)
    }

    fn overasked(&self) -> Option<Failure> {
        let (open, open_max, asks_max) = (self.asks.open_count(), self.limits.open_asks, self.limits.asks);
        if open == 0 {
            let message = "the component waits, but for none of its asks: it can never go on";
            Some(Failure::guest("stuck", message))
        } else if open as u64 > open_max {
            let message = format!("{open} asks are open at once; at most {open_max} may be (limit `open_asks`)");
            Some(Failure::guest("ask_limit", message))
        } else if self.asks.count() > asks_max {
            Some(Failure::guest("ask_limit", format!("more than {asks_max} asks in one execution (limit `asks`)")))
        } else {
            None
        }
    }
}

/// What came of a slice: the guest has ended, or waits for us and for nothing else.
enum Slice<T, F> {
    Ended(T),
    Waits(F),
}

/// Polls a guest until it ends, or waits for us and for nothing else.
///
/// Wasmtime returns `Pending` without a wake-up only when no task of the guest has anything left to do.
async fn until_quiescent<T, F>(meter: &Arc<Meter>, seat: &Seat, mut running: Pin<Box<F>>) -> Slice<T, Pin<Box<F>>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
{
    meter.start_slice();
    let woken = Arc::new(Woken::default());
    loop {
        let turn = seat.turn(meter.spent()).await;
        let before = meter.spent();
        woken.0.store(false, Ordering::SeqCst);
        let polled;
        (polled, running) = match turn {
            None => poll(meter, &woken, running),
            Some(mut turn) => {
                let (meter, woken) = (meter.clone(), woken.clone());
                let polled = turn.run(move || poll(&meter, &woken, running)).await;
                polled.expect("the guest's poll does not panic")
            }
        };
        seat.charge(meter.spent() - before);
        match polled {
            Poll::Ready(ended) => return Slice::Ended(ended),
            // It was interrupted by the clock, or by itself: it has more to do.
            Poll::Pending if woken.0.load(Ordering::SeqCst) => {}
            Poll::Pending => return Slice::Waits(running),
        }
    }
}

/// Polls a guest once, which computes until it waits or the clock ticks.
fn poll<T, F>(meter: &Meter, woken: &Arc<Woken>, mut running: Pin<Box<F>>) -> (Poll<T>, Pin<Box<F>>)
where
    F: Future<Output = T> + ?Sized,
{
    let waker = Waker::from(woken.clone());
    let polled = meter.measure(|| running.as_mut().poll(&mut Context::from_waker(&waker)));
    (polled, running)
}

/// What a store holds for its guest.
struct Inside {
    wasi: wasmtime_wasi::WasiCtx,
    table: wasmtime::component::ResourceTable,
    memory: limits::Memory,
    asks: Arc<Asks>,
    /// What a blocking guest has submitted and not yet taken.
    submitted: HashMap<u64, Pending>,
    execution_id: String,
}

impl wasmtime_wasi::WasiView for Inside {
    fn ctx(&mut self) -> wasmtime_wasi::WasiCtxView<'_> {
        wasmtime_wasi::WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Makes the store of one attempt. It is never used again after a trap.
fn store(engine: &Engine, call: &Call, asks: &Arc<Asks>, meter: &Arc<Meter>) -> Store<Inside> {
    let mut table = wasmtime::component::ResourceTable::new();
    let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let limits = &call.limits;
    table.set_max_capacity(size(limits.handles));
    let inside = Inside {
        wasi: wasi::context(&call.seed, asks),
        table,
        memory: limits::Memory::new(limits, meter),
        asks: asks.clone(),
        submitted: HashMap::new(),
        execution_id: call.execution_id.clone(),
    };
    let mut store = Store::new(engine.wasmtime(), inside);
    store.limiter(|inside| &mut inside.memory);
    store.set_hostcall_fuel(size(limits.host_call_bytes));
    // An async guest has a handle of each open ask, too; those have a limit of their own.
    store.set_max_component_handles(size(limits.handles + limits.open_asks));
    store.set_epoch_deadline(1);
    let meter = meter.clone();
    store.epoch_deadline_callback(move |_| meter.tick());
    store
}

/// Notes whether it was called.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
