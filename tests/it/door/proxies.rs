//! Whose address a request has that came through proxies, as the audit log shows it.

use countersign_tests::api::send;
use reqwest::Method;
use serde_json::json;

use super::Door;

/// Where the log says that a key was made from, with these headers.
async fn source(door: &Door, headers: &[&str]) -> String {
    let mut request = door.api.request(Method::POST, "/v1/keys").json(&json!({"name": "x", "role": "runner"}));
    for header in headers {
        request = request.header("x-forwarded-for", *header);
    }
    let made = send(request).await.expect(201);
    let log = door.api.all("/v1/audit?action=key.created&limit=100").await;
    let entry = log.iter().find(|entry| entry["subject"] == made["id"]).expect("it is recorded");
    entry["source"].as_str().expect("an address").to_owned()
}

#[tokio::test]
async fn who_is_no_trusted_proxy_speaks_for_nobody_else() {
    let door = Door::new(&[]).await;
    for headers in [&[][..], &["203.0.113.7"], &["127.0.0.1", "203.0.113.7"], &["nonsense"]] {
        assert_eq!(source(&door, headers).await, "127.0.0.1", "{headers:?}");
    }
    let elsewhere = Door::new(&[("COUNTERSIGN_TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.1")]).await;
    assert_eq!(source(&elsewhere, &["203.0.113.7"]).await, "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_says_for_whom_it_asks() {
    let door = Door::new(&[("COUNTERSIGN_TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8")]).await;
    for (headers, expected) in [
        (&[][..], "127.0.0.1"),
        (&["203.0.113.7"], "203.0.113.7"),
        // What is further to the left, a client may have made up.
        (&["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (&["203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        (&["203.0.113.7", "10.1.2.3"], "203.0.113.7"),
        (&["10.1.2.4, 10.1.2.3"], "10.1.2.4"),
        (&["203.0.113.7:4711"], "203.0.113.7"),
        (&["2001:db8::7"], "2001:db8::7"),
        (&["[2001:db8::7]:4711"], "2001:db8::7"),
        (&["::ffff:203.0.113.7"], "203.0.113.7"),
        (&["unknown"], "127.0.0.1"),
        (&["203.0.113.7, unknown, 10.1.2.3"], "10.1.2.3"),
        (&["'; drop table tenant; --"], "127.0.0.1"),
        (&[",,,"], "127.0.0.1"),
    ] {
        assert_eq!(source(&door, headers).await, expected, "{headers:?}");
    }
    door.host.assert_unharmed();
}
