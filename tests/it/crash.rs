//! `kill -9` at every point of the host that has a name: whatever was in hand, the end is as if nothing had happened.

mod approvals;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Mutex;

use countersign::signature::Secret;
use countersign_tests::api::try_send;
use countersign_tests::build::{guest, root};
use countersign_tests::{Api, Database, Host, Model, PATIENCE, Reply};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::audit::{entries, verified};

/// The points that a run of `publish_with_review` passes, how often it surely does, and up to which pass they are tried.
const REVIEW_POINTS: [(&str, u32, u32); 14] = [
    ("after_claim", 4, 5),
    ("after_replay", 4, 5),
    ("before_ai", 2, 2),
    ("after_ai", 2, 2),
    ("before_append", 5, 5),
    ("after_append", 5, 5),
    // The last suspend waits for the call, and is not needed if the child is faster.
    ("before_suspend", 2, 3),
    ("after_suspend", 2, 3),
    ("before_decide_commit", 2, 2),
    ("after_decide_commit", 2, 2),
    ("before_call", 1, 1),
    ("after_call", 1, 1),
    ("before_settle", 2, 2),
    ("after_settle", 2, 2),
];

/// The points that only a pause passes which nobody decides in time.
const EXPIRY_POINTS: [&str; 2] = ["before_expire", "after_expire"];

/// The points that every host passes some time after something was done.
const SEAL_POINTS: [&str; 2] = ["before_seal", "after_seal"];

/// How many hosts die side by side.
const LANES: usize = 3;

/// A death: at the n-th pass of a point; and whether a run surely gets there.
#[derive(Clone, Debug)]
struct Death {
    point: &'static str,
    nth: u32,
    sure: bool,
    /// Where the next host dies, the one that takes up what this one left; or nowhere.
    again: Option<&'static str>,
}

/// What a client saw of one execution.
struct Run {
    id: String,
    execution: Value,
    /// What became of each delivered decision, once a host had answered it, and whether it had to be sent again.
    outcomes: BTreeMap<String, (String, bool)>,
    deaths: usize,
}

/// A database and a host on it, which dies often.
struct Lane {
    database: Database,
    host: Host,
    model: Model,
    secret: Secret,
    /// With what environment the hosts to come start, the next one last.
    lives: Vec<String>,
    deaths: usize,
}

impl Lane {
    /// `pipeline` is the component of `publish_with_review`, in one of the languages.
    async fn new(pipeline: &str) -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start(&database, &model).await;
        let api = host.api();
        api.deploy("content-pipeline", guest(pipeline)).await;
        api.deploy("publisher", guest("publisher")).await;
        api.deploy("testbed", guest("testbed")).await;
        let secret = api.secret().await;
        Self { database, host, model, secret, lives: vec![], deaths: 0 }
    }

    /// Starts the host anew, to die as it is told to, and its successors too.
    async fn doom(&mut self, lives: impl IntoIterator<Item = String>) {
        self.lives = lives.into_iter().collect();
        self.lives.reverse();
        self.host.kill();
        self.start_next().await;
        self.deaths = 0;
    }

    /// Starts the next host; the one after it, if that one dies before it listens.
    async fn start_next(&mut self) {
        loop {
            let crash_at = self.lives.pop().unwrap_or_default();
            if self.host.try_restart(&[("COUNTERSIGN_CRASH_AT", &crash_at)]).await {
                return;
            }
            self.deaths += 1;
            self.host.kill();
        }
    }

    /// Starts the next host if this one has died.
    async fn revive(&mut self) {
        if self.host.is_dead() {
            self.deaths += 1;
            self.host.kill();
            self.start_next().await;
        }
    }

    /// Sends a request again and again until some host answers it.
    async fn ask(&mut self, request: impl Fn(&Api) -> RequestBuilder) -> Reply {
        let began = std::time::Instant::now();
        loop {
            self.revive().await;
            if let Ok(reply) = try_send(request(&self.host.api())).await {
                return reply;
            }
            assert!(began.elapsed() < PATIENCE, "no host answers");
        }
    }

    /// Runs a function to its end; decides its pauses as they open.
    async fn run(&mut self, target: &str, input: &Value) -> Run {
        let (key, body) = (uuid::Uuid::now_v7().to_string(), json!({"target": target, "input": input}));
        let start = |api: &Api| {
            let request = api.request(Method::POST, "/v1/executions").json(&body);
            request.header("idempotency-key", &key)
        };
        let started = self.ask(start).await;
        assert!(matches!(started.status, 200 | 202), "{}", started.body);
        let id = started.body["id"].as_str().expect("an id").to_owned();
        let (began, mut outcomes) = (std::time::Instant::now(), BTreeMap::new());
        loop {
            let execution = self.ask(|api| api.request(Method::GET, &format!("/v1/executions/{id}"))).await.expect(200);
            if !execution["finished_at"].is_null() {
                return Run { id, execution, outcomes, deaths: self.deaths };
            }
            let open = execution["waiting_for"]["pauses"].as_array().cloned().unwrap_or_default();
            for pause in open.iter().filter_map(Value::as_str) {
                if !outcomes.contains_key(pause) {
                    let outcome = self.deliver(pause).await;
                    outcomes.insert(pause.to_owned(), outcome);
                }
            }
            assert!(began.elapsed() < PATIENCE, "it never ends: {execution}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Sends a pause's decision as a signed webhook, the same one again until it is answered.
    async fn deliver(&mut self, pause: &str) -> (String, bool) {
        let (secret, id) = (self.secret.clone(), pause.replace(':', "-"));
        let body = json!({"pause_id": pause, "decision": "approved", "feedback": "Shorter.", "reviewer": "Ada"});
        let sent = Cell::new(0);
        let request = |api: &Api| {
            sent.set(sent.get() + 1);
            api.webhook_request("default", &secret, &id, &body)
        };
        let reply = self.ask(request).await.expect(200);
        (reply["outcome"].as_str().expect("an outcome").to_owned(), sent.get() > 1)
    }

    async fn children(&self, parent: &str) -> i64 {
        let count = sqlx::query_scalar("select count(*) from execution where parent_id = $1").bind(parent);
        count.fetch_one(&self.database.pool).await.expect("the rows are readable")
    }

    /// How often the model was asked for each ask of the execution, by the number of the ask.
    fn ledger(&self, id: &str) -> BTreeMap<u64, (usize, BTreeSet<String>)> {
        let mut ledger = BTreeMap::new();
        for asked in self.model.asked() {
            let Some((execution, op)) = asked.idempotency_key.rsplit_once('-') else { continue };
            if execution == id {
                let entry: &mut (usize, BTreeSet<String>) = ledger.entry(op.parse().expect("a number")).or_default();
                entry.0 += 1;
                entry.1.insert(asked.prompt);
            }
        }
        ledger
    }
}

/// How often the model may have been asked for the first and the second `ai`, when the host died at `death`: twice only
/// where it had answered and the answer was not yet in the journal.
fn expected_calls(death: &Death) -> [usize; 2] {
    match (death.point, death.nth) {
        ("after_ai" | "before_append", 1) => [2, 1],
        ("after_ai", 2) | ("before_append", 3) => [1, 2],
        _ => [1, 1],
    }
}

/// Checks from outside that a run of `publish_with_review` left what one without any death leaves.
async fn check_review(lane: &Lane, run: &Run, death: &Death) {
    assert_eq!(run.execution["status"], "succeeded", "{death:?}: {}", run.execution);
    assert_eq!(run.execution["result"], json!({"status": "approved"}), "{death:?}");

    let prompts = ["a launch", "Draft: echo: a launch\nFeedback: Shorter."];
    let [first, second] = expected_calls(death);
    let expected = BTreeMap::from([
        (0, (first, BTreeSet::from([prompts[0].to_owned()]))),
        (2, (second, BTreeSet::from([prompts[1].to_owned()]))),
    ]);
    assert_eq!(lane.ledger(&run.id), expected, "{death:?}");

    let api = lane.host.api();
    let journal = api.journal(&run.id).await;
    let of = |name: &str| journal.iter().map(|entry| entry[name].as_u64().expect("a number")).collect::<Vec<_>>();
    assert_eq!((of("seq"), of("op")), ((0..5).collect(), (0..5).collect()), "{death:?}");
    let kinds: Vec<_> = journal.iter().map(|entry| entry["ask"]["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["ai", "pause", "ai", "pause", "call"], "{death:?}");

    assert_eq!(lane.children(&run.id).await, 1, "{death:?}");
    let pauses = api.all(&format!("/v1/pauses?execution={}&limit=100", run.id)).await;
    let via: Vec<_> = pauses.iter().map(|pause| pause["decision"]["via"].as_str().expect("it is decided")).collect();
    let delivery = |name: &str| format!("webhook:{}-{name}", run.id);
    assert_eq!(via, [delivery("draft-review"), delivery("final-approval")], "{death:?}");

    // Killed after the commit, the host had taken the decision, and says so when it comes again. It may also be killed by
    // what follows from the decision, before its answer is sent.
    assert_eq!(run.outcomes.len(), 2, "{death:?}");
    for (nth, (outcome, sent_again)) in (1..).zip(run.outcomes.values()) {
        let is_known = match outcome.as_str() {
            "duplicate" => *sent_again,
            "accepted" => death.point != "after_decide_commit" || death.nth != nth,
            _ => false,
        };
        assert!(is_known, "{death:?}: decision {nth} is {outcome}, sent again: {sent_again}");
    }
    check_log(lane, run).await;
}

/// Checks that the audit log has each change of a run once, and is one chain.
async fn check_log(lane: &Lane, run: &Run) {
    let api = lane.host.api();
    let log = entries(&api).await;
    let of_run = log.iter().filter(|entry| entry["subject"].as_str().expect("a text").starts_with(&run.id));
    let actions: Vec<_> = of_run.map(|entry| entry["action"].as_str().expect("a text")).collect();
    assert_eq!(actions, ["execution.started", "pause.decided", "pause.decided"]);
    assert_eq!(verified(&api).await.seq, log.len() as u64);
}

/// Runs all deaths, some side by side.
async fn die_at(pipeline: &str, deaths: Vec<Death>) {
    let deaths = Mutex::new(VecDeque::from(deaths));
    let lane = async |_| {
        let mut lane = Lane::new(pipeline).await;
        loop {
            let Some(death) = deaths.lock().expect("no panic under this lock").pop_front() else { return };
            let first = format!("{}:{}", death.point, death.nth);
            lane.doom([first].into_iter().chain(death.again.map(|point| format!("{point}:1")))).await;
            let mut run = lane.run("content-pipeline.publish_with_review", &json!({"brief": "a launch"})).await;
            let expected = 1 + usize::from(death.again.is_some());
            if death.sure && run.deaths < expected {
                // The end may be visible just before the host dies.
                assert!(lane.host.died().await, "{death:?}: the host passed by");
                lane.revive().await;
                run.deaths = lane.deaths;
            }
            assert!(run.deaths <= expected && (run.deaths == expected || !death.sure), "{death:?}: {}", run.deaths);
            lane.revive().await;
            check_review(&lane, &run, &death).await;
        }
    };
    futures::future::join_all((0..LANES).map(lane)).await;
}

#[tokio::test]
async fn a_host_killed_at_any_point_leaves_nothing_undone_and_nothing_doubled() {
    let passes = REVIEW_POINTS.into_iter().flat_map(|(point, sure, tried)| {
        (1..=tried).map(move |nth| Death { point, nth, sure: nth <= sure, again: None })
    });
    die_at("publish_with_review", passes.collect()).await;
}

/// At the last pass of each point that is sure: the one with the most to replay.
fn last_passes() -> Vec<Death> {
    REVIEW_POINTS.into_iter().map(|(point, sure, _)| Death { point, nth: sure, sure: true, again: None }).collect()
}

#[tokio::test]
async fn a_host_killed_at_any_point_changes_nothing_for_an_agent_in_python() {
    die_at("publish_with_review_python", last_passes()).await;
}

#[tokio::test]
async fn a_host_killed_at_any_point_changes_nothing_for_an_agent_in_typescript() {
    die_at("publish_with_review_typescript", last_passes()).await;
}

#[tokio::test]
async fn a_host_that_dies_again_while_it_takes_up_what_the_dead_one_left_changes_nothing() {
    // The decision and the settling leave nothing to replay: the next host dies only if there is work in hand.
    let points = REVIEW_POINTS.into_iter().filter(|(point, ..)| !point.contains("decide") && *point != "after_settle");
    let deaths = points.map(|(point, ..)| Death { point, nth: 1, sure: true, again: Some("after_replay") });
    die_at("publish_with_review", deaths.collect()).await;
}

#[tokio::test]
async fn an_execution_whose_host_dies_after_every_single_answer_still_ends() {
    let mut lane = Lane::new("publish_with_review").await;
    lane.doom(["after_append:1"; 5].map(ToOwned::to_owned)).await;
    let run = lane.run("content-pipeline.publish_with_review", &json!({"brief": "a launch"})).await;
    assert_eq!(run.deaths, 5);
    check_review(&lane, &run, &Death { point: "after_append", nth: 0, sure: true, again: None }).await;
}

#[tokio::test]
async fn a_pause_that_expires_while_its_host_is_killed_expires_once() {
    let mut lane = Lane::new("publish_with_review").await;
    for point in EXPIRY_POINTS {
        lane.doom([point.to_owned()]).await;
        // So soon that the worker waits for it with the agent in memory: later ones are the timekeeper's.
        let id = lane.host.api().start("testbed.pause_once", &json!({"expires_in_ms": 5})).await;
        assert!(lane.host.died().await, "the host passed {point} by");
        lane.revive().await;
        let api = lane.host.api();
        let execution = api.finished(&id).await;
        assert_eq!(execution["result"]["decision"], "expired", "{point}: {execution}");
        assert_eq!(api.journal(&id).await.len(), 1, "{point}");
        let pauses = api.all(&format!("/v1/pauses?execution={id}&limit=100")).await;
        let [pause] = pauses.as_slice() else { panic!("{point}: {pauses:?}") };
        assert_eq!((&pause["status"], &pause["decision"]), (&json!("expired"), &Value::Null), "{point}");
    }
}

#[tokio::test]
async fn a_host_that_is_killed_while_it_seals_the_audit_log_leaves_every_entry_in_it_once() {
    let mut lane = Lane::new("publish_with_review").await;
    for (point, deaths) in SEAL_POINTS.into_iter().zip([2, 1]) {
        lane.doom(vec![format!("{point}:1"); deaths]).await;
        let run = lane.run("content-pipeline.publish_with_review", &json!({"brief": "a launch"})).await;
        while lane.deaths < deaths {
            assert!(lane.host.died().await, "{point}: the host passed by");
            lane.revive().await;
        }
        check_log(&lane, &run).await;
    }
}

#[test]
fn every_crash_point_of_the_host_is_named_here() {
    let mut found = BTreeSet::new();
    collect_points(&root().join("host/src"), &mut found);
    let tested = REVIEW_POINTS.iter().map(|(point, ..)| *point).chain(EXPIRY_POINTS).chain(SEAL_POINTS);
    let tested = tested.chain(approvals::POINTS);
    let tested = tested.chain(crate::notifications::deaths::POINTS.iter().map(|(point, _)| *point));
    assert_eq!(found, tested.map(ToOwned::to_owned).collect());
}

fn collect_points(path: &Path, found: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a readable folder") {
            collect_points(&entry.expect("a readable folder").path(), found);
        }
        return;
    }
    let source = std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    for after in source.split("crash::point(").skip(1) {
        let name = after.strip_prefix('"').and_then(|after| after.split('"').next());
        found.insert(name.unwrap_or_else(|| panic!("{}: a point needs a literal name", path.display())).to_owned());
    }
}
