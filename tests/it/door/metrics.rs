//! Who is told what a host counts.

use countersign_tests::api::send;
use reqwest::{Client, Method};

use super::Door;

#[tokio::test]
async fn what_a_host_counts_is_no_tenants_business() {
    let door = Door::new(&[]).await;
    let anonymous = send(door.api.anonymous(Method::GET, "/metrics")).await;
    assert_eq!((anonymous.status, anonymous.code()), (401, "unauthenticated"));
    for role in ["operator", "deployer", "runner", "reviewer"] {
        let reply = door.api.role(role).await.get("/metrics").await;
        assert_eq!((reply.status, reply.code()), (403, "forbidden"), "{role}");
    }
    let reply = door.host.host_api().get("/metrics").await;
    assert_eq!(reply.status, 200);
    assert!(reply.bytes.ends_with(b"# EOF\n"), "OpenMetrics");
}

#[tokio::test]
async fn the_door_for_metrics_leads_to_nothing_else() {
    let door = Door::new(&[]).await;
    let other = door.host.tenant("a-tenant-of-its-own");
    other.get("/v1/agents").await.expect(200);
    let text = door.host.metrics().await;
    assert!(text.contains("countersign_open_pauses 0"), "{text}");
    assert!(!text.contains("a-tenant-of-its-own") && !text.contains("default"), "no label names a tenant: {text}");
    let (client, base) = (Client::new(), door.host.metrics_url().strip_suffix("/metrics").unwrap());
    for path in ["/", "/healthz", "/v1/agents", "/openapi.json", "/r/x"] {
        let reply = send(client.get(format!("{base}{path}")).bearer_auth(door.api.key())).await;
        assert_eq!((reply.status, reply.code()), (404, "not_found"), "{path}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    }
    let reply = send(client.post(door.host.metrics_url())).await;
    assert_eq!((reply.status, reply.code()), (405, "method_not_allowed"));
}
