//! Measures, and prints medians and ratios: `make bench`. Each number is taken beside what it is compared with, in the
//! same run, because machines are noisy.

mod paused;
mod replay;
mod resume;

use std::time::Duration;

#[tokio::main]
async fn main() {
    println!("replay of a Rust guest, in memory");
    replay::measure().await;
    println!("\nresume: POST of the decision until the next pause is committed");
    resume::measure().await;
    println!("\npaused executions");
    paused::measure().await;
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
