//! Compiled code on disk that is not what the host has written.

use std::path::{Path, PathBuf};

use countersign_tests::hostile::hostile;
use serde_json::Value;

use super::Zoo;

/// The files of compiled components, by name.
fn files(cache: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn compiled_code_that_somebody_has_changed_or_moved_is_not_run_but_compiled_anew() {
    let mut zoo = Zoo::new().await;
    // A cache of its own, not the one that the tests share.
    zoo.host.stop().await;
    let cache = zoo.host.data_dir().join("cache");
    std::fs::remove_file(&cache).expect("a link");
    std::fs::create_dir(&cache).expect("a folder");
    zoo.host.restart(&[]).await;
    zoo.api = zoo.api.at(zoo.host.url());
    zoo.api.deploy("nothing", hostile("nothing")).await;
    let [good] = &files(&cache)[..] else { panic!("one component was compiled: {:?}", files(&cache)) };
    let good = good.clone();
    zoo.api.deploy("traps", hostile("traps")).await;
    let other = files(&cache).into_iter().find(|path| *path != good).expect("another was compiled");
    let whole = std::fs::read(&good).expect("compiled code");
    let moved = std::fs::read(other).expect("compiled code");

    let changed_at = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let tampered =
        [changed_at(0), changed_at(40), changed_at(whole.len() - 1), whole[..whole.len() / 2].to_vec(), vec![], moved];
    let warnings = |log: &[String]| log.iter().filter(|line| line.contains("not ours or not whole")).count();
    for (n, bytes) in tampered.into_iter().enumerate() {
        zoo.host.stop().await;
        std::fs::write(&good, bytes).expect("a file");
        let before = warnings(&zoo.host.log());
        zoo.host.restart(&[]).await;
        zoo.api = zoo.api.at(zoo.host.url());
        let execution = zoo.api.run("nothing.run", &Value::Null).await;
        assert_eq!(
            (&execution["status"], &execution["attempts"]),
            (&"succeeded".into(), &1.into()),
            "{n}: {execution}"
        );
        assert!(warnings(&zoo.host.log()) > before, "{n}: it is noticed");
        assert_eq!(std::fs::read(&good).expect("compiled code").len(), whole.len(), "{n}: it is compiled anew");
    }
    zoo.host.assert_unharmed();
}
