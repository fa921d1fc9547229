//! A provider that answers from a script, and counts.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::bounds::{MESSAGE_CHARS_MAX, MESSAGES_MAX, MODEL_BYTES_MAX};
use super::*;
use crate::execution::JSON_BYTES_MAX;
use crate::journal::Message;

const KEY: &str = "sk-0123456789abcdef";

/// An OpenAI-compatible provider. Its last answer is repeated.
struct Provider {
    url: String,
    /// Each request as it came, headers and all.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    async fn start(script: Vec<(u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let request = read_request(&mut socket).await;
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request);
                    seen.len() - 1
                };
                let (status, body) = &script[number.min(script.len() - 1)];
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nlocation: /v1/elsewhere\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                socket.write_all(head.as_bytes()).await.unwrap();
                // The one who asks may have hung up on a long answer.
                let _ = socket.write_all(body.as_bytes()).await;
            }
        });
        Self { url, requests }
    }

    fn models(&self) -> Models {
        let (base_url, api_key) = (Some(self.url.clone()), Some(KEY.into()));
        let mut models = Models::new(Settings { base_url, api_key, default_model: Some("m".into()) }).unwrap();
        models.backoff = [Duration::ZERO; 2];
        models
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The JSON of the last request.
    fn sent(&self) -> Value {
        let requests = self.requests.lock().unwrap();
        serde_json::from_str(requests.last().unwrap().split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "the request ended early");
    }
}

fn answer(text: &str) -> (u16, String) {
    let body = json!({
        "model": "m-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    });
    (200, body.to_string())
}

pub(super) fn prompt(text: &str) -> Prompt {
    let messages = vec![Message { role: Role::User, content: text.into() }];
    Prompt { messages, model: None, schema: None, temperature: None, max_tokens: None }
}

pub(super) fn with_schema(text: &str, schema: &Value) -> Prompt {
    Prompt { schema: Some(schema.to_string()), ..prompt(text) }
}

fn refusal(result: Result<Completion, AiError>) -> String {
    match result {
        Err(AiError::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_provider_is_asked_once_with_key_and_idempotency_key() {
    let provider = Provider::start(vec![answer("Hello.")]).await;
    let mut prompt = prompt("Hi");
    (prompt.temperature, prompt.max_tokens) = (Some(0.7), Some(9));
    let completion = provider.models().complete(&prompt, "exec_1:0").await.unwrap();
    let expected = Completion { text: "Hello.".into(), model: "m-2026".into(), input_tokens: 11, output_tokens: 7 };
    assert_eq!(completion, expected);
    assert_eq!(provider.count(), 1);
    let request = provider.requests.lock().unwrap()[0].to_lowercase();
    assert!(request.starts_with("post /v1/chat/completions "), "{request}");
    assert!(request.contains("\r\nidempotency-key: exec_1:0\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nauthorization: bearer {KEY}\r\n")), "{request}");
    let sent = provider.sent();
    assert_eq!(sent["messages"], json!([{"role": "user", "content": "Hi"}]));
    assert_eq!((&sent["temperature"], &sent["max_tokens"]), (&json!(0.7), &json!(9)));
}

#[tokio::test]
async fn at_ones_own_endpoint_a_models_name_is_sent_as_it_is() {
    let provider = Provider::start(vec![answer("Hello.")]).await;
    for name in ["qwen-max", "claude-x", "a::b-high", "org/model:7b"] {
        let prompt = Prompt { model: Some(name.into()), ..prompt("Hi") };
        provider.models().complete(&prompt, "k").await.unwrap();
        let sent = provider.sent();
        assert_eq!((&sent["model"], sent.get("reasoning_effort")), (&json!(name), None));
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_the_same_idempotency_key() {
    let busy = (429, String::from("{}"));
    let provider = Provider::start(vec![busy.clone(), answer("Hello.")]).await;
    assert_eq!(provider.models().complete(&prompt("Hi"), "k7").await.unwrap().text, "Hello.");
    let requests = provider.requests.lock().unwrap().clone();
    assert_eq!(requests.iter().filter(|request| request.to_lowercase().contains("idempotency-key: k7")).count(), 2);

    let provider = Provider::start(vec![busy]).await;
    assert_eq!(provider.models().complete(&prompt("Hi"), "k").await, Err(AiError::RateLimited));
    assert_eq!(provider.count(), 3);

    let provider = Provider::start(vec![(500, "{}".into())]).await;
    let failed = provider.models().complete(&prompt("Hi"), "k").await;
    assert_eq!(failed, Err(AiError::Unavailable("the provider answered with status 500".into())));
    assert_eq!(provider.count(), 3);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_unavailable() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let provider = Provider { url: format!("http://{gone}/v1"), requests: Arc::default() };
    let failed = provider.models().complete(&prompt("Hi"), "k").await;
    assert_eq!(failed, Err(AiError::Unavailable("the provider could not be reached".into())));
}

#[tokio::test]
async fn a_refusal_is_told_without_the_key_and_not_repeated() {
    for status in [400, 401, 403, 404, 422] {
        let message = format!("no such thing, {KEY} {}", "x".repeat(2_000));
        let body = json!({"error": {"message": message}}).to_string();
        let provider = Provider::start(vec![(status, body)]).await;
        let why = refusal(provider.models().complete(&prompt("Hi"), "k").await);
        assert_eq!(provider.count(), 1);
        assert!(why.contains(&status.to_string()) && !why.contains("sk-"), "{why}");
        assert!(why.chars().count() < MESSAGE_CHARS_MAX + 60, "{why}");
        assert_eq!(why.contains("no such thing, …"), status != 401, "{why}");
    }
}

#[tokio::test]
async fn odd_answers_are_unavailable() {
    let secret = format!("{{\"key\": \"{KEY}\"");
    for (status, body) in [(200, "{}"), (200, &secret), (200, "[]"), (307, "{}"), (204, "")] {
        let provider = Provider::start(vec![(status, body.into())]).await;
        let failed = provider.models().complete(&prompt("Hi"), "k").await;
        let Err(AiError::Unavailable(why)) = failed else { panic!("{body}: {failed:?}") };
        assert!(!why.contains("sk-"), "{why}");
        assert_eq!(provider.count(), 1, "{why}");
    }
    let provider = Provider::start(vec![answer(&"x".repeat(JSON_BYTES_MAX + 1))]).await;
    let failed = provider.models().complete(&prompt("Hi"), "k").await;
    assert!(matches!(failed, Err(AiError::Unavailable(why)) if why.contains("too large")));
}

#[tokio::test]
async fn a_malformed_prompt_goes_nowhere() {
    let provider = Provider::start(vec![answer("Hello.")]).await;
    let models = provider.models();
    let many = vec![Message { role: Role::User, content: String::new() }; MESSAGES_MAX + 1];
    let long = "m".repeat(MODEL_BYTES_MAX + 1);
    let mut bad = vec![
        ("messages", Prompt { messages: vec![], ..prompt("") }),
        ("messages", Prompt { messages: many, ..prompt("") }),
        ("messages", prompt(&"x".repeat(JSON_BYTES_MAX + 1))),
    ];
    for temperature in [f32::NAN, f32::INFINITY, -0.1, 2.1] {
        bad.push(("temperature", Prompt { temperature: Some(temperature), ..prompt("") }));
    }
    for model in ["", "a b", "ä", "a\n", "../x", "a?b", &long] {
        bad.push(("model", Prompt { model: Some(model.into()), ..prompt("") }));
    }
    for schema in ["", "17", "{", r#"{"type":"nothing"}"#, r#"{"$ref":"http://127.0.0.1/x"}"#, r#"{"pattern":"("}"#] {
        bad.push(("schema", Prompt { schema: Some(schema.into()), ..prompt("") }));
    }
    for (field, prompt) in bad {
        let why = refusal(models.complete(&prompt, "k").await);
        assert!(why.starts_with(field), "{why}");
    }
    assert_eq!(provider.count(), 0);
}

#[tokio::test]
async fn a_structured_answer_satisfies_its_schema() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let prompt = with_schema("Hi", &schema);
    for text in ["{\"n\": 1}", " {\"n\": 1}\n", "```json\n{\"n\": 1}\n```", "```\n{\"n\": 1}```"] {
        let provider = Provider::start(vec![answer(text)]).await;
        assert_eq!(provider.models().complete(&prompt, "k").await.unwrap().text, "{\"n\": 1}");
        assert_eq!(provider.sent()["response_format"]["json_schema"]["schema"]["required"], json!(["n"]));
    }
    for (text, place) in [(r#"{"n":"x"}"#, "/n"), ("{}", "at the top"), ("Sure!", "not JSON")] {
        let provider = Provider::start(vec![answer(text)]).await;
        let failed = provider.models().complete(&prompt, "k").await;
        assert!(matches!(&failed, Err(AiError::InvalidOutput(why)) if why.contains(place)), "{failed:?}");
        assert_eq!(provider.count(), 1);
    }
}

#[tokio::test]
async fn a_recursive_schema_with_descriptions_can_be_sent() {
    let provider = Provider::start(vec![answer(r#"{"next":{}}"#)]).await;
    let next = json!({"$ref": "#", "description": "the rest"});
    let schema = json!({"type": "object", "properties": {"next": next}});
    provider.models().complete(&with_schema("Hi", &schema), "k").await.unwrap();
}

#[test]
fn settings_that_cannot_be_used_are_refused() {
    let with = |base_url: &str| Models::new(Settings { base_url: Some(base_url.into()), ..Settings::default() });
    for bad in ["", "localhost:8000", "ftp://x/", "/v1", "http://"] {
        assert!(matches!(with(bad), Err(Error::BaseUrl)), "{bad}");
    }
    let models = with("https://models.example/v1?version=2").ok().unwrap();
    assert_eq!(models.endpoint.unwrap().0.base_url(), "https://models.example/v1/?version=2");
    let default_model = Some("a b".into());
    assert!(matches!(Models::new(Settings { default_model, ..Settings::default() }), Err(Error::DefaultModel)));
}

#[tokio::test]
async fn the_rehearsal_is_always_called_rehearsal_and_asks_nobody() {
    let provider = Provider::start(vec![answer("Hello.")]).await;
    let prompt = Prompt { model: Some("rehearsal".into()), ..prompt("") };
    assert_eq!(provider.models().complete(&prompt, "k").await.unwrap().model, "rehearsal");
    assert_eq!(provider.count(), 0);
}

#[tokio::test]
async fn a_name_that_no_provider_knows_is_not_looked_for_on_this_machine() {
    let models = Models::new(Settings::default()).unwrap();
    let prompt = Prompt { model: Some("llama-of-my-own".into()), ..prompt("hello") };
    let Err(AiError::Refused(why)) = models.complete(&prompt, "key").await else { panic!("it was asked") };
    assert!(why.contains("llama-of-my-own"), "{why}");
}
