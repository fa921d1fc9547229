//! A component that has been checked, compiled and linked, ready for any number of instances.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::Store;
use wasmtime::component::Linker;

use super::asks::Asks;
use super::bindings::{self, AgentBlockingPre, AgentPre, types};
use super::check::{self, Invalid};
use super::limits::{self, Meter};
use super::turns::Seat;
use super::{Call, Engine, Inside, Running, Slice, wasi};
use crate::execution::is_name;
use crate::limits::Limits;
use crate::schema::Schema;

/// How many functions one agent may have, and how large its manifest may be.
const FUNCTIONS_MAX: usize = 256;
const MANIFEST_BYTES_MAX: usize = 256 << 10;

/// A component that fits the contract. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Linked>);

struct Linked {
    engine: Engine,
    world: World,
}

enum World {
    Async(AgentPre<Inside>),
    Blocking(AgentBlockingPre<Inside>),
}

/// What a component says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub functions: Vec<Function>,
}

/// One thing that an agent can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Function {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema of the input; null: any JSON.
    pub input_schema: Option<serde_json::Value>,
    /// JSON Schema of the result; null: any JSON.
    pub output_schema: Option<serde_json::Value>,
}

impl Component {
    /// Checks and compiles a component of one's own. Takes seconds for a large one, on this thread.
    pub(super) fn compile(engine: &Engine, wasm: &[u8]) -> Result<wasmtime::component::Component, Invalid> {
        check::check(wasm, &crate::limits::Limits::default())?;
        check::validate(wasm)?;
        wasmtime::component::Component::new(engine.wasmtime(), wasm)
            .map_err(|why| Invalid::NotCompiled(format!("{why:#}")))
    }

    /// Links a compiled component. The types of all its imports and exports are checked here.
    pub(super) fn link(engine: &Engine, compiled: &wasmtime::component::Component) -> Result<Self, Invalid> {
        let wrong = |why: wasmtime::Error| Invalid::WrongWorld(format!("{why:#}"));
        let mut linker = Linker::new(engine.wasmtime());
        wasi::add_to_linker(&mut linker).map_err(wrong)?;
        bindings::add_to_linker(&mut linker).map_err(wrong)?;
        let linked = linker.instantiate_pre(compiled).map_err(wrong)?;
        let world = match AgentPre::new(linked.clone()) {
            Ok(agent) => World::Async(agent),
            Err(not_async) => match AgentBlockingPre::new(linked) {
                Ok(agent) => World::Blocking(agent),
                Err(_) => return Err(wrong(not_async)),
            },
        };
        Ok(Self(Arc::new(Linked { engine: engine.clone(), world })))
    }

    /// Asks the component what it can do, within the limits of any guest.
    pub async fn describe(&self) -> Result<Manifest, Invalid> {
        self.describe_metered().await.0
    }

    /// The same, and the CPU time that the component took to say it.
    pub async fn describe_metered(&self) -> (Result<Manifest, Invalid>, Duration) {
        let limits = Limits::default();
        let call = Call {
            execution_id: String::new(),
            function: String::new(),
            input: String::new(),
            seed: [0; 32],
            started: 0,
            limits: limits.clone(),
            is_replay: false,
        };
        let (asks, meter) = (Arc::new(Asks::new(0, limits.entry_bytes)), Arc::new(Meter::new(&limits)));
        let mut store = self.store(&call, &asks, &meter);
        let linked = self.0.clone();
        let describing = Box::pin(async move {
            match &linked.world {
                World::Async(agent) => agent.instantiate_async(&mut store).await?.call_describe(&mut store).await,
                World::Blocking(agent) => agent.instantiate_async(&mut store).await?.call_describe(&mut store).await,
            }
        });
        // It may compute, not ask: with an ask open it would wait for ever.
        let described = super::until_quiescent(&meter, &self.seat(""), describing).await;
        let manifest = match described {
            // Reading schemas takes up to seconds, if they are made for that.
            Slice::Ended(Ok(manifest)) => tokio::task::spawn_blocking(move || check_manifest(manifest))
                .await
                .unwrap_or_else(|_| Err(Invalid::NotDescribed("its manifest could not be checked".into()))),
            Slice::Ended(Err(error)) => {
                Err(Invalid::NotDescribed(limits::failure(&error, &call.limits, &meter, asks.last_words()).message))
            }
            Slice::Waits(_) => Err(Invalid::NotDescribed("it asked the host for something, which it may not".into())),
        };
        (manifest, meter.spent())
    }

    /// A place among those who take turns, of a tenant; those of the host's own are of none.
    pub(super) fn seat(&self, tenant: &str) -> Seat {
        self.0.engine.turns().seat(tenant)
    }

    /// The memory that an instance has at its start, at the most.
    pub fn memory_at_start(&self) -> u64 {
        let compiled = match &self.0.world {
            World::Async(agent) => agent.instance_pre().component(),
            World::Blocking(agent) => agent.instance_pre().component(),
        };
        let required = compiled.resources_required();
        required.map_or(0, |all| u64::from(all.num_memories) * all.max_initial_memory_size.unwrap_or(0))
    }

    pub(super) fn store(&self, call: &Call, asks: &Arc<Asks>, meter: &Arc<Meter>) -> Store<Inside> {
        super::store(&self.0.engine, call, asks, meter)
    }

    /// The main task of a new instance; it owns the store.
    pub(super) fn run(&self, mut store: Store<Inside>, function: String, input: String) -> Running {
        let linked = self.0.clone();
        match &self.0.world {
            World::Async(_) => Box::pin(async move {
                let World::Async(agent) = &linked.world else { unreachable!("matched above") };
                let agent = agent.instantiate_async(&mut store).await?;
                store.run_concurrent(async |accessor| agent.call_run(accessor, function, input).await).await?
            }),
            World::Blocking(_) => Box::pin(async move {
                let World::Blocking(agent) = &linked.world else { unreachable!("matched above") };
                let agent = agent.instantiate_async(&mut store).await?;
                agent.call_run(&mut store, &function, &input).await
            }),
        }
    }
}

fn check_manifest(manifest: types::Manifest) -> Result<Manifest, Invalid> {
    let bad = |why: String| Err(Invalid::BadManifest(why));
    let count = manifest.functions.len();
    if !(1..=FUNCTIONS_MAX).contains(&count) {
        return bad(format!("it has {count} functions; there must be 1 to {FUNCTIONS_MAX}"));
    }
    let schemas = manifest.functions.iter().flat_map(|function| [&function.input_schema, &function.output_schema]);
    let length: usize = schemas.flatten().map(String::len).sum();
    if length > MANIFEST_BYTES_MAX {
        return bad(format!("its schemas have {length} bytes; at most {MANIFEST_BYTES_MAX} are kept"));
    }
    let schema = |function: &str, text: Option<String>| -> Result<_, Invalid> {
        let Some(text) = text else { return Ok(None) };
        let schema = Schema::parse(&text)
            .map_err(|why| Invalid::BadManifest(format!("a schema of function {function}: {why}")))?;
        Ok(Some(schema.json().clone()))
    };
    let mut functions: Vec<Function> = vec![];
    for function in manifest.functions {
        let name = function.name;
        if !is_name(&name) {
            return bad(format!("{name:?} is no name: 1 to 64 of a-z 0-9 _ -, starting with a letter"));
        }
        if functions.iter().any(|other| other.name == name) {
            return bad(format!("it has two functions {name:?}"));
        }
        functions.push(Function {
            description: function.description.map(|text| text.replace('\0', "\u{fffd}")),
            input_schema: schema(&name, function.input_schema)?,
            output_schema: schema(&name, function.output_schema)?,
            name,
        });
    }
    let manifest = Manifest { name: manifest.name, version: manifest.version, functions };
    match serde_json::to_string(&manifest) {
        Ok(text) if text.len() <= MANIFEST_BYTES_MAX => Ok(manifest),
        Ok(text) => bad(format!("it has {} bytes of JSON; at most {MANIFEST_BYTES_MAX} are kept", text.len())),
        Err(why) => bad(why.to_string()),
    }
}
