//! 10,000 pauses, each decided four times at once through two hosts, half of them in contradiction: counted from outside.

use std::time::Instant;

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, Reply};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use super::decisions;
use crate::report;

const PAUSES: usize = 10_000;
const AT_ONCE: usize = 8;

/// What became of the deliveries for one pause.
#[derive(Default)]
struct Count {
    accepted: usize,
    duplicate: usize,
    refused: usize,
}

pub(crate) async fn measure() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start_with(&database, &model, &[("COUNTERSIGN_LOG", "info")]).await;
    crate::lift_quotas(&database).await;
    let other = Host::start_with(&database, &model, &[("COUNTERSIGN_LOG", "info")]).await;
    let (api, second) = (host.api(), other.api());
    api.deploy("testbed", guest("testbed")).await;
    let ids = decisions::open(&api, &database, PAUSES).await;

    let began = Instant::now();
    let counts: Vec<Count> = stream::iter(ids.iter().enumerate())
        .map(|(number, id)| contest(&api, &second, id, number))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let sum = |part: fn(&Count) -> usize| counts.iter().map(part).sum::<usize>();
    let (accepted, duplicate, refused) = (sum(|c| c.accepted), sum(|c| c.duplicate), sum(|c| c.refused));
    report("deliveries", &(4 * PAUSES).to_string(), &format!("in {:.1?}", began.elapsed()));
    report("accepted", &accepted.to_string(), "one of each pause");
    report("duplicates of it", &duplicate.to_string(), "");
    report("409, with the one that was accepted", &refused.to_string(), "");
    assert!(counts.iter().all(|count| count.accepted == 1), "a pause was decided twice, or not at all");
    assert_eq!(accepted + duplicate + refused, 4 * PAUSES);
    let decided = database.number("select count(*) from pause where status = 'decided' and approval_request_id = 'p0'");
    assert_eq!(decided.await, PAUSES as i64);
}

/// Two decisions, each sent twice, through two hosts at once. Of every second pause they contradict each other.
async fn contest(api: &Api, second: &Api, id: &str, number: usize) -> Count {
    let one = json!({"decision": "approved", "feedback": "one"});
    let two = if number.is_multiple_of(2) { json!({"decision": "rejected", "feedback": "two"}) } else { one.clone() };
    let pause = format!("{id}:p0");
    let sent = [(api, &one), (second, &two), (second, &one), (api, &two)];
    let replies: Vec<Reply> = join_all(sent.map(|(api, decision)| api.decide(&pause, decision))).await;
    let of = |value: &Value| (value["decision"].clone(), value["feedback"].clone());
    let winner = replies.iter().find(|reply| reply.body["outcome"] == "accepted").expect("one was accepted");
    let winner = of(&winner.body["pause"]["decision"]);
    let mut count = Count::default();
    for (reply, (_, decision)) in replies.iter().zip(sent) {
        match (reply.status, reply.body["outcome"].as_str()) {
            (200, Some("accepted")) => count.accepted += 1,
            (200, Some("duplicate")) => {
                assert_eq!(of(decision), winner, "a duplicate of another decision");
                count.duplicate += 1;
            }
            (409, _) => {
                assert_eq!(of(&reply.body["decided"]), winner, "the loser was shown another winner");
                assert_ne!(of(decision), winner);
                count.refused += 1;
            }
            other => panic!("{other:?}: {}", reply.body),
        }
    }
    count
}
