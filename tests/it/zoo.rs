//! The zoo: guests that mean harm. Each gets what guest-examples/hostile/README.md says, and nobody else notices.

mod cache;
mod chance;
mod memory;
mod runs;
mod uploads;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use countersign_tests::api::send;
use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, Reply, until};
use reqwest::Method;
use serde_json::{Value, json};

/// A host with a keeper and a visitor, who have the testbed, and a tenant that uploads whatever the zoo has.
struct Zoo {
    host: Host,
    keeper: Api,
    visitor: Api,
    api: Api,
    model: Model,
    /// How long it takes to have an execution in every slot, with nothing else to do.
    lonely: Duration,
    _database: Database,
}

/// How many executions the host drives at once: fewer than there are hostile ones.
const SLOTS: usize = 4;

/// How many of them the keeper takes: one tenant leaves a quarter to those who may come.
const KEEPERS: usize = 3;

/// How soon what a guest held is free again.
const SOON: Duration = Duration::from_secs(1);

/// How much slower than alone a host may be for other reasons: tests share the machine.
const NOISE: u32 = 3;

impl Zoo {
    async fn new() -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, &[("COUNTERSIGN_CONCURRENCY", &SLOTS.to_string())]).await;
        let (keeper, visitor, api) = (host.api(), host.tenant("visitor"), host.tenant("zoo"));
        keeper.deploy("testbed", guest("testbed")).await;
        visitor.deploy("testbed", guest("testbed")).await;
        let mut zoo = Self { host, keeper, visitor, api, model, lonely: Duration::ZERO, _database: database };
        zoo.lonely = zoo.fill().await;
        zoo
    }

    async fn upload(&self, agent: &str, wasm: Vec<u8>) -> Reply {
        send(self.api.request(Method::PUT, &format!("/v1/agents/{agent}")).body(wasm)).await
    }

    /// Lowers what the executions of an agent may use.
    async fn limit(&self, agent: &str, limits: &Value) {
        let path = format!("/v1/agents/{agent}/limits");
        send(self.api.request(Method::PUT, &path).json(limits)).await.expect(200);
    }

    /// Has the keeper's executions run until `done`, and returns the longest time that one took.
    async fn neighbours(&self, done: &AtomicBool) -> Duration {
        let mut longest = Duration::ZERO;
        while !done.load(Ordering::Relaxed) {
            let began = Instant::now();
            assert_eq!(self.keeper.run("testbed.echo", &json!(7)).await["result"], 7, "others go on meanwhile");
            longest = longest.max(began.elapsed());
        }
        longest
    }

    /// Has an execution in every slot at once, and returns how long it took until all of them ran.
    async fn fill(&self) -> Duration {
        let before = self.model.calls();
        self.model.hold_from(before + 1);
        let began = Instant::now();
        let mut started = vec![];
        for n in 0..SLOTS {
            let of = if n < KEEPERS { &self.keeper } else { &self.visitor };
            started.push((of, of.start("testbed.many_ai", &json!({"n": 1})).await));
        }
        until("an execution is in every slot", async || (self.model.calls() == before + SLOTS).then_some(())).await;
        let took = began.elapsed();
        self.model.release();
        for (of, id) in started {
            assert_eq!(of.finished(&id).await["status"], "succeeded");
        }
        took
    }

    /// Fails unless every slot of the host is free, or within a second, and nothing went wrong inside of it.
    async fn assert_free(&self) {
        let took = self.fill().await;
        assert!(took < SOON + NOISE * self.lonely, "{took:?} until all slots were free; {:?} when alone", self.lonely);
        self.host.assert_unharmed();
    }
}
