use super::*;

fn stage(reviewers: &[&str], required: u32) -> ApprovalStage {
    ApprovalStage { reviewers: reviewers.iter().map(ToString::to_string).collect(), required }
}

fn request() -> ApprovalRequest {
    ApprovalRequest { approval_request_id: "x".into(), ..ApprovalRequest::default() }
}

/// What a stage that asks `asked` has come to after these votes, of reviewers `a`, `b`, `c` … in turn.
fn after(asked: &[&str], required: u32, rejection: RejectionRule, votes: &[&str]) -> Standing {
    let names: Vec<String> = (b'a'..).take(votes.len()).map(|letter| char::from(letter).to_string()).collect();
    let votes: Vec<Cast<'_>> =
        names.iter().zip(votes).map(|(reviewer, decision)| Cast { reviewer, decision }).collect();
    let set: BTreeSet<String> = asked.iter().map(ToString::to_string).collect();
    standing(&stage(asked, required), rejection, (!asked.is_empty()).then_some(&set), &votes, false)
}

#[test]
fn so_many_as_are_required_must_agree() {
    use Standing::{Approved, Open, Refused, Undecidable};
    let first = RejectionRule::First;
    assert_eq!(after(&["a", "b", "c"], 2, first, &["approved"]), Open);
    assert_eq!(after(&["a", "b", "c"], 2, first, &["approved", "approved"]), Approved);
    assert_eq!(after(&["a", "b", "c"], 2, first, &["approved", "rejected"]), Refused);
    assert_eq!(after(&[], 2, first, &["approved"]), Open);
    assert_eq!(after(&[], 2, first, &["approved", "approved"]), Approved);
    assert_eq!(after(&["a", "b", "c"], 2, first, &["small", "large"]), Open);
    assert_eq!(after(&["a", "b", "c"], 2, first, &["small", "large", "large"]), Approved);
    assert_eq!(after(&["a", "b"], 2, first, &["small", "large"]), Undecidable);
}

#[test]
fn by_majority_a_refusal_decides_only_when_the_others_are_too_few() {
    use Standing::{Approved, Open, Refused};
    let majority = RejectionRule::Majority;
    assert_eq!(after(&["a", "b", "c"], 2, majority, &["rejected"]), Open);
    assert_eq!(after(&["a", "b", "c"], 2, majority, &["rejected", "approved"]), Open);
    assert_eq!(after(&["a", "b", "c"], 2, majority, &["rejected", "approved", "approved"]), Approved);
    assert_eq!(after(&["a", "b", "c"], 2, majority, &["rejected", "approved", "request_changes"]), Refused);
    assert_eq!(after(&["a", "b", "c"], 3, majority, &["rejected"]), Refused, "two cannot be three");
    assert_eq!(after(&["a", "b", "c", "d", "e"], 1, majority, &["rejected", "rejected"]), Open);
    assert_eq!(after(&["a", "b", "c", "d", "e"], 1, majority, &["rejected", "rejected", "rejected"]), Refused);
    assert_eq!(after(&[], 2, majority, &["rejected"]), Open);
    assert_eq!(after(&[], 2, majority, &["rejected", "rejected"]), Refused);
}

/// Whatever is voted, in whichever order: once everybody has voted, a stage is not open any more.
#[test]
fn a_stage_never_stays_open_when_everybody_has_voted() {
    let words = ["approved", "rejected", "small"];
    let people = ["a", "b", "c", "d"];
    for size in 1..=4_usize {
        for required in 1..=size as u32 {
            for rejection in [RejectionRule::First, RejectionRule::Majority] {
                for code in 0..words.len().pow(size as u32) {
                    let votes: Vec<&str> =
                        (0..size).map(|place| words[code / words.len().pow(place as u32) % words.len()]).collect();
                    let ends = (1..=size).map(|some| after(&people[..size], required, rejection, &votes[..some]));
                    let ends: Vec<Standing> = ends.collect();
                    assert!(
                        ends.iter().any(|standing| *standing != Standing::Open),
                        "{required} of {size}, {rejection:?}, {votes:?}: {ends:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_stage_is_not_given_up_while_others_will_be_asked() {
    let asked: BTreeSet<String> = ["a", "b"].map(Into::into).into();
    let votes = [Cast { reviewer: "a", decision: "small" }, Cast { reviewer: "b", decision: "large" }];
    let two = stage(&["a", "b"], 2);
    assert_eq!(standing(&two, RejectionRule::First, Some(&asked), &votes, true), Standing::Open);
    assert_eq!(standing(&two, RejectionRule::First, Some(&asked), &votes, false), Standing::Undecidable);
}

#[test]
fn the_steps_of_a_pause_are_in_the_order_of_their_times() {
    let escalation = |after_ms| Escalation { after_ms, reviewers: vec!["@leads".into()], notify: vec!["pager".into()] };
    let plan =
        Plan::of(&ApprovalRequest { reminders_ms: vec![300, 100], escalations: vec![escalation(200)], ..request() })
            .unwrap();
    assert_eq!(plan.timetable.iter().map(|step| step.after_ms).collect::<Vec<_>>(), [100, 200, 300]);
    assert_eq!(plan.groups(), BTreeSet::from(["leads"]));
    assert_eq!(plan.endpoints(), BTreeSet::from(["pager"]));
    assert_eq!(plan.policy, None);
}

#[test]
fn a_request_that_asks_for_what_cannot_be_is_refused_by_the_name_of_its_field() {
    let named = |names: &[&str]| ApprovalRequest { stages: vec![stage(names, 1)], ..request() };
    let late = Escalation { after_ms: 1, reviewers: vec![" ana".into()], notify: vec![] };
    let cases = [
        ("stages", ApprovalRequest { stages: vec![stage(&["ana", "bob"], 3)], ..request() }),
        ("stages", ApprovalRequest { stages: vec![stage(&[], 0)], ..request() }),
        ("stages", ApprovalRequest { stages: vec![stage(&[], 1); STAGES_MAX + 1], ..request() }),
        ("stages", named(&["ana", "Ana"])),
        ("stages", named(&["@Leads"])),
        ("stages", named(&[""])),
        ("stages", named(&["a\nb"])),
        ("stages", named(&["x"; REVIEWERS_MAX + 1])),
        ("rejection", ApprovalRequest { rejection: RejectionRule::Majority, ..request() }),
        ("reminders-ms", ApprovalRequest { reminders_ms: vec![1; REMINDERS_MAX + 1], ..request() }),
        ("escalations", ApprovalRequest { escalations: vec![late], ..request() }),
        ("notify", ApprovalRequest { notify: vec!["http://x".into()], ..request() }),
    ];
    for (field, request) in cases {
        let why = Plan::of(&request).unwrap_err();
        assert!(why.starts_with(field), "{field}: {why}");
    }
    let of_group = ApprovalRequest { stages: vec![stage(&["@leads"], 3)], ..request() };
    assert!(Plan::of(&of_group).is_ok(), "a group may have three members");
}
