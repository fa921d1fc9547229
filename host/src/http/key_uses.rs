//! When keys were last used: noted in memory, and written now and then, so that no request waits for it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db::Db;

/// How often what was noted is written.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// How many uses are noted between two writes. Those beyond are noted the next time, if the key is used again.
const NOTED_MAX: usize = 10_000;

/// The keys that were used since the last write, each by its tenant and id.
#[derive(Clone, Default)]
pub(super) struct KeyUses(Arc<Mutex<HashSet<(String, String)>>>);

impl KeyUses {
    /// The key was used just now.
    pub(super) fn note(&self, tenant: &str, key_id: &str) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < NOTED_MAX {
            noted.insert((tenant.to_owned(), key_id.to_owned()));
        }
    }

    /// Writes what is noted until `stop`, and once more then.
    pub(super) async fn write_until(&self, db: &Db, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(WRITE_EVERY)).await.is_some() {
            self.write(db).await;
        }
        self.write(db).await;
    }

    async fn write(&self, db: &Db) {
        let noted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if noted.is_empty() {
            return;
        }
        let uses: Vec<(String, String)> = noted.into_iter().collect();
        if let Err(error) = db.note_uses(&uses).await {
            tracing::warn!(%error, "when keys were last used could not be written");
        }
    }
}
