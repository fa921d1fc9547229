//! `kill -9` while several people decide, and while the time brings something about.

use countersign_tests::until;
use serde_json::{Value, json};

use super::Lane;

/// The points that only an approval by several people passes, or one that waits for long.
pub(super) const POINTS: [&str; 5] = ["during_decide", "during_step", "before_step", "after_step", "after_expire_due"];

/// How often two votes and the delivery of each pass `during_decide`.
const DECIDE_PASSES: u32 = 10;

impl Lane {
    /// Votes by a signed webhook, the same one again until it is answered.
    async fn vote(&mut self, pause: &str, reviewer: &str) -> Value {
        let (secret, id) = (self.secret.clone(), format!("{}-{reviewer}", pause.replace(':', "-")));
        let body = json!({"pause_id": pause, "decision": "approved", "reviewer": reviewer});
        self.ask(|api| api.webhook_request("default", &secret, &id, &body)).await.expect(200)
    }

    /// Starts an execution that asks for this, while nothing is about to die, and returns the id of its pause.
    async fn asked(&mut self, request: &Value) -> String {
        self.doom([]).await;
        let id = self.host.api().start("testbed.approve", request).await;
        self.host.api().paused(&id, "only").await
    }

    async fn row(&self, pause: &str, what: &'static str) -> i64 {
        let query = format!("select ({what})::bigint from pause p where execution_id = $1");
        let execution = pause.split_once(':').expect("two parts").0;
        let row = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(execution).fetch_one(&self.database.pool).await;
        row.expect("the pause has a row")
    }
}

#[tokio::test]
async fn votes_are_counted_once_wherever_the_host_dies_while_it_takes_them() {
    let mut lane = Lane::new("publish_with_review").await;
    let stages = json!([{"reviewers": ["ana"], "required": 1}, {"reviewers": ["bob"], "required": 1}]);
    let points = [("during_decide", DECIDE_PASSES), ("before_decide_commit", 2), ("after_decide_commit", 2)];
    for (point, passes) in points {
        for nth in 1..=passes {
            let pause = lane.asked(&json!({ "stages": stages })).await;
            lane.doom([format!("{point}:{nth}")]).await;
            for reviewer in ["ana", "bob"] {
                let reply = lane.vote(&pause, reviewer).await;
                let outcome = reply["outcome"].as_str().expect("an outcome");
                let first = if reviewer == "ana" { "recorded" } else { "accepted" };
                assert!(outcome == first || outcome == "duplicate", "{point}:{nth}: {reply}");
            }
            assert_eq!(lane.deaths, 1, "the host passed {point}:{nth} by");
            let id = pause.split_once(':').expect("two parts").0;
            let told = lane.host.api().finished(id).await["result"].clone();
            let voters: Vec<&Value> =
                told["votes"].as_array().expect("votes").iter().map(|vote| &vote["reviewer"]).collect();
            assert_eq!(voters, ["ana", "bob"], "{point}:{nth}");
        }
    }
}

#[tokio::test]
async fn a_reminder_and_an_escalation_are_done_once_wherever_the_host_dies() {
    let mut lane = Lane::new("publish_with_review").await;
    let request = json!({
        "stages": [{"reviewers": ["ana"], "required": 1}], "reminders_ms": [300],
        "escalations": [{"after_ms": 600, "reviewers": ["bob"]}]
    });
    for point in ["during_step", "before_step", "after_step"] {
        for nth in 1..=2 {
            // Due before the next host is up; then both steps may be one.
            let pause = lane.asked(&request).await;
            lane.host.kill();
            lane.lives = vec![String::new(), format!("{point}:1")];
            if nth == 2 {
                until("both are due", async || {
                    (lane.row(&pause, "extract(epoch from clock_timestamp() - opened_at) * 1000").await > 700)
                        .then_some(())
                })
                .await;
            }
            lane.deaths = 0;
            lane.start_next().await;
            assert!(lane.deaths == 1 || lane.host.died().await, "the host passed {point} by");
            lane.revive().await;
            until("all is done", async || (lane.row(&pause, "steps_done").await == 2).then_some(())).await;
            let counts = lane.row(&pause, "reminders_sent * 10 + escalations_done").await;
            assert_eq!(counts, 11, "{point}:{nth}");
            let reply = lane.vote(&pause, "bob").await;
            assert_eq!(reply["outcome"], "accepted", "{point}:{nth}");
        }
    }
}

#[tokio::test]
async fn pauses_that_expire_while_their_host_is_killed_expire_once() {
    let mut lane = Lane::new("publish_with_review").await;
    lane.host.kill();
    lane.host.restart(&[("COUNTERSIGN_CONCURRENCY", "1"), ("COUNTERSIGN_CRASH_AT", "after_expire_due")]).await;
    let api = lane.host.api();
    let request = json!({"expires_in_ms": 2_500, "default_decision": "rejected"});
    let id = api.start("testbed.approve", &request).await;
    api.paused(&id, "only").await;
    // The one worker waits for a model, so that it is the timekeeper who lets the pause expire.
    lane.model.hold();
    api.start("testbed.many_ai", &json!({"n": 1})).await;
    assert!(lane.host.died().await, "the host passed by");
    lane.model.release();
    lane.revive().await;
    let api = lane.host.api();
    let execution = api.finished(&id).await;
    assert_eq!(execution["result"]["decision"], "rejected", "{execution}");
    assert_eq!(api.journal(&id).await.len(), 1);
}
