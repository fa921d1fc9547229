//! Whoever changes the log behind the host's back is found out by `countersign audit verify`.

use countersign::audit::Head;
use serde_json::{Value, json};
use sqlx::Executor as _;

use super::{Bench, verified};
use crate::command::{Folder, Said};

/// A host with a log of eight entries, and a folder to verify it from.
struct Scene {
    bench: Bench,
    folder: Folder,
    key: String,
}

impl Scene {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let made = bench.api.post("/v1/keys", &json!({"name": "auditor", "role": "operator"})).await.expect(201);
        for _ in 0..4 {
            bench.api.start("testbed.echo", &json!(1)).await;
        }
        assert_eq!(verified(&bench.api).await.seq, 8);
        Self { bench, folder: Folder::new(), key: made["key"].as_str().unwrap().to_owned() }
    }

    async fn countersign(&self, arguments: &[&str]) -> Said {
        let mut command = self.folder.countersign(arguments);
        command.args(["--url", self.bench.host.url()]).env("COUNTERSIGN_API_KEY", &self.key);
        Said::by(command).await
    }

    /// The head that `verify` prints.
    async fn head(&self) -> Head {
        self.countersign(&["audit", "verify"]).await.ok().trim().parse().expect("a head")
    }

    /// What the owner of the database does, in one transaction, without the triggers.
    async fn tamper(&self, statements: &str) {
        let quiet = format!("begin; set local session_replication_role = replica; {statements}; commit");
        self.bench.database.pool.execute(sqlx::AssertSqlSafe(quiet)).await.expect("a superuser may do it");
    }

    /// What `verify` says is wrong; its exit code is 1.
    async fn fault(&self, arguments: &[&str]) -> String {
        self.countersign(&[&["audit", "verify"], arguments].concat()).await.failed(1)
    }
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_verified_on_the_host_and_in_a_file() {
    let scene = Scene::new().await;
    let head = scene.head().await;
    assert_eq!(head, verified(&scene.bench.api).await);
    let json = scene.countersign(&["audit", "verify", "--json", "--head", &head.to_string()]).await.ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, json!({"entries": 8, "head": head.to_string()}));

    scene.countersign(&["audit", "export", "--output", "log.jsonl"]).await.ok();
    assert_eq!(scene.folder.names(), ["log.jsonl"], "no part of it is left");
    assert_eq!(scene.folder.read("log.jsonl"), scene.countersign(&["audit", "export"]).await.ok());
    let offline = scene.folder.countersign(&["audit", "verify", "--file", "log.jsonl"]);
    assert_eq!(Said::by(offline).await.ok(), format!("{head}\n"), "without a host or a key");

    // The log grows, and contains the head that was kept.
    scene.bench.api.start("testbed.echo", &json!(1)).await;
    let said = scene.countersign(&["audit", "verify", "--head", &head.to_string()]).await.ok();
    assert!(said.starts_with("9:"), "{said}");
}

#[tokio::test]
async fn the_program_of_the_document_verifies_an_export() {
    let scene = Scene::new().await;
    let api = &scene.bench.api;
    // An early decision is any text: what the pause offers is not known yet.
    let id = api.start("testbed.pauses", &json!({"n": 2})).await;
    api.paused(&id, "p0").await;
    let odd = json!({"decision": "Zoë \\\"\u{7f}\u{1}\u{2028}/\t😀"});
    api.decide(&format!("{id}:p1"), &odd).await.expect(200);
    let document = std::fs::read_to_string(countersign_tests::build::root().join("docs/audit.md")).unwrap();
    let program = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
    assert!(program.lines().count() <= 20, "{program}");
    scene.folder.write("verify.py", program);
    let run = async |log: &str| {
        scene.folder.write("log.jsonl", log);
        Said::by(scene.folder.command("python3", &["verify.py", "log.jsonl"])).await
    };
    let log = scene.countersign(&["audit", "export"]).await.ok();
    assert_eq!(run(&log).await.ok(), format!("{}\n", scene.head().await));
    for changed in [log.replacen("testbed.echo", "testbed.ecco", 1), log.lines().skip(1).collect(), log[1..].into()] {
        assert_ne!(run(&changed).await.code, Some(0));
    }
}

#[tokio::test]
async fn a_changed_field_is_found() {
    let scene = Scene::new().await;
    for (change, back) in [
        ("actor = 'key:other'", "actor = 'host'"),
        ("at = at - interval '1 microsecond'", "at = at + interval '1 microsecond'"),
        ("details = '{\"x\":1}'", "details = '{}'"),
        ("source = '10.0.0.1'", "source = null"),
        ("actor_name = ''", "actor_name = null"),
    ] {
        scene.tamper(&format!("update audit_entry set {change} where seq = 1")).await;
        assert!(scene.fault(&[]).await.contains("entry 1 was changed"), "{change}");
        scene.tamper(&format!("update audit_entry set {back} where seq = 1")).await;
        scene.head().await;
    }
    scene.tamper("update audit_entry set sha256 = sha256('x') where seq = 6").await;
    assert!(scene.fault(&[]).await.contains("entry 6 was changed"));
}

#[tokio::test]
async fn a_deleted_entry_is_found_even_if_the_gap_is_closed() {
    let scene = Scene::new().await;
    scene.tamper("delete from audit_entry where seq = 4").await;
    assert!(scene.fault(&[]).await.contains("entry 4 is missing: entry 5 follows"));
    scene.tamper("update audit_entry set seq = seq - 1 where seq > 4").await;
    assert!(scene.fault(&[]).await.contains("entry 4 was changed"));
}

#[tokio::test]
async fn a_log_that_was_cut_at_the_end_is_found_by_a_head_that_was_kept() {
    let scene = Scene::new().await;
    let head = scene.head().await.to_string();
    scene.tamper("delete from audit_entry where seq > 6").await;
    assert_eq!(scene.head().await.seq, 6, "without the head nobody can know");
    let said = scene.fault(&["--head", &head]).await;
    assert!(said.contains("ends at entry 6") && said.contains("entry 8"), "{said}");
    // The log goes on, and hides that it was cut.
    for _ in 0..2 {
        scene.bench.api.start("testbed.echo", &json!(1)).await;
    }
    assert_eq!(scene.head().await.seq, 8);
    assert!(scene.fault(&["--head", &head]).await.contains("entry 8 has another hash than the head that was kept"));
    scene.countersign(&["audit", "verify", "--head", &head[..20]]).await.failed(2);
}

#[tokio::test]
async fn two_entries_that_changed_places_are_found() {
    let scene = Scene::new().await;
    scene
        .tamper(
            "update audit_entry set seq = 100 where seq = 5; update audit_entry set seq = 5 where seq = 6;
             update audit_entry set seq = 6 where seq = 100",
        )
        .await;
    assert!(scene.fault(&[]).await.contains("entry 5 does not stand in its place"));
    let lines = super::export(&scene.bench.api).await;
    scene.folder.write("log.jsonl", [&lines[1], &lines[0]].map(|line| format!("{line}\n")).concat());
    let said = scene.fault(&["--file", "log.jsonl"]).await;
    assert!(said.contains("entry 1 does not stand in its place"), "{said}");
    scene.folder.write("log.jsonl", "{}\n");
    assert!(scene.fault(&["--file", "log.jsonl"]).await.contains("line 1 is no entry"));
    scene.countersign(&["audit", "verify", "--file", "nowhere"]).await.failed(2);
}

#[tokio::test]
async fn the_list_of_the_command_line_says_who_did_what() {
    let scene = Scene::new().await;
    let said = scene.countersign(&["audit", "list"]).await.ok();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["SEQ", "WHEN", "WHO", "ACTION", "SUBJECT"]);
    assert_eq!(lines.len(), 1 + 8, "{said}");
    assert!(lines[1].contains("host") && lines[1].contains("tenant.created"), "{said}");
    assert!(lines[8].contains("first operator of") && lines[8].contains("execution.started"), "{said}");
    let started = scene.countersign(&["audit", "list", "--json", "--action", "execution.started"]).await.ok();
    let started: Value = serde_json::from_str(&started).unwrap();
    assert_eq!(super::column(started["items"].as_array().unwrap(), "seq"), [5, 6, 7, 8].map(Value::from));
    let none = scene.countersign(&["audit", "list", "--since", "2999-01-01T00:00:00Z"]).await;
    assert!(none.err.contains("Nothing since then") && none.ok().is_empty());
    for bad in [["--since", "yesterday"], ["--since", "-1h"], ["--action", "pause"]] {
        scene.countersign(&[&["audit", "list"], &bad[..]].concat()).await.failed(2);
    }
}
