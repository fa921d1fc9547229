//! Who drives an execution: one host at a time. One that stalls, dies or stops loses its work to another, and what it
//! writes afterwards is refused.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use countersign_tests::build::guest;
use countersign_tests::{Database, Host, Model, until};
use serde_json::{Value, json};

/// Longer than any test may take.
const LONG_LEASE: [(&str, &str); 1] = [("COUNTERSIGN_LEASE_SECONDS", "300")];
const SHORT_LEASE: [(&str, &str); 1] = [("COUNTERSIGN_LEASE_SECONDS", "1")];

/// A host and the model that only this host asks, so that the model tells who drives.
struct Driver {
    host: Host,
    model: Model,
}

impl Driver {
    async fn start(database: &Database, environment: &[(&str, &str)]) -> Self {
        let model = Model::start().await;
        let host = Host::start_with(database, &model, environment).await;
        Self { host, model }
    }

    /// Waits until its model has been asked this often.
    async fn asked(&self, calls: usize) {
        until(&format!("the model has been asked {calls} times"), async || (self.model.calls() >= calls).then_some(()))
            .await;
    }

    /// Waits until so many of its attempts have found out that they were lost.
    async fn lost(&self, attempts: usize) {
        until(&format!("{attempts} attempts are lost"), async || {
            let lost = self.host.log().iter().filter(|line| line.contains("end=\"lost\"")).count();
            (lost >= attempts).then_some(())
        })
        .await;
    }
}

/// Everything about an execution that a late write could change.
async fn all_of(driver: &Driver, id: &str) -> (Value, Vec<Value>) {
    let api = driver.host.api();
    (api.execution(id).await, api.journal(id).await)
}

/// The stalled host goes on, finds out that it drives nothing any more, for the `nth` time, and takes no harm; nothing
/// has changed.
async fn stalled_too_late(stalled: &Driver, other: &Driver, id: &str, nth: usize) {
    let before = all_of(other, id).await;
    stalled.host.thaw();
    stalled.model.release();
    stalled.lost(nth).await;
    assert_eq!(all_of(other, id).await, before);
    // It is well, and of use.
    let next = stalled.host.api().start("testbed.echo", &json!("again")).await;
    assert_eq!(stalled.host.api().finished(&next).await["result"], "again");
    assert_eq!(all_of(stalled, id).await, before);
    stalled.host.assert_unharmed();
    other.host.assert_unharmed();
}

#[tokio::test]
async fn a_host_that_stalls_while_it_asks_a_model_loses_the_execution_and_its_late_answer_is_refused() {
    let database = Database::new().await;
    let stalled = Driver::start(&database, &SHORT_LEASE).await;
    let api = stalled.host.api();
    api.deploy("testbed", guest("testbed")).await;
    stalled.model.hold();
    let id = api.start("testbed.many_ai", &json!({"n": 3})).await;
    stalled.asked(1).await;
    let other = Driver::start(&database, &SHORT_LEASE).await;
    stalled.host.freeze();

    let execution = other.host.api().finished(&id).await;
    assert_eq!(execution["result"], json!({"n": 3, "last": "echo: tick 2"}), "{execution}");
    assert_eq!(execution["attempts"], 2);
    assert_eq!((stalled.model.calls(), other.model.calls()), (1, 3));
    let keys = [&stalled, &other].map(|driver| driver.model.asked()[0].idempotency_key.clone());
    assert_eq!(keys[0], keys[1], "the model is told that it is the same ask");
    stalled_too_late(&stalled, &other, &id, 1).await;
    assert_eq!(other.host.api().journal(&id).await.len(), 3);
}

#[tokio::test]
async fn a_host_that_stalls_anywhere_between_its_answers_loses_the_execution_and_no_answer_is_doubled() {
    let database = Database::new().await;
    let other = Driver::start(&database, &SHORT_LEASE).await;
    other.host.api().deploy("testbed", guest("testbed")).await;
    other.host.freeze();
    let stalled = Driver::start(&database, &SHORT_LEASE).await;
    stalled.model.delay(Duration::from_millis(2));
    for (round, calls) in [(1, 1), (2, 7), (3, 18)] {
        let so_far = stalled.model.calls();
        let id = stalled.host.api().start("testbed.many_ai", &json!({"n": 20})).await;
        stalled.asked(so_far + calls).await;
        stalled.host.freeze();
        other.host.thaw();
        let execution = other.host.api().finished(&id).await;
        assert_eq!(execution["result"], json!({"n": 20, "last": "echo: tick 19"}), "{execution}");
        assert_eq!(execution["attempts"], 2);
        stalled_too_late(&stalled, &other, &id, round).await;

        let mut asked = BTreeMap::new();
        for ask in [stalled.model.asked(), other.model.asked()].concat() {
            *asked.entry(ask.idempotency_key).or_insert(0) += 1;
        }
        let of_this = (0..20).map(|op| asked[&format!("{id}-{op}")]).collect::<Vec<_>>();
        assert!(of_this.iter().sum::<usize>() <= 21, "only the one in hand is asked again: {of_this:?}");
        let journal = other.host.api().journal(&id).await;
        let ops: Vec<_> = journal.iter().map(|entry| entry["op"].as_u64().expect("a number")).collect();
        assert_eq!(ops, (0..20).collect::<Vec<_>>());
        other.host.freeze();
    }
    other.host.thaw();
}

#[tokio::test]
async fn a_host_that_died_takes_up_its_work_as_soon_as_it_is_back() {
    let database = Database::new().await;
    let mut driver = Driver::start(&database, &LONG_LEASE).await;
    driver.host.api().deploy("testbed", guest("testbed")).await;
    driver.model.hold();
    let id = driver.host.api().start("testbed.many_ai", &json!({"n": 1})).await;
    driver.asked(1).await;
    driver.host.kill();
    driver.host.restart(&[]).await;
    let back = Instant::now();
    driver.asked(2).await;
    assert!(back.elapsed() < Duration::from_secs(5), "it took {:?}", back.elapsed());
    driver.model.release();
    let execution = driver.host.api().finished(&id).await;
    assert_eq!((&execution["status"], &execution["attempts"]), (&json!("succeeded"), &json!(2)));
    driver.host.assert_unharmed();
}

#[tokio::test]
async fn a_host_that_is_told_to_stop_gives_its_work_back_at_once() {
    let database = Database::new().await;
    let mut stopping = Driver::start(&database, &LONG_LEASE).await;
    stopping.host.api().deploy("testbed", guest("testbed")).await;
    stopping.model.hold();
    let id = stopping.host.api().start("testbed.many_ai", &json!({"n": 2})).await;
    stopping.asked(1).await;
    let other = Driver::start(&database, &LONG_LEASE).await;
    stopping.host.stop().await;
    let stopped = Instant::now();
    other.asked(1).await;
    assert!(stopped.elapsed() < Duration::from_secs(5), "it took {:?}", stopped.elapsed());
    let execution = other.host.api().finished(&id).await;
    assert_eq!((&execution["status"], &execution["attempts"]), (&json!("succeeded"), &json!(2)));
    assert_eq!(other.host.api().journal(&id).await.len(), 2);
    stopping.host.assert_unharmed();
    other.host.assert_unharmed();
}

#[tokio::test]
async fn a_lease_is_renewed_for_as_long_as_the_model_takes() {
    let database = Database::new().await;
    let slow = Driver::start(&database, &SHORT_LEASE).await;
    slow.host.api().deploy("testbed", guest("testbed")).await;
    slow.model.delay(Duration::from_millis(3_500));
    let id = slow.host.api().start("testbed.many_ai", &json!({"n": 1})).await;
    slow.asked(1).await;
    let other = Driver::start(&database, &SHORT_LEASE).await;
    let execution = slow.host.api().finished(&id).await;
    assert_eq!((&execution["status"], &execution["attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!((slow.model.calls(), other.model.calls()), (1, 0));
}
