//! The yardstick: publish-with-review, written by hand with axum and sqlx, as one would without a durable host.
//!
//! A row for each run, and one commit for each of its transitions: start, pause, decision, pause, decision, end. Decisions
//! come as webhooks with the same signatures, and are durable before their 200. What it does not have is everything else:
//! it does not start again after a crash, bounds nothing, tells nobody, keeps no history, serves one flow.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Json, Router};
use countersign::signature::{self, Headers, Secret};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::postgres::{PgPool, PgPoolOptions};
use uuid::Uuid;

const CONNECTIONS: u32 = 20;

/// What a model says that answers at once.
const TEXT: &str = "We are proud to introduce what so many of you have asked for. It is simple, it is quick, and it does \
    what it says. From today on everybody can use it, wherever they are. Nothing has to be installed, and nothing has to \
    be learnt. Tell us what you think of it: we read every word that you send us. There is more to come in spring.";

struct Flow {
    pool: PgPool,
    secrets: [Secret; 1],
    key: String,
}

/// Serves the flow on a free port of this machine, and prints its address.
pub(crate) async fn serve(database: &str, secret: &str, key: &str) {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(database).await.expect("the database");
    sqlx::raw_sql(
        "create table if not exists run (
             id text primary key, state text not null, brief text not null, draft text, review text, post text,
             sign_off text, url text, created_at timestamptz not null default now(),
             updated_at timestamptz not null default now()
         )",
    )
    .execute(&pool)
    .await
    .expect("a table");
    let flow = Arc::new(Flow { pool, secrets: [secret.parse().expect("a secret")], key: format!("Bearer {key}") });
    let routes = Router::new().route("/runs", post(start)).route("/webhooks", post(decide)).with_state(flow);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    axum::serve(listener, routes).await.expect("it serves");
}

#[derive(Deserialize)]
struct New {
    brief: String,
}

async fn start(State(flow): State<Arc<Flow>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Json<Value>) {
    let key = headers.get(header::AUTHORIZATION).and_then(|key| key.to_str().ok());
    if key != Some(flow.key.as_str()) {
        return (StatusCode::UNAUTHORIZED, Json(Value::Null));
    }
    let Ok(New { brief }) = serde_json::from_slice(&body) else { return (StatusCode::BAD_REQUEST, Json(Value::Null)) };
    let id = Uuid::now_v7().to_string();
    flow.write("insert into run (id, state, brief) values ($1, 'started', $2)", &id, &brief).await;
    let (flow, run) = (flow.clone(), id.clone());
    tokio::spawn(async move {
        let draft = model(&brief).await;
        flow.write(
            "update run set state = 'draft-review', draft = $2, updated_at = now() where id = $1 and state = 'started'",
            &run,
            &draft,
        )
        .await;
    });
    (StatusCode::ACCEPTED, Json(json!({ "id": id })))
}

#[derive(Deserialize)]
struct Decision {
    execution_id: String,
    approval_request_id: String,
    decision: String,
    feedback: Option<String>,
}

async fn decide(State(flow): State<Arc<Flow>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Json<Value>) {
    let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed =
        Headers { id: of("webhook-id"), timestamp: of("webhook-timestamp"), signature: of("webhook-signature") };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if signature::verify(&flow.secrets, &signed, &body, now).is_err() {
        return (StatusCode::UNAUTHORIZED, Json(Value::Null));
    }
    let Ok(new) = serde_json::from_slice::<Decision>(&body) else {
        return (StatusCode::BAD_REQUEST, Json(Value::Null));
    };
    let said = json!({ "decision": new.decision, "feedback": new.feedback, "at": now }).to_string();
    let is_draft = new.approval_request_id == "draft-review";
    let update = if is_draft {
        "update run set state = 'revising', review = $2, updated_at = now()
         where id = $1 and state = 'draft-review' returning draft"
    } else {
        "update run set state = 'publishing', sign_off = $2, updated_at = now()
         where id = $1 and state = 'final-approval' returning post"
    };
    let Some(before) = flow.write(update, &new.execution_id, &said).await else {
        return (StatusCode::CONFLICT, Json(Value::Null));
    };
    let (flow, run) = (flow.clone(), new.execution_id);
    tokio::spawn(async move {
        if is_draft {
            let post = model(&format!("Draft: {before}\nFeedback: {said}")).await;
            let update = "update run set state = 'final-approval', post = $2, updated_at = now()
                          where id = $1 and state = 'revising'";
            flow.write(update, &run, &post).await;
        } else {
            let url = format!("https://example.com/posts/{}", before.len());
            let update = "update run set state = 'finished', url = $2, updated_at = now()
                          where id = $1 and state = 'publishing'";
            flow.write(update, &run, &url).await;
        }
    });
    (StatusCode::OK, Json(json!({ "status": "accepted" })))
}

async fn model(prompt: &str) -> String {
    tokio::task::yield_now().await;
    format!("{TEXT} ({} bytes)", prompt.len())
}

impl Flow {
    /// One transition: one statement, and so one commit. Returns what the statement does, if it found its row.
    async fn write(&self, statement: &'static str, run: &str, text: &str) -> Option<String> {
        let query = sqlx::query_scalar(statement).bind(run).bind(text);
        query.fetch_optional(&self.pool).await.expect("the database answers")
    }
}
