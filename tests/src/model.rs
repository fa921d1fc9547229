//! A model that runs outside of the hosts: an OpenAI-compatible server that counts what it is asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One request that reached the model.
#[derive(Debug, Clone)]
pub struct Asked {
    pub idempotency_key: String,
    /// The last message.
    pub prompt: String,
}

/// The external ledger of `ai` effects. Answers `echo: <last message>`.
pub struct Model {
    pub base_url: String,
    state: Arc<Ledger>,
}

struct Ledger {
    asked: Mutex<Vec<Asked>>,
    /// How many are answered, counted from the first; the others wait.
    answered: watch::Sender<usize>,
    delay: Mutex<Duration>,
    failures: Mutex<Vec<StatusCode>>,
}

impl Model {
    pub async fn start() -> Self {
        let state = Arc::new(Ledger {
            asked: Mutex::default(),
            answered: watch::Sender::new(usize::MAX),
            delay: Mutex::default(),
            failures: Mutex::default(),
        });
        let router = Router::new().route("/v1/chat/completions", routing::post(complete)).with_state(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base_url = format!("http://{}/v1/", listener.local_addr().expect("its address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base_url, state }
    }

    /// Everything that it was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("no panic under this lock").clone()
    }

    /// How often it was asked.
    pub fn calls(&self) -> usize {
        self.asked().len()
    }

    /// Lets requests wait from now on, counted but not answered.
    pub fn hold(&self) {
        self.hold_from(1);
    }

    /// The same for the `nth` request of all and those after it.
    pub fn hold_from(&self, nth: usize) {
        self.state.answered.send_replace(nth.saturating_sub(1));
    }

    /// Answers those that wait, and all to come.
    pub fn release(&self) {
        self.state.answered.send_replace(usize::MAX);
    }

    /// Answers the next requests with these statuses.
    pub fn fail_with(&self, statuses: &[u16]) {
        let statuses = statuses.iter().rev().map(|&code| StatusCode::from_u16(code).expect("a status"));
        *self.state.failures.lock().expect("no panic under this lock") = statuses.collect();
    }

    /// Answers after this time.
    pub fn delay(&self, delay: Duration) {
        *self.state.delay.lock().expect("no panic under this lock") = delay;
    }
}

async fn complete(State(ledger): State<Arc<Ledger>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let prompt = body["messages"].as_array().and_then(|all| all.last()).map_or(&Value::Null, |last| &last["content"]);
    let prompt = prompt.as_str().map_or_else(|| prompt.to_string(), ToOwned::to_owned);
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let asked = Asked { idempotency_key: key.to_owned(), prompt: prompt.clone() };
    let nth = {
        let mut all = ledger.asked.lock().expect("no panic under this lock");
        all.push(asked);
        all.len()
    };

    let delay = *ledger.delay.lock().expect("no panic under this lock");
    tokio::time::sleep(delay).await;
    let _ = ledger.answered.subscribe().wait_for(|answered| nth <= *answered).await;
    if let Some(status) = ledger.failures.lock().expect("no panic under this lock").pop() {
        return (status, Json(json!({"error": {"message": "the model fails as the test wants"}}))).into_response();
    }
    Json(json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": format!("echo: {prompt}")}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }))
    .into_response()
}
