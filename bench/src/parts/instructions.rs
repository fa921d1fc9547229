//! How many instructions a replayed step takes, as callgrind counts them: nearly the same in every run, however busy the
//! machine is. `make count` has the build of the tests counted, with our code not optimized: what matters is that it does not
//! rise.

use std::path::PathBuf;
use std::process::Command;

use countersign_tests::drive::{PICKS, run, timeless_component};
use serde_json::json;

use super::replay::{replay, ticks};
use crate::report;

/// How long the journal is.
const STEPS: u32 = 2_000;

/// How often it is replayed more the second time.
const REPLAYS: u64 = 2;

/// How much more than what is written down is too much.
const RISE_MAX: f64 = 0.10;

/// The argument with which this program replays, for callgrind to count; how often is another.
pub(crate) const COUNTED: &str = "replay-to-be-counted";

/// Counts, and compares with the number in `bench/instructions.txt`, or writes it there if `COUNT_ANEW` is set. False if it
/// has risen by more than a tenth.
pub(crate) async fn measure() -> bool {
    compile();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    // What is done before, and once, is in both.
    let each = (count(1 + REPLAYS) - count(1)) / (REPLAYS * u64::from(STEPS));
    if std::env::var_os("COUNT_ANEW").is_some() {
        std::fs::write(&file, format!("{each}\n")).expect("the number is written");
    }
    let known = std::fs::read_to_string(&file).expect("what was counted before");
    let known: u64 = known.trim().parse().expect("a number");
    let rise = each as f64 / known as f64 - 1.0;
    let measured = format!("{each}, {:+.1} %", rise * 100.0);
    let goal = format!("{known} before; at most {:.0} % more", RISE_MAX * 100.0);
    report("instructions of a replayed step", &measured, &goal);
    rise <= RISE_MAX
}

/// Has the guest compiled before anything is counted, and kept: under valgrind too, whose CPU is not this machine's, so that
/// what was compiled for this one is not for that one.
fn compile() {
    under_valgrind(&["--tool=none"], 0);
}

/// All instructions of this program with so many replays, those of the guest among them.
fn count(replays: u64) -> u64 {
    let said = under_valgrind(&["--tool=callgrind", "--callgrind-out-file=/dev/null"], replays);
    let collected = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    collected.unwrap_or_else(|| panic!("callgrind has not counted: {said}"))
}

/// Replays so often under valgrind; what valgrind said.
fn under_valgrind(tool: &[&str], replays: u64) -> String {
    let output = Command::new("valgrind")
        .args(tool)
        // What the guest is compiled to is code that was not there when the program was loaded.
        .arg("--smc-check=all-non-file")
        .arg(std::env::current_exe().expect("this program"))
        .args([COUNTED, &replays.to_string()])
        .output()
        .expect("valgrind is installed: `make count` does so");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "nothing was replayed: {said}");
    said
}

/// What valgrind watches.
pub(crate) async fn replay_often(replays: &str) {
    let input = json!({"n": STEPS});
    let component = timeless_component("testbed").await;
    let whole = run(&component, ticks(&input), &[], PICKS[0].1).await.expect("nothing to mismatch");
    for _ in 0..replays.parse::<u64>().expect("how often") {
        replay(&component, &input, &whole.journal).await;
    }
}
