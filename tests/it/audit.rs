//! The audit log: every change is in it once, only its own tenant sees it, and nobody changes it unnoticed.

mod actions;
mod sealing;
mod tampering;

use countersign::audit::{Action, Chain, Entry, Head};
use countersign_tests::api::send;
use countersign_tests::build::{guest, root};
use countersign_tests::{Api, Database, Host, Model};
use reqwest::Method;
use serde_json::{Value, json};

/// A host with the testbed.
struct Bench {
    host: Host,
    api: Api,
    model: Model,
    database: Database,
}

impl Bench {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(environment: &[(&str, &str)]) -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, environment).await;
        let api = host.api();
        api.deploy("testbed", guest("testbed")).await;
        Self { host, api, model, database }
    }
}

/// The whole log of the caller's tenant, by pages.
pub(crate) async fn entries(api: &Api) -> Vec<Value> {
    api.all("/v1/audit?limit=100").await
}

/// The whole log, by its export.
async fn export(api: &Api) -> Vec<String> {
    let reply = api.get("/v1/audit/export").await;
    assert_eq!((reply.status, &reply.headers["content-type"]), (200, &"application/x-ndjson".parse().unwrap()));
    String::from_utf8(reply.bytes).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// Holds the whole log against its hashes; returns its head.
pub(crate) async fn verified(api: &Api) -> Head {
    let mut chain = Chain::new(None);
    for line in export(api).await {
        chain.push(&serde_json::from_str::<Entry>(&line).expect("an entry"));
    }
    chain.end().unwrap_or_else(|fault| panic!("{fault}"))
}

/// What a list shows of a field.
fn column(items: &[Value], name: &str) -> Vec<Value> {
    items.iter().map(|item| item[name].clone()).collect()
}

#[tokio::test]
async fn the_log_is_listed_oldest_first_by_page_action_and_time() {
    let bench = Bench::new().await;
    for n in 0..5 {
        bench.api.post("/v1/keys", &json!({"name": format!("k{n}"), "role": "runner"})).await.expect(201);
    }
    let all = entries(&bench.api).await;
    let actions = ["tenant.created", "key.created", "agent.deployed"].into_iter().chain(["key.created"; 5]);
    assert_eq!(column(&all, "action"), actions.map(Value::from).collect::<Vec<_>>());
    assert_eq!(column(&all, "seq"), (1..=8).map(Value::from).collect::<Vec<_>>());
    let lines: Vec<Value> = export(&bench.api).await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, all, "the export has the same");

    let (mut paged, mut after) = (vec![], String::new());
    loop {
        let page = bench.api.get(&format!("/v1/audit?action=key.created&limit=2{after}")).await.expect(200);
        paged.extend(page["items"].as_array().unwrap().clone());
        assert!(paged.len() <= 6, "{page}");
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(column(&paged, "seq"), [2, 4, 5, 6, 7, 8].map(Value::from));

    let since = async |at: &Value, more: &str| {
        let query = format!("/v1/audit?since={}{more}", at.as_str().unwrap());
        column(bench.api.get(&query).await.expect(200)["items"].as_array().unwrap(), "seq")
    };
    assert_eq!(since(&all[5]["at"], "").await, [6, 7, 8].map(Value::from));
    assert_eq!(since(&all[0]["at"], "&action=agent.deployed").await, [Value::from(3)]);
    assert_eq!(since(&all[5]["at"], "&after=7").await, [Value::from(8)]);
    assert_eq!(since(&json!("2999-01-01T00:00:00Z"), "").await, [Value::Null; 0]);
    assert_eq!(bench.api.get("/v1/audit?after=8").await.expect(200), json!({"items": [], "next": null}));
}

#[tokio::test]
async fn a_bad_query_of_the_log_is_told_what_is_wrong() {
    let bench = Bench::new().await;
    for (query, says) in [
        ("action=pause", "agent.deployed"),
        ("since=yesterday", "since"),
        ("since=1969-12-31T23:59:59Z", "1970"),
        ("since=-9999-01-01T00:00:00Z", "since"),
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=9223372036854775808", "after"),
        ("after=+1", "after"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("until=2026-01-01T00:00:00Z", "until"),
    ] {
        let reply = bench.api.get(&format!("/v1/audit?{query}")).await;
        assert_eq!((reply.status, reply.code()), (400, "invalid_request"), "{query}");
        assert!(reply.body["error"]["message"].as_str().unwrap().contains(says), "{query}: {}", reply.body);
    }
    let far = bench.api.get("/v1/audit?since=%2B262142-12-31T00:00:00Z").await;
    assert_eq!(far.expect(200)["items"], json!([]));
    let end = bench.api.get("/v1/audit?after=999999999999999999").await;
    assert_eq!(end.expect(200)["items"], json!([]));
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn the_log_of_a_tenant_is_a_chain_of_its_own_that_no_other_sees() {
    let bench = Bench::new().await;
    let other = bench.host.tenant("other");
    let before = entries(&bench.api).await;
    other.post("/v1/keys", &json!({"name": "theirs", "role": "runner"})).await.expect(201);
    let theirs = entries(&other).await;
    assert_eq!(column(&theirs, "tenant"), ["other"; 3].map(Value::from));
    assert_eq!(column(&theirs, "seq"), [1, 2, 3].map(Value::from));
    assert_eq!(entries(&bench.api).await, before, "what others do is not in our log");
    assert_eq!((verified(&other).await.seq, verified(&bench.api).await.seq), (3, 3));
    for role in ["deployer", "runner", "reviewer"] {
        let api = bench.api.role(role).await;
        for path in ["/v1/audit", "/v1/audit/export"] {
            assert_eq!(send(api.request(Method::GET, path)).await.code(), "forbidden", "{role} {path}");
        }
    }
}

#[tokio::test]
async fn the_rows_of_the_log_cannot_be_changed_or_deleted() {
    let bench = Bench::new().await;
    verified(&bench.api).await;
    let mut tx = bench.database.pool.begin().await.unwrap();
    // As if a host wrote it at this moment.
    let insert = "insert into audit_unsealed (tenant_id, actor, action, subject, details)
                  values ('default', 'host', 'key.created', 'k', '{}')";
    sqlx::query(insert).execute(&mut *tx).await.unwrap();
    for statement in [
        "update audit_entry set actor = 'key:other' where seq = 2",
        "update audit_entry set sha256 = sha256",
        "delete from audit_entry where seq = 3",
        "truncate audit_entry",
        "update audit_unsealed set actor = 'key:other'",
        "delete from audit_unsealed",
        "truncate audit_unsealed",
    ] {
        sqlx::query("savepoint before").execute(&mut *tx).await.unwrap();
        let refused = sqlx::query(statement).execute(&mut *tx).await.expect_err(statement).to_string();
        assert!(refused.contains("the audit log is only ever appended to"), "{statement}: {refused}");
        sqlx::query("rollback to before").execute(&mut *tx).await.unwrap();
    }
    tx.rollback().await.unwrap();
    assert_eq!(verified(&bench.api).await.seq, 3);
}

#[test]
fn the_document_names_every_action() {
    let document = std::fs::read_to_string(root().join("docs/audit.md")).unwrap();
    for action in Action::ALL {
        assert!(document.contains(&format!("`{}`", action.as_str())), "{action:?}");
    }
}
