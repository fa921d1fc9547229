//! Reviewers and groups, and who may see and change them.

use serde_json::json;

use super::{Post, delete, put};

#[tokio::test]
async fn reviewers_have_addresses_and_are_one_person_however_they_are_written() {
    let post = Post::new().await;
    put(&post.api, "/v1/reviewers/Ana%20Maria", &json!({"email": "ana@example.com"})).await.expect(200);
    let again = put(&post.api, "/v1/reviewers/ana%20maria", &json!({"email": "a.m@example.com"})).await.expect(200);
    assert_eq!(again["email"], "a.m@example.com");
    let list = post.api.get("/v1/reviewers").await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(post.api.get("/v1/reviewers/ANA%20MARIA").await.expect(200)["email"], "a.m@example.com");
    for (name, email) in [
        ("x", "x"),
        ("x", "x@example.com, y@example.com"),
        ("x", "x@example.com\r\nBcc: y@example.com"),
        ("@x", "x@example.com"),
        ("%20x", "x@example.com"),
        ("x%00", "x@example.com"),
    ] {
        let reply = put(&post.api, &format!("/v1/reviewers/{name}"), &json!({ "email": email })).await;
        assert_eq!((reply.status, reply.code()), (400, "invalid_request"), "{name} {email:?}: {}", reply.body);
    }
    for name in ["b", "c", "d"] {
        put(&post.api, &format!("/v1/reviewers/{name}"), &json!({"email": "x@example.com"})).await.expect(200);
    }
    let names: Vec<String> =
        post.api.all("/v1/reviewers?limit=1").await.iter().map(|one| one["name"].to_string()).collect();
    assert_eq!(names, ["\"ana maria\"", "\"b\"", "\"c\"", "\"d\""]);
    assert_eq!(delete(&post.api, "/v1/reviewers/ana%20maria").await.status, 204);
    let reply = delete(&post.api, "/v1/reviewers/ana%20maria").await;
    assert_eq!((reply.status, reply.code()), (404, "reviewer_not_found"));
}

#[tokio::test]
async fn groups_have_members_and_a_pause_asks_those_who_are_in_it_when_they_vote() {
    let post = Post::new().await;
    let made = put(&post.api, "/v1/groups/desk", &json!({"members": ["bob", "ana", "Ana"]})).await.expect(200);
    assert_eq!(made["members"], json!(["ana", "bob"]));
    let pause = post.ask(&json!({"stages": [{"reviewers": ["@desk"], "required": 1}]})).await;
    let (ana, eve) = (super::person(&post.api, "ana").await, super::person(&post.api, "eve").await);
    put(&post.api, "/v1/groups/desk", &json!({"members": ["eve"]})).await.expect(200);
    let reply = ana.decide(&pause, &json!({"decision": "approved"})).await;
    assert_eq!((reply.status, reply.code()), (403, "not_asked"));
    eve.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    let too_many: Vec<String> = (0..257).map(|number| format!("p{number}")).collect();
    let bad = [json!({"members": too_many}), json!({"members": ["@x"]}), json!({"members": [""]}), json!({})];
    for bad in bad {
        assert_eq!(put(&post.api, "/v1/groups/desk", &bad).await.status, 400);
    }
    assert_eq!(put(&post.api, "/v1/groups/Desk", &json!({"members": []})).await.status, 400);
    assert_eq!(post.api.get("/v1/groups").await.expect(200)["items"][0]["members"], json!(["eve"]));
    assert_eq!(delete(&post.api, "/v1/groups/desk").await.status, 204);
    let reply = post.api.get("/v1/groups/desk").await;
    assert_eq!((reply.status, reply.code()), (404, "group_not_found"));
}

#[tokio::test]
async fn only_an_operator_changes_who_is_told_and_who_is_in_a_group_and_reviewers_may_look_at_groups() {
    let post = Post::new().await;
    put(&post.api, "/v1/groups/desk", &json!({"members": ["ana"]})).await.expect(200);
    for (role, groups) in [("deployer", 403), ("runner", 200), ("reviewer", 200)] {
        let api = post.api.role(role).await;
        assert_eq!(api.get("/v1/groups").await.status, groups, "{role}");
        assert_eq!(api.get("/v1/groups/desk").await.status, groups, "{role}");
        for path in ["/v1/reviewers", "/v1/reviewers/ana", "/v1/endpoints", "/v1/endpoints/x", "/v1/deliveries"] {
            assert_eq!(api.get(path).await.status, 403, "{role} {path}");
        }
        assert_eq!(put(&api, "/v1/groups/desk", &json!({"members": []})).await.status, 403, "{role}");
        assert_eq!(put(&api, "/v1/reviewers/ana", &json!({"email": "a@example.com"})).await.status, 403, "{role}");
        let endpoint = json!({"name": "x", "kind": "webhook", "address": "https://example.com/"});
        assert_eq!(api.post("/v1/endpoints", &endpoint).await.status, 403, "{role}");
        assert_eq!(api.post("/v1/endpoints/x/test", &json!({})).await.status, 403, "{role}");
    }
}

#[tokio::test]
async fn a_tenant_keeps_so_many_reviewers_and_groups_and_may_always_change_those_it_has() {
    let post = Post::new().await;
    for rows in [
        "insert into reviewer (tenant_id, person, reviewer, email)
         select tenant_id, 'p' || n, 'p' || n, 'p@example.com' from tenant, generate_series(1, 10000) as n
         where tenant_id = 'default'",
        "insert into review_group (tenant_id, name) select tenant_id, 'g' || n from tenant, generate_series(1, 1000) as n
         where tenant_id = 'default'",
    ] {
        sqlx::query(rows).execute(&post.database.pool).await.expect("rows");
    }
    let (email, members) = (json!({"email": "x@example.com"}), json!({"members": ["ana"]}));
    for (path, body) in [("/v1/reviewers/x", &email), ("/v1/groups/x", &members)] {
        let reply = put(&post.api, path, body).await;
        assert_eq!((reply.status, reply.code()), (400, "invalid_request"), "{path}: {}", reply.body);
        assert!(reply.body.to_string().contains("remove one"), "{}", reply.body);
    }
    put(&post.api, "/v1/reviewers/P7", &email).await.expect(200);
    put(&post.api, "/v1/groups/g7", &members).await.expect(200);
    assert_eq!(delete(&post.api, "/v1/reviewers/p7").await.status, 204);
    put(&post.api, "/v1/reviewers/x", &email).await.expect(200);
}
