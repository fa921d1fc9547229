//! The model of the demo: speaks OpenAI's protocol, always writes the same, and counts how often it is asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

/// What starts every draft, so that an editor has something to cut.
const CLICHE: &str = "In a world that never stands still, some things are worth stopping for.";

/// The running server.
pub(super) struct Model {
    address: SocketAddr,
    prompts: Prompts,
}

/// The last message of every prompt, in the order of asking.
type Prompts = Arc<Mutex<Vec<String>>>;

#[derive(Deserialize)]
struct Request {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    content: Value,
}

impl Model {
    /// Starts to listen on a free port of this machine only.
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let prompts = Prompts::default();
        let app = Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::clone(&prompts));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, prompts })
    }

    /// What a client of OpenAI calls the base URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}/v1/", self.address)
    }

    /// What it was asked so far.
    pub(super) fn prompts(&self) -> Vec<String> {
        self.prompts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts from 0 again.
    pub(super) fn forget(&self) {
        self.prompts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

async fn complete(State(prompts): State<Prompts>, Json(request): Json<Request>) -> Json<Value> {
    let prompt = request.messages.last().map(|message| text(&message.content)).unwrap_or_default();
    let answer = write(&prompt);
    let number = {
        let mut prompts = prompts.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.push(prompt.clone());
        prompts.len()
    };
    let (asked, answered) = (prompt.split_whitespace().count(), answer.split_whitespace().count());
    Json(json!({
        "id": format!("chatcmpl-{number}"),
        "object": "chat.completion",
        "created": crate::cli::time::now() / 1000,
        "model": "demo-model",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": answer},
            "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
    }))
}

/// A message's content is a text or a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

/// The answer to a prompt: a draft, or its revision if the prompt holds feedback.
fn write(prompt: &str) -> String {
    match prompt.rsplit_once("Feedback:") {
        Some((draft, feedback)) => {
            let draft = draft.trim().strip_prefix("Draft:").unwrap_or(draft);
            revise(draft.trim().trim_matches('"'), feedback.trim())
        }
        None => draft(prompt.trim()),
    }
}

fn draft(brief: &str) -> String {
    let brief = brief.trim_end_matches('.');
    let brief = brief.strip_prefix("Announce").map_or_else(|| brief.to_owned(), |what| format!("Meet{what}"));
    format!("{CLICHE} {brief}. Lie down in one city, have coffee in another.")
}

/// Does what the feedback of the demo says; of other feedback it takes the words.
fn revise(draft: &str, feedback: &str) -> String {
    let lower = feedback.to_lowercase();
    let cut = lower.contains("first sentence");
    let kept = match draft.split_once(". ") {
        Some((_, rest)) if cut => rest,
        _ => draft,
    };
    let date = feedback.split_once("date:").map(|(_, date)| date.trim().trim_end_matches('.'));
    match date {
        Some(date) if !date.is_empty() => format!("{kept} All aboard on {date}."),
        _ if cut || feedback.is_empty() => kept.to_owned(),
        _ => format!("{kept} (Revised: {feedback})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_takes_up_the_feedback() {
        let draft = write("Fernweh books night trains.");
        assert!(draft.starts_with(CLICHE), "{draft}");
        let revised =
            write(&format!("Draft: {draft}\nFeedback: Cut the first sentence, and name the launch date: 3 March."));
        assert_eq!(
            revised,
            "Fernweh books night trains. Lie down in one city, have coffee in another. All aboard on 3 March."
        );
        assert_eq!(write("Draft: A. B.\nFeedback: Shorter!"), "A. B. (Revised: Shorter!)");
    }

    #[test]
    fn contents_of_both_forms_are_read() {
        assert_eq!(text(&json!("a")), "a");
        assert_eq!(text(&json!([{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}])), "a\nb");
    }
}
