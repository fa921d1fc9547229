//! Time: what expires does so to the second, whoever is up; sleeps outlive hosts; of a decision and a time, the first
//! one counts.

use std::time::{Duration, Instant};

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model};
use serde_json::{Value, json};

struct Scene {
    database: Database,
    host: Host,
    api: Api,
}

async fn scene() -> Scene {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    Scene { database, host, api }
}

impl Scene {
    /// How long after a time the execution ended, in milliseconds by the database's clock. The time is one of a pause.
    async fn finished_after(&self, id: &str, what: &'static str) -> f64 {
        let query = match what {
            "expiry" => "p.expires_at",
            "decision" => "p.decided_at",
            other => panic!("{other}"),
        };
        let query = format!(
            "select extract(epoch from e.finished_at - {query})::float8 * 1000
             from execution e join pause p using (tenant_id, execution_id) where execution_id = $1"
        );
        let ms = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(id).fetch_one(&self.database.pool).await;
        ms.expect("it has finished and has one pause")
    }

    async fn wait_until_expired(&self, id: &str) {
        countersign_tests::until(&format!("the time of {id} is over"), async || {
            let query = "select expires_at < clock_timestamp() from pause where execution_id = $1";
            let over: bool = sqlx::query_scalar(query).bind(id).fetch_optional(&self.database.pool).await.ok()??;
            over.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_pause_that_nobody_decides_is_answered_expired_to_the_second() {
    let scene = scene().await;
    let id = scene.api.start("testbed.pause_once", &json!({"expires_in_ms": 800})).await;
    scene.api.paused(&id, "only").await;
    let execution = scene.api.finished(&id).await;
    assert_eq!(execution["result"]["decision"], "expired", "{execution}");
    let late = scene.finished_after(&id, "expiry").await;
    assert!((0.0..1_000.0).contains(&late), "{late} ms after its time");

    let pause = scene.api.get(&format!("/v1/pauses/{id}:only")).await.expect(200);
    assert_eq!((&pause["status"], &pause["decision"]), (&json!("expired"), &Value::Null));
    let reply = scene.api.decide(&format!("{id}:only"), &json!({"decision": "approved"})).await;
    assert_eq!((reply.status, reply.code()), (410, "pause_closed"), "too late");
    let decided_at: u64 = execution["result"]["decided_at_ms"].as_u64().expect("a time");
    let answer = &scene.api.journal(&id).await[0]["answer"];
    assert_eq!(answer["review"]["Ok"]["decided_at_ms"], decided_at, "{answer}");
}

#[tokio::test]
async fn a_pause_whose_time_came_while_the_host_was_down_takes_no_decision_and_is_answered_expired() {
    let mut scene = scene().await;
    let id = scene.api.start("testbed.pause_once", &json!({"expires_in_ms": 600})).await;
    scene.api.paused(&id, "only").await;
    scene.host.kill();
    scene.wait_until_expired(&id).await;

    scene.host.restart(&[]).await;
    let (api, restarted) = (scene.host.api(), Instant::now());
    // It comes before or after the host has looked; the time is over in either case.
    let reply = api.decide(&format!("{id}:only"), &json!({"decision": "approved"})).await;
    assert_eq!((reply.status, reply.code()), (410, "pause_closed"), "{}", reply.body);
    let execution = api.finished(&id).await;
    assert_eq!(execution["result"]["decision"], "expired", "{execution}");
    assert!(restarted.elapsed() < Duration::from_secs(1), "it took {:?}", restarted.elapsed());
    // What the agent is told is when the time was over, not when somebody looked.
    let query = "select (extract(epoch from expires_at) * 1000)::bigint from pause";
    assert_eq!(execution["result"]["decided_at_ms"], scene.database.number(query).await);
}

#[tokio::test]
async fn a_decision_made_in_time_counts_even_if_no_host_looked_before_the_time_was_over() {
    let mut scene = scene().await;
    let id = scene.api.start("testbed.pause_once", &json!({"expires_in_ms": 1_500})).await;
    let pause = scene.api.paused(&id, "only").await;
    // The host dies with the decision taken and its answer not yet given.
    scene.host.kill();
    scene.host.restart(&[("COUNTERSIGN_CRASH_AT", "after_decide_commit")]).await;
    let approval = json!({"decision": "approved"});
    let decision = scene.host.api().request(reqwest::Method::POST, &format!("/v1/pauses/{pause}/decision"));
    assert!(countersign_tests::api::try_send(decision.json(&approval)).await.is_err(), "the host answered");
    assert!(scene.host.died().await);
    scene.wait_until_expired(&id).await;

    scene.host.restart(&[]).await;
    let api = scene.host.api();
    let execution = api.finished(&id).await;
    assert_eq!(execution["result"]["decision"], "approved", "{execution}");
    assert_eq!(api.decide(&pause, &approval).await.expect(200)["outcome"], "duplicate");
}

#[tokio::test]
async fn decisions_around_the_expiry_are_accepted_and_given_or_refused_and_not_given() {
    let scene = scene().await;
    let race = async |turn: u64| {
        let id = scene.api.start("testbed.pause_once", &json!({"expires_in_ms": 2_000})).await;
        let left = "select started_ms + 2000 - (extract(epoch from clock_timestamp()) * 1000)::bigint
                    from execution where execution_id = $1";
        let left: i64 = sqlx::query_scalar(left).bind(&id).fetch_one(&scene.database.pool).await.expect("a time");
        // From most of a second before it down to none; there is nothing to await but the time itself.
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        tokio::time::sleep(left.saturating_sub(Duration::from_millis(2 * turn * turn))).await;
        let reply = scene.api.decide(&format!("{id}:only"), &json!({"decision": "approved"})).await;
        let result = scene.api.finished(&id).await["result"].clone();
        match (reply.status, result["decision"].as_str()) {
            (200, Some("approved")) => 1,
            (410, Some("expired")) => 0,
            other => panic!("{other:?}"),
        }
    };
    let accepted: u32 = futures::future::join_all((0..20).map(&race)).await.into_iter().sum();
    assert!((1..20).contains(&accepted), "{accepted} of 20 decisions were in time");
    scene.host.assert_unharmed();
}

#[tokio::test]
async fn a_sleep_outlives_its_host() {
    let mut scene = scene().await;
    let began = Instant::now();
    let id = scene.api.start("testbed.sleep", &json!({"ms": 1_500})).await;
    countersign_tests::until("it sleeps", async || {
        let execution = scene.api.execution(&id).await;
        (execution["status"] == "waiting" && !execution["waiting_for"]["until"].is_null()).then_some(())
    })
    .await;
    scene.host.kill();
    scene.host.restart(&[]).await;
    let execution = scene.host.api().finished(&id).await;
    let took = began.elapsed();
    assert_eq!(execution["result"], json!({"slept_ms": 1_500}), "{execution}");
    assert!((Duration::from_millis(1_500)..Duration::from_millis(2_500)).contains(&took), "it took {took:?}");
    assert_eq!(scene.host.api().journal(&id).await[0]["ask"], json!({"kind": "sleep", "duration_ms": 1_500}));
}

#[tokio::test]
async fn a_program_that_sleeps_as_usual_sleeps_as_long_and_is_suspended() {
    let scene = scene().await;
    let began = Instant::now();
    let id = scene.api.start("testbed.std_sleep", &json!({"ms": 700})).await;
    let execution = scene.api.finished(&id).await;
    let took = began.elapsed();
    assert_eq!(execution["result"], json!({"slept_ms": 700}), "{execution}");
    assert!((Duration::from_millis(700)..Duration::from_millis(1_700)).contains(&took), "it took {took:?}");
    assert_eq!(execution["attempts"], 2, "it was rows meanwhile");
}

#[tokio::test]
async fn of_a_decision_and_a_sleep_the_first_one_wins() {
    let scene = scene().await;
    let decided = scene.api.start("testbed.race", &json!({"timeout_ms": 600_000})).await;
    let pause = scene.api.paused(&decided, "race").await;
    scene.api.decide(&pause, &json!({"decision": "rejected"})).await.expect(200);
    let execution = scene.api.finished(&decided).await;
    assert_eq!(execution["result"], json!({"winner": "pause", "decision": "rejected"}), "{execution}");
    let late = scene.finished_after(&decided, "decision").await;
    assert!((0.0..1_000.0).contains(&late), "{late} ms after the decision");

    let slept = scene.api.start("testbed.race", &json!({"timeout_ms": 300})).await;
    let execution = scene.api.finished(&slept).await;
    assert_eq!(execution["result"], json!({"winner": "sleep", "decision": null}), "{execution}");
    let reply = scene.api.decide(&format!("{slept}:race"), &json!({"decision": "approved"})).await;
    assert_eq!((reply.status, reply.code()), (410, "pause_closed"));
}

#[tokio::test]
async fn a_wait_with_a_timeout_is_answered_with_the_decision_or_when_the_time_is_over() {
    let scene = scene().await;
    let id = scene.api.start("testbed.wait", &json!({"id": "later", "timeout_ms": 300})).await;
    let execution = scene.api.finished(&id).await;
    assert_eq!(execution["result"]["decision"], "expired", "{execution}");
    let decided = scene.api.start("testbed.wait", &json!({"id": "later", "timeout_ms": 600_000})).await;
    let pause = scene.api.paused(&decided, "later").await;
    scene.api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    assert_eq!(scene.api.finished(&decided).await["result"]["decision"], "approved");
}

#[tokio::test]
async fn whoever_else_waits_for_a_pause_is_told_that_it_has_expired() {
    let scene = scene().await;
    let id = scene.api.start("testbed.pauses_and_wait", &json!({"expires_in_ms": 300})).await;
    assert_eq!(scene.api.finished(&id).await["result"], json!(["expired", "expired", "expired"]));
}
