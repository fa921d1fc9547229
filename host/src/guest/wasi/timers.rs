//! `wasi:clocks/monotonic-clock`, whose waits are asks: of WASI 0.2, which Rust and CPython know, and of WASI 0.3, whose
//! `wait-for` is an `async func`.

use std::sync::Arc;
use std::task::Poll;

use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::{NANOS_PER_MILLI, monotonic};
use crate::guest::Inside;
use crate::guest::asks::{Asks, Pending};
use crate::journal::Ask;

/// What is used of WASI 0.3: the one interface that every toolchain with `async` can import, whatever it can not.
mod version_3 {
    wasmtime::component::bindgen!({
        inline: "
            package wasi:clocks@0.3.0;
            interface types {
                type duration = u64;
            }
            interface monotonic-clock {
                use types.{duration};
                type mark = u64;
                now: func() -> mark;
                get-resolution: func() -> duration;
                wait-until: async func(when: mark);
                wait-for: async func(how-long: duration);
            }
            world timers {
                import monotonic-clock;
            }
        ",
        imports: { default: trappable },
    });
}

use version_3::wasi::clocks::monotonic_clock as monotonic_clock_3;
use version_3::wasi::clocks::types as types_3;

pub(super) fn add_to_linker(linker: &mut Linker<Inside>) -> wasmtime::Result<()> {
    monotonic_clock::add_to_linker::<_, HasTimers>(linker, |inside| Timers(inside))?;
    types_3::add_to_linker::<_, HasTimers>(linker, |inside| Timers(inside))?;
    monotonic_clock_3::add_to_linker::<_, HasTimers>(linker, |inside| Timers(inside))
}

/// The monotonic clock of both versions.
struct Timers<'a>(&'a mut Inside);

struct HasTimers;

impl HasData for HasTimers {
    type Data<'a> = Timers<'a>;
}

impl monotonic_clock::Host for Timers<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(monotonic(&self.0.asks))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(NANOS_PER_MILLI)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = Timer { when, asks: self.0.asks.clone(), sleep: None };
        let timer = self.0.table.push(timer)?;
        subscribe(&mut self.0.table, timer)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let when = monotonic(&self.0.asks).saturating_add(duration);
        self.subscribe_instant(when)
    }
}

/// A point in time that a guest can poll for. It asks the host to sleep when the guest first waits for it.
struct Timer {
    when: u64,
    asks: Arc<Asks>,
    sleep: Option<Pending>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        loop {
            let now = monotonic(&self.asks);
            if now >= self.when {
                return;
            }
            // Kept over several polls: a guest may stop to wait for this and come back.
            if self.sleep.is_none() {
                // At the bound of asks it is never ready: the guest is stuck, and fails for that.
                self.sleep = self.asks.ask(sleep(self.when - now)).ok();
            }
            match &mut self.sleep {
                Some(sleep) => drop(sleep.await),
                None => std::future::pending().await,
            }
            self.sleep = None;
        }
    }
}

impl types_3::Host for Timers<'_> {}

impl monotonic_clock_3::Host for Timers<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(monotonic(&self.0.asks))
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(NANOS_PER_MILLI)
    }
}

impl<T: Send> monotonic_clock_3::HostWithStore<T> for HasTimers {
    async fn wait_until(accessor: &Accessor<T, Self>, when: u64) -> wasmtime::Result<()> {
        let asks = accessor.with(|mut access| access.get().0.asks.clone());
        wait_until(&asks, when).await
    }

    async fn wait_for(accessor: &Accessor<T, Self>, how_long: u64) -> wasmtime::Result<()> {
        let asks = accessor.with(|mut access| access.get().0.asks.clone());
        let when = monotonic(&asks).saturating_add(how_long);
        wait_until(&asks, when).await
    }
}

async fn wait_until(asks: &Arc<Asks>, when: u64) -> wasmtime::Result<()> {
    // Once, even for a time that has come: what else the guest can do goes first. Only so can a guest know that the
    // rest of it waits.
    let mut has_yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    while let Some(left) = when.checked_sub(monotonic(asks)).filter(|left| *left > 0) {
        asks.ask(sleep(left))?.await;
    }
    Ok(())
}

fn sleep(nanos: u64) -> Ask {
    Ask::Sleep { duration_ms: nanos.div_ceil(NANOS_PER_MILLI) }
}
