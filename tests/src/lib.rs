//! What the tests and the benchmarks stand on: a real Postgres, real hosts as processes, real guests, and a model that
//! counts its calls outside of the hosts.

pub mod api;
pub mod build;
pub mod canary;
pub mod drive;
pub mod host;
pub mod hostile;
pub mod mail;
pub mod model;
pub mod postgres;
pub mod receiver;

pub use api::{Api, Reply};
pub use host::Host;
pub use mail::MailServer;
pub use model::Model;
pub use postgres::Database;
pub use receiver::{Reaction, Receiver};

use std::time::{Duration, Instant};

/// How long a test waits for anything, before it says what it waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until there is something; fails the test, naming `what`, if there never is.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
