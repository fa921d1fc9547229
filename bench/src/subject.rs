//! What is measured: a host with the agents, or the flow written by hand; each a process of its own, on a database of its
//! own in the same Postgres.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use countersign::signature::{self, Secret};
use countersign_tests::api::{now, send};
use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::observer::Observer;

/// What is asked of the agent, and what its editor says.
const BRIEF: &str = "Announce that our reading app now works without a network, for people who read on trains.";
const FEEDBACK: &str = "Shorter, please, and mention that it is free until the end of the year.";

const BARE_KEY: &str = "a key";

/// Which runs have a pause open, or have ended, among those whose ids are given.
const OF_COUNTERSIGN: &str = "select e.execution_id, e.pause
    from unnest($1::text[]) as wanted (id)
    cross join lateral (
        select execution_id, finished_at, (
            select approval_request_id from pause p
            where p.tenant_id = of.tenant_id and p.execution_id = wanted.id and p.status = 'open' limit 1
        ) as pause
        from execution of where tenant_id = 'default' and execution_id = wanted.id limit 1
    ) e
    where e.finished_at is not null or e.pause is not null";
const OF_BARE: &str = "select r.id, case r.state when 'finished' then null else r.state end
    from unnest($1::text[]) as wanted (id) join run r on r.id = wanted.id
    where r.state in ('draft-review', 'final-approval', 'finished')";

pub(crate) struct Subject {
    pub(crate) database: Database,
    pub(crate) observer: Observer,
    api: Api,
    secret: Secret,
    /// Where runs start and decisions go, and how a start is said.
    start: (&'static str, Value),
    decide: &'static str,
    pub(crate) process: Process,
}

pub(crate) enum Process {
    Host(Host, #[expect(dead_code, reason = "kept for as long as the host")] Model),
    Bare(Child),
}

impl Subject {
    /// A host with the agents of the workload, whose model answers at once.
    pub(crate) async fn countersign() -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, &environment()).await;
        crate::lift_quotas(&database).await;
        let api = host.api();
        api.deploy("content-pipeline", guest("publish_with_review")).await;
        api.deploy("publisher", guest("publisher")).await;
        api.deploy("testbed", guest("testbed")).await;
        let secret = api.secret().await;
        Self {
            observer: Observer::start(&database.url, OF_COUNTERSIGN),
            start: (
                "/v1/executions",
                json!({"target": "content-pipeline.publish_with_review", "input": {"brief": BRIEF}}),
            ),
            decide: "/v1/webhooks/default",
            database,
            api,
            secret,
            process: Process::Host(host, model),
        }
    }

    /// The same flow, written by hand.
    pub(crate) async fn bare() -> Self {
        let database = Database::new().await;
        let secret = Secret::from_bytes([9; 32]);
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["bare", &database.url, &secret.expose(), BARE_KEY])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut address = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        said.read_line(&mut address).expect("it says where it is");
        Self {
            observer: Observer::start(&database.url, OF_BARE),
            api: Api::new(&format!("http://{}", address.trim()), BARE_KEY),
            start: ("/runs", json!({"brief": BRIEF})),
            decide: "/webhooks",
            database,
            secret,
            process: Process::Bare(child),
        }
    }

    /// Starts a run, and returns its id.
    pub(crate) async fn start(&self) -> String {
        let (path, body) = &self.start;
        let reply = self.api.post(path, body).await;
        assert!(matches!(reply.status, 200 | 202), "{}", reply.body);
        reply.body["id"].as_str().expect("an id").to_owned()
    }

    /// Starts a run of another agent of a host.
    pub(crate) async fn start_other(&self, target: &str, input: &Value) -> String {
        self.api.start(target, input).await
    }

    /// Deploys a guest of the tests to a host.
    pub(crate) async fn deploy(&self, agent: &str, name: &str) {
        self.api.deploy(agent, guest(name)).await;
    }

    /// Sends a signed decision, and returns whether it was taken.
    pub(crate) async fn decide(&self, run: &str, pause: &str) -> bool {
        let body =
            json!({"execution_id": run, "approval_request_id": pause, "decision": "approved", "feedback": FEEDBACK});
        let (body, id, now) = (body.to_string(), Uuid::now_v7().to_string(), now());
        let signature = signature::sign(&self.secret, &id, now, body.as_bytes());
        let request = self.api.anonymous(Method::POST, self.decide).header("content-type", "application/json");
        let request = request.header("webhook-id", id).header("webhook-timestamp", now);
        send(request.header("webhook-signature", signature).body(body)).await.status == 200
    }

    pub(crate) fn host(&self) -> &Host {
        match &self.process {
            Process::Host(host, _) => host,
            Process::Bare(_) => panic!("it is not a host"),
        }
    }

    pub(crate) fn host_mut(&mut self) -> &mut Host {
        match &mut self.process {
            Process::Host(host, _) => host,
            Process::Bare(_) => panic!("it is not a host"),
        }
    }

    /// The host was started again, and listens elsewhere.
    pub(crate) fn find_host(&mut self) {
        self.api = self.host().api();
    }
}

/// As an operator would run it, with the model that is built in.
fn environment() -> [(&'static str, &'static str); 3] {
    [
        ("COUNTERSIGN_LOG", "warn,countersign=info"),
        ("COUNTERSIGN_AI_MODEL", "rehearsal"),
        ("COUNTERSIGN_LEASE_SECONDS", "30"),
    ]
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Self::Bare(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
