//! Seals the audit logs of all tenants, soon after something was done.

use tokio_util::sync::CancellationToken;

use super::{GATHER, LOOK_EVERY};
use crate::db::audit::{Others, SEAL_MAX};
use crate::db::{self, Db};

/// Seals until `stop`. What is left then, the next host seals. Whoever reads the log has all of it sealed first.
pub(super) async fn run(db: Db, stop: CancellationToken) {
    let mut bell = db.bell().listen();
    while !stop.is_cancelled() {
        if let Err(error) = round(&db, &stop).await {
            tracing::warn!(%error, "the audit logs could not be looked at; trying again");
        }
        let _ = stop.run_until_cancelled(bell.wait_and_gather(GATHER, LOOK_EVERY)).await;
    }
}

/// Seals what there is, the tenants in turn, until nothing is left but what other hosts are sealing.
async fn round(db: &Db, stop: &CancellationToken) -> db::Result<()> {
    let (mut tenant, mut more) = (String::new(), false);
    while !stop.is_cancelled() {
        match db.next_unsealed(&tenant).await? {
            Some(next) => {
                match db.seal(&next, Others::LeaveItTo).await {
                    Ok(count) => more |= count == Some(SEAL_MAX),
                    // The logs of the others are sealed nevertheless.
                    Err(error) => tracing::warn!(tenant.id = next, %error, "an audit log could not be sealed"),
                }
                tenant = next;
            }
            None if more => (tenant, more) = (String::new(), false),
            None => break,
        }
    }
    Ok(())
}
