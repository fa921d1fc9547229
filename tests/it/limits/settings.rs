//! How limits are set: by whom, within which bounds, and what is recorded of it.

use serde_json::{Value, json};

use super::{Bench, put};
use crate::command::{Folder, Said};

#[tokio::test]
async fn only_whoever_runs_the_hosts_sets_what_a_tenant_may_use_and_sees_nothing_of_the_tenants_own() {
    let bench = Bench::new().await;
    for role in ["operator", "deployer", "runner", "reviewer"] {
        let api = bench.api.role(role).await;
        let reply = put(&api, "/v1/tenants/default/limits", &json!({"asks": 200_000})).await;
        assert_eq!((reply.status, reply.code()), (403, "forbidden"), "{role}");
        assert_eq!(api.get("/v1/tenants/default/limits").await.code(), "forbidden", "{role}");
        let lowers = matches!(role, "operator" | "deployer");
        let reply = put(&api, "/v1/agents/testbed/limits", &json!({"asks": 9_000})).await;
        assert_eq!(reply.status, if lowers { 200 } else { 403 }, "{role}");
    }
    for path in ["/v1/usage", "/v1/agents", "/v1/executions", "/v1/pauses"] {
        assert_eq!(bench.hosts_key.get(path).await.code(), "forbidden", "{path}");
    }
    let other = bench.host.tenant("other");
    assert_eq!(put(&other, "/v1/agents/testbed/limits", &json!({})).await.code(), "agent_not_found");
}

#[tokio::test]
async fn a_limit_that_is_unknown_or_out_of_bounds_is_refused_and_nothing_is_changed() {
    let bench = Bench::new().await;
    bench.limit(&json!({"asks": 7})).await;
    let (tenant, agent) = ("/v1/tenants/default/limits", "/v1/agents/testbed/limits");
    for (body, says) in [
        (json!({"ask": 7}), "\"ask\""),
        (json!({"asks": 0}), "1 to 200000"),
        (json!({"asks": 200_001}), "1 to 200000"),
        (json!({"asks": -1}), "1 to 200000"),
        (json!({"asks": 1.5}), "1 to 200000"),
        (json!({"asks": "7"}), "1 to 200000"),
        (json!({"asks": null}), "1 to 200000"),
        (json!({"asks": 8, "memory_bytes": 1}), "memory_bytes"),
        (json!([]), "JSON object"),
        (json!(null), "JSON object"),
        (json!(7), "JSON object"),
    ] {
        for (api, path) in [(&bench.hosts_key, tenant), (&bench.api, agent)] {
            let reply = put(api, path, &body).await;
            assert_eq!((reply.status, reply.code()), (400, "invalid_request"), "{path} {body}");
            assert!(reply.message().contains(says), "{path} {body}: {}", reply.body);
        }
    }
    let quota = put(&bench.api, agent, &json!({"running": 1})).await;
    assert_eq!(quota.code(), "invalid_request", "an agent has no quotas");
    let kept = bench.hosts_key.get(tenant).await.expect(200);
    assert_eq!((&kept["set"], &kept["effective"]["asks"]), (&json!({"asks": 7}), &json!(7)));
    assert_eq!(kept["effective"]["running"], 64);
    for path in ["/v1/tenants/nobody/limits", "/v1/tenants/NO%20BODY/limits"] {
        let reply = put(&bench.hosts_key, path, &json!({})).await;
        assert_eq!((reply.status, reply.code()), (404, "tenant_not_found"), "{path}");
        assert_eq!(bench.hosts_key.get(path).await.code(), "tenant_not_found", "{path}");
    }
    for path in ["/v1/agents/nobody/limits", "/v1/agents/NO%20BODY/limits"] {
        assert_eq!(put(&bench.api, path, &json!({})).await.code(), "agent_not_found", "{path}");
        assert_eq!(bench.api.get(path).await.code(), "agent_not_found", "{path}");
    }
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn a_change_is_recorded_with_what_was_before_and_what_changes_nothing_is_not() {
    let bench = Bench::new().await;
    bench.limit(&json!({"asks": 7})).await;
    bench.limit(&json!({"asks": 7})).await;
    bench.limit(&json!({"pauses": 1})).await;
    put(&bench.api, "/v1/agents/testbed/limits", &json!({"asks": 3})).await.expect(200);
    put(&bench.api, "/v1/agents/testbed/limits", &json!({"asks": 3})).await.expect(200);
    let entries = bench.api.all("/v1/audit?limit=100").await;
    let changes: Vec<_> = entries
        .iter()
        .filter(|entry| entry["action"].as_str().unwrap().ends_with(".limits_changed"))
        .map(|entry| [&entry["action"], &entry["subject"], &entry["details"]])
        .collect();
    let [of_tenant, of_agent] = [json!("tenant.limits_changed"), json!("agent.limits_changed")];
    assert_eq!(
        changes,
        [
            [&of_tenant, &json!("default"), &json!({"after": {"asks": 7}, "before": {}})],
            [&of_tenant, &json!("default"), &json!({"after": {"pauses": 1}, "before": {"asks": 7}})],
            [&of_agent, &json!("testbed"), &json!({"after": {"asks": 3}, "before": {}})],
        ]
    );
}

#[tokio::test]
async fn the_command_line_sets_one_limit_and_leaves_the_others() {
    let bench = Bench::new().await;
    let folder = Folder::new();
    let run = async |key: &str, arguments: &[&str]| {
        let mut command = folder.countersign(arguments);
        command
            .env("COUNTERSIGN_URL", bench.host.url())
            .env("COUNTERSIGN_API_KEY", key)
            .env("COUNTERSIGN_HOST_KEY", key);
        Said::by(command).await
    };
    let (hosts, operators) = (bench.hosts_key.key(), bench.api.key());
    run(hosts, &["tenants", "limits", "default", "asks=500", "running=3"]).await.ok();
    let said = run(hosts, &["tenants", "limits", "default", "asks=default", "pauses=5", "--json"]).await.ok();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["set"], json!({"pauses": 5, "running": 3}));
    let said = run(operators, &["limits", "testbed", "asks=9"]).await.ok();
    assert!(said.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["asks", "9", "9"]), "{said}");
    let said = run(operators, &["usage"]).await.ok();
    assert!(said.lines().any(|line| line.starts_with("running") && line.contains('3')), "{said}");
    assert_eq!(run(hosts, &["tenants", "usage", "default"]).await.ok(), said);
    run(operators, &["tenants", "usage", "default"]).await.failed(3);
    let refused = run(operators, &["limits", "testbed", "asks=0"]).await.failed(3);
    assert!(refused.contains("1 to 200000"), "{refused}");
    run(operators, &["limits", "testbed", "asks"]).await.failed(2);
}
