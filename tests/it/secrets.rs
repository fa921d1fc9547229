//! Webhook secrets at rest: encrypted under a key that the database does not have.

use std::collections::HashMap;
use std::time::Duration;

use countersign::execution::hex;
use countersign::signature::Secret;
use countersign_tests::api::send;
use countersign_tests::host::MASTER_KEY;
use countersign_tests::{Api, Database, Host, Model, until};
use reqwest::Method;
use serde_json::{Value, json};

use crate::command::{Folder, Said};

const SETTING: &str = "COUNTERSIGN_MASTER_KEY";

/// Another master key than `MASTER_KEY`.
const OTHER_KEY: &str = "cmk_YW5vdGhlciBtYXN0ZXIga2V5LCB0byByb3RhdGUgdG8=";

/// How long a host may trust what another one has changed: see ARCHITECTURE.md, "Secrets at rest".
const TRUST: Duration = Duration::from_millis(500);

async fn hosted() -> (Database, Model, Host) {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    (database, model, host)
}

/// Makes a secret, and returns its id, too.
async fn make(api: &Api) -> (String, Secret) {
    let made = api.post("/v1/secrets", &json!({})).await.expect(201);
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().parse().unwrap())
}

/// Whether a host takes what is signed with this secret. The pause is nobody's: that, too, is said only after a good
/// signature.
async fn takes(api: &Api, tenant: &str, secret: &Secret) -> bool {
    let body = json!({"pause_id": format!("exec_{}:none", "0".repeat(32)), "decision": "approved"});
    let reply = api.webhook(tenant, secret, "msg_secrets", &body).await;
    match (reply.status, reply.code()) {
        (404, "pause_not_found") => true,
        (401, "invalid_signature") => false,
        other => panic!("{other:?}"),
    }
}

/// What the list says of each secret: whether it is usable, and by which master key.
async fn listed(api: &Api) -> HashMap<String, (bool, String)> {
    let list = api.get("/v1/secrets").await.expect(200);
    let item = |item: &Value| {
        let text = |field: &str| item[field].as_str().unwrap().to_owned();
        (text("id"), (item["usable"].as_bool().unwrap(), text("master_key")))
    };
    list["items"].as_array().unwrap().iter().map(item).collect()
}

async fn restart(host: &mut Host, master_key: &str) {
    host.stop().await;
    host.restart(&[(SETTING, master_key)]).await;
}

async fn rekey(database: &Database, master_key: &str) -> Said {
    let folder = Folder::new();
    let mut command = folder.countersign(&["secrets", "rekey", "--json", "--data-dir", "data"]);
    command.env("DATABASE_URL", &database.url).env(SETTING, master_key);
    Said::by(command).await
}

/// Every row of every table, as Postgres writes it.
async fn dump(database: &Database) -> String {
    let tables = "select tablename::text from pg_tables where schemaname = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&database.pool).await.unwrap();
    assert!(tables.len() > 9, "{tables:?}");
    let mut dump = String::new();
    for table in tables {
        let rows = format!("select coalesce(string_agg(t::text, '\n'), '') from {table} t");
        dump += &sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(rows)).fetch_one(&database.pool).await.unwrap();
    }
    dump
}

async fn encrypted(database: &Database, id: &str) -> Option<Vec<u8>> {
    let row = sqlx::query_scalar("select encrypted from webhook_secret where secret_id = $1");
    row.bind(id).fetch_one(&database.pool).await.unwrap()
}

#[tokio::test]
async fn neither_the_database_nor_the_log_holds_a_secret_or_the_key() {
    let (database, _model, host) = hosted().await;
    let api = host.api();
    let made = api.post("/v1/secrets", &json!({"name": "cms"})).await.expect(201);
    let (id, text) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let base64 = text.strip_prefix("whsec_").unwrap();
    let decode = format!("select decode('{base64}', 'base64')");
    let raw: Vec<u8> = sqlx::query_scalar(sqlx::AssertSqlSafe(decode)).fetch_one(&database.pool).await.unwrap();
    assert_eq!(raw.len(), 32);
    assert!(takes(&api, "default", &text.parse().unwrap()).await);

    let row = encrypted(&database, id).await.unwrap();
    assert_eq!((row[0], row.len()), (1, 1 + 4 + 24 + 32 + 16), "a version, a key's id, a nonce, 32 bytes, a tag");
    let holds = |bytes: &[u8]| row.windows(bytes.len()).any(|window| window == bytes);
    assert!(!holds(&raw) && !holds(text.as_bytes()) && !holds(&raw[..8]) && !holds(&raw[24..]));
    let (dump, log) = (dump(&database).await, host.log().join("\n"));
    assert!(dump.contains(id) && dump.contains(&hex(&row)), "it is a dump of everything");
    let metrics = host.metrics().await;
    for word in [base64, &hex(&raw), MASTER_KEY, "whsec_"] {
        assert!(!dump.contains(word) && !log.contains(word) && !metrics.contains(word), "{word}");
    }

    // The same secret is encrypted differently each time.
    let other = make(&api).await.0;
    assert_ne!(encrypted(&database, &other).await.unwrap()[5..29], row[5..29], "no nonce is used twice");
    send(api.request(Method::DELETE, &format!("/v1/secrets/{id}"))).await.expect(204);
    assert_eq!(encrypted(&database, id).await, None, "nothing is left of a revoked secret");
    host.assert_unharmed();
}

#[tokio::test]
async fn a_row_that_is_moved_to_another_tenant_or_id_is_worth_nothing_there() {
    let (database, _model, host) = hosted().await;
    let (ours, theirs) = (host.api(), host.tenant("other"));
    let (mine, secret) = make(&ours).await;
    let (kept, other) = make(&ours).await;
    let (foreign, _) = make(&theirs).await;
    // Whoever can write to the database, but has no key, gives a secret that it knows to another tenant.
    let copy = "update webhook_secret set encrypted = $1 where secret_id = $2";
    let row = encrypted(&database, &mine).await;
    sqlx::query(copy).bind(&row).bind(&foreign).execute(&database.pool).await.unwrap();
    assert!(!takes(&theirs, "other", &secret).await, "another tenant");
    sqlx::query(copy).bind(encrypted(&database, &kept).await).bind(&mine).execute(&database.pool).await.unwrap();
    assert!(takes(&ours, "default", &other).await, "where it belongs");
    tokio::time::sleep(TRUST).await;
    assert!(!takes(&ours, "default", &secret).await, "overwritten");
    let rename = "update webhook_secret set secret_id = 'sec_new' where secret_id = $1";
    sqlx::query(rename).bind(&kept).execute(&database.pool).await.unwrap();
    tokio::time::sleep(TRUST).await;
    assert!(!takes(&ours, "default", &other).await, "another id");

    let usable: Vec<bool> =
        listed(&ours).await.into_values().chain(listed(&theirs).await.into_values()).map(|it| it.0).collect();
    assert_eq!(usable, [false; 3]);
    let why = "does not decrypt it: it was altered, or belongs to another tenant or id";
    assert!(host.log().iter().any(|line| line.contains(why) && line.contains(&foreign)));
    host.assert_unharmed();
}

#[tokio::test]
async fn a_master_key_is_rotated_by_having_two_and_encrypting_anew() {
    let (database, _model, mut host) = hosted().await;
    let (api, both) = (host.api(), format!("{OTHER_KEY},{MASTER_KEY}"));
    let (old_id, old) = make(&api).await;
    let old_key = listed(&api).await[&old_id].1.clone();

    restart(&mut host, &both).await;
    let api = host.api();
    let (new_id, new) = make(&api).await;
    assert!(takes(&api, "default", &old).await && takes(&api, "default", &new).await, "by both keys");
    let keys = listed(&api).await;
    assert_eq!(keys[&old_id], (true, old_key.clone()));
    assert_ne!(keys[&new_id].1, old_key, "the first key encrypts");

    // All tenants', while hosts run; not what is revoked.
    let foreign = make(&host.tenant("other")).await.1;
    let gone = make(&api).await.0;
    send(api.request(Method::DELETE, &format!("/v1/secrets/{gone}"))).await.expect(204);
    let kept = encrypted(&database, &new_id).await;
    let said: Value = serde_json::from_str(&rekey(&database, &both).await.ok()).unwrap();
    let expected = json!({"master_key": keys[&new_id].1, "reencrypted": 1, "unchanged": 2, "unreadable": 0});
    assert_eq!(said, expected);
    assert_eq!(encrypted(&database, &new_id).await, kept);
    assert!(takes(&api, "default", &old).await, "without a restart");
    let again: Value = serde_json::from_str(&rekey(&database, &both).await.ok()).unwrap();
    assert_eq!((&again["reencrypted"], &again["unchanged"]), (&json!(0), &json!(3)));

    restart(&mut host, OTHER_KEY).await;
    let api = host.api();
    for (tenant, secret) in [("default", &old), ("default", &new), ("other", &foreign)] {
        assert!(takes(&api, tenant, secret).await, "without the old key");
    }
    host.assert_unharmed();
}

#[tokio::test]
async fn a_host_with_another_key_says_so_and_refuses_what_is_signed() {
    let (database, _model, mut host) = hosted().await;
    let (id, secret) = make(&host.api()).await;
    let key = listed(&host.api()).await[&id].1.clone();
    let row = encrypted(&database, &id).await;
    restart(&mut host, OTHER_KEY).await;
    let api = host.api();
    let said = |what: &str| host.log().into_iter().find(|line| line.contains(what) && line.contains(&key));
    let at_start = said("this host has no key for webhook secrets that are in force").expect("it says so at its start");
    assert!(at_start.contains("count=1"), "{at_start}");
    assert!(!takes(&api, "default", &secret).await);
    // Whoever reads the log may do so a little later than whoever reads the answer.
    let when_used = until("it says so when it is used", async || said("which this host does not have")).await;
    assert!(when_used.contains(&id));
    assert_eq!(listed(&api).await[&id], (false, key.clone()));
    send(api.anonymous(Method::GET, "/readyz")).await.expect(200);

    let folder = Folder::new();
    let mut list = folder.countersign(&["secrets", "list", "--url", host.url()]);
    let operator = api.post("/v1/keys", &json!({"name": "k", "role": "operator"})).await.expect(201);
    list.env("COUNTERSIGN_API_KEY", operator["key"].as_str().unwrap());
    let list = Said::by(list).await;
    assert!(list.out.contains(&format!("{key} (unusable)")) && list.err.contains(SETTING), "{list:?}");

    let failed = rekey(&database, OTHER_KEY).await;
    assert_eq!(failed.code, Some(1));
    assert!(failed.err.contains(&id) && failed.err.contains(&key), "{failed:?}");
    assert_eq!(encrypted(&database, &id).await, row, "what cannot be decrypted stays as it is");
    let (_, usable) = make(&api).await;
    assert!(takes(&api, "default", &usable).await, "others are not touched by it");
    assert!(!host.log().iter().any(|line| line.contains("panicked")));

    restart(&mut host, MASTER_KEY).await;
    assert!(takes(&host.api(), "default", &secret).await, "nothing was lost");
}

#[tokio::test]
async fn a_host_on_a_database_does_not_start_without_a_good_key() {
    let (database, folder) = (Database::new().await, Folder::new());
    let serve = async |setting: Option<&str>| {
        let mut command = folder.countersign(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
        command.env("DATABASE_URL", &database.url).envs(setting.map(|text| (SETTING, text)));
        Said::by(command).await.failed(1)
    };
    for setting in [None, Some(""), Some(" ")] {
        let said = serve(setting).await;
        assert!(said.contains("COUNTERSIGN_MASTER_KEY is not set") && said.contains("DATABASE_URL"), "{said}");
        assert!(said.contains("`countersign secrets master-key`"), "{said}");
        assert!(said.contains(r#"`echo "cmk_$(openssl rand -base64 32)"`"#), "{said}");
    }
    let cut = &MASTER_KEY[..MASTER_KEY.len() - 4];
    for bad in [cut, &format!("{MASTER_KEY},"), &format!("{MASTER_KEY},{MASTER_KEY}"), &MASTER_KEY[4..]] {
        let said = serve(Some(bad)).await;
        assert!(said.contains(SETTING), "{said}");
        assert!(!said.contains(&MASTER_KEY[10..20]), "it does not repeat the key: {said}");
    }
    assert!(!folder.path().join("data/master-key").exists(), "none is made");
}

#[tokio::test]
async fn two_hosts_with_one_key_take_each_others_secrets() {
    let (database, model, first) = hosted().await;
    let second = Host::start(&database, &model).await;
    let (here, there) = (first.api(), second.api());
    let (id, secret) = make(&here).await;
    assert!(takes(&here, "default", &secret).await && takes(&there, "default", &secret).await);
    assert_eq!(listed(&here).await, listed(&there).await);
    send(there.request(Method::DELETE, &format!("/v1/secrets/{id}"))).await.expect(204);
    assert!(!takes(&there, "default", &secret).await, "where it was revoked, at once");
    tokio::time::sleep(TRUST).await;
    assert!(!takes(&here, "default", &secret).await, "and elsewhere");
    let (_, new) = make(&there).await;
    assert!(takes(&here, "default", &new).await, "a new one, at once");
    for host in [first, second] {
        host.assert_unharmed();
    }
}

#[tokio::test]
async fn a_host_with_a_private_postgres_makes_itself_a_key_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let rekey = async || {
        // It starts the private Postgres, and stops it.
        let said = Said::by(folder.countersign(&["secrets", "rekey", "--json", "--data-dir", "data"])).await.ok();
        serde_json::from_str::<Value>(&said).unwrap()["master_key"].as_str().unwrap().to_owned()
    };
    let id = rekey().await;
    let (path, text) = (folder.path().join("data/master-key"), folder.read("data/master-key"));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((rekey().await, folder.read("data/master-key")), (id.clone(), text.clone()));
    // The file has the form of the setting: a rotation is a line in it.
    let made = Said::by(folder.countersign(&["secrets", "master-key"])).await;
    assert!(made.out.starts_with("cmk_") && made.out.len() == "cmk_".len() + 44 + 1, "{made:?}");
    folder.write("data/master-key", format!("{},{text}", made.out.trim()));
    let new = rekey().await;
    assert!(new != id && made.err.contains(&new), "{new} {made:?}");
    folder.write("data/master-key", "nonsense");
    let said = Said::by(folder.countersign(&["secrets", "rekey", "--data-dir", "data"])).await.failed(1);
    assert!(said.contains("master-key: key 1 of 1 is not"), "{said}");
}
