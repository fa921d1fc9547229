//! API keys: made, shown once, listed, revoked, expired.

use countersign_tests::api::send;
use countersign_tests::{Api, Host, Reply, until};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, refused_within_a_second};

async fn revoke(api: &Api, id: &str) -> Reply {
    send(api.request(Method::DELETE, &format!("/v1/keys/{id}"))).await
}

#[tokio::test]
async fn a_key_is_shown_once_works_until_it_is_revoked_and_is_gone_then() {
    let bench = Bench::new().await;
    let made = bench.api.post("/v1/keys", &json!({"name": "Zoë’s", "role": "runner"})).await.expect(201);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(key.starts_with("cs_default_") && key.contains(id), "{key}");
    assert_eq!((&made["name"], &made["role"], &made["expires_at"]), (&json!("Zoë’s"), &json!("runner"), &Value::Null));

    let listed = bench.api.get("/v1/keys").await.expect(200);
    let mut shown = made.clone();
    shown.as_object_mut().unwrap().remove("key");
    assert!(listed["items"].as_array().unwrap().contains(&shown), "{listed}");
    assert!(!listed.to_string().contains("cs_default_"), "the keys themselves are shown nowhere");

    let runner = bench.api.with_key(key);
    runner.get("/v1/executions").await.expect(200);
    assert_eq!(runner.get("/v1/keys").await.code(), "forbidden");
    assert_eq!(revoke(&runner, id).await.code(), "forbidden");
    let revoked = revoke(&bench.api, id).await;
    assert_eq!((revoked.status, revoked.bytes.len()), (204, 0));
    let refused = runner.get("/v1/executions").await;
    assert_eq!((refused.status, refused.code()), (401, "unauthenticated"));
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    let again = revoke(&bench.api, id).await;
    assert_eq!((again.status, again.code()), (404, "key_not_found"));
    assert!(!bench.api.get("/v1/keys").await.expect(200).to_string().contains(id));
}

#[tokio::test]
async fn a_key_whose_time_is_over_is_not_taken_any_more() {
    let bench = Bench::new().await;
    for days in [1, 3_653] {
        let body = json!({"name": "for a while", "role": "operator", "expires_in_days": days});
        let made = bench.api.post("/v1/keys", &body).await.expect(201);
        assert!(made["expires_at"].is_string());
        let api = bench.api.with_key(made["key"].as_str().unwrap());
        api.get("/v1/keys").await.expect(200);
        // The days pass.
        let expire = "update api_key set expires_at = now() - interval '1 millisecond' where key_id = $1";
        let id = made["id"].as_str().unwrap();
        sqlx::query(expire).bind(id).execute(&bench.database.pool).await.unwrap();
        let refused = refused_within_a_second(&api).await;
        assert_eq!((refused.status, refused.code()), (401, "unauthenticated"));
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_on_one_host_is_refused_on_the_others_within_a_second() {
    let bench = Bench::new().await;
    let other = Host::start(&bench.database, &bench.model).await;
    let made = bench.api.post("/v1/keys", &json!({"name": "k", "role": "operator"})).await.expect(201);
    let there = other.api().with_key(made["key"].as_str().unwrap());
    there.get("/v1/keys").await.expect(200);
    revoke(&bench.api, made["id"].as_str().unwrap()).await.expect(204);
    assert_eq!(refused_within_a_second(&there).await.code(), "unauthenticated");
}

#[tokio::test]
async fn whatever_is_no_key_in_force_is_refused_in_one_way() {
    let bench = Bench::new().await;
    let key = bench.api.post("/v1/keys", &json!({"name": "k", "role": "operator"})).await.expect(201);
    let key = key["key"].as_str().unwrap();
    let (body, sum) = key.split_at(key.len() - 6);
    let swapped = if key.ends_with('0') { "1" } else { "0" };
    let request = || bench.api.anonymous(Method::GET, "/v1/agents");
    let mut replies = vec![send(request()).await];
    for header in [
        String::new(),
        key.into(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("bearer {key}"),
        format!("Basic {key}"),
        format!("Bearer  {key}"),
        format!("Bearer {key}x"),
        format!("Bearer {body}"),
        format!("Bearer {}{swapped}", &key[..key.len() - 1]),
        format!("Bearer {}", key.replace("default", "other")),
        format!("Bearer {}", key.to_uppercase()),
        format!("Bearer cs__{sum}"),
        format!("Bearer cs_{}_{sum}", "a".repeat(5_000)),
        format!("Bearer {key}, Bearer {key}"),
    ] {
        replies.push(send(request().header("authorization", header)).await);
    }
    replies.push(send(request().header("authorization", &b"Bearer \xff\xfe"[..])).await);
    let twice = request().header("authorization", format!("Bearer {key}"));
    replies.push(send(twice.header("authorization", format!("Bearer {key}"))).await);
    // Nor does anybody learn that a key was good once.
    for end in ["revoked_at = now()", "expires_at = now()"] {
        let made = bench.api.post("/v1/keys", &json!({"name": "k", "role": "operator"})).await.expect(201);
        let end = format!("update api_key set {end} where key_id = $1");
        let end = sqlx::query(sqlx::AssertSqlSafe(end)).bind(made["id"].as_str().unwrap().to_owned());
        end.execute(&bench.database.pool).await.unwrap();
        replies.push(send(request().bearer_auth(made["key"].as_str().unwrap())).await);
    }
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!((reply.status, reply.code()), (401, "unauthenticated"), "{n}");
        assert_eq!(reply.bytes, replies[0].bytes, "{n}");
    }
    bench.api.with_key(key).get("/v1/agents").await.expect(200);
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn a_key_shows_when_it_was_last_used_and_that_is_written_once_a_minute() {
    let bench = Bench::new().await;
    let made = async |name: &str| {
        let made = bench.api.post("/v1/keys", &json!({"name": name, "role": "operator"})).await.expect(201);
        assert_eq!(made["last_used_at"], Value::Null, "{name}");
        (made["id"].as_str().unwrap().to_owned(), bench.api.with_key(made["key"].as_str().unwrap()))
    };
    let last_used = async |id: &str| {
        let listed = bench.api.get("/v1/keys").await.expect(200);
        let key = listed["items"].as_array().unwrap().iter().find(|key| key["id"] == id).cloned();
        key.expect("it is listed")["last_used_at"].as_str().map(ToOwned::to_owned)
    };
    let (id, key) = made("first").await;
    key.get("/v1/agents").await.expect(200);
    let first = until("the use is shown", async || last_used(&id).await).await;
    // Used again soon: nothing is written, though it is for others.
    key.get("/v1/agents").await.expect(200);
    let (other, other_key) = made("second").await;
    other_key.get("/v1/agents").await.expect(200);
    until("the use of another is shown", async || last_used(&other).await).await;
    assert_eq!(last_used(&id).await, Some(first.clone()));
    // And after more than a minute it is.
    let passes = "update api_key set last_used_at = last_used_at - interval '61 seconds' where key_id = $1";
    sqlx::query(passes).bind(&id).execute(&bench.database.pool).await.unwrap();
    key.get("/v1/agents").await.expect(200);
    until("the later use is shown", async || last_used(&id).await.filter(|later| *later >= first)).await;
    let (unused, _) = made("third").await;
    assert_eq!(last_used(&unused).await, None);
}

#[tokio::test]
async fn an_operator_makes_no_key_for_the_host_and_the_host_none_for_a_tenant_but_an_operators() {
    let bench = Bench::new().await;
    let host = bench.host.host_api();
    let make = async |api: &Api, role: &str| api.post("/v1/keys", &json!({"name": "k", "role": role})).await;
    let refused = make(&bench.api, "host").await;
    assert_eq!((refused.status, refused.code()), (403, "forbidden"));
    for role in ["operator", "deployer", "runner", "reviewer"] {
        let refused = make(&host, role).await;
        assert_eq!((refused.status, refused.code()), (403, "forbidden"), "{role}");
        assert!(refused.message().contains("/v1/tenants/{tenant}/keys"), "{}", refused.message());
    }
    let made = make(&host, "host").await.expect(201);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(key.starts_with("cs_host_"), "{key}");
    let listed = host.get("/v1/keys").await.expect(200);
    assert!(listed["items"].as_array().unwrap().iter().all(|key| key["role"] == "host"), "{listed}");
    assert!(listed.to_string().contains(id));
    assert!(!bench.api.get("/v1/keys").await.expect(200).to_string().contains(id), "it is no tenant's");
    assert_eq!(revoke(&bench.api, id).await.code(), "key_not_found");
    let another = host.with_key(key);
    another.get("/v1/tenants").await.expect(200);
    revoke(&host, id).await.expect(204);
    assert_eq!(another.get("/v1/tenants").await.status, 401);
    // Whatever a program does wrong, the database keeps no such key.
    for (tenant, role) in [("default", "host"), ("host", "operator")] {
        let insert = "insert into api_key (tenant_id, key_id, name, role, secret_sha256)
                      values ($1, 'x', 'x', $2, sha256('x'))";
        let insert = sqlx::query(insert).bind(tenant).bind(role).execute(&bench.database.pool).await;
        assert!(insert.unwrap_err().to_string().contains("api_key_of_host"));
    }
}
