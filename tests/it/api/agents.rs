//! Agents: upload, look, activate.

use countersign::execution::hex;
use countersign_tests::Reply;
use countersign_tests::api::send;
use countersign_tests::build::guest;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Bench;

async fn upload(bench: &Bench, agent: &str, wasm: Vec<u8>) -> Reply {
    send(bench.api.request(Method::PUT, &format!("/v1/agents/{agent}")).body(wasm)).await
}

#[tokio::test]
async fn an_upload_makes_the_next_version_unless_it_is_the_active_one_again() {
    let bench = Bench::new().await;
    let (testbed, altered) = (guest("testbed"), guest("altered"));
    let first = upload(&bench, "agent-1_x", testbed.clone()).await.expect(201);
    assert_eq!((&first["agent"], &first["version"], &first["active"]), (&json!("agent-1_x"), &json!(1), &json!(true)));
    assert_eq!(first["digest"], format!("sha256:{}", hex(&Sha256::digest(&testbed))));
    assert_eq!(first["size_bytes"], testbed.len());
    assert_eq!(first["manifest"]["name"], "testbed");
    let functions = first["manifest"]["functions"].as_array().unwrap();
    let join = functions.iter().find(|function| function["name"] == "big_result").unwrap();
    assert_eq!(join["description"], "Returns a string of so many bytes.");
    assert_eq!(join["input_schema"]["properties"]["bytes"]["type"], "integer");
    assert_eq!(join["output_schema"]["type"], "string");

    assert_eq!(upload(&bench, "agent-1_x", testbed.clone()).await.expect(200), first, "the same again changes nothing");
    let second = upload(&bench, "agent-1_x", altered.clone()).await.expect(201);
    assert_eq!((&second["version"], &second["active"]), (&json!(2), &json!(true)));
    assert_ne!(second["digest"], first["digest"]);
    assert_eq!(upload(&bench, "agent-1_x", altered).await.expect(200), second);
    let third = upload(&bench, "agent-1_x", testbed).await.expect(201);
    assert_eq!(third["version"], 3, "what was active before is a version of its own");
    assert_eq!(bench.api.get("/v1/agents/agent-1_x").await.expect(200), third, "the active one is shown");
    let other = upload(&bench, "other", guest("altered")).await.expect(201);
    assert_eq!(other["version"], 1, "each agent counts for itself");

    let versions = bench.api.get("/v1/agents/agent-1_x/versions").await.expect(200);
    let shown: Vec<(&Value, &Value)> =
        versions["items"].as_array().unwrap().iter().map(|version| (&version["version"], &version["active"])).collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(shown, [(&json!(3), &yes), (&json!(2), &no), (&json!(1), &no)]);
    let agents = bench.api.get("/v1/agents").await.expect(200);
    let names: Vec<&str> = agents["items"].as_array().unwrap().iter().map(|a| a["agent"].as_str().unwrap()).collect();
    assert_eq!(names, ["agent-1_x", "other", "testbed"]);
}

#[tokio::test]
async fn many_uploads_at_once_are_counted_without_a_gap() {
    let bench = Bench::new().await;
    let (testbed, altered) = (guest("testbed"), guest("altered"));
    let uploads = (0..8).map(|n| {
        let (bench, wasm) = (&bench, if n % 2 == 0 { testbed.clone() } else { altered.clone() });
        // Two at once are taken; whoever is told to come again does so.
        countersign_tests::until("an upload is taken", async move || {
            let reply = upload(bench, "busy", wasm.clone()).await;
            (reply.status != 429).then_some(reply)
        })
    });
    let replies = futures::future::join_all(uploads).await;
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 201)), "{replies:?}");
    let created = replies.iter().filter(|reply| reply.status == 201).count();
    let mut made: Vec<i64> = replies
        .iter()
        .filter(|reply| reply.status == 201)
        .map(|reply| reply.body["version"].as_i64().expect("a number"))
        .collect();
    made.sort_unstable();
    assert_eq!(made, (1..=created as i64).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_execution_stays_on_the_version_that_it_started_on() {
    let mut bench = Bench::new().await;
    let old = bench.api.start("testbed.pause_then_ai", &Value::Null).await;
    bench.api.paused(&old, "gate").await;
    upload(&bench, "testbed", guest("altered")).await.expect(201);
    let new = bench.api.start("testbed.pause_then_ai", &Value::Null).await;
    // Neither remembers anything but its rows.
    bench.host.kill();
    bench.host.restart(&[]).await;
    bench.api = bench.host.api();
    for (id, version, answer) in [(&old, 1, "echo: after"), (&new, 2, "echo: afterwards")] {
        assert_eq!(bench.api.execution(id).await["version"], version);
        for gate in ["gate", "end"] {
            let pause = bench.api.paused(id, gate).await;
            bench.api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
        }
        let execution = bench.api.finished(id).await;
        assert_eq!(execution["version"], version);
        assert_eq!(execution["result"], json!({"gate": "approved", "answer": answer, "end": "approved"}));
    }
}

#[tokio::test]
async fn new_executions_start_on_the_version_that_was_activated_last() {
    let bench = Bench::new().await;
    upload(&bench, "testbed", guest("altered")).await.expect(201);
    for version in [1, 2, 2, 1] {
        let path = format!("/v1/agents/testbed/versions/{version}/activate");
        let active = bench.api.post(&path, &Value::Null).await.expect(200);
        assert_eq!((&active["version"], &active["active"]), (&json!(version), &json!(true)));
        assert_eq!(bench.api.get("/v1/agents/testbed").await.expect(200), active);
        let id = bench.api.start("testbed.echo", &Value::Null).await;
        assert_eq!(bench.api.finished(&id).await["version"], version);
    }
    let again = upload(&bench, "testbed", guest("testbed")).await;
    assert_eq!(again.expect(200)["version"], 1, "the active version decides what is the same");
}
