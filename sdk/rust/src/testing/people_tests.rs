//! What a pause asks for, and who decides it.

use super::tests::{HOUR, Verdict, decision, error};
use super::{Answer, approved, decided, expired, never, rejected, start_future};
use crate::wait_for_resume;
use crate::{Error, Escalation, Pause, PauseError, Review, Stage, Value, Vote, join, json, pause, review_link};

/// What the agent is told.
fn review(pause: Pause, answer: impl Into<Answer>) -> Review {
    let trace = start_future(pause).answer(answer).finish();
    serde_json::from_value(trace.result.expect("the pause is in order")).expect("a review")
}

fn refusal(pause: Pause) -> String {
    let failed = error(start_future(pause).finish());
    assert_eq!(failed.code, "pause_invalid_request");
    failed.message
}

/// Two people of legal's and then one of two by name.
fn contract() -> Pause {
    pause("contract").stage(Stage::of(["@legal"]).required(2)).stage(Stage::of(["ana", "bo"]))
}

#[test]
fn a_pause_has_the_form_of_the_journal() {
    let asked = contract()
        .edit("text")
        .default_decision("rejected")
        .feedback_required(["rejected"])
        .rejection_by_majority()
        .forbid_self_approval()
        .remind_after(HOUR)
        .escalate_after(2 * HOUR, ["@leads"])
        .escalate(Escalation::after(3 * HOUR).notify(["pager"]))
        .notify(["legal-slack"])
        .expires_in(4 * HOUR);
    let trace = start_future(asked).answer(never()).finish();
    assert_eq!(
        trace.asks[0],
        json!({
            "kind": "pause", "approval_request_id": "contract", "expires_in_ms": 14_400_000,
            "default_decision": "rejected", "payload": "\"text\"", "editable": true,
            "response_schema": "{\"type\":\"string\"}", "feedback_required": ["rejected"],
            "stages": [{"reviewers": ["@legal"], "required": 2}, {"reviewers": ["ana", "bo"], "required": 1}],
            "rejection": "majority", "forbid_self_approval": true, "reminders_ms": [3_600_000],
            "escalations": [{"after_ms": 7_200_000, "reviewers": ["@leads"]},
                            {"after_ms": 10_800_000, "notify": ["pager"]}],
            "notify": ["legal-slack"],
        })
    );
    let review = trace.result.expect("a default decision is a decision");
    assert_eq!((&review["decision"], &review["reviewer"]), (&json!("rejected"), &Value::Null));
}

#[test]
fn one_decision_stands_for_everybodys() {
    let approval = review(contract(), approved().reviewer("bo").feedback("Go."));
    let vote = Vote {
        reviewer: "bo".into(),
        claimed: false,
        stage: 1,
        decision: "approved".into(),
        feedback: Some("Go.".into()),
        response: None,
        voted_at_ms: approval.decided_at_ms,
    };
    assert_eq!((approval.reviewer.as_deref(), approval.votes), (Some("bo"), vec![vote]));
    let rejection = review(contract(), rejected());
    assert_eq!((rejection.reviewer.as_deref(), rejection.votes[0].stage), (Some("somebody"), 0));
    assert_eq!(review(pause("gate"), approved()).votes, []);
}

#[test]
fn votes_count_at_the_stage_that_they_come_to_and_the_last_one_is_the_reviews() {
    let votes = ["kim", "lee", "ana"].map(|name| approved().reviewer(name).feedback(format!("{name} agrees.")));
    let review = review(contract(), approved().votes(votes));
    assert_eq!(review.votes.iter().map(|vote| vote.stage).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!((review.reviewer.as_deref(), review.feedback.as_deref()), (Some("ana"), Some("ana agrees.")));
}

#[test]
fn under_a_majority_the_first_refusal_does_not_decide() {
    let split = [rejected().reviewer("kim"), approved().reviewer("lee"), approved().reviewer("max")];
    let last = approved().reviewer("bo");
    let approval = review(contract().rejection_by_majority(), approved().votes(split.into_iter().chain([last])));
    assert_eq!((approval.decision.as_str(), approval.votes[3].stage), ("approved", 1));
    let refused = [approved().reviewer("kim"), rejected().reviewer("lee"), rejected().reviewer("max")];
    assert_eq!(review(contract().rejection_by_majority(), rejected().votes(refused)).decision, "rejected");
}

#[test]
fn a_majority_is_that_of_those_who_are_left_to_vote() {
    let board = || pause("gate").reviewers(["ana", "bo", "cy"]).required(2).rejection_by_majority();
    let no = |name: &str| rejected().reviewer(name);
    assert_eq!(review(board(), rejected().votes([no("ana"), approved().reviewer("bo"), no("cy")])).votes.len(), 3);
    let two = pause("gate").required(2).rejection_by_majority();
    assert_eq!(review(two, rejected().votes([no("ana"), no("bo")])).votes.len(), 2);
}

#[test]
#[should_panic(expected = "the votes for the pause `gate` do not lead to `rejected`, but to nothing yet")]
fn one_refusal_of_three_is_no_majority() {
    let board = pause("gate").reviewers(["ana", "bo", "cy"]).rejection_by_majority();
    review(board, rejected().votes([rejected().reviewer("ana")]));
}

#[test]
fn who_may_not_approve_what_they_started_leaves_a_vote_of_another() {
    let review = review(pause("gate").forbid_self_approval(), approved().reviewer("bo"));
    assert_eq!((review.votes.len(), review.votes[0].stage), (1, 0));
}

#[test]
#[should_panic(expected = "the votes for the pause `contract` do not lead to `approved`, but to nothing yet")]
fn too_few_votes_fail_the_test() {
    review(contract(), approved().votes([approved().reviewer("kim"), approved().reviewer("lee")]));
}

#[test]
#[should_panic(expected = "kim votes twice for the pause `contract`")]
fn a_second_vote_fails_the_test() {
    review(contract(), approved().votes(["kim", "kim"].map(|name| approved().reviewer(name))));
}

#[test]
#[should_panic(expected = "max is not asked at stage 1 of the pause `contract`")]
fn a_vote_of_somebody_who_is_not_asked_fails_the_test() {
    review(contract(), approved().votes(["kim", "lee", "max"].map(|name| approved().reviewer(name))));
}

#[test]
#[should_panic(expected = "the pause `contract` was decided before lee voted")]
fn a_vote_after_the_decision_fails_the_test() {
    review(contract(), rejected().votes([rejected().reviewer("kim"), approved().reviewer("lee")]));
}

#[test]
#[should_panic(expected = "the decision `rejected` of the pause `gate` needs feedback")]
fn a_decision_without_the_feedback_that_it_needs_fails_the_test() {
    review(pause("gate").feedback_required(["rejected"]), rejected().feedback(" "));
}

#[test]
#[should_panic(expected = "the pause `gate` has a form: `approved` needs a response")]
fn an_approval_without_the_form_fails_the_test() {
    review(pause("gate").form::<Verdict>(), approved());
}

#[test]
fn what_is_approved_as_it_was_is_the_response_and_what_was_edited_is_edited() {
    let mail = json!({"to": "ana", "cents": 5});
    let edit = || pause("mail").edit(&mail);
    assert_eq!(review(edit(), approved()).response, Some(mail.clone()));
    assert_eq!(review(edit(), approved().response(&json!({"to": "bo"}))).response, Some(json!({"to": "bo"})));
    assert_eq!(review(edit(), rejected()).response, None);
}

#[test]
fn what_a_form_has_a_default_for_may_be_left_out() {
    let schema = json!({"type": "object", "properties": {"euros": {"default": 5}, "note": {"type": "string"}}});
    let form = || pause("gate").response_schema(&schema);
    assert_eq!(review(form(), approved()).response, Some(json!({"euros": 5})));
    assert_eq!(
        review(form(), approved().response(&json!({"note": "n"}))).response,
        Some(json!({"euros": 5, "note": "n"}))
    );
    let needed = json!({"properties": {"euros": {"default": 5}, "note": {}}, "required": ["note"]});
    let by_default = pause("gate").response_schema(&needed).expires_in(HOUR).default_decision("approved");
    assert_eq!(review(by_default, expired()).response, None);
    let by_default = form().expires_in(HOUR).default_decision("approved");
    assert_eq!(review(by_default, expired()).response, Some(json!({"euros": 5})));
    assert_eq!(review(form(), rejected()).response, None);
}

#[test]
fn the_second_pause_under_a_name_has_an_id_of_its_own() {
    let trace = start_future(async {
        let first = decision(pause("gate")).await?;
        let bad = Error::from(pause("gate").required(0).await.expect_err("nobody is to agree"));
        let second = decision(pause("gate")).await?;
        let waited = decision(wait_for_resume("gate", None)).await?;
        let again = decision(wait_for_resume("gate#2", None)).await?;
        let third = join!(decision(wait_for_resume("gate#3", None)), decision(pause("gate")));
        let none = Error::from(wait_for_resume("gate#1", None).await.expect_err("it is `gate`"));
        Ok::<_, Error>([first, bad.code, second, waited, again, third.0?, third.1?, none.code])
    });
    let trace = trace.answer(approved()).answer(rejected()).answer(decided("request_changes")).finish();
    let invalid = "pause_invalid_request";
    let expected =
        ["approved", invalid, "rejected", "approved", "rejected", "request_changes", "request_changes", invalid];
    assert_eq!(trace.result, Ok(json!(expected)));
}

#[test]
fn the_end_of_a_wait_is_no_default_decision() {
    let trace = start_future(async {
        let gate = pause("gate").expires_in(2 * HOUR).default_decision("rejected");
        let (paused, soon, late) = join!(
            decision(gate),
            decision(wait_for_resume("gate", Some(HOUR))),
            decision(wait_for_resume("gate", None))
        );
        Ok::<_, Error>([paused?, soon?, late?])
    });
    assert_eq!(trace.answer(expired()).finish().result, Ok(json!(["rejected", "expired", "rejected"])));
}

#[test]
fn a_link_needs_no_answer_but_the_id_of_a_pause_and_a_name() {
    let trace = start_future(async { review_link("gate#2", "ana").await }).finish();
    assert_eq!(trace.result, Ok(json!("https://countersign.invalid/r/gate#2/ana")));
    let ask = json!({"kind": "review_link", "approval_request_id": "gate#2", "reviewer": "ana"});
    assert_eq!(trace.asks, [ask]);
    for (id, reviewer) in [("a b", "ana"), ("gate", ""), ("gate", "@legal")] {
        let failed = error(start_future(async move { review_link(id, reviewer).await }).finish());
        assert_eq!(failed.code, "pause_invalid_request", "{id}, {reviewer}");
    }
}

#[test]
fn a_request_out_of_bounds_is_refused_by_the_name_of_its_field() {
    let gate = || pause("gate");
    let many = |n: usize| vec!["x".to_owned(); n];
    let cases: [(&str, Pause); 16] = [
        ("choices: ", gate().choices(["expired"])),
        ("feedback-required: ", gate().feedback_required(["no"])),
        ("default-decision: ", gate().default_decision("expired")),
        ("editable: ", gate().editable()),
        ("rejection: ", gate().rejection_by_majority()),
        ("stages: ", (0..9).fold(gate(), |pause, _| pause.stage(Stage::anyone()))),
        ("stages: ", gate().reviewers(many(65))),
        ("stages: ", gate().reviewers(["ana", "Ana"])),
        ("stages: ", gate().reviewers(["@Legal Department"])),
        ("stages: ", gate().reviewers(["ana"]).required(2)),
        ("reminders-ms: ", (0..17).fold(gate(), |pause, _| pause.remind_after(HOUR))),
        ("reminders-ms, escalations: ", gate().remind_after(367 * 24 * HOUR)),
        ("escalations: ", (0..9).fold(gate(), |pause, _| pause.escalate_after(HOUR, ["ana"]))),
        ("escalations: ", gate().escalate_after(HOUR, [" "])),
        ("notify: ", gate().notify(many(9))),
        ("escalations: notify: ", gate().escalate(Escalation::after(HOUR).notify(["a b"]))),
    ];
    for (field, pause) in cases {
        let why = refusal(pause);
        assert!(why.starts_with(field), "{why}");
    }
    let error = Error::from(PauseError::InvalidRequest("why".into()));
    assert_eq!(error.code, "pause_invalid_request");
}
