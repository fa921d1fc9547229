//! A client of the HTTP API, as a program of a user's would be.

use countersign::signature::{self, Secret};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::until;

/// A caller with a key.
#[derive(Clone)]
pub struct Api {
    client: Client,
    url: String,
    key: String,
}

/// A status and a body.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// Null if it is not JSON.
    pub body: Value,
    /// The bytes of the body.
    pub bytes: Vec<u8>,
    pub headers: reqwest::header::HeaderMap,
}

impl Reply {
    /// `error.code`, or nothing. On AgentField's routes `error` itself is the code.
    pub fn code(&self) -> &str {
        let error = &self.body["error"];
        error["code"].as_str().or(error.as_str()).unwrap_or_default()
    }

    /// What is wrong, for people.
    pub fn message(&self) -> &str {
        let error = if self.body["error"].is_object() { &self.body["error"] } else { &self.body };
        error["message"].as_str().unwrap_or_default()
    }

    /// Whose fault it is.
    pub fn blame(&self) -> &str {
        let error = if self.body["error"].is_object() { &self.body["error"] } else { &self.body };
        error["blame"].as_str().unwrap_or_default()
    }

    /// The body, if the status is the one expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

impl Api {
    pub fn new(url: &str, key: &str) -> Self {
        Self { client: Client::new(), url: url.into(), key: key.into() }
    }

    /// The same host, another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.into(), ..self.clone() }
    }

    /// The same key, another host.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.into(), ..self.clone() }
    }

    /// The key itself.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The same host, a new key of this role.
    pub async fn role(&self, role: &str) -> Self {
        let body = self.post("/v1/keys", &json!({"name": format!("a {role}"), "role": role})).await.expect(201);
        self.with_key(body["key"].as_str().expect("a key"))
    }

    /// A request with the key, to be added to.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// A request without any key.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// Deploys a component.
    pub async fn deploy(&self, agent: &str, wasm: Vec<u8>) -> Value {
        let reply = send(self.request(Method::PUT, &format!("/v1/agents/{agent}")).body(wasm)).await;
        assert!(matches!(reply.status, 200 | 201), "{}", reply.body);
        reply.body
    }

    /// Starts an execution, and returns its id.
    pub async fn start(&self, target: &str, input: &Value) -> String {
        let reply = self.post("/v1/executions", &json!({ "target": target, "input": input })).await;
        // 200: it had finished before the host looked at it to answer.
        assert!(matches!(reply.status, 200 | 202), "{}", reply.body);
        reply.body["id"].as_str().expect("an id").to_owned()
    }

    /// Starts an execution, and returns it when it has finished. Asks only once, where it does not take long.
    pub async fn run(&self, target: &str, input: &Value) -> Value {
        let start = json!({ "target": target, "input": input });
        let reply = send(self.request(Method::POST, "/v1/executions").header("prefer", "wait=60").json(&start)).await;
        match reply.status {
            200 => reply.body,
            202 => self.finished(reply.body["id"].as_str().expect("an id")).await,
            status => panic!("{target}: {status} {}", reply.body),
        }
    }

    pub async fn execution(&self, id: &str) -> Value {
        self.get(&format!("/v1/executions/{id}")).await.expect(200)
    }

    /// Waits until the execution has finished, and returns it.
    pub async fn finished(&self, id: &str) -> Value {
        until(&format!("{id} has finished"), async || {
            let execution = self.try_execution(id).await?;
            (!execution["finished_at"].is_null()).then_some(execution)
        })
        .await
    }

    /// Waits until the execution is `waiting` for this pause, which is open; returns the pause's id.
    pub async fn paused(&self, id: &str, approval_request_id: &str) -> String {
        let pause = format!("{id}:{approval_request_id}");
        until(&format!("{pause} is open"), async || {
            let execution = self.try_execution(id).await?;
            assert!(execution["finished_at"].is_null(), "it has finished instead: {execution}");
            let waits = execution["waiting_for"]["pauses"].as_array()?.iter().any(|open| *open == pause.as_str());
            (waits && execution["status"] == "waiting").then_some(())
        })
        .await;
        pause
    }

    /// None while the host cannot be reached.
    async fn try_execution(&self, id: &str) -> Option<Value> {
        let reply = self.request(Method::GET, &format!("/v1/executions/{id}")).send().await.ok()?;
        reply.json().await.ok()
    }

    /// The whole journal.
    pub async fn journal(&self, id: &str) -> Vec<Value> {
        self.all(&format!("/v1/executions/{id}/journal?limit=100")).await
    }

    /// All items of a list, page by page. `path` has a query already.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut after) = (vec![], String::new());
        loop {
            let page = self.get(&format!("{path}{after}")).await.expect(200);
            items.extend(page["items"].as_array().expect("a list").iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return items,
            }
        }
    }

    /// Decides a pause with the API key.
    pub async fn decide(&self, pause: &str, decision: &Value) -> Reply {
        self.post(&format!("/v1/pauses/{pause}/decision"), decision).await
    }

    /// Makes a webhook secret.
    pub async fn secret(&self) -> Secret {
        let body = self.post("/v1/secrets", &json!({})).await.expect(201);
        body["secret"].as_str().expect("a secret").parse().expect("of the right form")
    }

    /// Sends a signed webhook to a tenant.
    pub async fn webhook(&self, tenant: &str, secret: &Secret, id: &str, body: &Value) -> Reply {
        send(self.webhook_request(tenant, secret, id, body)).await
    }

    /// The same, not sent yet.
    pub fn webhook_request(&self, tenant: &str, secret: &Secret, id: &str, body: &Value) -> RequestBuilder {
        let (body, now) = (body.to_string(), now());
        let request = self.anonymous(Method::POST, &format!("/v1/webhooks/{tenant}"));
        let signature = signature::sign(secret, id, now, body.as_bytes());
        let request = request.header("webhook-id", id).header("webhook-timestamp", now);
        request.header("webhook-signature", signature).body(body)
    }
}

/// Sends a request, and reads the answer whatever it is.
pub async fn send(request: RequestBuilder) -> Reply {
    try_send(request).await.unwrap_or_else(|why| panic!("the host does not answer: {why:?}"))
}

/// The same; an error if the host dies before its answer is complete.
pub async fn try_send(request: RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await?;
    Ok(Reply { status, body: serde_json::from_slice(&body).unwrap_or_default(), bytes: body.to_vec(), headers })
}

/// Unix seconds.
pub fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}
