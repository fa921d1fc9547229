//! Measures, and prints medians and ratios: `make bench` the table of docs/performance.md, and the binary, given names,
//! what else there is.
//!
//! Each number is taken beside what it is compared with, in the same run, because machines are noisy.

mod bare;
mod flow;
mod headline;
mod observer;
mod parts;
mod pgbench;
mod picture;
mod subject;
mod statements;
mod table;

use std::time::Duration;

use parts::instructions::{COUNTED, replay_often};

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    match &wanted.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => headline::measure(std::env::var_os("QUICK").is_some()).await,
        ["bare", database, secret, key] => bare::serve(database, secret, key).await,
        [COUNTED, replays] => replay_often(replays).await,
        names => parts::measure(names).await,
    }
}

/// Lets the tenant of a host start as fast as it can.
async fn lift_quotas(database: &countersign_tests::Database) {
    let lift = "update tenant set limits = '{\"starts_per_second\": 100000, \"requests_per_second\": 100000}'
                where tenant_id <> 'host'";
    sqlx::query(lift).execute(&database.pool).await.expect("a tenant's settings");
}

/// The median and the 95th percentile, in that order.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 95 / 100])
}

/// A line of a part's report, with the goal it is held against.
fn report(what: &str, measured: &str, goal: &str) {
    println!("  {what:<44} {measured:>22}   {goal}");
}
