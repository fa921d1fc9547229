//! The one wasmtime engine of this process, and its clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::{Config, RegallocAlgorithm};

use super::turns::Turns;

/// How often a running guest is interrupted, to let others run and to look at its CPU time.
const EPOCH: Duration = Duration::from_millis(10);

/// The stack of a guest, and that of the host's fiber around it.
pub(super) const WASM_STACK_BYTES: usize = 2 << 20;
const FIBER_STACK_BYTES: usize = 4 << 20;

/// Compiles and runs components: deterministically, and with as few of wasmtime's features as guests need.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    /// Of all its guests.
    turns: Turns,
    /// Stops the clock when the last engine is dropped.
    _clock: Option<Arc<Clock>>,
}

impl Engine {
    /// Makes the engine and starts its clock: a thread that ticks every 10 ms.
    pub fn new() -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(&config())?;
        let clock = Arc::new(Clock(AtomicBool::new(true)));
        let (weak, ticking) = (engine.weak(), Arc::downgrade(&clock));
        std::thread::Builder::new().name("epoch".into()).spawn(move || {
            while ticking.upgrade().is_some_and(|clock| clock.0.load(Ordering::Relaxed))
                && let Some(engine) = weak.upgrade()
            {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(EPOCH);
            }
        })?;
        Ok(Self { engine, turns: Turns::new(), _clock: Some(clock) })
    }

    /// An engine without a clock, on which nobody needs a turn: a guest computes on the thread of its caller for as long as
    /// it likes, and the same happens however fast the machine is. For counting instructions, and not for foreign guests.
    pub fn timeless() -> wasmtime::Result<Self> {
        Ok(Self { engine: wasmtime::Engine::new(&config())?, turns: Turns::not_needed(), _clock: None })
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }
}

struct Clock(AtomicBool);

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Compiles a component to what `Component::deserialize` of an engine of any process with this program takes.
pub(super) fn precompile(wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    wasmtime::Engine::new(&config())?.precompile_component(wasm)
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        // The same bits on every replay, on whatever machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking)
        // Off: what no toolchain of ours emits.
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_tail_call(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES);
    config
}
