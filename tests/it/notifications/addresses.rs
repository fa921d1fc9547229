//! Where a host sends, and where it does not.

use countersign_tests::{Database, Host, Model};
use serde_json::{Value, json};

use super::{Post, delete, patch};

async fn add(api: &countersign_tests::Api, kind: &str, address: &str) -> countersign_tests::Reply {
    api.post("/v1/endpoints", &json!({"name": "x", "kind": kind, "address": address})).await
}

#[tokio::test]
async fn an_endpoint_at_a_private_address_is_refused_with_the_reason() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    let api = host.api();
    let refused = [
        ("https://127.0.0.1/", "127.0.0.1 is a loopback address"),
        ("https://localhost/", "is a loopback address"),
        ("https://2130706433/", "127.0.0.1 is a loopback address"),
        ("https://0177.0.0.1/", "127.0.0.1 is a loopback address"),
        ("https://0x7f.1/", "127.0.0.1 is a loopback address"),
        ("https://[::ffff:10.0.0.1]/", "an IPv4 address in disguise"),
        ("https://169.254.169.254/latest/meta-data", "a link-local address"),
        ("https://10.1.2.3/", "a private address"),
        ("http://example.com/", "must begin with https://"),
        ("https://example.com:8443/", "port 8443"),
        ("https://me:secret@example.com/", "no user and no password"),
        ("https://no-such-host.invalid/", "has no address"),
        ("nonsense", "no URL"),
    ];
    for kind in ["webhook", "slack"] {
        for (address, why) in refused {
            let reply = add(&api, kind, address).await;
            assert_eq!((reply.status, reply.code()), (422, "endpoint_refused"), "{address}: {}", reply.body);
            let message = reply.body["error"]["message"].as_str().expect("a message");
            assert!(message.contains(why), "{address}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
    let reply = add(&api, "email", "ops@example.com").await;
    assert_eq!((reply.status, reply.code()), (422, "endpoint_refused"), "this host sends no mail");
    assert_eq!(api.get("/v1/endpoints").await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn an_address_that_was_allowed_when_it_was_kept_is_refused_when_it_is_dialled() {
    let mut post = Post::with(&[("COUNTERSIGN_OUTBOX_HASTE", "100000")]).await;
    post.webhook("all", json!(["pause.opened"])).await;
    let off = [("COUNTERSIGN_ALLOW_PRIVATE_ENDPOINTS", "false")];
    post.host.kill();
    post.host.restart(&off).await;
    post.api = post.host.api();
    post.ask(&json!({})).await;
    let delivery = post.delivery("all", "failed").await;
    assert_eq!(delivery["last_error"], "refused: it must begin with https://");
    assert_eq!(post.receiver.received("/all").len(), 0);
}

#[tokio::test]
async fn not_even_in_development_does_a_host_send_to_itself_or_to_its_database() {
    let post = Post::new().await;
    let database = post.database.url.split('@').nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let mut own = vec![post.host.url().to_owned()];
    // The server of the tests may listen on a socket only.
    own.extend(database.contains(':').then(|| format!("http://{database}")));
    for address in own {
        let reply = add(&post.api, "webhook", &address).await;
        assert_eq!((reply.status, reply.code()), (422, "endpoint_refused"), "{address}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_host_that_others_can_reach_does_not_start_with_the_switch_for_development() {
    let output = std::process::Command::new(countersign_tests::build::host())
        .args(["serve", "--listen", "0.0.0.0:0", "--allow-private-endpoints", "--data-dir"])
        .arg(countersign_tests::build::root().join("target/test-hosts/refused"))
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
        .env("COUNTERSIGN_MASTER_KEY", countersign_tests::host::MASTER_KEY)
        .output()
        .expect("the host's binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("needs --listen with a loopback address"), "{said}");
}

#[tokio::test]
async fn an_endpoint_is_what_it_was_made_to_be_and_its_secrets_are_shown_once_and_kept_encrypted() {
    let post = Post::new().await;
    let slack = format!("{}/services/T0/B0/verysecret", post.receiver.url);
    let made = add(&post.api, "slack", &slack).await.expect(201);
    assert_eq!((&made["address"], &made["secret"]), (&json!(format!("{}/…", post.receiver.url)), &Value::Null));
    let reply = add(&post.api, "slack", &slack).await;
    assert_eq!((reply.status, reply.code()), (409, "endpoint_exists"));
    let secret = post.webhook("hook", json!(["pause.decided"])).await;
    let shown = post.api.get("/v1/endpoints/hook").await.expect(200);
    assert_eq!((&shown["secret"], &shown["secrets"]), (&Value::Null, &json!(1)));
    assert_eq!(shown["address"], format!("{}/hook", post.receiver.url));
    let clear = "select count(*) from endpoint e, endpoint_secret s
                 where position('verysecret' in e::text || encode(s.encrypted, 'escape')) > 0
                    or position('http' in encode(s.encrypted, 'escape')) > 0";
    assert_eq!(post.database.number(clear).await, 0);
    assert!(!post.host.log().iter().any(|line| line.contains("verysecret") || line.contains(&secret)));
    let reply = post.api.post("/v1/endpoints/x/secret", &json!({})).await;
    assert_eq!((reply.status, reply.code()), (409, "endpoint_not_signed"), "a message to Slack is not signed");

    let changed = patch(&post.api, "/v1/endpoints/hook", &json!({"events": null, "disabled": true})).await.expect(200);
    assert_eq!(changed["events"], Value::Null);
    assert!(changed["disabled_reason"].as_str().is_some_and(|reason| reason.starts_with("by key:")), "{changed}");
    let changed = patch(&post.api, "/v1/endpoints/hook", &json!({"disabled": false})).await.expect(200);
    assert_eq!((&changed["disabled_at"], &changed["disabled_reason"]), (&Value::Null, &Value::Null));
    for bad in [json!({"events": ["pause.closed"]}), json!({"disabled": "yes"}), json!({"address": "x"})] {
        assert_eq!(patch(&post.api, "/v1/endpoints/hook", &bad).await.status, 400, "{bad}");
    }
    let address = format!("{}/twice", post.receiver.url);
    for (events, why) in [(json!(["pause.opened", "pause.opened"]), "twice"), (json!(vec!["x"; 11]), "at most 10")] {
        let changed = patch(&post.api, "/v1/endpoints/hook", &json!({ "events": events })).await;
        let new = json!({"name": "twice", "kind": "webhook", "address": address, "events": events});
        for reply in [changed, post.api.post("/v1/endpoints", &new).await] {
            assert_eq!((reply.status, reply.code()), (400, "invalid_request"), "{}", reply.body);
            assert!(reply.body.to_string().contains(why), "{}", reply.body);
        }
    }
    assert_eq!(delete(&post.api, "/v1/endpoints/hook").await.status, 204);
    for path in ["/v1/endpoints/hook", "/v1/endpoints/A%00", "/v1/deliveries/dlv_1"] {
        assert_eq!(post.api.get(path).await.status, 404, "{path}");
    }
    for bad in
        ["/v1/deliveries?endpoint=A", "/v1/deliveries?state=lost", "/v1/deliveries?after=x", "/v1/deliveries?limit=0"]
    {
        assert_eq!(post.api.get(bad).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_pause_that_names_an_endpoint_that_does_not_exist_is_refused() {
    let post = Post::new().await;
    for request in [json!({"notify": ["nobody"]}), json!({"escalations": [{"after_ms": 5, "notify": ["nobody"]}]})] {
        let id = post.api.start("testbed.approve", &request).await;
        let execution = post.api.finished(&id).await;
        let why = execution["result"]["error"].to_string();
        assert!(why.contains("there is no endpoint nobody"), "{why}");
    }
}
