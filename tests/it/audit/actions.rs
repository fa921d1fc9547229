//! What is recorded of each change: who, what, from where; and nothing of what changed nothing.

use countersign_tests::Api;
use countersign_tests::api::send;
use countersign_tests::build::guest;
use countersign_tests::host::MASTER_KEY;
use countersign_tests::until;
use reqwest::Method;
use serde_json::{Value, json};

use super::Bench;
use crate::command::{Folder, Said};

/// One who reads on in the log.
struct Reader {
    api: Api,
    seq: u64,
    /// How entries name the key that does everything in these tests, and its name.
    me: [Value; 2],
}

impl Reader {
    /// Skips what is there already.
    async fn new(api: &Api) -> Self {
        let all = super::entries(api).await;
        let made = all.iter().find(|entry| entry["action"] == "key.created").unwrap();
        let actor = format!("key:{}", made["subject"].as_str().unwrap());
        Self { api: api.clone(), seq: all.len() as u64, me: [actor.into(), made["details"]["name"].clone()] }
    }

    /// The entries since the last time: actor, name, source, action, subject, details.
    async fn new_entries(&mut self) -> Vec<[Value; 6]> {
        let items = self.api.all(&format!("/v1/audit?limit=100&after={}", self.seq)).await;
        self.seq += items.len() as u64;
        let fields = ["actor", "actor_name", "source", "action", "subject", "details"];
        items.iter().map(|item| fields.map(|field| item[field].clone())).collect()
    }

    /// Fails unless this is all that was recorded since the last time, as done by our key from this machine.
    #[track_caller]
    fn expect(&mut self, expected: &[(&str, &str, Value)]) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        let [actor, name] = self.me.clone();
        let entry = |(action, subject, details): &(&str, &str, Value)| {
            let [action, subject] = [action, subject].map(|text| Value::from(*text));
            [actor.clone(), name.clone(), "127.0.0.1".into(), action, subject, details.clone()]
        };
        let expected: Vec<_> = expected.iter().map(entry).collect();
        async move { assert_eq!(self.new_entries().await, expected, "{place}") }
    }
}

async fn delete(api: &Api, path: &str) -> u16 {
    send(api.request(Method::DELETE, path)).await.status
}

#[tokio::test]
async fn a_host_that_starts_for_the_first_time_records_the_tenant_and_the_key_that_it_made() {
    let mut bench = Bench::new().await;
    let all = super::entries(&bench.api).await;
    let host = |entry: &Value| ["actor", "actor_name", "source"].map(|field| entry[field].clone());
    assert_eq!(host(&all[0]), [json!("host"), Value::Null, Value::Null]);
    assert_eq!(host(&all[1]), host(&all[0]));
    assert_eq!((&all[0]["action"], &all[0]["subject"]), (&json!("tenant.created"), &json!("default")));
    assert_eq!((&all[1]["action"], &all[1]["details"]["role"]), (&json!("key.created"), &json!("operator")));
    bench.host.stop().await;
    bench.host.restart(&[]).await;
    assert_eq!(super::entries(&bench.host.api()).await, all, "a second start makes nothing");
}

#[tokio::test]
async fn uploads_and_activations_are_recorded_once_and_what_changes_nothing_is_not() {
    let bench = Bench::new().await;
    let mut log = Reader::new(&bench.api).await;
    let first = bench.api.deploy("writer", guest("testbed")).await;
    log.expect(&[("agent.deployed", "writer", json!({"digest": first["digest"], "version": 1}))]).await;
    bench.api.deploy("writer", guest("testbed")).await;
    let invalid = bench.api.request(Method::PUT, "/v1/agents/writer").body("no component");
    send(invalid).await.expect(422);
    log.expect(&[]).await;
    let second = bench.api.deploy("writer", guest("publisher")).await;
    log.expect(&[("agent.deployed", "writer", json!({"digest": second["digest"], "version": 2}))]).await;
    let activate = async |version: &str, status| {
        let path = format!("/v1/agents/writer/versions/{version}/activate");
        let version = bench.api.post(&path, &Value::Null).await.expect(status);
        assert!(status != 200 || version["active"] == true, "{version}");
    };
    activate("1", 200).await;
    log.expect(&[("agent.activated", "writer", json!({"before": 2, "version": 1}))]).await;
    activate("1", 200).await;
    activate("9", 404).await;
    log.expect(&[]).await;
}

#[tokio::test]
async fn keys_and_secrets_are_recorded_when_they_are_made_and_revoked() {
    let bench = Bench::new().await;
    let mut log = Reader::new(&bench.api).await;
    let api = &bench.api;
    let key = api.post("/v1/keys", &json!({"name": "Zoë’s", "role": "runner", "expires_in_days": 9})).await.expect(201);
    let id = key["id"].as_str().unwrap();
    let [(_, _, details)] = &mut [("", "", json!({"name": "Zoë’s", "role": "runner"}))];
    // To the microsecond, even if it ends in zeros.
    let entries = log.new_entries().await;
    details["expires_at"] = entries[0][5]["expires_at"].clone();
    let expires_at = entries[0][5]["expires_at"].as_str().unwrap();
    assert!(expires_at.starts_with(&key["expires_at"].as_str().unwrap()[..19]), "{expires_at}");
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0][3..], [json!("key.created"), json!(id), details.clone()]);
    assert_eq!(entries[0][..2], log.me);
    api.post("/v1/keys", &json!({"name": "", "role": "runner"})).await.expect(400);
    let path = format!("/v1/keys/{id}");
    assert_eq!([delete(api, &path).await, delete(api, &path).await], [204, 404]);
    log.expect(&[("key.revoked", id, json!({"name": "Zoë’s"}))]).await;

    let secret = api.post("/v1/secrets", &json!({"name": "cms"})).await.expect(201);
    let id = secret["id"].as_str().unwrap();
    log.expect(&[("secret.created", id, json!({"name": "cms"}))]).await;
    let path = format!("/v1/secrets/{id}");
    assert_eq!([delete(api, &path).await, delete(api, &path).await], [204, 404]);
    log.expect(&[("secret.revoked", id, json!({"name": "cms"}))]).await;
    let log = super::export(api).await.join("\n");
    assert!(!log.contains("cs_default_") && !log.contains("whsec_"), "no key and no secret is in the log");
}

#[tokio::test]
async fn what_the_command_line_does_on_the_hosts_machine_is_recorded_as_the_hosts() {
    let bench = Bench::new().await;
    let other = bench.host.tenant("other");
    let secret = other.post("/v1/secrets", &json!({})).await.expect(201)["id"].clone();
    let mut log = Reader::new(&other).await;
    let (folder, new) = (Folder::new(), "cmk_YW5vdGhlciBtYXN0ZXIga2V5LCB0byByb3RhdGUgdG8=");
    for changes in [1, 0] {
        let mut rekey = folder.countersign(&["secrets", "rekey", "--json", "--data-dir", "data"]);
        rekey.env("DATABASE_URL", &bench.database.url).env("COUNTERSIGN_MASTER_KEY", format!("{new},{MASTER_KEY}"));
        let said: Value = serde_json::from_str(&Said::by(rekey).await.ok()).unwrap();
        let details = json!({"master_key": said["master_key"]});
        let entry = ["host".into(), Value::Null, Value::Null, "secret.reencrypted".into(), secret.clone(), details];
        assert_eq!(log.new_entries().await, vec![entry; changes]);
    }
}

#[tokio::test]
async fn starts_and_cancels_are_recorded_once_and_not_what_an_agent_calls() {
    let bench = Bench::new().await;
    let mut log = Reader::new(&bench.api).await;
    let api = &bench.api;
    let start = async |key: &str, body: &Value| {
        send(api.request(Method::POST, "/v1/executions").header("idempotency-key", key).json(body)).await
    };
    let body = json!({"target": "testbed.call", "input": {"target": "testbed.pause_once", "input": {}}});
    let id = start("one", &body).await.expect(202)["id"].clone();
    let id = id.as_str().unwrap();
    let details = |target: &str| json!({"target": target, "version": 1});
    log.expect(&[("execution.started", id, details("testbed.call"))]).await;
    assert_eq!(start("one", &body).await.expect(200)["id"], id);
    start("one", &json!({"target": "testbed.echo"})).await.expect(409);
    start("two", &json!({"target": "testbed.nothing"})).await.expect(404);
    start("two", &json!({"target": "nobody.nothing"})).await.expect(404);
    until("the call has begun", async || api.execution(id).await["waiting_for"]["calls"][0].as_str().map(drop)).await;
    log.expect(&[]).await;

    let cancel = async |id: &str| api.post(&format!("/v1/executions/{id}/cancel"), &Value::Null).await;
    cancel(id).await.expect(200);
    log.expect(&[("execution.cancelled", id, json!({}))]).await;
    cancel(id).await.expect(200);
    cancel(&format!("exec_{}", "0".repeat(32))).await.expect(404);
    let echo = api.start("testbed.echo", &json!(1)).await;
    api.finished(&echo).await;
    cancel(&echo).await.expect(409);
    log.expect(&[("execution.started", &echo, details("testbed.echo"))]).await;
}

#[tokio::test]
async fn decisions_are_recorded_once_with_who_decided_through_either_door() {
    let bench = Bench::new().await;
    let (api, secret) = (&bench.api, bench.api.secret().await);
    // Another in force: which of them has signed is recorded.
    api.secret().await;
    let secret_id = api.get("/v1/secrets").await.expect(200)["items"][0]["id"].clone();
    let mut log = Reader::new(api).await;
    let opened = async |request: &Value| {
        let id = api.start("testbed.pause_once", request).await;
        api.paused(&id, "only").await
    };
    // Without a form it is one statement, with a form a transaction.
    for (number, request) in [json!({}), json!({"response_schema": {"type": "integer"}})].iter().enumerate() {
        let pause = opened(request).await;
        log.new_entries().await;
        let approved = json!({"decision": "approved", "feedback": "Not for the log.", "response": 7});
        api.decide(&pause, &json!({"decision": "maybe"})).await.expect(422);
        api.decide(&pause, &approved).await.expect(200);
        let details = json!({"decision": "approved", "early": false});
        log.expect(&[("pause.decided", &pause, details.clone())]).await;
        assert_eq!(api.decide(&pause, &approved).await.expect(200)["outcome"], "duplicate");
        api.decide(&pause, &json!({"decision": "rejected"})).await.expect(409);
        log.expect(&[]).await;

        let signed = json!({ "secret": secret_id });
        let claimed = json!({"name_is_claimed": true, "secret": secret_id});
        for (reviewer, claimed) in [(json!("Ada"), claimed), (Value::Null, signed)] {
            let pause = opened(request).await;
            log.new_entries().await;
            let id = format!("msg_{number}{}", reviewer.as_str().unwrap_or_default());
            let mut body = approved.clone();
            body["pause_id"] = pause.as_str().into();
            body["reviewer"] = reviewer.clone();
            let forged = api.webhook_request("default", &secret, &id, &body);
            send(forged.header("webhook-timestamp", "1")).await.expect(401);
            for outcome in ["accepted", "duplicate"] {
                assert_eq!(api.webhook("default", &secret, &id, &body).await.expect(200)["outcome"], outcome);
            }
            let mut details = details.clone();
            details.as_object_mut().unwrap().extend(claimed.as_object().unwrap().clone());
            let actor = format!("webhook:{id}").into();
            let entry = [actor, reviewer, "127.0.0.1".into(), "pause.decided".into(), pause.into(), details];
            assert_eq!(log.new_entries().await, [entry]);
        }
    }
    let log = super::export(api).await.join("\n");
    assert!(!log.contains("Not for the log."), "what a decision says beside itself is not in the log");
}

#[tokio::test]
async fn an_early_decision_is_recorded_and_so_is_that_it_was_dropped() {
    let bench = Bench::with(&[("COUNTERSIGN_CONCURRENCY", "1")]).await;
    let api = &bench.api;
    for (decision, fits) in [("ship", true), ("approved", false)] {
        let calls = bench.model.calls();
        bench.model.hold();
        api.start("testbed.many_ai", &json!({"n": 1})).await;
        until("the model is asked", async || (bench.model.calls() > calls).then_some(())).await;
        let id = api.start("testbed.pause_once", &json!({"choices": ["ship"]})).await;
        let mut log = Reader::new(api).await;
        let pause = format!("{id}:only");
        api.decide(&pause, &json!({"decision": decision})).await.expect(200);
        log.expect(&[("pause.decided", &pause, json!({"decision": decision, "early": true}))]).await;
        bench.model.release();
        if fits {
            api.finished(&id).await;
            log.expect(&[]).await;
            continue;
        }
        api.paused(&id, "only").await;
        let actor = format!("execution:{id}").into();
        let (action, details) = ("pause.decision_dropped".into(), json!({"decision": decision}));
        let entry = [actor, Value::Null, Value::Null, action, pause.clone().into(), details];
        assert_eq!(log.new_entries().await, [entry]);
        api.decide(&pause, &json!({"decision": "ship"})).await.expect(200);
        log.expect(&[("pause.decided", &pause, json!({"decision": "ship", "early": false}))]).await;
    }
}

#[tokio::test]
async fn votes_default_decisions_and_settings_are_recorded_each_once() {
    let bench = Bench::new().await;
    bench.api.deploy("testbed", guest("testbed")).await;
    let mut log = Reader::new(&bench.api).await;
    let me = log.me[1].clone();
    let started = async |request: &Value| {
        let id = bench.api.start("testbed.approve", request).await;
        bench.api.paused(&id, "only").await
    };
    let stages = json!([{"reviewers": [me], "required": 1}, {"reviewers": ["bob"], "required": 1}]);
    let pause = started(&json!({ "stages": stages })).await;
    let approval = json!({"decision": "approved"});
    for outcome in ["recorded", "duplicate"] {
        assert_eq!(bench.api.decide(&pause, &approval).await.expect(200)["outcome"], outcome);
    }
    let execution = pause.split_once(':').unwrap().0.to_owned();
    let details = json!({"decision": "approved", "early": false});
    log.expect(&[
        ("execution.started", &execution, json!({"target": "testbed.approve", "version": 1})),
        ("pause.voted", &pause, details),
    ])
    .await;

    let pause = started(&json!({"expires_in_ms": 800, "default_decision": "rejected"})).await;
    let plain = started(&json!({"expires_in_ms": 800})).await;
    for pause in [&pause, &plain] {
        bench.api.finished(pause.split_once(':').unwrap().0).await;
    }
    let entries = log.new_entries().await;
    let expired: Vec<_> = entries.iter().filter(|entry| entry[3] == "pause.expired").collect();
    let [expired] = expired.as_slice() else { panic!("{entries:?}") };
    assert_eq!(expired[0], "host");
    assert_eq!((&expired[4], &expired[5]), (&json!(pause), &json!({"decision": "rejected"})));

    for value in [true, true, false] {
        let setting = bench.api.request(Method::PUT, "/v1/settings/agentfield");
        send(setting.json(&json!({ "bare_signatures": value }))).await.expect(200);
    }
    let changed = |value: bool| ("setting.changed", "agentfield.bare_signatures", json!({ "value": value }));
    log.expect(&[changed(true), changed(false)]).await;
    super::verified(&bench.api).await;
}
