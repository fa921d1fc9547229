//! The process that compiles: what it has, what becomes of it, and of what it leaves behind.

use std::path::PathBuf;

use countersign_tests::build::guest;
use countersign_tests::{Host, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::bombs::phi;
use super::{Shared, unique, upload};

/// What must not be found where it has no business.
const CANARY: &str = "canary-4f1d2c";

/// The processes that compile for a host, as folders of `/proc`.
fn compilers(host: u32) -> Vec<PathBuf> {
    let is_ours = |process: &PathBuf| {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        status.contains(&format!("PPid:\t{host}\n")) && String::from_utf8_lossy(&line).contains("compile-child")
    };
    let all = std::fs::read_dir("/proc").expect("Linux").flatten().map(|process| process.path());
    all.filter(is_ours).collect()
}

async fn compiler(host: &Host) -> PathBuf {
    let pid = host.pid();
    until("the host compiles", async || compilers(pid).pop()).await
}

fn kill(process: &std::path::Path) {
    let pid = process.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let pid = pid.and_then(Pid::from_raw).expect("a process has a number");
    kill_process(pid, Signal::KILL).expect("it is there");
}

/// Something that takes a few seconds.
fn work() -> Vec<u8> {
    unique(phi(8_000, 1_000))
}

#[tokio::test]
async fn a_compiler_has_nothing_of_its_hosts_but_two_pipes_and_little_of_the_machine() {
    let shared = Shared::with(&[("COUNTERSIGN_AI_KEY", CANARY)]).await;
    let api = shared.one.clone();
    let uploading = tokio::spawn(async move { upload(&api, "work", work()).await });
    let process = compiler(&shared.host).await;
    // It lowers its limits before it reads.
    let limits = until("it has begun", async || {
        let limits = std::fs::read_to_string(process.join("limits")).ok()?;
        limits.lines().any(|line| line.starts_with("Max file size") && line.contains(" 0 ")).then_some(limits)
    })
    .await;
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(limit("Max address space").contains("2147483648"), "{limits}");
    assert!(limit("Max core file size").contains(" 0 "), "{limits}");
    let environment = std::fs::read(process.join("environ")).expect("it still works");
    let environment = String::from_utf8_lossy(&environment);
    let names: Vec<&str> = environment.split('\0').filter_map(|set| set.split('=').next()).collect();
    assert_eq!(names, ["MALLOC_ARENA_MAX", "RAYON_NUM_THREADS", ""], "{environment}");
    assert!(!environment.contains(CANARY));
    let files: Vec<PathBuf> = std::fs::read_dir(process.join("fd"))
        .expect("it still works")
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .collect();
    let strange = files.iter().filter(|file| !file.starts_with("pipe:") && !file.to_string_lossy().contains("pipe:["));
    assert!(strange.clone().all(|file| file.ends_with("null")), "{files:?}");

    until("it has worked for a while", async || {
        let stat = std::fs::read_to_string(process.join("stat")).ok()?;
        let user: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(11)?.parse().ok()?;
        (user > 10).then_some(())
    })
    .await;
    // By hand, as the kernel does when memory is short.
    kill(&process);
    let reply = uploading.await.expect("no panic");
    assert_eq!((reply.status, reply.code(), reply.blame()), (422, "compile_limit", "guest"), "{}", reply.body);
    assert!(reply.message().contains("was killed"), "{}", reply.message());
    assert!(shared.charged("default").await > 0.1, "what it had taken is charged");
    shared.one.deploy("testbed", guest("testbed")).await;
    shared.host.assert_unharmed();
}

#[tokio::test]
async fn a_client_that_goes_away_is_charged_all_the_same() {
    let shared = Shared::new().await;
    let api = shared.one.clone();
    let uploading = tokio::spawn(async move { upload(&api, "work", unique(guest("testbed"))).await });
    compiler(&shared.host).await;
    uploading.abort();
    until("it is charged", async || (shared.charged("default").await > 0.0).then_some(())).await;
    assert_eq!(shared.one.get("/v1/agents").await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_host_that_is_killed_leaves_neither_a_compiler_nor_half_an_upload() {
    let mut shared = Shared::new().await;
    let api = shared.one.clone();
    let uploading = tokio::spawn(async move {
        let request = api.request(reqwest::Method::PUT, "/v1/agents/work").body(work());
        request.send().await.map(|_| ())
    });
    let process = compiler(&shared.host).await;
    shared.host.kill();
    assert!(uploading.await.expect("no panic").is_err());
    until("the compiler has ended", async || (!process.join("fd").exists()).then_some(())).await;
    let uploads = shared.host.data_dir().join("uploads");
    std::fs::write(uploads.join("left"), "by a host that died").expect("the folder is there");
    shared.host.restart(&[]).await;
    let left: Vec<_> = std::fs::read_dir(&uploads).expect("it is made anew").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    shared.host.api().deploy("testbed", guest("testbed")).await;
}

#[tokio::test]
async fn a_compiled_component_that_was_tampered_with_is_refused_compiled_again_and_counted() {
    let mut shared = Shared::new().await;
    let wasm = unique(guest("testbed"));
    let digest = shared.one.deploy("testbed", wasm).await["digest"].as_str().unwrap().replace("sha256:", "");
    let cache = shared.host.data_dir().join("cache");
    let files = std::fs::read_dir(cache).expect("the host has a cache").flatten().map(|file| file.path());
    let file = files.into_iter().find(|file| file.to_string_lossy().contains(&digest)).expect("it was kept");
    let mut content = std::fs::read(&file).expect("it is ours");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&file, &content).expect("it is ours");
    shared.host.kill();
    shared.host.restart(&[]).await;
    let api = shared.host.api();
    let id = api.start("testbed.echo", &json!("whole")).await;
    assert_eq!(api.finished(&id).await["result"], "whole");
    assert!(shared.host.log().iter().any(|line| line.contains("not ours or not whole")), "the operator is told");
    let metrics = shared.host.host_api().get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.bytes);
    assert!(metrics.contains("countersign_cache_refused_total 1"), "{metrics}");
    assert_ne!(std::fs::read(&file).expect("it is there again"), content, "and kept anew");
    drop(shared.model);
}
