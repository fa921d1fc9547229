//! Guests that want the whole processor.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Street;

/// Besides a multiple of the time that it takes alone: the machine may be busy with something else.
const SLACK: Duration = Duration::from_secs(5);

#[tokio::test]
async fn guests_that_spin_wait_for_each_other_and_a_neighbour_hardly_for_them() {
    let street = Street::new(&[]).await;
    street.quiet_ones(5).await;
    let began = Instant::now();
    street.quiet_ones(20).await;
    let alone = began.elapsed();

    let spinners = street.flood(40, "testbed.loop_forever", &json!(null)).await;
    let began = Instant::now();
    street.quiet_ones(20).await;
    let beside = began.elapsed();
    assert!(beside < alone * 5 + SLACK, "{beside:?} beside spinners, {alone:?} alone");
    // They have not ended meanwhile by their limit: that would have made room.
    assert_eq!(street.finished_of_noisy().await, 0);
    for id in spinners {
        street.noisy.post(&format!("/v1/executions/{id}/cancel"), &json!({})).await;
    }
    street.host.assert_unharmed();
}
