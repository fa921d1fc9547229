//! What each language costs: size, the first and the second upload, a start, a replayed step.

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::guest::{Cache, CacheKey, Component, Engine, Guest};
use countersign_tests::build::{guest, root};
use countersign_tests::drive::{PICKS, call, run};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::report;

const STARTS: usize = 50;
const RUNS: usize = 5;
const STEPS: u32 = 5_000;

pub(crate) async fn measure() {
    let mut rust_step = None;
    for language in ["rust", "python", "typescript"] {
        let of = |name: &str| if language == "rust" { name.to_owned() } else { format!("{name}_{language}") };
        let example: Arc<[u8]> = guest(&of("publish_with_review")).into();
        println!("  {language}");
        report("size", &format!("{:.2} MB", example.len() as f64 / 1e6), "");
        let component = uploads(&example).await;
        let input = json!({"brief": "a launch"});
        let mut starts = vec![];
        for _ in 0..STARTS {
            let began = Instant::now();
            let mut guest = Guest::start(&component, call("publish_with_review", &input));
            guest.run_slice().await;
            assert_eq!(guest.open_asks().len(), 1, "it asks for a draft");
            starts.push(began.elapsed());
        }
        let (median, late) = crate::percentiles(starts);
        report("start to first ask, p50 (p95)", &format!("{median:.1?} ({late:.1?})"), "goal: at most 10 ms");

        let step = replayed_step(&of("testbed")).await;
        let ratio = step.as_secs_f64() / rust_step.get_or_insert(step).as_secs_f64();
        report("replayed step", &format!("{step:.1?}, {ratio:.1} × rust"), "goal: at most 5 ×");
    }
}

/// The first upload compiles; the second one of the same bytes finds it on disk, in a host that was started anew.
async fn uploads(wasm: &Arc<[u8]>) -> Component {
    let directory = root().join("target/bench-cache");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a folder for compiled guests");
    let mut component = None;
    for (what, goal) in [("first upload until ready", ""), ("second upload until ready", "goal: at most 2 s")] {
        let cache = Cache::new(Engine::new().expect("an engine"), directory.clone(), CacheKey::new([7; 32]));
        let began = Instant::now();
        let digest = Sha256::digest(wasm).into();
        let compiled = cache.compile(&digest, wasm.clone()).await.expect("it fits the contract");
        compiled.describe().await.expect("it says what it can do");
        report(what, &format!("{:.2?}", began.elapsed()), goal);
        component = Some(compiled);
    }
    let _ = std::fs::remove_dir_all(&directory);
    component.expect("it was uploaded")
}

async fn replayed_step(testbed: &str) -> Duration {
    let component = countersign_tests::drive::component(testbed).await;
    let input = if testbed == "testbed" { json!({"n": STEPS}) } else { json!({"count": STEPS}) };
    let whole = run(&component, call("ticks", &input), &[], PICKS[0].1).await.expect("nothing to mismatch");
    let mut times = vec![];
    for _ in 0..RUNS {
        times.push(super::replay::replay(&component, &input, &whole.journal).await);
    }
    crate::percentiles(times).0 / STEPS
}
