//! Measures, and prints medians and ratios: `make bench`, or the binary with `replay`, `languages`, `resume`, `paused`,
//! `decisions`, `contested`, `expiry`, `outbox`, `neighbours` or `hostile`.
//!
//! Each number is taken beside what it is compared with, in the same run, because machines are noisy.

mod contested;
mod decisions;
mod expiry;
mod hostile;
mod languages;
mod neighbours;
mod outbox;
mod paused;
mod replay;
mod resume;

use std::time::Duration;

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    if is_wanted("replay") {
        println!("replay of a Rust guest, in memory");
        replay::measure().await;
    }
    if is_wanted("languages") {
        println!("\nlanguages: publish-with-review and the testbed, in memory");
        languages::measure().await;
    }
    if is_wanted("resume") {
        println!("\nresume: POST of the decision until the next pause is committed");
        resume::measure().await;
    }
    if is_wanted("paused") {
        println!("\npaused executions");
        paused::measure().await;
    }
    if is_wanted("decisions") {
        println!("\ndecisions while 10,000 pauses are open");
        decisions::measure().await;
    }
    if is_wanted("contested") {
        println!("\n10,000 pauses, each decided four times at once through two hosts");
        contested::measure().await;
    }
    if is_wanted("expiry") {
        println!("\n100,000 pauses that are due in the same minute");
        expiry::measure().await;
    }
    if is_wanted("outbox") {
        println!("\n2,000 deliveries of eight tenants to a receiver on this machine");
        outbox::measure().await;
    }
    if is_wanted("neighbours") {
        println!("\na tenant beside one that does its worst: start, pause, decision, end");
        neighbours::measure().await;
    }
    if is_wanted("hostile") {
        println!("\n10,000 hostile uploads, and as many hostile executions");
        hostile::measure().await;
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

/// A line of the report, with the goal it is held against.
fn report(what: &str, measured: &str, goal: &str) {
    println!("  {what:<44} {measured:>22}   {goal}");
}
