//! What a host keeps of hostile uploads and executions.

use std::time::Instant;

use countersign_tests::hostile::load::{self, Load};
use countersign_tests::{Database, Host, Model};

use crate::report;

const WARM_UP: usize = 2_000;
const COUNT: usize = 10_000;
const PARTS: usize = 5;

pub(crate) async fn measure() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start_with(&database, &model, &[("COUNTERSIGN_LOG", "info")]).await;
    let load = Load::new(&host.api()).await;
    load.run(0..WARM_UP).await;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let before = load::settled(&host).await;
    report(&format!("the host's memory after {WARM_UP} of each"), &format!("{:.1} MiB", mib(before)), "");
    let began = Instant::now();
    let mut after = before;
    for part in 0..PARTS {
        let done = WARM_UP + part * COUNT / PARTS;
        load.run(done..done + COUNT / PARTS).await;
        after = load::settled(&host).await;
        let what = format!("after {} more", (part + 1) * COUNT / PARTS);
        report(&what, &format!("{:.1} MiB", mib(after)), "");
    }
    let growth = 100.0 * (after as f64 / before as f64 - 1.0);
    report("growth", &format!("{growth:+.1} %"), "goal: within 10 %");
    report("uploads and executions", &format!("{:.0}/s", COUNT as f64 / began.elapsed().as_secs_f64()), "");
}
