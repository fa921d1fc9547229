//! `countersign dev`: a host of its own, a build after every change, decisions by one key, and an end that leaves
//! nothing running.

use std::io::{BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use countersign_tests::build::guest;
use countersign_tests::{Api, until};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::command::Folder;
use crate::projects::with_a_tool_of_ours;

/// A running `countersign dev desk`, and all that it has written.
struct Dev {
    folder: Folder,
    child: Child,
    said: Arc<Mutex<String>>,
    /// What its terminal's keys are pressed on.
    keys: Option<std::fs::File>,
}

impl Dev {
    /// Without a terminal.
    fn start(folder: Folder) -> Self {
        let mut command = Self::command(&folder);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
        collect(BufReader::new(out), &said);
        collect(BufReader::new(err), &said);
        Self { folder, child, said, keys: None }
    }

    /// On a terminal.
    fn start_on_a_terminal(folder: Folder) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("it is ours");
        let name = ptsname(&ours, vec![]).expect("it has a name");
        let theirs = std::fs::File::options().read(true).write(true).open(name.to_str().expect("a path"));
        let theirs = theirs.expect("the other end");
        let end = || Stdio::from(theirs.try_clone().expect("a file"));
        let mut command = Self::command(&folder);
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("it starts");
        let keys = std::fs::File::from(ours);
        let mut screen = keys.try_clone().expect("a file");
        let said = Arc::new(Mutex::new(String::new()));
        let shown = said.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                shown.lock().expect("no panic under this lock").push_str(&text);
            }
        });
        Self { folder, child, said, keys: Some(keys) }
    }

    fn command(folder: &Folder) -> std::process::Command {
        let mut command = folder.countersign(&["dev", "desk", "--listen", "127.0.0.1:0"]);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", folder.path().join("bin").display())).env("NO_COLOR", "1");
        command
    }

    fn said(&self) -> String {
        self.said.lock().expect("no panic under this lock").clone()
    }

    /// Waits until it has written this.
    async fn says(&mut self, text: &str) {
        let what = format!("dev says {text:?}");
        let found = until(&what, async || {
            let dead = self.child.try_wait().is_ok_and(|status| status.is_some());
            self.said().contains(text).then_some(true).or(dead.then_some(false))
        });
        assert!(found.await, "it ended without saying {text:?}, but:\n{}", self.said());
    }

    /// A client, with what it says about itself.
    fn api(&self) -> Api {
        let said = self.said();
        let url = said.split("http://").nth(1).expect("it says where its host is");
        let url = url.split(|c: char| c.is_whitespace()).next().expect("a word");
        Api::new(&format!("http://{url}"), self.folder.read("desk/.countersign/api-key").trim())
    }

    fn press(&mut self, keys: &str) {
        self.keys.as_mut().expect("it has a terminal").write_all(keys.as_bytes()).expect("it takes keys");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it takes signals");
    }

    /// Waits for its end, and for that of all that it started; returns its exit code.
    async fn ended(&mut self) -> Option<i32> {
        let status = until("dev has ended", async || self.child.try_wait().expect("it is ours")).await;
        until("nothing of it runs", async || self.processes().is_empty().then_some(())).await;
        status.code()
    }

    /// The processes whose command line or folder is below its own: the host, and its Postgres.
    fn processes(&self) -> Vec<String> {
        let place = self.folder.path().display().to_string();
        let processes = std::fs::read_dir("/proc").expect("Linux").flatten().filter_map(|entry| {
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let folder = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            (command.contains(&place) || folder.starts_with(&place)).then_some(command)
        });
        processes.collect()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- dev has said\n{}\n---", self.said());
        }
    }
}

fn collect(from: impl std::io::BufRead + Send + 'static, into: &Arc<Mutex<String>>) {
    let into = into.clone();
    std::thread::spawn(move || {
        for line in from.lines().map_while(Result::ok) {
            let mut into = into.lock().expect("no panic under this lock");
            into.push_str(&line);
            into.push('\n');
        }
    });
}

#[tokio::test]
async fn every_change_is_built_and_deployed_and_a_broken_one_leaves_the_last_version() {
    let mut dev = Dev::start(with_a_tool_of_ours(&guest("testbed")));
    dev.says("deployed  desk version 1").await;
    let api = dev.api();
    assert!(!dev.processes().is_empty(), "the host runs below the project's folder");

    let id = api.start("desk.pause_once", &json!({"id": "gate", "title": "Go on?", "payload": {"n": 1}})).await;
    dev.says(&format!("execution desk.pause_once version 1  {id}")).await;
    dev.says("waits     for a decision: Go on?").await;
    dev.says(&format!("countersign decide {id}:gate approved")).await;
    dev.says("│ n: 1").await;

    dev.folder.write("desk/src/broken", "");
    dev.says("agent.ts:7: that is no agent").await;
    dev.says("the last version stays").await;
    std::fs::remove_file(dev.folder.path().join("desk/src/broken")).expect("it is there");
    dev.folder.write("desk/src/agent.wasm", guest("altered"));
    dev.says("deployed  desk version 2").await;

    let pause = api.paused(&id, "gate").await;
    api.decide(&pause, &json!({"decision": "rejected", "feedback": "Not now."})).await.expect(200);
    dev.says("gate: rejected").await;
    dev.says("succeeded ").await;
    let id = api.start("desk.log", &json!({"lines": 2})).await;
    assert_eq!(api.finished(&id).await["version"], 2);
    dev.says("log ").await;

    dev.signal(Signal::INT);
    assert_eq!(dev.ended().await, Some(0));
}

#[tokio::test]
async fn a_dev_that_is_killed_takes_its_host_and_postgres_with_it() {
    let mut dev = Dev::start(with_a_tool_of_ours(&guest("testbed")));
    dev.says("deployed  desk version 1").await;
    dev.signal(Signal::KILL);
    assert_eq!(dev.ended().await, None);
}

#[tokio::test]
async fn one_key_starts_and_another_decides() {
    let mut dev = Dev::start_on_a_terminal(with_a_tool_of_ours(&guest("publish_with_review")));
    dev.says("deployed  desk version 1").await;
    dev.says("s start   ? keys   q quit").await;
    dev.press("s");
    dev.says("The input of publish_with_review, as JSON").await;
    dev.press("\u{15}{\"brief\":\"Night trains\"}\r");
    dev.says("waits     for a decision: https://cms.example.com/review/draft").await;
    dev.says("a approve   r reject   c request changes").await;
    dev.press("a");
    dev.says("draft-review: approved").await;
    dev.says("https://cms.example.com/review/final").await;
    dev.press("c");
    dev.says("What should change?").await;
    dev.press("Shorter.\r");
    dev.says("final-approval: request_changes").await;
    dev.says("{\"status\":\"request_changes\"}").await;
    assert!(dev.folder.read("desk/.countersign/dev-inputs.json").contains("Night trains"));
    dev.press("q");
    assert_eq!(dev.ended().await, Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_nothing_is_left() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has one").to_string();
    let folder = with_a_tool_of_ours(&guest("testbed"));
    let said = crate::command::Said::by(folder.countersign(&["dev", "desk", "--listen", &address])).await;
    let why = said.failed(1);
    assert!(why.contains(&format!("cannot listen on {address}")) && why.contains("--url"), "{why}");
    let json = crate::command::Said::by(folder.countersign(&["dev", "desk", "--json"])).await;
    assert!(json.failed(2).contains("dev is for people"));
}
