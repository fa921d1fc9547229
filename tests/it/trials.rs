//! `countersign try` and `countersign replay`: an agent in memory, driven by the real binary.

mod answers;
mod recordings;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_tests::build::{self, guest, root};
use serde_json::{Value, json};

/// A folder with agents, gone with the test.
struct Desk(PathBuf);

/// What a command said, and its exit code.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let folder = root().join("target/test-hosts").join(format!("desk-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for name in ["testbed", "altered", "publish_with_review"] {
            std::fs::write(folder.join(format!("{name}.wasm")), guest(name)).expect("a component");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: &Value) -> &Self {
        std::fs::write(self.path(name), content.to_string()).expect("a file");
        self
    }

    fn read(&self, name: &str) -> Value {
        let text = std::fs::read_to_string(self.path(name)).expect("it was written");
        serde_json::from_str(&text).expect("it is JSON")
    }

    /// Runs `countersign`, with nothing on its standard input.
    fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, "")
    }

    /// Runs `countersign`, with this on its standard input.
    fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = Command::new(build::host())
            .args(arguments)
            .current_dir(&self.0)
            // Not the user's: the components of these tests would stay there.
            .env("XDG_CACHE_HOME", root().join("target/test-hosts/shared"))
            .env_remove("COUNTERSIGN_API_KEY")
            .env_remove("COUNTERSIGN_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // One that ends early does not read all of it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
        Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Tries a function of the testbed with these answers.
    fn testbed(&self, function: &str, input: &Value, answers: &Value) -> Said {
        self.write("answers.json", answers);
        let input = input.to_string();
        self.run(&["try", "testbed.wasm", "--function", function, "--input", &input, "--answers", "answers.json"])
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Said {
    #[track_caller]
    fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// What it printed on standard output, a JSON document.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {}\n{}", self.out, self.err))
    }

    #[track_caller]
    fn complains(&self, code: i32, words: &[&str]) {
        self.expect(code);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
    }
}

#[test]
fn try_asks_standard_input_and_asks_again_what_a_host_would_not_take() {
    let desk = Desk::new();
    let schema = json!({"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}});
    let input = json!({"title": "Pay?", "choices": ["pay", "wait"], "response_schema": schema}).to_string();
    let script = "later\n1\nfine\n{}\n{\"amount\": 3}\n";
    let said = desk.run_with(&["try", "testbed.wasm", "--function", "pause_once", "--input", &input], script);
    let review = said.expect(0).json();
    assert_eq!((&review["decision"], &review["feedback"]), (&json!("pay"), &json!("fine")), "{said:?}");
    assert!(said.err.contains("Pay?") && said.err.contains("1) pay"), "{}", said.err);
    assert!(said.err.contains("not like that: a number, 1 to 2, or one of pay, wait"), "{}", said.err);
    assert!(said.err.contains("amount"), "what is wrong with the response is told: {}", said.err);
    assert_eq!(
        desk.read("testbed.journal.json")["entries"][0]["answer"]["review"]["Ok"]["response"],
        "{\"amount\": 3}"
    );
}

#[test]
fn try_takes_a_models_answer_in_lines_and_lets_the_order_be_picked() {
    let desk = Desk::new();
    // The second ask first, then the only one left, in several lines.
    let said = desk.run_with(&["try", "testbed.wasm", "--function", "join"], "2\nto b\n\nto a,\n in two lines\n.\n");
    let result = said.expect(0).json();
    assert_eq!(result["order"], json!(["b", "a"]));
    assert_eq!(result["answers"], json!(["to a,\n in two lines", "to b"]));
    assert!(said.err.contains("2 asks are open"), "{}", said.err);
}

#[test]
fn try_stops_where_standard_input_ends_and_goes_on_from_its_journal() {
    let desk = Desk::new();
    let said = desk.run_with(&["try", "testbed.wasm", "--function", "many_ai", "--input", "{\"n\":3}"], "one\ntwo\n");
    said.complains(2, &["nobody answers ask 2 (model)", "--answers testbed.journal.json"]);
    let journal = desk.read("testbed.journal.json");
    assert_eq!((journal["entries"].as_array().map(Vec::len), &journal["end"]), (Some(2), &json!(null)));
    // A recording that runs out does not read what is no terminal.
    let again = desk.run_with(&["try", "testbed.wasm", "--answers", "testbed.journal.json"], "three\n");
    again.complains(2, &["nobody answers ask 2 (model)"]);
}

#[test]
fn try_shows_the_log_as_it_comes_and_the_failure_at_the_end() {
    let desk = Desk::new();
    let said = desk.testbed("log", &json!({"lines": 1}), &json!(["more"]));
    let place = |words: &str| said.err.find(words).unwrap_or_else(|| panic!("{words:?} is not in: {}", said.err));
    assert!(place("before") < place("anything to add?") && place("anything to add?") < place("after"), "{}", said.err);

    desk.testbed("fail", &json!(null), &json!([])).complains(1, &["this function always fails", "refused"]);
    desk.testbed("trap_after_ai", &json!(null), &json!(["yes"]))
        .complains(1, &["told to panic after the answer", "(trap)"]);
    assert_eq!(desk.read("testbed.journal.json")["end"]["error"]["code"], "trap");
    desk.testbed("loop_forever", &json!(null), &json!([])).complains(1, &["(cpu_limit)", "10s"]);
    desk.testbed("grow", &json!(null), &json!([])).expect(0);
}

#[test]
fn try_says_what_is_wrong_before_it_runs_anything() {
    let desk = Desk::new();
    std::fs::write(desk.path("text.wasm"), "no component").unwrap();
    std::fs::write(desk.path("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    std::fs::create_dir_all(desk.path("project/dist")).unwrap();
    for (arguments, words) in [
        ("text.wasm", "text.wasm: this is not WebAssembly"),
        ("module.wasm", "core module, not a component"),
        ("nowhere.wasm", "cannot read nowhere.wasm"),
        ("project", "countersign build project"),
        ("testbed.wasm", "name one with --function: echo, fail"),
        ("testbed.wasm --function nothing", "no function \"nothing\"; it has echo"),
        ("testbed.wasm --function many_ai", "--input does not satisfy the schema of many_ai"),
        ("testbed.wasm --function echo --input {", "--input is no JSON document"),
        ("testbed.wasm --function echo --seed 00", "64 hexadecimal digits"),
        ("testbed.wasm --function echo --started noon", "--started noon"),
        ("testbed.wasm --function echo --execution-id 7", "--execution-id 7"),
        ("testbed.wasm --function echo --answers nowhere.json", "cannot read nowhere.json"),
    ] {
        let arguments: Vec<&str> = std::iter::once("try").chain(arguments.split(' ')).collect();
        desk.run(&arguments).complains(2, &[words]);
    }
    assert!(!desk.path("testbed.journal.json").exists(), "nothing was tried");
    std::fs::copy(desk.path("testbed.wasm"), desk.path("project/dist/bed.wasm")).unwrap();
    assert_eq!(desk.run(&["try", "project", "--function", "echo", "--input", "[7]"]).expect(0).json(), json!([7]));
    assert!(desk.path("project/dist/bed.journal.json").exists());
}

#[test]
fn try_keeps_what_was_answered_and_overwrites_nothing_but_journals() {
    let desk = Desk::new();
    let start = ["try", "testbed.wasm", "--function", "many_ai", "--input", "{\"n\":3}"];
    // Told before anybody answers anything.
    for (journal, words) in [("testbed.wasm", "no journal"), ("nowhere/a.json", "cannot write nowhere/a.json")] {
        let said = desk.run_with(&[&start[..], &["--journal", journal]].concat(), "one\ntwo\nthree\n");
        assert!(said.err.contains(words) && !said.err.contains("the model answers"), "{}", said.err);
    }
    assert_eq!(std::fs::read(desk.path("testbed.wasm")).unwrap(), guest("testbed"));

    // An answer that is too long ends the trial, but not what came before it.
    let input = format!("one\n{}\n", "x".repeat(2 << 20));
    desk.run_with(&start, &input).complains(2, &["more than 1048576 bytes"]);
    assert_eq!(desk.read("testbed.journal.json")["entries"].as_array().unwrap().len(), 1);
    // Nor does one that ends before anything was answered lose the journal of an earlier one.
    desk.run_with(&start, &input["one\n".len()..]).complains(2, &["more than 1048576 bytes"]);
    assert_eq!(desk.read("testbed.journal.json")["entries"].as_array().unwrap().len(), 1);

    desk.write("answers.json", &json!(["one"]));
    let replay = ["replay", "testbed.journal.json", "--component", "testbed.wasm", "--journal", "answers.json"];
    desk.run(&replay).complains(2, &["answers.json is there and is no journal"]);
    assert_eq!(desk.read("answers.json"), json!(["one"]));
}

#[test]
fn try_is_the_same_with_the_same_seed_start_and_answers() {
    let desk = Desk::new();
    desk.write("answers.json", &json!(["7"]));
    let seed = "5a".repeat(32);
    let tried = |journal: &str, more: &[&str]| {
        let start = ["--started", "2026-01-01T00:00:00Z", "--execution-id", "exec_00000000000000000000000000000000"];
        let mut arguments = vec!["try", "testbed.wasm", "--function", "random", "--answers", "answers.json"];
        arguments.extend(["--journal", journal]);
        arguments.extend(start);
        arguments.extend(more);
        desk.run(&arguments).expect(0).json()
    };
    let (one, same) = (tried("one.json", &["--seed", &seed]), tried("same.json", &["--seed", &seed]));
    assert_eq!((&one, desk.read("one.json")), (&same, desk.read("same.json")));
    assert_ne!(one, tried("other.json", &[]), "without a seed it is chance");
    assert_eq!(desk.read("one.json")["entries"][0]["at"], "2026-01-01T00:00:00.010Z");
}

#[test]
fn try_sleeps_at_once_and_in_real_time_only_if_told() {
    let desk = Desk::new();
    let day = json!({"ms": 86_400_000}).to_string();
    let began = std::time::Instant::now();
    let start = ["try", "testbed.wasm", "--function", "sleep", "--started", "2026-01-01T00:00:00Z", "--input"];
    desk.run(&[&start[..], &[&day]].concat()).expect(0);
    assert_eq!(desk.read("testbed.journal.json")["entries"][0]["at"], "2026-01-02T00:00:00Z");
    assert!(began.elapsed().as_secs() < 3_600);

    let began = std::time::Instant::now();
    desk.run(&[&start[..], &["{\"ms\":300}", "--real-time"]].concat()).expect(0);
    assert!(began.elapsed().as_millis() >= 300);
}

#[test]
fn a_component_is_compiled_once_and_kept_by_its_user_alone() {
    let desk = Desk::new();
    let home = desk.path("home");
    let tried = |home: &Path| {
        let mut command = Command::new(build::host());
        command.args(["try", "testbed.wasm", "--function", "echo"]).current_dir(&desk.0);
        command.env_remove("XDG_CACHE_HOME").env("HOME", home).stdin(Stdio::null()).output().expect("it runs")
    };
    let told =
        |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).contains("compiling testbed.wasm");
    std::fs::create_dir(&home).unwrap();
    assert!(told(&tried(&home)) && !told(&tried(&home)));
    let cache = home.join(".cache/countersign");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    // Without a home it is compiled each time, and nothing stays.
    assert!(told(&tried(Path::new(""))) && told(&tried(Path::new("/dev/null"))));
}
