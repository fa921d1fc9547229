//! The shape of the code: who may mention what. ARCHITECTURE.md says why.

use std::path::{Path, PathBuf};

use countersign_tests::build::root;

/// Every source file of the host, by its path below `host/src`, without its tests.
fn sources() -> Vec<(String, String)> {
    fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    let top = root().join("host/src");
    let mut files = vec![];
    collect(&top, &mut files);
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().collect();
            let code = code.into_iter().filter(|line| !line.trim_start().starts_with("//"));
            let code: Vec<&str> = code.map(|line| line.split("// ").next().unwrap_or_default()).collect();
            (path.strip_prefix(&top).unwrap().display().to_string(), code.join("\n"))
        })
        .collect()
}

/// The files that mention `word`, but may not.
fn trespassers(word: &str, allowed: &[&str]) -> Vec<String> {
    let mentions = |(path, text): (String, String)| {
        let may = allowed.iter().any(|place| path == format!("{place}.rs") || path.starts_with(&format!("{place}/")));
        (text.contains(word) && !may).then_some(path)
    };
    sources().into_iter().filter_map(mentions).collect()
}

#[test]
fn only_db_mentions_sqlx_only_http_and_web_axum_only_guest_wasmtime() {
    assert_eq!(trespassers("sqlx", &["db"]), [""; 0]);
    // The demo's model is a server of its own, as a user's would be.
    assert_eq!(trespassers("axum", &["http", "web", "cli/demo/model"]), [""; 0]);
    assert_eq!(trespassers("askama", &["web"]), [""; 0]);
    assert_eq!(trespassers("rustls::", &["http/listen"]), [""; 0]);
    assert_eq!(trespassers("hyper", &["http/listen"]), [""; 0]);
    // All others are told the address of a request after the proxies have been asked about it.
    assert_eq!(trespassers("ConnectInfo", &[]), [""; 0]);
    assert_eq!(trespassers("x-forwarded-for", &["http/listen"]), [""; 0]);
    // What leaves the API is redacted by a `Json` of its own, but for a link that was just made, and for entries of the
    // audit log, which hold nothing of an agent's, and whose hash is over their text.
    assert_eq!(trespassers("axum::Json", &["http/links", "http/audit", "cli/demo/model"]), [""; 0]);
    assert_eq!(trespassers("wasmtime", &["guest"]), [""; 0]);
}

#[test]
fn the_pure_modules_do_no_io_and_read_no_clock() {
    let pure = [
        "execution.rs",
        "journal.rs",
        "json.rs",
        "decision.rs",
        "approval.rs",
        "schema.rs",
        "schema/defaults.rs",
        "signature.rs",
        "signature/agentfield.rs",
        "master_key.rs",
        "notification.rs",
        "address.rs",
        "api_key.rs",
        "limits.rs",
        "peer.rs",
        "bucket.rs",
        "link.rs",
        "web/field.rs",
        "web/form.rs",
        "web/entry.rs",
        "web/page.rs",
        "web/shown.rs",
        "audit.rs",
        "outbox/letter.rs",
        "outbox/message.rs",
        "outbox/schedule.rs",
        "worker/share.rs",
        "effects/pause.rs",
        "effects/ai/bounds.rs",
        "trial/answers.rs",
        "trial/recording.rs",
        "trial/compare.rs",
    ];
    for (path, text) in sources().into_iter().filter(|(path, _)| pure.contains(&path.as_str())) {
        for word in ["async fn", "std::fs", "std::net", "SystemTime", "Instant", "Utc::now", "tokio", "Uuid::"] {
            assert!(!text.contains(word), "{path} mentions {word}");
        }
    }
}

#[test]
fn http_and_worker_never_call_each_other_and_guest_knows_neither_db_nor_effects() {
    let below = |place: &str| {
        let place = place.to_owned();
        sources()
            .into_iter()
            .filter(move |(path, _)| *path == format!("{place}.rs") || path.starts_with(&format!("{place}/")))
    };
    let strangers = [
        ("http", vec!["crate::worker", "crate::effects", "crate::outbox"]),
        ("web", vec!["crate::worker", "crate::effects", "crate::http", "crate::outbox"]),
        ("worker", vec!["crate::http", "crate::web", "crate::outbox", "crate::dialer"]),
        ("outbox", vec!["crate::http", "crate::web", "crate::worker", "crate::effects", "crate::guest"]),
        ("guest", vec!["crate::db", "crate::effects", "crate::http", "crate::worker"]),
        ("trial", vec!["crate::db", "crate::http", "crate::worker", "crate::cli"]),
        ("db", vec!["crate::guest", "crate::effects", "crate::http", "crate::worker"]),
        ("execution", vec!["crate::db", "crate::guest"]),
        ("journal", vec!["crate::db", "crate::guest"]),
    ];
    for (place, words) in strangers {
        for (path, text) in below(place) {
            for word in &words {
                assert!(!text.contains(word), "{path} mentions {word}");
            }
        }
    }
}

#[test]
fn every_query_on_tenant_data_names_the_tenant() {
    let tables = [
        "component_grant",
        "compile_budget",
        "agent",
        "agent_version",
        "execution",
        "journal_entry",
        "log_line",
        "pause",
        "vote",
        "reviewer",
        "review_group",
        "review_group_member",
        "api_key",
        "webhook_secret",
        "webhook_delivery",
        "audit_unsealed",
        "audit_entry",
        "endpoint",
        "endpoint_secret",
        "notification",
        "delivery",
        "delivery_attempt",
        "reviewer",
        "review_group",
        "review_group_member",
    ];
    // What serves all tenants at once: the queue, and counts for the operator.
    let queue = [
        "wake_at <= now()",
        "lease_until < now()",
        "worker = $1",
        "host = $1",
        "min(wake_at)",
        "min(next_at)",
        "min(opened_at)",
        "group by master_key",
    ];
    let mut seen = 0;
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("db/")) {
        // SQL is in string literals of several lines or one.
        for literal in text.split('"').skip(1).step_by(2) {
            let words: Vec<&str> = literal.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let touches = words
                .windows(2)
                .any(|pair| matches!(pair[0], "from" | "join" | "update" | "into") && tables.contains(&pair[1]));
            if touches {
                seen += 1;
                let tenant = literal.contains("tenant_id") || queue.iter().any(|part| literal.contains(part));
                assert!(tenant, "{path} queries without tenant_id: {literal}");
            }
        }
    }
    assert!(seen > 30, "only {seen} queries were found; the test looks in the wrong place");
}
