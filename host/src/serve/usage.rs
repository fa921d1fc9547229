//! Adds up what tenants use, soon after it has changed.

use tokio_util::sync::CancellationToken;

use super::{GATHER, LOOK_EVERY};
use crate::db::Db;

/// Adds up until `stop`. What is left then, the next host adds up.
///
/// Whatever changes what a tenant uses rings the bell, so the sums that starts are held against are older than [`GATHER`]
/// only if a host died before it rang: as exact as they need to be, see `Db::room_to_start`.
pub(super) async fn run(db: Db, stop: CancellationToken) {
    let mut bell = db.bell().listen();
    while stop.run_until_cancelled(bell.wait_and_gather(GATHER, LOOK_EVERY)).await.is_some() {
        loop {
            match db.fold_usage().await {
                Ok(true) if !stop.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "what tenants use could not be added up; trying again");
                    break;
                }
            }
        }
    }
}
