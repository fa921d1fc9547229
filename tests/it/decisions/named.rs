//! Which pause a webhook is for: by its id, by execution and name, or by its name alone.

use serde_json::json;

use super::{DOORS, Desk, addressed, execution_of};

#[tokio::test]
async fn an_unknown_pause_is_not_found() {
    let desk = Desk::new(&[]).await;
    let nowhere = format!("exec_{}", "0".repeat(32));
    for pause in [
        &format!("{nowhere}:draft-review"),
        "draft-review",
        "exec_1:draft-review",
        &format!("{nowhere}:"),
        &format!("{nowhere}:a%20b"),
        &format!("{nowhere}:{}", "x".repeat(129)),
    ] {
        for door in DOORS {
            let reply = desk.decide(door, pause, &json!({"decision": "approved"})).await;
            assert_eq!((reply.status, reply.code()), (404, "pause_not_found"), "{door:?} {pause}");
        }
    }
    for body in [
        json!({"execution_id": nowhere, "approval_request_id": "draft-review", "decision": "approved"}),
        json!({"execution_id": "exec_1", "approval_request_id": "draft-review", "decision": "approved"}),
        json!({"approval_request_id": "draft-review", "decision": "approved"}),
        json!({"approval_request_id": "a b", "decision": "approved"}),
        json!({"approval_request_id": "a\u{0}b", "decision": "approved"}),
    ] {
        let reply = desk.deliver(&desk.delivery(), &body).await;
        assert_eq!((reply.status, reply.code()), (404, "pause_not_found"), "{body}");
    }
}

#[tokio::test]
async fn a_webhook_must_say_which_pause_it_is_for_in_one_way() {
    let desk = Desk::new(&[]).await;
    let pause = desk.open(&json!({})).await;
    let execution = execution_of(&pause);
    for body in [
        json!({"decision": "approved"}),
        json!({"execution_id": execution, "decision": "approved"}),
        json!({"pause_id": pause, "approval_request_id": "only", "decision": "approved"}),
        json!({"pause_id": pause, "execution_id": execution, "decision": "approved"}),
        json!({"pause_id": pause, "execution_id": execution, "approval_request_id": "only", "decision": "approved"}),
        json!({"pause_id": null, "decision": "approved"}),
        json!({"pause_id": pause}),
        json!({"pause_id": pause, "decision": null}),
        json!({"pause_id": pause, "decision": "approved", "tenant": "default"}),
    ] {
        let reply = desk.deliver(&desk.delivery(), &body).await;
        assert_eq!((reply.status, reply.code()), (400, "invalid_request"), "{body}");
    }
    assert_eq!(desk.pause(&pause).await["status"], "open");
    let body = json!({"execution_id": execution, "approval_request_id": "only", "decision": "approved"});
    let reply = desk.deliver(&desk.delivery(), &body).await.expect(200);
    assert_eq!((&reply["outcome"], &reply["pause"]["id"]), (&json!("accepted"), &json!(pause)));
}

#[tokio::test]
async fn a_name_alone_decides_the_only_open_pause_that_bears_it() {
    let desk = Desk::new(&[]).await;
    let by_name = json!({"approval_request_id": "draft", "decision": "approved"});
    let pause = desk.open(&json!({"id": "draft"})).await;
    desk.open(&json!({"id": "another"})).await;

    let accepted = desk.deliver("first", &by_name).await.expect(200);
    assert_eq!((&accepted["outcome"], &accepted["pause"]["id"]), (&json!("accepted"), &json!(pause)));
    assert_eq!(desk.told(&pause).await["decision"], "approved");
    let none = desk.deliver(&desk.delivery(), &by_name).await;
    assert_eq!((none.status, none.code()), (404, "pause_not_found"), "none that is open bears the name");
}

#[tokio::test]
async fn a_name_that_several_open_pauses_bear_is_ambiguous() {
    let desk = Desk::new(&[]).await;
    let by_name = json!({"approval_request_id": "draft", "decision": "approved"});
    let (one, two) = (desk.open(&json!({"id": "draft"})).await, desk.open(&json!({"id": "draft"})).await);
    let reply = desk.deliver(&desk.delivery(), &by_name).await;
    assert_eq!((reply.status, reply.code()), (409, "ambiguous_pause"));
    assert_eq!(reply.body["candidates"], json!([one, two]), "oldest first");
    for pause in [&one, &two] {
        assert_eq!(desk.pause(pause).await["status"], "open");
    }
    desk.deliver(&desk.delivery(), &addressed(&one, &json!({"decision": "rejected"}))).await.expect(200);
    let reply = desk.deliver(&desk.delivery(), &by_name).await.expect(200);
    assert_eq!((&reply["outcome"], &reply["pause"]["id"]), (&json!("accepted"), &json!(two)));
}

/// A sender that did not get the answer sends the same message again. It means the same pause as before, whatever has
/// opened since.
#[tokio::test]
async fn a_delivery_by_name_that_is_sent_again_is_a_duplicate_and_decides_nothing_else() {
    let desk = Desk::new(&[]).await;
    let by_name = json!({"approval_request_id": "draft", "decision": "approved"});
    let pause = desk.open(&json!({"id": "draft"})).await;
    let accepted = desk.deliver("same", &by_name).await.expect(200);
    assert_eq!(accepted["pause"]["id"], json!(pause));

    let mut opened = vec![];
    for _ in 0..3 {
        let again = desk.deliver("same", &by_name).await.expect(200);
        assert_eq!(again["outcome"], "duplicate", "{} others are open", opened.len());
        assert_eq!(again["pause"], accepted["pause"]);
        let other = json!({"approval_request_id": "draft", "decision": "rejected"});
        let reused = desk.deliver("same", &other).await;
        assert_eq!((reused.status, reused.code()), (409, "webhook_id_reused"), "{} others are open", opened.len());
        opened.push(desk.open(&json!({"id": "draft"})).await);
    }
    for pause in &opened {
        assert_eq!(desk.pause(pause).await["status"], "open");
    }
}
