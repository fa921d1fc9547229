//! Instances that want more memory than there is.

use countersign_tests::until;
use serde_json::{Value, json};

use super::Street;

const BUDGET: [(&str, &str); 1] = [("COUNTERSIGN_INSTANCE_MEMORY", "100MiB")];

#[tokio::test]
async fn instances_that_together_outgrow_the_hosts_memory_run_one_after_the_other() {
    let street = Street::new(&BUDGET).await;
    street.model.hold();
    // What the host has learned from earlier ones is wrong: these take forty times as much.
    street.flood(5, "testbed.echo", &json!(1)).await;
    let ids = street.flood(8, "testbed.hold_memory", &json!({"mib": 40})).await;
    street.quiet_ones(5).await;
    until("the host is within its budget", async || {
        let used = gauge(&street, "countersign_instance_memory_used_bytes").await;
        (used > 40 << 20 && used <= 100 << 20).then_some(())
    })
    .await;
    street.quiet_ones(5).await;
    street.model.release();
    for id in ids {
        assert_eq!(street.noisy.finished(&id).await["result"], json!({"mib": 40}));
    }
    let failures = "select count(*) from execution where failures > 0";
    assert_eq!(street.database.number(failures).await, 0);
    street.host.assert_unharmed();
}

#[tokio::test]
async fn an_execution_that_alone_needs_more_memory_than_the_host_has_fails_and_says_so() {
    let street = Street::new(&BUDGET).await;
    street.model.hold();
    let id = street.noisy.start("testbed.hold_memory", &json!({"mib": 150})).await;
    let execution = street.noisy.finished(&id).await;
    let error = &execution["error"];
    assert_eq!((&error["code"], &error["blame"]), (&json!("memory_limit"), &json!("host")), "{execution}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("--instance-memory")), "{error}");
    street.quiet_ones(3).await;
    // Others of the same component are not to blame.
    let small = street.noisy.start("testbed.echo", &Value::from("small")).await;
    assert_eq!(street.noisy.finished(&small).await["result"], "small");
    until("all memory is free again", async || {
        let gauges = ["countersign_instance_memory_reserved_bytes", "countersign_running"];
        let mut all = 0;
        for name in gauges {
            all += gauge(&street, name).await;
        }
        (all == 0).then_some(())
    })
    .await;
    street.host.assert_unharmed();
}

/// A number from the host's metrics.
async fn gauge(street: &Street, name: &str) -> u64 {
    let metrics = street.host.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {metrics}"));
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}
