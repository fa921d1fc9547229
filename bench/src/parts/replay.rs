//! How fast a journal is replayed, and whether twice the journal takes twice the time.

use std::time::{Duration, Instant};

use countersign::guest::{Call, Component, Guest};
use countersign::journal::Entry;
use countersign::limits::Limits;
use countersign_tests::drive::{PICKS, call, component, run};
use serde_json::json;

use crate::report;

const RUNS: usize = 5;

pub(crate) async fn measure() {
    let testbed = component("testbed").await;
    let mut medians = vec![];
    for steps in [1_000, 10_000, 100_000] {
        let input = json!({"n": steps});
        let whole = run(&testbed, ticks(&input), &[], PICKS[0].1).await.expect("nothing to mismatch");
        let mut times = vec![];
        for _ in 0..RUNS {
            times.push(replay(&testbed, &input, &whole.journal).await);
        }
        let (median, _) = crate::percentiles(times);
        medians.push(median);
        let rate = f64::from(steps) / median.as_secs_f64();
        report(
            &format!("{steps} steps"),
            &format!("{median:.1?}, {rate:.0} steps/s"),
            "goal: at least 100,000 steps/s",
        );
    }
    let ratio = medians[2].as_secs_f64() / (10.0 * medians[1].as_secs_f64());
    report("100,000 steps, in units of ten times 10,000", &format!("{ratio:.2}"), "goal: at most 1.3");
}

/// A call with the limits of whoever may ask most.
pub(crate) fn ticks(input: &serde_json::Value) -> Call {
    let limits = Limits { asks: 200_000, journal_bytes: 64 << 20, attempt_cpu_ms: 3_600_000, ..Limits::default() };
    Call { limits, ..call("ticks", input) }
}

/// The time of all slices and deliveries; making the instance counts, compiling does not.
pub(crate) async fn replay(component: &Component, input: &serde_json::Value, journal: &[Entry]) -> Duration {
    let began = Instant::now();
    let mut guest = Guest::start(component, ticks(input));
    guest.run_slice().await;
    for (seq, entry) in journal.iter().enumerate() {
        guest.replay(seq, entry).expect("its own journal");
        guest.run_slice().await;
    }
    began.elapsed()
}
