//! Links for reviewers, and the page that they lead to.

mod forged;
mod forms;
mod hidden;

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, until};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::{Value, json};

use crate::command::{Folder, Said};

/// A host with the testbed, and a browser that goes nowhere by itself.
struct Desk {
    host: Host,
    api: Api,
    model: Model,
    client: Client,
    _database: Database,
}

/// What a browser got.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    status: u16,
    html: String,
    headers: HeaderMap,
}

impl Seen {
    #[track_caller]
    fn shows(&self, status: u16, texts: &[&str]) -> &Self {
        assert_eq!(self.status, status, "{}", self.html);
        for text in texts {
            assert!(self.html.contains(text), "{text:?} is not in {}", self.html);
        }
        self
    }

    #[track_caller]
    fn lacks(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(!self.html.contains(text), "{text:?} is in {}", self.html);
        }
        self
    }
}

impl Desk {
    async fn new(environment: &[(&str, &str)]) -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, environment).await;
        let api = host.api();
        api.deploy("testbed", guest("testbed")).await;
        let client = Client::builder().redirect(redirect::Policy::none()).build().expect("a client");
        Self { host, api, model, client, _database: database }
    }

    /// Starts an execution of `approve`, and returns the id of its open pause.
    async fn open(&self, request: &Value) -> String {
        let id = self.api.start("testbed.approve", request).await;
        self.api.paused(&id, "only").await
    }

    /// Makes a link, and returns its path.
    async fn link(&self, pause: &str, reviewer: &str) -> String {
        let made = self.api.post(&format!("/v1/pauses/{pause}/links"), &json!({ "reviewer": reviewer })).await;
        path_of(made.expect(201)["url"].as_str().expect("a link"))
    }

    fn browser(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.host.url()))
    }

    async fn get(&self, path: &str) -> Seen {
        seen(self.browser(Method::GET, path)).await
    }

    /// Sends a form.
    async fn send(&self, path: &str, parts: &[(&str, &str)]) -> Seen {
        let parts: Vec<String> =
            parts.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let request = self.browser(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        seen(request.body(parts.join("&"))).await
    }

    /// Sends a form that is taken, and returns the page that it leads to.
    async fn decide(&self, path: &str, parts: &[(&str, &str)]) -> Seen {
        let sent = self.send(path, parts).await;
        assert_eq!(sent.status, 303, "{}", sent.html);
        let next = sent.headers["location"].to_str().expect("an address").to_owned();
        assert_eq!(format!("/r/{next}"), path, "it is relative to the page");
        self.get(path).await
    }

    async fn pause(&self, id: &str) -> Value {
        self.api.get(&format!("/v1/pauses/{id}")).await.expect(200)
    }

    /// What the agent was told.
    async fn told(&self, pause: &str) -> Value {
        let execution = self.api.finished(execution_of(pause)).await;
        assert_eq!(execution["status"], "succeeded", "{execution}");
        execution["result"].clone()
    }
}

async fn seen(request: RequestBuilder) -> Seen {
    let response = request.send().await.expect("the host answers");
    let (status, mut headers) = (response.status().as_u16(), response.headers().clone());
    headers.remove("date");
    let html = response.text().await.expect("text");
    Seen { status, html, headers }
}

fn path_of(url: &str) -> String {
    url[url.find("/r/").expect("a link has a page")..].to_owned()
}

fn execution_of(pause: &str) -> &str {
    pause.split_once(':').expect("a pause's id has two parts").0
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_link_shows_its_pause_and_takes_one_decision_as_its_reviewer() {
    let desk = Desk::new(&[]).await;
    let pause = desk.open(&json!({"title": "Ship it?", "payload": {"draft": "Hello\nthere"}})).await;
    let link = desk.link(&pause, "Zoë").await;
    let page = desk.get(&link).await;
    page.shows(200, &["<h1 dir=\"auto\">Ship it?</h1>", "Hello\nthere", "testbed.approve", "Zoë", &pause]);
    page.shows(200, &["value=\"approved\"", "value=\"rejected\"", "value=\"request_changes\"", "name=\"feedback\""]);

    let sent = [("decision", "request_changes"), ("feedback", "Kürzer,\r\nplease ")];
    let decided = desk.decide(&link, &sent).await;
    decided.shows(200, &["Decided: request_changes", "Zoë", "Kürzer,\nplease"]).lacks(&["<form"]);
    let decision = &desk.pause(&pause).await["decision"];
    assert_eq!((&decision["reviewer"], &decision["claimed"]), (&json!("Zoë"), &json!(false)));
    assert!(decision["via"].as_str().is_some_and(|via| via.starts_with("link:") && via.len() == 21), "{decision}");
    let told = desk.told(&pause).await;
    assert_eq!((&told["decision"], &told["feedback"]), (&json!("request_changes"), &json!("Kürzer,\nplease")));
    assert_eq!(told["reviewer"], "Zoë");

    // Pressed twice, the button has decided once.
    assert_eq!(desk.decide(&link, &sent).await.html, decided.html);
    let other = desk.send(&link, &[("decision", "approved")]).await;
    other.shows(409, &["The first decision stands", "Decided: request_changes"]);
    assert_eq!(&desk.pause(&pause).await["decision"], decision);
    desk.host.assert_unharmed();
}

#[tokio::test]
async fn each_reviewer_has_a_link_and_a_vote_of_their_own() {
    let desk = Desk::new(&[]).await;
    let stage = json!([{"reviewers": ["ana", "ben"], "required": 2}]);
    let pause = desk.open(&json!({"stages": stage})).await;
    let [ana, ben, eve] =
        [desk.link(&pause, "ana").await, desk.link(&pause, "ben").await, desk.link(&pause, "eve").await];
    desk.get(&ana).await.shows(200, &["<form"]);
    desk.get(&eve).await.shows(200, &["Others decide at this stage"]).lacks(&["<form"]);
    desk.send(&eve, &[("decision", "approved")]).await.shows(403, &["Others decide at this stage"]);

    let recorded = desk.decide(&ana, &[("decision", "approved"), ("feedback", "Fine.")]).await;
    recorded.shows(200, &["Your decision is recorded: approved", "1 of 2 that must agree"]).lacks(&["<form"]);
    desk.decide(&ana, &[("decision", "approved"), ("feedback", "Fine.")]).await.shows(200, &["recorded"]);
    desk.send(&ana, &[("decision", "rejected")]).await.shows(409, &["Your first decision stands"]);
    desk.get(&ben).await.shows(200, &["<form", "Decisions so far", "ana", "Fine."]);
    assert_eq!(desk.pause(&pause).await["status"], "open");

    desk.decide(&ben, &[("decision", "approved")]).await.shows(200, &["Decided: approved"]);
    desk.get(&eve).await.shows(200, &["Decided: approved"]);
    let votes = desk.pause(&pause).await["votes"].clone();
    let via = |n: usize| votes[n]["via"].as_str().expect("a way").to_owned();
    assert!(via(0).starts_with("link:") && via(1).starts_with("link:") && via(0) != via(1), "{votes}");
    assert_eq!(desk.told(&pause).await["decision"], "approved");
    desk.host.assert_unharmed();
}

#[tokio::test]
async fn who_started_it_is_told_that_somebody_else_must_decide() {
    let desk = Desk::new(&[]).await;
    let pause = desk.open(&json!({"forbid_self_approval": true})).await;
    let keys = desk.api.get("/v1/keys").await.expect(200);
    let me = keys["items"][0]["name"].as_str().expect("the key has a name").to_owned();
    let mine = desk.link(&pause, &me).await;
    desk.send(&mine, &[("decision", "approved")]).await.shows(403, &["somebody else must"]);
    let other = desk.link(&pause, "ana").await;
    desk.decide(&other, &[("decision", "approved")]).await.shows(200, &["Decided: approved"]);
}

#[tokio::test]
async fn looking_at_a_link_in_whatever_way_decides_nothing() {
    let desk = Desk::new(&[]).await;
    let pause = desk.open(&json!({})).await;
    let link = desk.link(&pause, "zoe").await;
    let before = desk.pause(&pause).await;
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"] {
        for query in ["", "?decision=approved", "?decision=approved&feedback=x"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let form = "application/x-www-form-urlencoded";
            let request = desk.browser(method, &format!("{link}{query}")).header("content-type", form);
            let seen = seen(request.body("decision=approved")).await;
            assert!(matches!(seen.status, 200 | 405), "{seen:?}");
        }
    }
    assert_eq!(desk.pause(&pause).await, before);
    desk.send(&link, &[]).await.shows(422, &["Decide by one of the buttons"]);
    assert_eq!(desk.pause(&pause).await, before);
}

#[tokio::test]
async fn what_is_not_open_yet_or_not_any_more_takes_no_decision_and_says_so() {
    let desk = Desk::new(&[]).await;
    let pause = desk.open(&json!({})).await;
    let execution = execution_of(&pause);
    let [open, later] = [desk.link(&pause, "zoe").await, desk.link(&format!("{execution}:later"), "zoe").await];
    desk.get(&later).await.shows(200, &["Not open yet", "testbed.approve"]).lacks(&["<form"]);
    desk.send(&later, &[("decision", "approved")]).await.shows(409, &["Not open yet"]);

    desk.api.post(&format!("/v1/executions/{execution}/cancel"), &Value::Null).await.expect(200);
    for link in [&open, &later] {
        desk.get(link).await.shows(410, &["Closed."]).lacks(&["<form"]);
        desk.send(link, &[("decision", "approved")]).await.shows(410, &["Closed."]);
    }
    assert!(desk.pause(&pause).await["decision"].is_null());
    desk.host.assert_unharmed();
}

#[tokio::test]
async fn a_pause_that_has_expired_takes_no_decision_and_says_so() {
    let desk = Desk::new(&[]).await;
    let pause = desk.open(&json!({"expires_in_ms": 3_000})).await;
    let body = json!({"reviewer": "zoe"});
    let made = desk.api.post(&format!("/v1/pauses/{pause}/links"), &body).await.expect(201);
    let expires_at = desk.pause(&pause).await["expires_at"].clone();
    assert_eq!(made["expires_at"], expires_at, "no longer than the pause");
    let link = path_of(made["url"].as_str().expect("a link"));
    desk.get(&link).await.shows(200, &["<form", "Can be decided until"]);
    until("the link is over", async || (desk.get(&link).await.status == 404).then_some(())).await;
    desk.send(&link, &[("decision", "approved")]).await.shows(404, &["This link is not valid"]);
    assert_eq!(desk.told(&pause).await["decision"], "expired");

    // One that an agent got before it paused may be good for longer than the pause.
    let input = json!({"reviewer": "zoe"});
    let id = desk.api.start("testbed.spread_link", &input).await;
    desk.api.paused(&id, "only").await;
    let link = hidden::told_to_the_model(&desk);
    desk.api.post(&format!("/v1/executions/{id}/cancel"), &Value::Null).await.expect(200);
    desk.get(&link).await.shows(410, &["Closed."]);
}

#[tokio::test]
async fn a_link_is_made_for_what_can_be_decided_and_for_nobody_without_a_name() {
    let desk = Desk::new(&[]).await;
    let pause = desk.open(&json!({})).await;
    let make = async |pause: &str, body: Value| desk.api.post(&format!("/v1/pauses/{pause}/links"), &body).await;
    for body in [
        json!({}),
        json!({"reviewer": ""}),
        json!({"reviewer": "@editors"}),
        json!({"reviewer": "a\nb"}),
        json!({"reviewer": "x".repeat(257)}),
        json!({"reviewer": "zoe", "expires_in_seconds": 0}),
        json!({"reviewer": "zoe", "expires_in_seconds": 31 * 24 * 3600 + 1}),
        json!({"reviewer": "zoe", "decision": "approved"}),
    ] {
        let reply = make(&pause, body.clone()).await;
        assert_eq!((reply.status, reply.code()), (400, "invalid_request"), "{body}");
    }
    let nowhere = make(&format!("exec_{}:only", "0".repeat(32)), json!({"reviewer": "zoe"})).await;
    assert_eq!((nowhere.status, nowhere.code()), (404, "pause_not_found"));
    let other = desk.host.tenant("other");
    let foreign = other.post(&format!("/v1/pauses/{pause}/links"), &json!({"reviewer": "zoe"})).await;
    assert_eq!((foreign.status, foreign.code()), (404, "pause_not_found"));

    let folder = Folder::new();
    let mut command = folder.countersign(&["link", &pause, "--reviewer", "Zoë", "--url", desk.host.url()]);
    command.env("COUNTERSIGN_API_KEY", desk.api.key());
    let said = Said::by(command).await.ok();
    desk.decide(&path_of(said.trim()), &[("decision", "approved")]).await.shows(200, &["Decided: approved", "Zoë"]);

    // Who made it is on record, and which link the decision came by.
    let recorded = desk.api.get("/v1/audit?action=link.created").await.expect(200)["items"].clone();
    assert_eq!(recorded.as_array().map(Vec::len), Some(1), "{recorded}");
    let (entry, decision) = (&recorded[0], &desk.pause(&pause).await["decision"]);
    assert_eq!((&entry["subject"], &entry["details"]["reviewer"]), (&json!(pause), &json!("Zoë")));
    assert!(entry["actor"].as_str().is_some_and(|actor| actor.starts_with("key:")), "{entry}");
    assert_eq!(decision["via"], format!("link:{}", entry["details"]["link"].as_str().expect("an id")));
    let decisions = desk.api.get("/v1/audit?action=pause.decided").await.expect(200)["items"].clone();
    assert_eq!((&decisions[0]["actor"], &decisions[0]["actor_name"]), (&json!("link:Zoë"), &json!("Zoë")));

    let decided = make(&pause, json!({"reviewer": "zoe"})).await;
    assert_eq!((decided.status, decided.code()), (409, "already_decided"));
    assert_eq!(decided.body["decided"]["decision"], "approved");
    desk.told(&pause).await;
    let gone = make(&format!("{}:later", execution_of(&pause)), json!({"reviewer": "zoe"})).await;
    assert_eq!((gone.status, gone.code()), (410, "pause_closed"));
}

#[tokio::test]
async fn links_begin_with_the_public_url() {
    let desk = Desk::new(&[("COUNTERSIGN_PUBLIC_URL", "https://people.example/countersign/")]).await;
    let pause = desk.open(&json!({})).await;
    let made = desk.api.post(&format!("/v1/pauses/{pause}/links"), &json!({"reviewer": "zoe"})).await.expect(201);
    let url = made["url"].as_str().expect("a link");
    assert!(url.starts_with("https://people.example/countersign/r/csl_"), "{url}");
    desk.get(&path_of(url)).await.shows(200, &["<form method=\"post\"", "href=\"style.css\""]);
    let style = desk.get("/r/style.css").await;
    assert!(
        style.status == 200 && style.headers["content-type"].to_str().unwrap().starts_with("text/css"),
        "{style:?}"
    );
}
