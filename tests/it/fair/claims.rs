//! Whose executions a host claims, when there are more than it can drive.

use countersign_tests::until;
use serde_json::json;

use super::Street;

#[tokio::test]
async fn a_flood_of_one_tenant_delays_another_by_no_more_than_a_few_claims() {
    let street = Street::new(&[("COUNTERSIGN_CONCURRENCY", "32")]).await;
    street.model.hold();
    street.flood(5_000, "testbed.many_ai", &json!({"n": 1})).await;
    // All that the noisy one may run hang on their model; a quarter of the 32 slots is left to others.
    until("24 run", async || (street.model.calls() == 24).then_some(())).await;
    street.quiet_ones(5).await;
    assert_eq!(street.model.calls(), 24);

    // Now they end as fast as the host can drive them.
    street.model.release();
    until("the flood moves", async || (street.finished_of_noisy().await > 50).then_some(())).await;
    for _ in 0..5 {
        let before = street.finished_of_noisy().await;
        street.quiet_ones(1).await;
        let passed = street.finished_of_noisy().await - before;
        assert!(passed < 200, "{passed} executions of the noisy tenant ended while the quiet one waited");
    }
    let left = street.database.number("select count(*) from execution where status = 'pending'").await;
    assert!(left > 500, "only {left} are left: it was no flood any more");
    street.host.assert_unharmed();
}

#[tokio::test]
async fn a_tenant_runs_no_more_at_once_than_its_quota_and_others_go_on() {
    let street = Street::new(&[]).await;
    street.set(r#"limits = '{"running": 3}'"#).await;
    street.model.hold();
    let ids = street.flood(20, "testbed.many_ai", &json!({"n": 1})).await;
    until("three run", async || (street.model.calls() == 3).then_some(())).await;
    street.quiet_ones(10).await;
    assert_eq!(street.model.calls(), 3);
    // One ends, and one begins.
    for ended in 1..=5 {
        street.model.hold_from(ended + 1);
        until("the next one runs", async || (street.model.calls() == 3 + ended).then_some(())).await;
        street.quiet_ones(1).await;
        assert_eq!(street.model.calls(), 3 + ended);
    }
    street.model.release();
    for id in ids {
        assert_eq!(street.noisy.finished(&id).await["status"], "succeeded");
    }
    street.host.assert_unharmed();
}

#[tokio::test]
async fn a_suspended_tenant_runs_nothing_until_it_is_resumed_and_loses_nothing() {
    let street = Street::new(&[("COUNTERSIGN_LEASE_SECONDS", "2")]).await;
    street.model.hold();
    let running = street.noisy.start("testbed.many_ai", &json!({"n": 2})).await;
    until("it runs", async || (street.model.calls() == 1).then_some(())).await;
    street.set("suspended_at = now()").await;
    let now_running = "select count(*) from execution where status = 'running'";
    until("it is stopped", async || (street.database.number(now_running).await == 0).then_some(())).await;
    // As if it had been started just before.
    let copy =
        "insert into execution (tenant_id, execution_id, agent, version, function, input, seed, started_ms, status,
                                       wake_at, created_by)
                select tenant_id, 'exec_' || repeat(to_hex(n % 16), 32), agent, version, 'echo', '1', seed, started_ms,
                       'pending', now() - interval '1 hour', created_by
                from execution, generate_series(0, 15) n";
    sqlx::query(copy).execute(&street.database.pool).await.expect("copies");
    street.quiet_ones(10).await;
    let claimed = "select count(*) from execution where tenant_id = 'noisy' and (status <> 'pending' or failures > 0)";
    assert_eq!(street.database.number(claimed).await, 0);

    street.set("suspended_at = null").await;
    street.model.release();
    let execution = street.noisy.finished(&running).await;
    assert_eq!((&execution["status"], &execution["attempts"]), (&json!("succeeded"), &json!(2)), "{execution}");
    until("the others have run", async || (street.finished_of_noisy().await == 17).then_some(())).await;
    street.host.assert_unharmed();
}
