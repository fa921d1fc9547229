//! More than anybody needs: connections, and requests that prove nothing.

use countersign_tests::api::{now, send};
use countersign_tests::{Reply, until};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::{Door, rest};

/// A request on a connection of its own; none if the host closes it.
async fn health(door: &Door) -> Option<String> {
    let mut stream = door.sent(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let answer = rest(&mut stream).await;
    answer.starts_with("HTTP/1.1 200 ").then_some(answer)
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let door = Door::new(&[("COUNTERSIGN_CONNECTIONS_PER_ADDRESS", "8")]).await;
    until("the client of the tests has let go", async || {
        let mut held = vec![];
        for _ in 0..8 {
            held.push(door.sent(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await);
        }
        for stream in &mut held {
            let mut buffer = [0; 1_024];
            if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        assert_eq!(health(&door).await, None, "the ninth is closed");
        Some(())
    })
    .await;
    door.says("COUNTERSIGN_CONNECTIONS_PER_ADDRESS bounds").await;
    until("there is room again", async || health(&door).await).await;
    door.host.assert_unharmed();
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_connections_as_it_likes() {
    let environment = [("COUNTERSIGN_CONNECTIONS_PER_ADDRESS", "8"), ("COUNTERSIGN_TRUSTED_PROXIES", "127.0.0.0/8")];
    let door = Door::new(&environment).await;
    let mut held = vec![];
    for _ in 0..40 {
        held.push(door.connect().await);
    }
    health(&door).await.expect("it is served");
}

#[tokio::test]
async fn a_full_house_lets_the_next_in_when_another_goes() {
    let environment = [("COUNTERSIGN_CONNECTIONS", "4"), ("COUNTERSIGN_HTTP_PATIENCE_MS", "600")];
    let door = Door::new(&environment).await;
    let mut held = vec![];
    for _ in 0..12 {
        held.push(door.sent(b"GET /heal").await);
    }
    health(&door).await.expect("those that do nothing are let go");
    door.says("COUNTERSIGN_CONNECTIONS bounds").await;
    door.host.assert_unharmed();
}

fn assert_limited(reply: &Reply, what: &str) {
    assert_eq!((reply.status, reply.code()), (429, "rate_limited"), "{what}: {}", reply.body);
    let seconds: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{what}: {seconds}");
    assert!(reply.message().contains("try again"), "{what}: {}", reply.message());
}

#[tokio::test]
async fn an_address_that_proves_nothing_again_and_again_is_not_listened_to_for_a_while() {
    let environment = [("COUNTERSIGN_FAILURES_PER_SECOND", "1"), ("COUNTERSIGN_TRUSTED_PROXIES", "127.0.0.1")];
    let door = Door::new(&environment).await;
    let from = |address: &'static str, request: reqwest::RequestBuilder| request.header("x-forwarded-for", address);
    let made = door.api.post("/v1/keys", &json!({"name": "new", "role": "runner"})).await.expect(201);
    let fresh = door.api.with_key(made["key"].as_str().unwrap());
    let wrong = door.api.with_key(&format!("{}x", door.api.key()));

    let bad = async |address| send(from(address, wrong.request(Method::GET, "/v1/agents"))).await;
    let mut refused = 0;
    let limited = until("the address is not listened to", async || {
        let reply = bad("192.0.2.7").await;
        refused += usize::from(reply.status == 401);
        (reply.status != 401).then_some(reply)
    });
    assert_limited(&limited.await, "a bad key");
    assert!((10..20).contains(&refused), "{refused} were refused one by one");

    // Neither are its webhooks, by whatever protocol, nor its links, nor keys that nobody has seen here.
    let webhook = door.api.anonymous(Method::POST, "/v1/webhooks/default").header("webhook-timestamp", now());
    assert_limited(&send(from("192.0.2.7", webhook.body("{}"))).await, "a webhook");
    let webhook = door.api.anonymous(Method::POST, "/api/v1/webhooks/approval-response").body("{}");
    assert_limited(&send(from("192.0.2.7", webhook)).await, "a webhook of AgentField's");
    assert_limited(&send(from("192.0.2.7", fresh.request(Method::GET, "/v1/agents"))).await, "a key");
    let page = send(from("192.0.2.7", door.api.anonymous(Method::GET, "/r/nothing"))).await;
    assert_eq!(page.status, 429);
    assert!(page.headers.contains_key("retry-after") && page.headers["content-type"] == "text/html; charset=utf-8");

    // A key that has been good here before is, and so are other addresses, the same network of IPv6 being one.
    send(from("192.0.2.7", door.api.request(Method::GET, "/v1/agents"))).await.expect(200);
    assert_eq!(bad("192.0.2.8").await.status, 401);
    send(from("192.0.2.8", fresh.request(Method::GET, "/v1/agents"))).await.expect(200);
    let limited = until("the network is not listened to", async || {
        let reply = bad("2001:db8::1").await;
        (reply.status != 401).then_some(reply)
    });
    assert_limited(&limited.await, "an address of IPv6");
    assert_limited(&bad("2001:db8::2").await, "its neighbour");
    assert_eq!(bad("2001:db8:0:1::1").await.status, 401);
    until("a second later it is heard again", async || (bad("192.0.2.7").await.status == 401).then_some(())).await;
}

#[tokio::test]
async fn signatures_and_links_that_are_bad_are_counted_like_keys() {
    for path in ["/v1/webhooks/default", "/api/v1/webhooks/approval-response/default", "/r/nothing"] {
        let door = Door::new(&[("COUNTERSIGN_FAILURES_PER_SECOND", "1")]).await;
        let method = if path.starts_with("/r/") { Method::GET } else { Method::POST };
        let mut statuses = vec![];
        until(path, async || {
            let reply = send(door.api.anonymous(method.clone(), path).body("{}")).await;
            statuses.push(reply.status);
            (reply.status == 429).then_some(())
        })
        .await;
        let expected = if path.starts_with("/r/") { 404 } else { 401 };
        assert!(statuses.len() > 10 && statuses[..10] == [expected; 10], "{path}: {statuses:?}");
        door.host.assert_unharmed();
    }
}

#[tokio::test]
async fn a_tenant_that_sends_more_than_its_quota_waits_and_no_other_does() {
    let door = Door::new(&[]).await;
    let other = door.host.tenant("other");
    let quota = json!({"requests_per_second": 2});
    send(door.host.host_api().request(Method::PUT, "/v1/tenants/default/limits").json(&quota)).await.expect(200);
    let mut served = 0;
    let limited = until("the quota is reached", async || {
        let reply = door.api.get("/v1/agents").await;
        served += usize::from(reply.status == 200);
        (reply.status != 200).then_some(reply)
    });
    let limited = limited.await;
    assert_limited(&limited, "a request");
    assert!(limited.message().contains("requests_per_second"), "{}", limited.message());
    assert!(served >= 6, "{served}");
    // The keys of a tenant share its quota, and the tenants share none.
    for _ in 0..20 {
        other.get("/v1/agents").await.expect(200);
    }
    until("it may send again", async || (door.api.get("/v1/agents").await.status == 200).then_some(())).await;
    door.host.assert_unharmed();
}
