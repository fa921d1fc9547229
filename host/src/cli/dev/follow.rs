//! Follows all executions of a host, as a client of its API.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

use crate::cli::api::{Entry, Execution, LogLine, Pause};
use crate::cli::client::{Client, with_query};
use crate::cli::events::{Backoff, Events};
use crate::cli::failure::Failure;

/// How often to look for executions that are new.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// How many executions are followed at once, each over a connection of its own. Others have to wait.
const FOLLOWED_MAX: usize = 50;

/// What has happened.
pub(super) enum News {
    /// There is an execution that was not known.
    New(Box<Execution>),
    /// An execution has another status, and these are its open pauses.
    Status(Box<Execution>, Vec<Pause>),
    /// An ask of this execution has been answered.
    Entry(String, Entry),
    Log(String, LogLine),
    /// The host does not answer, or does again.
    Lost(String),
    Found,
}

/// Tells of all executions that are unfinished or new, of one agent or of all. Ends when nobody listens.
pub(super) async fn follow(client: Client, agent: Option<String>, news: Sender<News>) {
    let path = with_query("/v1/executions", &[("limit", Some("100")), ("agent", agent.as_deref())]);
    let (mut seen, mut followers) = (HashSet::new(), JoinSet::new());
    let mut is_first = true;
    let mut backoff = Backoff::new();
    while !news.is_closed() {
        match client.get(&path).await.and_then(|reply| reply.items::<Execution>()) {
            Ok((executions, _)) => {
                if !backoff.is_news() {
                    let _ = news.send(News::Found).await;
                }
                backoff.reset();
                // Oldest first, as they came.
                for execution in executions.into_iter().rev() {
                    let is_past = is_first && execution.status.is_finished();
                    let has_room = is_past || followers.len() < FOLLOWED_MAX;
                    if !has_room || !seen.insert(execution.id.clone()) || is_past {
                        continue;
                    }
                    let id = execution.id.clone();
                    let _ = news.send(News::New(Box::new(execution))).await;
                    followers.spawn(follow_one(client.clone(), id, is_first, news.clone()));
                }
                is_first = false;
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(failure) => {
                if backoff.is_news() {
                    let _ = news.send(News::Lost(failure.to_string())).await;
                }
                backoff.pause().await;
            }
        }
        while followers.try_join_next().is_some() {}
    }
}

/// Tells of one execution until it has finished. What an old one did before is not told again.
async fn follow_one(client: Client, id: String, is_old: bool, news: Sender<News>) {
    let mut events = Events::new(client.clone(), &id);
    let mut backoff = Backoff::new();
    let mut is_past = is_old;
    loop {
        let event = match events.next().await {
            Ok(Some(event)) => event,
            Ok(None) => {
                backoff.pause().await;
                continue;
            }
            // Told by the one who looks for executions.
            Err(failure) if failure.is_passing() => {
                backoff.pause().await;
                continue;
            }
            Err(_) => return,
        };
        backoff.reset();
        let told = match event.kind.as_str() {
            "status" => {
                is_past = false;
                let Ok(execution) = serde_json::from_str::<Execution>(&event.data) else { continue };
                let pauses = open_pauses(&client, &execution).await.unwrap_or_default();
                let is_finished = execution.status.is_finished();
                let told = news.send(News::Status(Box::new(execution), pauses)).await;
                if is_finished {
                    return;
                }
                told
            }
            "entry" if !is_past => match serde_json::from_str(&event.data) {
                Ok(entry) => news.send(News::Entry(id.clone(), entry)).await,
                Err(_) => continue,
            },
            "log" if !is_past => match serde_json::from_str(&event.data) {
                Ok(line) => news.send(News::Log(id.clone(), line)).await,
                Err(_) => continue,
            },
            _ => continue,
        };
        if told.is_err() {
            return;
        }
    }
}

/// The open pauses of an execution, if it waits for any.
async fn open_pauses(client: &Client, execution: &Execution) -> Result<Vec<Pause>, Failure> {
    if execution.waiting_for.as_ref().is_none_or(|waiting| waiting.pauses.is_empty()) {
        return Ok(vec![]);
    }
    let query = [("status", Some("open")), ("execution", Some(execution.id.as_str()))];
    let (pauses, _) = client.get(&with_query("/v1/pauses", &query)).await?.items::<Pause>()?;
    Ok(pauses)
}
