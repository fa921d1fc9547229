//! A receiver of notifications outside of the hosts: it keeps all that it is sent, and answers as it is told to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
    pub at: Instant,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The `webhook-id`.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a notification is JSON")
    }

    /// The `type` of the notification.
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Reaction {
    Status(u16),
    /// With a header besides.
    With(u16, &'static str, String),
    /// Never.
    Hang,
    /// A body that never ends, as fast as it is read.
    Flood,
    /// 200, and then nothing more of the body that was announced.
    Stall,
}

#[derive(Default)]
struct Post {
    received: Vec<Received>,
    /// By path; the last one is repeated.
    reactions: HashMap<String, Vec<Reaction>>,
}

pub struct Receiver {
    pub url: String,
    post: Arc<Mutex<Post>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let post = Arc::new(Mutex::new(Post::default()));
        let router = Router::new().fallback(receive).with_state(post.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, post }
    }

    /// Answers the requests to a path so, one after the other, and all further ones as the last.
    pub fn react(&self, path: &str, reactions: &[Reaction]) {
        let mut post = self.post.lock().expect("no panic under this lock");
        post.reactions.insert(path.into(), reactions.iter().rev().cloned().collect());
    }

    /// All that came to a path so far, in order.
    pub fn received(&self, path: &str) -> Vec<Received> {
        let post = self.post.lock().expect("no panic under this lock");
        post.received.iter().filter(|received| received.path == path).cloned().collect()
    }

    /// Waits until so many have come to a path.
    pub async fn wait(&self, path: &str, count: usize) -> Vec<Received> {
        crate::until(&format!("{path} has received {count}"), async || {
            let received = self.received(path);
            (received.len() >= count).then_some(received)
        })
        .await
    }

    /// Waits until a notification of this type has come to a path.
    pub async fn wait_for(&self, path: &str, kind: &str) -> Received {
        crate::until(&format!("{path} has received {kind}"), async || {
            self.received(path).into_iter().find(|received| received.kind() == kind)
        })
        .await
    }
}

async fn receive(State(post): State<Arc<Mutex<Post>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let received =
        Received { path: path.clone(), headers, body: String::from_utf8_lossy(&body).into(), at: Instant::now() };
    let reaction = {
        let mut post = post.lock().expect("no panic under this lock");
        post.received.push(received);
        match post.reactions.get_mut(&path) {
            Some(reactions) if reactions.len() > 1 => reactions.pop(),
            Some(reactions) => reactions.last().cloned(),
            None => None,
        }
    };
    let status = |code| Response::builder().status(StatusCode::from_u16(code).expect("a status"));
    let response = match reaction.unwrap_or(Reaction::Status(204)) {
        Reaction::Status(code) => status(code).body(Body::from("seen")),
        Reaction::With(code, name, value) => status(code).header(name, value).body(Body::from("seen")),
        Reaction::Hang => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            status(200).body(Body::empty())
        }
        Reaction::Flood => {
            let chunk = Bytes::from(vec![b'x'; 64 << 10]);
            let flood = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
            status(200).body(Body::from_stream(flood))
        }
        Reaction::Stall => status(200)
            .header("content-length", "1000")
            .body(Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())),
    };
    response.expect("a response")
}
