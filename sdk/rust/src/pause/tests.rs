use std::collections::HashMap;

use futures::executor::block_on;
use serde_json::json;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn request(mut pause: Pause) -> ApprovalRequest {
    pause.take_request().expect("it can be made")
}

fn refusal(pause: Pause) -> String {
    let Err(PauseError::InvalidRequest(why)) = block_on(pause) else { panic!("it was asked") };
    why
}

#[test]
fn a_request_carries_what_was_set() {
    let request = request(
        pause("gate")
            .payload(&json!({"n": 1}))
            .choices(["yes", "no"])
            .expires_in(Duration::from_micros(1500))
            .default_decision("no")
            .feedback_required(["no"])
            .forbid_self_approval()
            .rejection_by_majority()
            .remind_after(HOUR)
            .remind_after(2 * HOUR)
            .escalate_after(3 * HOUR, ["@leads"])
            .escalate(Escalation::after(4 * HOUR).notify(["pager"]))
            .notify(["legal-slack"]),
    );
    assert_eq!(request.approval_request_id, "gate");
    assert_eq!(request.payload.as_deref(), Some(r#"{"n":1}"#));
    assert_eq!(
        (request.choices.as_slice(), request.feedback_required.as_slice()),
        (["yes", "no"].map(Into::into).as_slice(), ["no".into()].as_slice())
    );
    assert_eq!((request.expires_in_ms, request.default_decision.as_deref()), (Some(2), Some("no")));
    assert!(request.forbid_self_approval && request.rejection == RejectionRule::Majority && !request.editable);
    assert_eq!(request.reminders_ms, [3_600_000, 7_200_000]);
    let escalation = |after_ms, reviewers: &[&str], notify: &[&str]| Escalation {
        after_ms,
        reviewers: reviewers.iter().map(ToString::to_string).collect(),
        notify: notify.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(
        request.escalations,
        [escalation(10_800_000, &["@leads"], &[]), escalation(14_400_000, &[], &["pager"])]
    );
    assert_eq!((request.notify, request.stages), (vec!["legal-slack".to_owned()], vec![]));
}

#[test]
fn reviewers_are_one_stage_and_stages_are_several() {
    let stages = |pause| request(pause).stages.into_iter().map(|stage| (stage.reviewers, stage.required)).collect();
    let one: Vec<_> = stages(pause("gate").required(2).reviewers(["ana", "@legal"]));
    assert_eq!(one, [(vec!["ana".to_owned(), "@legal".to_owned()], 2)]);
    let anyone: Vec<_> = stages(pause("gate").required(3));
    assert_eq!(anyone, [(vec![], 3)]);
    let two: Vec<_> = stages(pause("gate").stage(Stage::of(["@legal"])).stage(Stage::anyone().required(2)));
    assert_eq!(two, [(vec!["@legal".to_owned()], 1), (vec![], 2)]);
}

#[test]
fn a_request_that_cannot_be_made_is_an_error_and_no_panic() {
    let unwritable = HashMap::from([((1, 2), 3)]);
    assert!(refusal(pause("gate").payload(&unwritable)).starts_with("payload: "));
    let both = pause("gate").reviewers(["ana"]).stage(Stage::of(["bo"]));
    assert!(refusal(both).starts_with("stages: "));
    let nobody = pause("gate").reviewers(Vec::<String>::new());
    assert!(refusal(nobody).starts_with("reviewers: "));
}

#[test]
fn what_may_be_edited_keeps_its_type() {
    #[derive(Serialize, JsonSchema)]
    struct Mail {
        to: String,
    }
    let edited = request(pause("gate").edit(&Mail { to: "bo".into() }));
    let schema = edited.response_schema.expect("a type has a schema");
    assert!(edited.editable && schema.contains(r#""required":["to"]"#), "{schema}");
    assert_eq!(edited.payload.as_deref(), Some(r#"{"to":"bo"}"#));

    let text = request(pause("gate").edit("a draft"));
    assert_eq!(text.response_schema.as_deref(), Some(r#"{"type":"string"}"#));
    let any = request(pause("gate").edit(&json!([1])));
    assert_eq!((any.editable, any.response_schema), (true, None));
}

#[test]
fn a_form_has_the_fields_of_its_type() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Budget {
        amount: u32,
    }
    let schema = request(pause("gate").form::<Budget>()).response_schema.expect("a form has a schema");
    assert!(schema.contains(r#""required":["amount"]"#), "{schema}");
}

#[test]
fn asks_for_people_fit_into_join_and_select() {
    fn fits<T: FusedFuture + Unpin>(_: &T) {}
    fits(&pause("gate"));
    fits(&wait_for_resume("gate", None));
    fits(&review_link("gate", "ana"));
}
