//! What becomes of a decision: every row of the table in docs/api.md, through both doors.

mod early;
mod named;
mod signatures;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::signature::Secret;
use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, Reply, until};
use futures::future::join_all;
use serde_json::{Value, json};

/// A host with the testbed, and what a reviewer needs.
struct Desk {
    host: Host,
    api: Api,
    secret: Secret,
    model: Model,
    deliveries: AtomicU32,
    database: Database,
}

/// How a decision comes in.
#[derive(Debug, Clone, Copy)]
enum Door {
    Key,
    Webhook,
}

const DOORS: [Door; 2] = [Door::Key, Door::Webhook];

impl Desk {
    async fn new(environment: &[(&str, &str)]) -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, environment).await;
        let api = host.api();
        api.deploy("testbed", guest("testbed")).await;
        let secret = api.secret().await;
        Self { host, api, secret, model, deliveries: AtomicU32::new(0), database }
    }

    /// A webhook-id that was not used before.
    fn delivery(&self) -> String {
        format!("msg_{}", self.deliveries.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a decision of a pause, as a message of its own.
    async fn decide(&self, door: Door, pause: &str, decision: &Value) -> Reply {
        match door {
            Door::Key => self.api.decide(pause, decision).await,
            Door::Webhook => self.deliver(&self.delivery(), &addressed(pause, decision)).await,
        }
    }

    /// Sends a signed message.
    async fn deliver(&self, id: &str, body: &Value) -> Reply {
        self.api.webhook("default", &self.secret, id, body).await
    }

    /// Starts an execution of `pause_once`, and returns the id of its open pause.
    async fn open(&self, request: &Value) -> String {
        let id = self.api.start("testbed.pause_once", request).await;
        self.api.paused(&id, request["id"].as_str().unwrap_or("only")).await
    }

    async fn pause(&self, id: &str) -> Value {
        self.api.get(&format!("/v1/pauses/{id}")).await.expect(200)
    }

    /// What the agent was told, once its execution has finished.
    async fn told(&self, pause: &str) -> Value {
        let execution = self.api.finished(execution_of(pause)).await;
        assert_eq!(execution["status"], "succeeded", "{execution}");
        execution["result"].clone()
    }
}

/// The body of a webhook that decides this pause.
fn addressed(pause: &str, decision: &Value) -> Value {
    let mut body = decision.clone();
    body["pause_id"] = json!(pause);
    body
}

fn execution_of(pause: &str) -> &str {
    pause.split_once(':').expect("a pause's id has two parts").0
}

/// However young the tables are: Postgres plans statements while they are empty, and keeps the plans.
#[tokio::test]
async fn a_decision_looks_up_its_own_pause_and_not_all_that_are_open_or_were() {
    const PAUSES: usize = 40;
    let desk = Desk::new(&[]).await;
    let request = json!({});
    let pauses = join_all((0..PAUSES).map(|_| desk.open(&request))).await;
    for (pause, door) in pauses.iter().zip(DOORS.into_iter().cycle()) {
        desk.decide(door, pause, &json!({"decision": "approved"})).await.expect(200);
        desk.told(pause).await;
    }
    // Server processes tell what they did after a second without anything to do.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let of_lists = "select count(*) * 1000000 + coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes
                    where indexrelname in ('execution_newest', 'pause_open', 'pause_by_name')";
    assert_eq!(desk.database.number(of_lists).await, 3_000_000, "there are three, and nothing is read of them");
    let by_key =
        "select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes where indexrelname = 'pause_pkey'";
    let read = usize::try_from(desk.database.number(by_key).await).unwrap();
    assert!((PAUSES..PAUSES * 20).contains(&read), "{read} rows for {PAUSES} pauses");
}

#[tokio::test]
async fn a_decision_in_time_is_accepted_once_and_given_to_the_agent_as_it_was_sent() {
    let desk = Desk::new(&[]).await;
    for door in DOORS {
        let pause = desk.open(&json!({"title": "Ship it?", "payload": {"n": 1.50}})).await;
        let open = desk.pause(&pause).await;
        assert_eq!(
            (&open["status"], &open["decision"], &open["title"]),
            (&json!("open"), &Value::Null, &json!("Ship it?"))
        );
        assert_eq!(open["choices"], json!(["approved", "rejected", "request_changes"]));

        let sent = json!({"decision": "request_changes", "feedback": "Zoë: „kürzer“ 🦀\u{0001}", "response": {"a": [1, null]}});
        let reply = desk.decide(door, &pause, &sent).await.expect(200);
        assert_eq!(reply["outcome"], "accepted", "{door:?}");
        let (decided, via) = (&reply["pause"]["decision"], reply["pause"]["decision"]["via"].as_str().unwrap());
        assert_eq!(reply["pause"]["status"], "decided");
        for field in ["decision", "feedback", "response"] {
            assert_eq!(decided[field], sent[field], "{door:?}");
        }
        assert!(decided["decided_at"].is_string(), "{decided}");
        match door {
            Door::Key => assert!(via.starts_with("key:") && decided["reviewer"].is_string(), "{decided}"),
            Door::Webhook => assert!(via.starts_with("webhook:msg_") && decided["reviewer"].is_null(), "{decided}"),
        }
        let told = desk.told(&pause).await;
        assert_eq!((&told["decision"], &told["feedback"]), (&sent["decision"], &sent["feedback"]));
        assert_eq!(told["response"], sent["response"]);
        assert_eq!(desk.pause(&pause).await, reply["pause"], "what was answered is what is kept");
    }
}

#[tokio::test]
async fn the_same_decision_again_is_a_duplicate_and_another_one_a_conflict_that_shows_the_first() {
    let desk = Desk::new(&[]).await;
    for first in DOORS {
        let pause = desk.open(&json!({})).await;
        let decision = json!({"decision": "approved", "feedback": "Good."});
        let accepted = desk.decide(first, &pause, &decision).await.expect(200);
        assert_eq!(accepted["outcome"], "accepted");
        // At once, and again when the execution has finished.
        for finished in [false, true] {
            for door in DOORS {
                let again = desk.decide(door, &pause, &decision).await.expect(200);
                assert_eq!((&again["outcome"], &again["pause"]), (&json!("duplicate"), &accepted["pause"]), "{door:?}");
                for other in [
                    json!({"decision": "rejected", "feedback": "Good."}),
                    json!({"decision": "approved"}),
                    json!({"decision": "approved", "feedback": "Bad."}),
                    json!({"decision": "approved", "feedback": "Good.", "response": 1}),
                    json!({"decision": "no choice at all"}),
                ] {
                    let reply = desk.decide(door, &pause, &other).await;
                    assert_eq!((reply.status, reply.code()), (409, "already_decided"), "{door:?} {other}");
                    assert_eq!(reply.body["decided"], accepted["pause"]["decision"], "{door:?} {other}");
                }
            }
            if !finished {
                assert_eq!(desk.told(&pause).await["decision"], "approved");
            }
        }
    }
}

#[tokio::test]
async fn a_delivery_sent_again_is_a_duplicate_and_its_id_with_another_body_is_refused() {
    let desk = Desk::new(&[]).await;
    let (one, two) = (desk.open(&json!({})).await, desk.open(&json!({})).await);
    let body = addressed(&one, &json!({"decision": "approved", "reviewer": "Zoë"}));
    let accepted = desk.deliver("same", &body).await.expect(200);
    assert_eq!(accepted["outcome"], "accepted");
    assert_eq!(accepted["pause"]["decision"]["reviewer"], "Zoë");
    for _ in 0..3 {
        let again = desk.deliver("same", &body).await.expect(200);
        assert_eq!((&again["outcome"], &again["pause"]), (&json!("duplicate"), &accepted["pause"]));
    }
    for other in [
        addressed(&one, &json!({"decision": "rejected"})),
        addressed(&one, &json!({"decision": "approved"})),
        addressed(&two, &json!({"decision": "approved", "reviewer": "Zoë"})),
        addressed(&format!("{}:later", execution_of(&two)), &json!({"decision": "approved"})),
    ] {
        let reply = desk.deliver("same", &other).await;
        assert_eq!((reply.status, reply.code()), (409, "webhook_id_reused"), "{other}");
    }
    assert_eq!(desk.pause(&two).await["status"], "open", "a refused message changes nothing");

    // What was refused has not used up its id.
    let unfit = addressed(&two, &json!({"decision": "aproved"}));
    assert_eq!(desk.deliver("second", &unfit).await.code(), "invalid_decision");
    let fit = addressed(&two, &json!({"decision": "approved"}));
    assert_eq!(desk.deliver("second", &fit).await.expect(200)["outcome"], "accepted");
}

#[tokio::test]
async fn of_many_decisions_at_once_one_wins() {
    let desk = Desk::new(&[]).await;
    let pause = desk.open(&json!({})).await;
    let decisions: Vec<Value> = (0..16).map(|n| json!({"decision": "approved", "feedback": n.to_string()})).collect();
    let sent = decisions.iter().enumerate().map(|(n, decision)| desk.decide(DOORS[n % 2], &pause, decision));
    let replies = join_all(sent).await;
    let won: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(won.len(), 1, "{replies:?}");
    let first = &won[0].body["pause"]["decision"];
    for lost in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!((lost.code(), &lost.body["decided"]), ("already_decided", first));
    }
    assert_eq!(desk.told(&pause).await["feedback"], first["feedback"]);
}

#[tokio::test]
async fn a_pause_that_is_over_takes_no_decision() {
    let desk = Desk::new(&[]).await;
    // Long enough for the pauses to open first.
    let race = desk.api.start("testbed.race", &json!({"timeout_ms": 2_500})).await;
    let input = json!({"target": "testbed.pause_once", "input": {}, "timeout_ms": 2_500});
    let parent = desk.api.start("testbed.race_call", &input).await;
    desk.api.paused(&race, "race").await;
    let child = until("the call is made", async || {
        desk.api.execution(&parent).await["waiting_for"]["calls"][0].as_str().map(ToOwned::to_owned)
    })
    .await;
    let child = desk.api.paused(&child, "only").await;
    let expired = desk.api.start("testbed.pause_once", &json!({"expires_in_ms": 1})).await;
    assert_eq!(desk.api.finished(&expired).await["result"]["decision"], "expired");
    let cancelled = desk.open(&json!({})).await;
    desk.api.post(&format!("/v1/executions/{}/cancel", execution_of(&cancelled)), &json!({})).await.expect(200);
    for parent in [&race, &parent] {
        assert_eq!(desk.api.finished(parent).await["result"]["winner"], "sleep");
    }
    desk.api.finished(execution_of(&child)).await;

    for (pause, status) in [
        (format!("{expired}:only"), "expired"),
        (format!("{race}:race"), "cancelled"),
        (cancelled, "cancelled"),
        (child, "cancelled"),
    ] {
        assert_eq!(desk.pause(&pause).await["status"], status, "{pause}");
        for door in DOORS {
            let reply = desk.decide(door, &pause, &json!({"decision": "approved"})).await;
            assert_eq!((reply.status, reply.code()), (410, "pause_closed"), "{door:?} {status}");
        }
        let never_opened = format!("{}:never-opened", execution_of(&pause));
        for door in DOORS {
            let reply = desk.decide(door, &never_opened, &json!({"decision": "approved"})).await;
            assert_eq!((reply.status, reply.code()), (410, "pause_closed"), "{door:?}");
        }
    }
}

#[tokio::test]
async fn a_pause_whose_time_is_over_takes_no_decision_even_if_no_worker_has_looked() {
    let desk = Desk::new(&[("COUNTERSIGN_CONCURRENCY", "1")]).await;
    let pause = desk.open(&json!({"expires_in_ms": 2_500})).await;
    let over = tokio::time::sleep(Duration::from_millis(2_500));
    // The only worker is kept busy.
    desk.model.hold();
    let busy = desk.api.start("testbed.many_ai", &json!({"n": 1})).await;
    until("the model is asked", async || (desk.model.calls() == 1).then_some(())).await;
    over.await;
    for door in DOORS {
        let reply = desk.decide(door, &pause, &json!({"decision": "approved"})).await;
        assert_eq!((reply.status, reply.code()), (410, "pause_closed"), "{door:?}");
    }
    until("it has expired, without a worker", async || (desk.pause(&pause).await["status"] == "expired").then_some(()))
        .await;
    desk.model.release();
    assert_eq!(desk.told(&pause).await["decision"], "expired");
    assert_eq!(desk.api.finished(&busy).await["status"], "succeeded");
}

#[tokio::test]
async fn a_decision_that_does_not_fit_is_refused_and_told_why() {
    let desk = Desk::new(&[]).await;
    let schema = json!({"type": "object", "required": ["amount"], "additionalProperties": false,
                        "properties": {"amount": {"type": "integer", "minimum": 1}, "note": {"type": "string"}}});
    for door in DOORS {
        let pause = desk.open(&json!({"choices": ["ship", "hold", "ship"], "response_schema": schema})).await;
        assert_eq!(desk.pause(&pause).await["choices"], json!(["ship", "hold"]));
        for (decision, why) in [
            (json!({"decision": "approved", "response": {"amount": 1}}), vec!["`decision`", "approved", "ship, hold"]),
            (json!({"decision": "Ship", "response": {"amount": 1}}), vec!["`decision`", "Ship"]),
            (json!({"decision": "expired", "response": {"amount": 1}}), vec!["`decision`", "expired"]),
            (json!({"decision": "", "response": {"amount": 1}}), vec!["`decision`"]),
            (json!({"decision": "ship"}), vec!["`response`"]),
            (json!({"decision": "ship", "response": null}), vec!["`response`"]),
            (json!({"decision": "ship", "response": {"amount": "3"}}), vec!["`response`", "/amount"]),
            (json!({"decision": "ship", "response": {"amount": 0}}), vec!["`response`", "/amount"]),
            (json!({"decision": "ship", "response": {"note": "n"}}), vec!["`response`", "amount"]),
            (json!({"decision": "ship", "response": {"amount": 1, "extra": 1}}), vec!["`response`", "extra"]),
            (json!({"decision": "ship", "response": {"amount": 0, "note": 7}}), vec!["/amount", "/note"]),
            (json!({"decision": "ship", "response": [1]}), vec!["`response`"]),
        ] {
            let reply = desk.decide(door, &pause, &decision).await;
            assert_eq!((reply.status, reply.code()), (422, "invalid_decision"), "{door:?} {decision}");
            assert_eq!(reply.body["error"]["blame"], "client");
            let message = reply.body["error"]["message"].as_str().unwrap();
            assert!(why.iter().all(|part| message.contains(part)), "{decision}: {message}");
        }
        assert_eq!(desk.pause(&pause).await["status"], "open");
        let fits = json!({"decision": "hold", "response": {"amount": 3}});
        assert_eq!(desk.decide(door, &pause, &fits).await.expect(200)["outcome"], "accepted");
        let told = desk.told(&pause).await;
        assert_eq!((&told["decision"], &told["response"]), (&json!("hold"), &json!({"amount": 3})));

        // Who says no has nothing to fill in.
        let pause = desk.open(&json!({"response_schema": schema})).await;
        assert_eq!(desk.decide(door, &pause, &json!({"decision": "approved"})).await.status, 422);
        assert_eq!(
            desk.decide(door, &pause, &json!({"decision": "rejected"})).await.expect(200)["outcome"],
            "accepted"
        );
        assert_eq!(desk.told(&pause).await["decision"], "rejected");
    }
    desk.host.assert_unharmed();
}
