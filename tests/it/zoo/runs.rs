//! Guests that are let in, and misbehave when they run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign_tests::hostile::hostile;
use countersign_tests::until;
use futures::future::join_all;
use serde_json::{Value, json};

use super::Zoo;

/// How an execution of a guest ends.
#[derive(Debug, Clone)]
enum End {
    Returns(Value),
    /// With this code, by its own fault.
    Fails(&'static str),
}

use End::{Fails, Returns};

/// A journal of as many entries as it has had time for.
const SOME: usize = usize::MAX;

/// How long an execution of a neighbour may take while all slots are held by guests that use up what they may.
const NEIGHBOUR: Duration = Duration::from_secs(30);

/// A guest, the limits of its executions, an input, how it ends, and how many entries its journal has then.
struct Case {
    guest: &'static str,
    limits: Value,
    input: Value,
    end: End,
    entries: usize,
}

fn case(guest: &'static str, limits: Value, input: Value, end: End, entries: usize) -> Case {
    Case { guest, limits, input, end, entries }
}

/// Of processor time, memory and the stack.
fn greedy() -> Vec<Case> {
    let brief = || json!({"slice_cpu_ms": 200});
    let nothing = || Value::Null;
    vec![
        case("loop", brief(), nothing(), Fails("cpu_limit"), 0),
        case("loop-in-start", brief(), nothing(), Fails("cpu_limit"), 0),
        case("loop-in-realloc", brief(), nothing(), Fails("cpu_limit"), 0),
        case("loop-in-post-return", brief(), nothing(), Fails("cpu_limit"), 0),
        case("fill", brief(), nothing(), Fails("cpu_limit"), 0),
        case("host-calls", brief(), nothing(), Fails("cpu_limit"), 0),
        case("grow", json!({"memory_bytes": 64 << 20}), nothing(), Returns(json!(1024)), 1),
        // The toolchain's own table has a few elements besides.
        case("grow-table", json!({"table_elements": 5_000}), nothing(), Returns(json!(4_001)), 0),
        case("recurse", json!({}), nothing(), Fails("stack_limit"), 0),
        case("last-words", json!({}), nothing(), Fails("trap"), 0),
        case("log-flood", json!({"log_bytes": 64 << 10}), nothing(), Returns(nothing()), 0),
    ]
}

/// Of what they pass to the host.
fn bulky() -> Vec<Case> {
    let mut cases = vec![
        case("big-prompt", json!({}), Value::Null, Fails("too_large"), 0),
        case("big-print", json!({}), Value::Null, Fails("too_large"), 0),
        case("many-strings", json!({}), Value::Null, Fails("too_large"), 0),
        case("big-result", json!({}), Value::Null, Fails("too_large"), 0),
    ];
    // Whether the ask that its answer cannot be written to was answered, is in the journal.
    for (input, entries) in [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 1), (7, 0), (8, 0), (9, 0)] {
        cases.push(case("bad-pointers", json!({}), json!(input), Fails("trap"), entries));
    }
    for input in 0..9 {
        cases.push(case("traps", json!({}), json!(input), Fails("trap"), 0));
    }
    cases
}

/// Of handles, asks, calls and pauses.
fn pushy() -> Vec<Case> {
    let nothing = || Value::Null;
    let mut cases = vec![
        case("handles", json!({"handles": 100}), nothing(), Fails("handle_limit"), 0),
        case("asks", json!({"asks": 100}), nothing(), Fails("ask_limit"), 0),
        // The eleventh pause is the first that is answered: refused.
        case("pauses", json!({"pauses": 10}), nothing(), Returns(json!(10)), 1),
        case("retry", json!({"asks": 50}), nothing(), Fails("ask_limit"), 50),
        case("long-asks", json!({"journal_bytes": 256 << 10}), nothing(), Fails("journal_limit"), 5),
        case("steady", json!({"attempt_cpu_ms": 300}), nothing(), Fails("cpu_limit"), SOME),
        // 15 of 40 calls of `nothing` are made, the others refused.
        case("nothing", json!({}), nothing(), Returns(nothing()), 0),
        case("fan-out", json!({"children": 15}), nothing(), Returns(json!(25)), 40),
        // The one that would be too deep is denied, which is what all those above it return.
        case("call-self", json!({"call_depth": 3}), nothing(), Returns(json!(1)), 1),
        case("call-twice", json!({"children": 5}), nothing(), Returns(nothing()), 2),
        case("probe", json!({}), nothing(), Returns(json!(0)), 0),
        case("chance", json!({}), nothing(), Returns(nothing()), 5),
    ];
    for input in 0..3 {
        cases.push(case("bad-handles", json!({}), json!(input), Fails("trap"), 0));
    }
    for target in ["testbed.echo", "http://169.254.169.254/", "exec_00000000000000000000000000000000"] {
        // `not-found`.
        cases.push(case("reach", json!({}), json!(target), Returns(json!(0)), 1));
    }
    cases
}

/// Of the bytes that they say (see `speak`).
fn garbled() -> Vec<Case> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let said = |how: &str, bytes: &[u8], end: End, entries| {
        case("speak", json!({}), json!(format!("{how}{}", hex(bytes))), end, entries)
    };
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let long_key = format!("{{\"{}\":1}}", "k".repeat(500_000));
    let not_utf8: [&[u8]; 5] =
        [b"\"\xff\"", b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"\"\xf4\x90\x80\x80\"", b"\xe2\x80"];
    let mut cases = vec![
        said("r", b"\"ok\"", Returns(json!("ok")), 0),
        said("r", b"", Fails("invalid_result"), 0),
        said("r", b"\"\0\"", Fails("invalid_result"), 0),
        said("r", b"nul", Fails("invalid_result"), 0),
        said("r", b"NaN", Fails("invalid_result"), 0),
        said("r", br#""\ud800""#, Fails("invalid_result"), 0),
        said("r", br#""\u0000""#, Returns(json!("\0")), 0),
        said("r", &deep, Fails("invalid_result"), 0),
        said("r", long_key.as_bytes(), Returns(serde_json::from_str(&long_key).expect("JSON")), 0),
        // An error that it is told.
        said("t", b"\0", Returns(json!(1)), 1),
        said("n", b"a\0b", Returns(json!(1)), 1),
        said("n", b"", Returns(json!(1)), 1),
        // What a model is asked may hold anything that is text, and the log anything at all.
        said("p", b"\0\x1b[2J", Returns(json!(0)), 1),
        said("w", b"\0\xff\x1b[2J\n", Returns(json!(0)), 0),
    ];
    for bytes in not_utf8 {
        for how in ["r", "t", "p", "n"] {
            cases.push(said(how, bytes, Fails("trap"), 0));
        }
    }
    cases
}

/// Uploads the guests, has all of them run at once beside others, and looks at how each of them ended.
async fn show(zoo: &Zoo, cases: &[Case]) {
    for (n, case) in cases.iter().enumerate() {
        if cases[..n].iter().all(|before| before.guest != case.guest) {
            zoo.api.deploy(case.guest, hostile(case.guest)).await;
            zoo.limit(case.guest, &case.limits).await;
        }
    }
    let done = AtomicBool::new(false);
    let runs = async {
        let run = async |case: &Case| zoo.api.run(&format!("{}.run", case.guest), &case.input).await;
        let executions = join_all(cases.iter().map(run)).await;
        done.store(true, Ordering::Relaxed);
        executions
    };
    let (executions, longest) = tokio::join!(runs, zoo.neighbours(&done));
    zoo.assert_free().await;
    assert!(longest < NEIGHBOUR, "an execution of a neighbour took {longest:?}");
    let mut wrong = vec![];
    for (case, execution) in cases.iter().zip(&executions) {
        let journal = zoo.api.journal(execution["id"].as_str().expect("an id")).await;
        if let Err(why) = check(case, execution, journal.len()) {
            wrong.push(format!(
                "{} {:.40}: {why}: {:.1000}",
                case.guest,
                case.input.to_string(),
                execution.to_string()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether an execution has ended as it should, or what is wrong.
fn check(case: &Case, execution: &Value, entries: usize) -> Result<(), String> {
    let error = &execution["error"];
    match &case.end {
        Returns(result) if execution["status"] == "succeeded" && execution["result"] == *result => {}
        Fails(code) if execution["status"] == "failed" && error["code"] == *code && error["blame"] == "guest" => {}
        end => return Err(format!("not {end:.100?}")),
    }
    let message = error["message"].as_str().map_or(MESSAGE_BYTES.start, str::len);
    if !MESSAGE_BYTES.contains(&message) {
        return Err(format!("a message of {message} bytes"));
    }
    if entries != case.entries && case.entries != SOME {
        return Err(format!("{entries} entries, not {}", case.entries));
    }
    // What fails by itself is not tried again.
    if entries == 0 && execution["attempts"] != 1 {
        return Err("more than one attempt".into());
    }
    Ok(())
}

/// How long the message of a failure may be.
const MESSAGE_BYTES: std::ops::Range<usize> = 10..10_000;

#[tokio::test]
async fn a_guest_that_wants_all_of_the_processor_or_the_memory_is_stopped_and_others_go_on() {
    let zoo = Zoo::new().await;
    show(&zoo, &greedy()).await;
}

#[tokio::test]
async fn a_guest_that_passes_too_much_or_what_is_not_there_fails_by_its_own_fault() {
    let zoo = Zoo::new().await;
    show(&zoo, &bulky()).await;
}

#[tokio::test]
async fn a_guest_that_asks_without_end_is_told_or_stopped_and_leaves_no_more_than_its_journal() {
    let zoo = Zoo::new().await;
    show(&zoo, &pushy()).await;
}

#[tokio::test]
async fn what_is_no_text_or_no_json_never_gets_through_and_what_is_only_odd_does_no_harm() {
    let zoo = Zoo::new().await;
    show(&zoo, &garbled()).await;
}

/// The model never answers: the guest waits, as is its right, until somebody cancels it.
#[tokio::test]
async fn a_guest_whose_model_never_answers_is_gone_as_soon_as_it_is_cancelled() {
    let zoo = Zoo::new().await;
    zoo.api.deploy("ask-model", hostile("ask-model")).await;
    let before = zoo.model.calls();
    zoo.model.hold();
    let id = zoo.api.start("ask-model.run", &Value::Null).await;
    until("the model is asked", async || (zoo.model.calls() > before).then_some(())).await;
    zoo.api.post(&format!("/v1/executions/{id}/cancel"), &Value::Null).await.expect(200);
    zoo.assert_free().await;
    assert_eq!(zoo.api.journal(&id).await.len(), 0);
}

#[tokio::test]
async fn what_a_guest_prints_is_kept_up_to_its_limit_and_its_last_words_are_cut() {
    let zoo = Zoo::new().await;
    zoo.api.deploy("log-flood", hostile("log-flood")).await;
    zoo.api.deploy("last-words", hostile("last-words")).await;
    let (kept, last) = flood(&zoo).await;
    assert!((200 << 10..512 << 10).contains(&kept), "{kept} bytes are kept of one slice");
    assert!(last.contains("dropped"), "{last}");
    zoo.limit("log-flood", &json!({"log_bytes": 64 << 10})).await;
    let (kept, _) = flood(&zoo).await;
    assert!((32 << 10..=64 << 10).contains(&kept), "{kept} bytes are kept of the execution");

    let id = zoo.api.start("last-words.run", &Value::Null).await;
    let execution = zoo.api.finished(&id).await;
    let message = execution["error"]["message"].as_str().expect("a message");
    assert!(message.contains("last words") && message.len() < 5_000, "{} bytes", message.len());
    zoo.host.assert_unharmed();
}

/// Runs `log-flood`, and returns how many bytes of what it has printed are kept, and the last line.
async fn flood(zoo: &Zoo) -> (usize, String) {
    let id = zoo.api.start("log-flood.run", &Value::Null).await;
    assert_eq!(zoo.api.finished(&id).await["status"], "succeeded");
    let kept = zoo.api.all(&format!("/v1/executions/{id}/logs?limit=100")).await;
    let lines: Vec<&str> = kept.iter().filter_map(|line| line["text"].as_str()).collect();
    (lines.iter().map(|line| line.len()).sum(), (*lines.last().expect("a line")).to_owned())
}
