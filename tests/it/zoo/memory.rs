//! What a host keeps of guests that it has refused or stopped: nothing.

use countersign_tests::hostile::load::{self, Load};

use super::Zoo;

/// Uploads and executions each, before the host is looked at, and between the two looks.
const WARM_UP: usize = 150;
const COUNT: usize = 350;

/// What the host's allocator may keep.
const SLACK_BYTES: u64 = 48 << 20;

#[tokio::test]
async fn a_host_is_no_larger_after_hundreds_of_hostile_uploads_and_executions() {
    let zoo = Zoo::new().await;
    let load = Load::new(&zoo.api).await;
    load.run(0..WARM_UP).await;
    let before = zoo.host.memory();
    load.run(WARM_UP..WARM_UP + COUNT).await;
    let after = load::settled(&zoo.host).await;
    assert!(after < before + SLACK_BYTES, "{} MiB before, {} MiB after", before >> 20, after >> 20);
    zoo.assert_free().await;
}
