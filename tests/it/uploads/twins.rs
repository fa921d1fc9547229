//! The same component of two tenants: neither learns of the other.

use std::time::{Duration, Instant};

use countersign_tests::build::guest;
use countersign_tests::until;
use serde_json::{Value, json};

use super::{Shared, unique, upload};

/// What an upload is answered, but for the time.
fn answered(mut version: Value) -> Value {
    version["created_at"] = Value::Null;
    version
}

#[tokio::test]
async fn who_uploads_what_another_has_uploaded_is_answered_and_charged_as_if_it_were_the_first() {
    let shared = Shared::new().await;
    let wasm = unique(guest("testbed"));
    let first = answered(upload(&shared.one, "testbed", wasm.clone()).await.expect(201));
    let second = answered(upload(&shared.other, "testbed", wasm.clone()).await.expect(201));
    assert_eq!(first, second);
    let (one, other) = (shared.charged("default").await, shared.charged("other").await);
    assert!(other > 0.0 && other > one / 4.0, "compiled anew: {one} s and {other} s");
    assert_eq!(shared.database.number("select count(*) from component").await, 1);
    assert_eq!(shared.database.number("select count(*) from component_grant").await, 2);

    // What a tenant has uploaded itself is neither compiled nor charged again.
    upload(&shared.other, "again", wasm.clone()).await.expect(201);
    upload(&shared.other, "testbed", wasm).await.expect(200);
    assert!(shared.charged("other").await <= other);
    for api in [&shared.one, &shared.other] {
        let id = api.start("testbed.echo", &json!("here")).await;
        assert_eq!(api.finished(&id).await["result"], "here");
    }
    shared.host.assert_unharmed();
}

#[tokio::test]
async fn a_component_is_not_there_for_who_has_not_uploaded_it() {
    let shared = Shared::new().await;
    shared.one.deploy("testbed", guest("testbed")).await;
    assert_eq!(shared.other.get("/v1/agents/testbed").await.code(), "agent_not_found");
    assert_eq!(shared.other.get("/v1/agents").await.expect(200)["items"], json!([]));
    let mut connection = shared.database.pool.acquire().await.expect("a connection");
    for (tenant, is_shown) in [("other", false), ("default", true)] {
        let be = sqlx::query("select set_config('countersign.tenant', $1, false)").bind(tenant);
        be.execute(&mut *connection).await.expect("it is set");
        let bytes: Option<Vec<u8>> = sqlx::query_scalar("select granted_component((select digest from component))")
            .fetch_one(&mut *connection)
            .await
            .expect("it answers");
        assert_eq!(bytes.is_some(), is_shown, "reading is by grant");
    }
    let keep = "select keep_component((select digest from component), 'something else', '{}')";
    let kept = sqlx::query(keep).execute(&mut *connection).await;
    assert!(kept.unwrap_err().to_string().contains("not of this digest"), "nobody exchanges the bytes");
}

#[tokio::test]
async fn who_has_used_up_the_time_for_compiling_is_told_when_to_come_again_and_others_are_not() {
    let mut shared = Shared::new().await;
    let set = r#"update tenant set limits = '{"compile_seconds_per_hour": 1}' where tenant_id = 'default'"#;
    sqlx::query(set).execute(&shared.database.pool).await.expect("a quota");
    let known = guest("publisher");
    shared.one.deploy("publisher", known.clone()).await;
    // Each takes a fraction of a second.
    let mut taken = 0;
    let refused = until("the time is used up", async || {
        let reply = upload(&shared.one, "testbed", unique(guest("testbed"))).await;
        taken += i32::from(reply.status == 201);
        (reply.status != 201).then_some(reply)
    })
    .await;
    assert!(taken > 0, "there was some time");
    assert_eq!((refused.status, refused.code()), (429, "quota_exceeded"), "{}", refused.body);
    assert!(refused.message().contains("`compile_seconds_per_hour` of 1 s"), "{}", refused.message());
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=36_000).contains(&wait), "{wait} s");

    shared.other.deploy("testbed", unique(guest("testbed"))).await;
    upload(&shared.one, "known", known).await.expect(201);
    let id = shared.one.start("testbed.echo", &json!(1)).await;
    shared.one.finished(&id).await;

    shared.host.kill();
    shared.host.restart(&[]).await;
    let reply = upload(&shared.host.api(), "testbed", unique(guest("testbed"))).await;
    assert_eq!(reply.code(), "quota_exceeded", "a restart forgets nothing");
    // An hour later.
    let hour = "update compile_budget set as_of = as_of - interval '20 hours'";
    sqlx::query(hour).execute(&shared.database.pool).await.expect("the table is there");
    upload(&shared.host.api(), "testbed", unique(guest("testbed"))).await.expect(201);
    shared.host.assert_unharmed();
}

#[tokio::test]
async fn two_uploads_of_a_tenant_are_taken_at_once_and_other_tenants_have_their_own() {
    let shared = Shared::new().await;
    let slow = |api: &countersign_tests::Api| {
        // A byte, and then nothing for a while.
        let body = futures::stream::unfold(0, |n| async move {
            if n > 0 {
                tokio::time::sleep(Duration::from_secs(300)).await;
            }
            Some((Ok::<_, std::io::Error>(vec![0]), n + 1))
        });
        let request = api.request(reqwest::Method::PUT, "/v1/agents/slow").body(reqwest::Body::wrap_stream(body));
        tokio::spawn(async move { request.send().await.map(|reply| reply.status().as_u16()) })
    };
    let began = Instant::now();
    let slow = [slow(&shared.one), slow(&shared.one)];
    let files = format!("/proc/{}/fd", shared.host.pid());
    until("both are under way", async || {
        let open = std::fs::read_dir(&files).ok()?.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        (open.filter(|file| file.to_string_lossy().contains("/uploads/")).count() == 2).then_some(())
    })
    .await;
    let refused = upload(&shared.one, "third", b"no component".to_vec()).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.code(), "rate_limited", "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    shared.other.deploy("testbed", guest("testbed")).await;
    for upload in slow {
        // It is not waited for until it ends.
        assert_eq!(upload.await.unwrap().unwrap(), 408);
    }
    assert!(began.elapsed() < Duration::from_secs(60), "after a gap of 15 s");
    shared.one.deploy("testbed", guest("testbed")).await;
    shared.host.assert_unharmed();
}
