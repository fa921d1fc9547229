//! One of everything that a tenant can have, and the ids by which it is asked for.

use countersign::signature::Secret;
use countersign_tests::Api;
use countersign_tests::api::send;
use reqwest::Method;
use serde_json::{Value, json};

/// What a tenant writes wherever it can write, but in no name by which a thing is asked for.
fn hidden(word: &str) -> String {
    format!("hidden-of-{word}")
}

/// What an id, a name or a cursor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Agent,
    Version,
    Target,
    Execution,
    Pause,
    ApprovalRequest,
    Key,
    Secret,
    Endpoint,
    Group,
    Reviewer,
    Delivery,
    Tenant,
    IdempotencyKey,
    WebhookId,
    /// The `after` of a list that counts.
    Number,
    LogCursor,
    ExecutionCursor,
    PauseCursor,
}

/// A tenant's things, by their ids.
#[derive(Debug, Clone)]
pub(super) struct Things {
    word: String,
    execution: String,
    pause: String,
    key: String,
    secret: String,
    delivery: String,
    /// What webhooks are signed with; not one of the ids.
    pub(super) signing: Secret,
}

impl Things {
    /// Makes one of everything. The word begins all names.
    pub(super) async fn make(api: &Api, word: &str, receiver: &str) -> Self {
        let name = |what: &str| format!("{word}-{what}");
        let address = format!("{receiver}/{}", hidden(word));
        let endpoint = json!({"name": name("endpoint"), "kind": "webhook", "address": address});
        api.post("/v1/endpoints", &endpoint).await.expect(201);
        for (path, body) in [
            (format!("/v1/groups/{word}-group"), json!({"members": [hidden(word)]})),
            (format!("/v1/reviewers/{word}-reviewer"), json!({"email": format!("{}@example.com", hidden(word))})),
        ] {
            let reply = send(api.request(Method::PUT, &path).json(&body)).await;
            reply.expect(200);
        }
        let key = api.post("/v1/keys", &json!({"name": hidden(word), "role": "reviewer"})).await.expect(201);
        let secret = api.post("/v1/secrets", &json!({"name": hidden(word)})).await.expect(201);
        let signing: Secret = secret["secret"].as_str().unwrap().parse().unwrap();

        let execution = Self::start(api, word, "pause").await;
        let pause = api.paused(&execution, &name("pause")).await;
        let decided = Self::start(api, word, "decided").await;
        let done = api.paused(&decided, &name("decided")).await;
        let body = json!({"pause_id": done, "decision": "approved", "feedback": hidden(word)});
        api.webhook(word, &signing, &name("message"), &body).await.expect(200);
        api.finished(&decided).await;

        // All that there is to tell has been told: from here on nothing changes by itself.
        countersign_tests::until("every delivery is settled", async || {
            let all = api.get("/v1/deliveries").await.body["items"].as_array()?.clone();
            let told = all.iter().filter(|delivery| delivery["state"] == "delivered").count();
            (told == all.len() && told >= 4).then_some(())
        })
        .await;
        let deliveries = api.get("/v1/deliveries").await.expect(200);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            word: word.into(),
            execution,
            pause,
            key: text(&key["id"]),
            secret: text(&secret["id"]),
            delivery: text(&deliveries["items"][0]["id"]),
            signing,
        }
    }

    /// Starts an execution that pauses under this name.
    async fn start(api: &Api, word: &str, name: &str) -> String {
        let hidden = hidden(word);
        let input = json!({"id": format!("{word}-{name}"), "title": hidden, "payload": {"for": hidden}});
        let body = json!({"target": format!("{word}-agent.pause_once"), "input": input});
        let request = api.request(Method::POST, "/v1/executions").header("idempotency-key", format!("{word}-{name}"));
        let reply = send(request.json(&body)).await;
        reply.expect(202)["id"].as_str().unwrap().to_owned()
    }

    /// Ids in the same forms, of nothing that there is.
    pub(super) fn nobodys(&self) -> Self {
        let execution = format!("exec_{}", "0".repeat(32));
        Self {
            word: "nobody".into(),
            pause: format!("{execution}:nobody-pause"),
            execution,
            key: "00000000".into(),
            secret: format!("sec_{}", "0".repeat(32)),
            delivery: format!("dlv_{}", "0".repeat(32)),
            signing: self.signing.clone(),
        }
    }

    /// The id of this kind.
    pub(super) fn id(&self, kind: Kind) -> String {
        let word = &self.word;
        match kind {
            Kind::Agent => format!("{word}-agent"),
            Kind::Version | Kind::Number => "1".into(),
            Kind::Target => format!("{word}-agent.pause_once"),
            Kind::Execution => self.execution.clone(),
            Kind::Pause => self.pause.clone(),
            Kind::ApprovalRequest => format!("{word}-pause"),
            Kind::Key => self.key.clone(),
            Kind::Secret => self.secret.clone(),
            Kind::Endpoint => format!("{word}-endpoint"),
            Kind::Group => format!("{word}-group"),
            Kind::Reviewer => format!("{word}-reviewer"),
            Kind::Delivery => self.delivery.clone(),
            Kind::Tenant => word.clone(),
            Kind::IdempotencyKey => format!("{word}-pause"),
            Kind::WebhookId => format!("{word}-message"),
            Kind::LogCursor => "0.0".into(),
            // Of a time after all others: newest first, the page after it would begin with it.
            Kind::ExecutionCursor => format!("9999999999999999.{}", self.execution),
            Kind::PauseCursor => format!("0.{}.{word}-pause", self.execution),
        }
    }

    /// What stands in nothing that is another's: what is written in all of these things, and the ids that are not chosen.
    pub(super) fn marks(&self) -> [String; 5] {
        [hidden(&self.word), self.execution.clone(), self.key.clone(), self.secret.clone(), self.delivery.clone()]
    }
}
