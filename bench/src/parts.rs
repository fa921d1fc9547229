//! What is measured when it is asked for by name.

mod contested;
mod decisions;
mod expiry;
mod hostile;
pub(crate) mod instructions;
mod languages;
mod neighbours;
mod outbox;
mod paused;
mod replay;
mod resume;
mod transitions;

use crate::headline;

/// Measures each of these.
pub(crate) async fn measure(names: &[&str]) {
    for name in names {
        match *name {
            "replay" => {
                println!("replay of a Rust guest, in memory");
                replay::measure().await;
            }
            "instructions" => {
                println!("replay of a Rust guest, under callgrind");
                if !instructions::measure().await {
                    eprintln!("a replayed step takes more than it did: find out why, or count anew with COUNT_ANEW=1");
                    std::process::exit(1);
                }
            }
            "languages" => {
                println!("languages: publish-with-review and the testbed, in memory");
                languages::measure().await;
            }
            "resume" => {
                println!("resume: POST of the decision until the next pause is committed");
                resume::measure().await;
            }
            "paused" => {
                println!("paused executions");
                paused::measure().await;
            }
            "decisions" => {
                println!("decisions while 10,000 pauses are open");
                decisions::measure().await;
            }
            "contested" => {
                println!("10,000 pauses, each decided four times at once through two hosts");
                contested::measure().await;
            }
            "expiry" => {
                println!("100,000 pauses that are due in the same minute");
                expiry::measure().await;
            }
            "outbox" => {
                println!("2,000 deliveries of eight tenants to a receiver on this machine");
                outbox::measure().await;
            }
            "neighbours" => {
                println!("a tenant beside one that does its worst: start, pause, decision, end");
                neighbours::measure().await;
            }
            "hostile" => {
                println!("10,000 hostile uploads, and as many hostile executions");
                hostile::measure().await;
            }
            "steps" => headline::measure_steps(std::env::var_os("QUICK").is_some()).await,
            "transitions" => {
                println!("publish-with-review: what one run asks of Postgres and of the processors");
                transitions::measure().await;
            }
            name => panic!("there is no part {name:?}"),
        }
    }
}
