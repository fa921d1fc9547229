//! Adds up what tenants use, once a second.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db::Db;

/// How old the sums may be that starts are held against. As exact as they need to be: see `Db::room_to_start`.
const EVERY: Duration = Duration::from_secs(1);

/// Adds up until `stop`. What is left then, the next host adds up.
pub(super) async fn run(db: Db, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
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
