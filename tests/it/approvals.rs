//! Approvals by several people: who may decide, how many it takes, in which order, and what is done while they are
//! waited for.

mod forms;
mod names;
mod times;

use countersign::signature::Secret;
use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, Reply, until};
use serde_json::{Value, json};

/// A host with the testbed, and people who can decide.
struct Office {
    host: Host,
    api: Api,
    secret: Secret,
    model: Model,
    database: Database,
}

impl Office {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these environment variables of the host.
    async fn with(environment: &[(&str, &str)]) -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, environment).await;
        let api = host.api();
        api.deploy("testbed", guest("testbed")).await;
        let secret = api.secret().await;
        Self { host, api, secret, model, database }
    }

    /// A client with a reviewer's key of this name.
    async fn person(&self, name: &str) -> Api {
        self.key(name, "reviewer").await
    }

    async fn key(&self, name: &str, role: &str) -> Api {
        let key = self.api.post("/v1/keys", &json!({"name": name, "role": role})).await.expect(201);
        self.api.with_key(key["key"].as_str().expect("a key"))
    }

    /// Makes a group, or gives it these members.
    async fn group(&self, name: &str, members: &[&str]) {
        let group = self.api.request(reqwest::Method::PUT, &format!("/v1/groups/{name}"));
        let reply = countersign_tests::api::send(group.json(&json!({ "members": members }))).await;
        assert!(matches!(reply.status, 200 | 201), "{}", reply.body);
    }

    /// Starts an execution that asks for this, and returns the id of its open pause.
    async fn ask(&self, request: &Value) -> String {
        let id = self.api.start("testbed.approve", request).await;
        self.api.paused(&id, "only").await
    }

    async fn pause(&self, id: &str) -> Value {
        self.api.get(&format!("/v1/pauses/{id}")).await.expect(200)
    }

    /// What the agent was told, once its execution has finished.
    async fn told(&self, pause: &str) -> Value {
        let execution = self.api.finished(pause.split_once(':').expect("two parts").0).await;
        assert_eq!(execution["status"], "succeeded", "{execution}");
        execution["result"].clone()
    }
}

async fn approve(person: &Api, pause: &str) -> Reply {
    person.decide(pause, &json!({"decision": "approved"})).await
}

async fn reject(person: &Api, pause: &str) -> Reply {
    person.decide(pause, &json!({"decision": "rejected"})).await
}

fn two_of(names: &[&str]) -> Value {
    json!({"stages": [{"reviewers": names, "required": 2}]})
}

#[tokio::test]
async fn two_of_three_must_agree_and_the_agent_is_told_what_each_has_said() {
    let office = Office::new().await;
    let (ana, bob, eve) = (office.person("ana").await, office.person("bob").await, office.person("eve").await);
    let pause = office.ask(&two_of(&["ana", "bob", "carla"])).await;
    let open = office.pause(&pause).await;
    assert_eq!((&open["asked"], &open["votes"]), (&json!(["ana", "bob", "carla"]), &json!([])));
    assert_eq!(open["policy"]["stages"][0]["required"], 2);

    let reply = approve(&eve, &pause).await;
    assert_eq!((reply.status, reply.code()), (403, "not_asked"), "{}", reply.body);
    let first = json!({"decision": "approved", "feedback": "Fine."});
    let reply = ana.decide(&pause, &first).await.expect(200);
    assert_eq!((&reply["outcome"], &reply["pause"]["status"]), (&json!("recorded"), &json!("open")));
    assert_eq!(ana.decide(&pause, &first).await.expect(200)["outcome"], "duplicate");
    let reply = reject(&ana, &pause).await;
    assert_eq!((reply.status, reply.code()), (409, "already_voted"));
    assert_eq!(reply.body["voted"]["decision"], "approved", "the first vote is shown");
    let votes = office.pause(&pause).await["votes"].clone();
    assert_eq!((&votes[0]["reviewer"], &votes[0]["feedback"]), (&json!("ana"), &json!("Fine.")));

    let execution = pause.split_once(':').unwrap().0;
    assert_eq!(office.api.execution(execution).await["attempts"], 1, "a vote that decides nothing wakes nobody");
    let reply = approve(&bob, &pause).await.expect(200);
    assert_eq!((&reply["outcome"], &reply["pause"]["decision"]["reviewer"]), (&json!("accepted"), &json!("bob")));

    let told = office.told(&pause).await;
    assert_eq!(told["decision"], "approved");
    let votes: Vec<(&str, &str)> = told["votes"]
        .as_array()
        .expect("votes")
        .iter()
        .map(|vote| (vote["reviewer"].as_str().unwrap(), vote["decision"].as_str().unwrap()))
        .collect();
    assert_eq!(votes, [("ana", "approved"), ("bob", "approved")], "{told}");
    // Late, and each answered by what that reviewer has said.
    assert_eq!(ana.decide(&pause, &first).await.expect(200)["outcome"], "duplicate");
    assert_eq!(reject(&bob, &pause).await.code(), "already_decided");
    office.host.assert_unharmed();
}

#[tokio::test]
async fn the_first_refusal_decides_unless_it_takes_a_majority() {
    let office = Office::new().await;
    let (ana, bob, carla) = (office.person("ana").await, office.person("bob").await, office.person("carla").await);
    let mut request = two_of(&["ana", "bob", "carla"]);
    let pause = office.ask(&request).await;
    approve(&ana, &pause).await.expect(200);
    assert_eq!(reject(&bob, &pause).await.expect(200)["outcome"], "accepted");
    let told = office.told(&pause).await;
    assert_eq!((&told["decision"], &told["reviewer"]), (&json!("rejected"), &json!("bob")));

    request["rejection"] = json!("majority");
    let pause = office.ask(&request).await;
    assert_eq!(reject(&ana, &pause).await.expect(200)["outcome"], "recorded");
    assert_eq!(approve(&bob, &pause).await.expect(200)["outcome"], "recorded");
    assert_eq!(approve(&carla, &pause).await.expect(200)["outcome"], "accepted");
    assert_eq!(office.told(&pause).await["decision"], "approved");
}

#[tokio::test]
async fn a_claimed_reviewer_counts_and_is_marked_and_one_who_says_no_name_does_not_count() {
    let office = Office::new().await;
    let ana = office.person("ana").await;
    let pause = office.ask(&two_of(&["ana", "bob"])).await;
    let nobody = json!({"pause_id": pause, "decision": "approved"});
    let reply = office.api.webhook("default", &office.secret, "msg_1", &nobody).await;
    assert_eq!((reply.status, reply.code()), (422, "invalid_decision"), "{}", reply.body);
    for bad in ["", "@leads", "a\nb", " bob"] {
        let body = json!({"pause_id": pause, "decision": "approved", "reviewer": bad});
        assert_eq!(office.api.webhook("default", &office.secret, "msg_2", &body).await.status, 400, "{bad:?}");
    }
    let bob = json!({"pause_id": pause, "decision": "approved", "reviewer": "Bob"});
    let reply = office.api.webhook("default", &office.secret, "msg_3", &bob).await.expect(200);
    assert_eq!(reply["outcome"], "recorded");
    let again = office.api.webhook("default", &office.secret, "msg_3", &bob).await.expect(200);
    assert_eq!(again["outcome"], "duplicate");
    approve(&ana, &pause).await.expect(200);
    let told = office.told(&pause).await;
    let claimed: Vec<bool> = told["votes"].as_array().unwrap().iter().map(|vote| vote["claimed"] == true).collect();
    assert_eq!(claimed, [true, false], "{told}");
}

#[tokio::test]
async fn who_started_an_execution_may_not_approve_what_it_asks_for_not_even_through_a_called_agent() {
    let office = Office::new().await;
    let (ana, bob) = (office.key("ana", "operator").await, office.person("bob").await);
    for target in ["testbed.approve", "testbed.call"] {
        let request = json!({"forbid_self_approval": true});
        let input =
            if target == "testbed.call" { json!({"target": "testbed.approve", "input": request}) } else { request };
        let id = ana.start(target, &input).await;
        let pause = until("the pause is open", async || {
            let open = office.api.get("/v1/pauses?status=open").await.expect(200);
            Some(open["items"].as_array()?.first()?["id"].as_str()?.to_owned())
        })
        .await;
        let reply = approve(&ana, &pause).await;
        assert_eq!((reply.status, reply.code()), (403, "self_approval"), "{target}: {}", reply.body);
        let claimed = json!({"pause_id": pause, "decision": "approved", "reviewer": "Ana"});
        let reply =
            office.api.webhook("default", &office.secret, &format!("msg_{target}").replace('.', "_"), &claimed).await;
        assert_eq!((reply.status, reply.code()), (403, "self_approval"), "{target}: {}", reply.body);
        approve(&bob, &pause).await.expect(200);
        assert_eq!(office.api.finished(&id).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn a_stage_begins_when_the_one_before_has_approved_and_nobody_counts_at_two_of_them() {
    let office = Office::new().await;
    office.group("legal", &["ana", "bob"]).await;
    office.group("finance", &["bob", "carla", "dan"]).await;
    let (ana, bob) = (office.person("ana").await, office.person("bob").await);
    let (carla, dan) = (office.person("carla").await, office.person("dan").await);
    let stages = json!([{"reviewers": ["@legal"], "required": 1}, {"reviewers": ["@finance"], "required": 2}]);
    let pause = office.ask(&json!({"stages": stages})).await;
    assert_eq!(approve(&carla, &pause).await.code(), "not_asked", "her stage has not begun");
    let reply = approve(&bob, &pause).await.expect(200);
    assert_eq!((&reply["pause"]["stage"], &reply["pause"]["asked"]), (&json!(1), &json!(["@finance"])));
    assert_eq!(approve(&bob, &pause).await.expect(200)["outcome"], "duplicate", "his vote counts once");
    assert_eq!(approve(&ana, &pause).await.code(), "not_asked", "her stage is over");
    for_whom(&office, &pause, &[("ana", false), ("carla", true)]).await;
    approve(&carla, &pause).await.expect(200);
    assert_eq!(approve(&dan, &pause).await.expect(200)["outcome"], "accepted");
    let told = office.told(&pause).await;
    let stages: Vec<u64> = told["votes"].as_array().unwrap().iter().filter_map(|vote| vote["stage"].as_u64()).collect();
    assert_eq!(stages, [0, 1, 1], "{told}");
}

/// Whether each of these people finds the pause among those that wait for them.
async fn for_whom(office: &Office, pause: &str, people: &[(&str, bool)]) {
    for (name, expected) in people {
        let list = office.api.get(&format!("/v1/pauses?status=open&reviewer={name}")).await.expect(200);
        let found = list["items"].as_array().expect("a list").iter().any(|item| item["id"] == pause);
        assert_eq!(found, *expected, "{name}");
    }
}

#[tokio::test]
async fn members_of_a_group_count_as_they_are_at_the_time_of_the_vote() {
    let office = Office::new().await;
    office.group("leads", &["ana", "bob"]).await;
    let (ana, carla) = (office.person("ana").await, office.person("carla").await);
    let pause = office.ask(&json!({"stages": [{"reviewers": ["@leads"], "required": 2}]})).await;
    assert_eq!(approve(&carla, &pause).await.code(), "not_asked");
    office.group("leads", &["carla", "bob"]).await;
    assert_eq!(approve(&ana, &pause).await.code(), "not_asked", "she has left");
    assert_eq!(approve(&carla, &pause).await.expect(200)["outcome"], "recorded");
}

#[tokio::test]
async fn what_nobody_can_decide_any_more_expires_at_once() {
    let office = Office::new().await;
    let (ana, bob) = (office.person("ana").await, office.person("bob").await);
    let mut request = two_of(&["ana", "bob"]);
    request["choices"] = json!(["small", "large"]);
    // Its default decision is for when nobody decides in time.
    for default in [None, Some("large")] {
        request["default_decision"] = json!(default);
        let pause = office.ask(&request).await;
        ana.decide(&pause, &json!({"decision": "small"})).await.expect(200);
        let reply = bob.decide(&pause, &json!({"decision": "large"})).await.expect(200);
        assert_eq!((&reply["outcome"], &reply["pause"]["status"]), (&json!("recorded"), &json!("expired")));
        let told = office.told(&pause).await;
        assert_eq!(told["decision"], "expired");
        assert_eq!(bob.decide(&pause, &json!({"decision": "large"})).await.expect(200)["outcome"], "duplicate");
        assert_eq!(told["votes"].as_array().map(Vec::len), Some(2));
    }
}

#[tokio::test]
async fn a_pause_with_a_default_decision_is_not_decided_by_it_while_people_can_still_be_asked() {
    let office = Office::new().await;
    office.group("sec", &["ana", "carla"]).await;
    let (ana, carla, dan) = (office.person("ana").await, office.person("carla").await, office.person("dan").await);
    let stages = json!([{"reviewers": ["ana", "bob"], "required": 1}, {"reviewers": ["@sec"], "required": 2}]);
    let pause = office
        .ask(&json!({
            "stages": stages, "default_decision": "approved", "expires_in_ms": 3_600_000, "reminders_ms": [300]
        }))
        .await;
    // She is one of the two of the next stage, and may not vote again; another can still join them.
    assert_eq!(approve(&ana, &pause).await.expect(200)["pause"]["status"], "open");
    office.group("sec", &[]).await;
    let reminded = "select reminders_sent::bigint from pause";
    until("the reminder was sent", async || (office.database.number(reminded).await == 1).then_some(())).await;
    assert_eq!(office.pause(&pause).await["status"], "open", "an empty group decides nothing");
    office.group("sec", &["ana", "carla", "dan"]).await;
    approve(&carla, &pause).await.expect(200);
    assert_eq!(approve(&dan, &pause).await.expect(200)["outcome"], "accepted");
    assert_eq!(office.told(&pause).await["decision"], "approved");
}

#[tokio::test]
async fn a_person_counts_once_however_the_name_is_written() {
    let office = Office::new().await;
    let (emile, rene) = (office.person("\u{c9}mile").await, office.person("ren\u{e9}").await);
    let pause = office.ask(&two_of(&["\u{e9}mile", "Ren\u{e9}", "zo\u{eb}"])).await;
    assert_eq!(approve(&emile, &pause).await.expect(200)["outcome"], "recorded");
    let claim = |name: &str| json!({"pause_id": pause, "decision": "approved", "reviewer": name});
    let again = office.api.webhook("default", &office.secret, "msg_1", &claim("\u{e9}MILE")).await.expect(200);
    assert_eq!(again["outcome"], "duplicate");
    let list = office.api.get("/v1/pauses?status=open&reviewer=ZO%C3%8B").await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(approve(&rene, &pause).await.expect(200)["outcome"], "accepted");
}

#[tokio::test]
async fn an_early_decision_of_another_is_not_taken_for_a_repetition() {
    let office = Office::new().await;
    let (ana, bob) = (office.person("ana").await, office.person("bob").await);
    let id = office.api.start("testbed.pauses", &json!({"n": 2})).await;
    office.api.paused(&id, "p0").await;
    let early = format!("{id}:p1");
    assert_eq!(approve(&ana, &early).await.expect(200)["outcome"], "accepted");
    assert_eq!(approve(&ana, &early).await.expect(200)["outcome"], "duplicate");
    let reply = approve(&bob, &early).await;
    assert_eq!((reply.status, reply.code()), (409, "not_open_yet"), "{}", reply.body);
}

#[tokio::test]
async fn many_can_approve_a_large_payload_without_sending_it_back() {
    let office = Office::new().await;
    let payload = json!({"text": "x".repeat(250_000)});
    let pause = office
        .ask(&json!({
            "payload": payload, "editable": true, "stages": [{"reviewers": [], "required": 18}]
        }))
        .await;
    for number in 1..=18 {
        let person = office.person(&format!("person {number}")).await;
        let outcome = if number == 18 { "accepted" } else { "recorded" };
        assert_eq!(approve(&person, &pause).await.expect(200)["outcome"], outcome);
    }
    assert_eq!(office.told(&pause).await["response"], payload);
}

#[tokio::test]
async fn an_early_decision_is_the_first_vote_if_its_reviewer_is_asked() {
    let office = Office::with(&[("COUNTERSIGN_CONCURRENCY", "1")]).await;
    let (ana, bob, eve) = (office.person("ana").await, office.person("bob").await, office.person("eve").await);
    for (early, votes) in [(&ana, 1), (&eve, 0)] {
        // The only worker waits for a model, so that this one has not paused yet.
        let calls = office.model.calls();
        office.model.hold();
        office.api.start("testbed.many_ai", &json!({"n": 1})).await;
        until("the model is asked", async || (office.model.calls() > calls).then_some(())).await;
        let id = office.api.start("testbed.approve", &two_of(&["ana", "bob"])).await;
        let pause = format!("{id}:only");
        assert_eq!(approve(early, &pause).await.expect(200)["pause"]["status"], "early");
        office.model.release();
        office.api.paused(&id, "only").await;
        assert_eq!(office.pause(&pause).await["votes"].as_array().map(Vec::len), Some(votes));
        if votes == 0 {
            approve(&ana, &pause).await.expect(200);
        }
        approve(&bob, &pause).await.expect(200);
        assert_eq!(office.told(&pause).await["decision"], "approved");
    }
}

#[tokio::test]
async fn votes_that_race_are_counted_each_once_and_decide_once() {
    let office = Office::new().await;
    let names: Vec<String> = (0..8).map(|number| format!("person {number}")).collect();
    let mut people = vec![];
    for name in &names {
        people.push(office.person(name).await);
    }
    let pause = office.ask(&json!({"stages": [{"reviewers": names, "required": 5}]})).await;
    // Everybody twice, all at once.
    let votes = people.iter().chain(&people).map(|person| approve(person, &pause));
    let replies = futures::future::join_all(votes).await;
    let count = |what: &str| replies.iter().filter(|reply| reply.body["outcome"] == what).count();
    assert_eq!((count("accepted"), count("recorded")), (1, 4));
    let rest = replies.iter().filter(|reply| reply.body["outcome"] == "duplicate" || reply.code() == "already_decided");
    assert_eq!(rest.count(), 11, "{:?}", replies.iter().map(|reply| reply.body.to_string()).collect::<Vec<_>>());
    assert_eq!(office.told(&pause).await["votes"].as_array().map(Vec::len), Some(5));
}
