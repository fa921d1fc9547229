//! Asks a model. Every failure is an answer that the guest gets; none is the host's.

use std::borrow::Cow;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use genai::adapter::AdapterKind;
use genai::chat::{ChatMessage, ChatOptions, ChatRequest, ChatResponse, JsonSpec, ReasoningEffort, StopReason};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, ModelIden, ModelSpec, ServiceTarget, webc};
use serde_json::{Value, json};

use crate::journal::{AiError, Completion, Prompt, Role};
use crate::schema::Schema;

mod bounds;
pub(crate) mod rehearsal;

pub use bounds::{check, fitting};

use bounds::{check_prompt, is_model, parse, shortened};

/// How long a provider may take over one request, from the connection to the last byte.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a provider may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The waits before the second and the third request; there is no fourth.
const BACKOFF: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Where the models are, and which one is asked if a prompt names none.
#[derive(Clone, Default)]
pub struct Settings {
    /// An endpoint that speaks OpenAI's protocol, e.g. `http://localhost:8000/v1`. Every model is asked there.
    ///
    /// Without it the name of a model decides which provider is asked, with the key in that provider's environment
    /// variable (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, …).
    pub base_url: Option<String>,
    /// The key for `base_url`, and for nothing else.
    pub api_key: Option<String>,
    /// Without it, the built-in `rehearsal`.
    pub default_model: Option<String>,
}

/// The models that this host can ask.
pub struct Models {
    /// None if this machine cannot make TLS connections. Then there is only the built-in model.
    client: Option<Client>,
    /// The endpoint of every model, if all have the same, and its key.
    endpoint: Option<(Endpoint, AuthData)>,
    default_model: String,
    /// What must not be in any message.
    keys: Vec<String>,
    backoff: [Duration; 2],
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the model endpoint must be a URL that starts with http:// or https://")]
    BaseUrl,
    #[error("the default model must be 1 to 128 visible ASCII characters, without `..`, `?`, `#`, `%` and `\\`")]
    DefaultModel,
    #[error("cannot make connections to a model provider: {0}")]
    Client(String),
}

impl Models {
    /// The models that `settings` and the environment name. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// If a setting is malformed, or names a real model on a machine that has no root certificates.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let Settings { base_url, api_key, default_model } = settings;
        let keys = secrets_of_environment().chain(api_key.clone()).filter(|key| !key.is_empty()).collect();
        let default_model = default_model.unwrap_or_else(|| rehearsal::NAME.into());
        if !is_model(&default_model) {
            return Err(Error::DefaultModel);
        }
        let needs_client = base_url.is_some() || default_model != rehearsal::NAME;
        // A prompt goes to the place that the operator named and to no other, so no redirects are followed. An answer
        // is not decompressed, so what a provider can make us hold is what it can send within the timeout.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .build()
            .map_err(|why| causes(&why))
            .and_then(|web| Client::builder().with_reqwest(web).build().map_err(|why| why.to_string()));
        let client = match client {
            Ok(client) => Some(client),
            Err(why) if needs_client => return Err(Error::Client(why)),
            Err(why) => {
                tracing::warn!(why, "only the built-in model can be asked");
                None
            }
        };
        let endpoint = base_url.map(|url| endpoint(&url, api_key)).transpose()?;
        Ok(Self { client, endpoint, default_model, keys, backoff: BACKOFF })
    }

    /// Whether the model that `prompt` names, else the default one, is part of this host: asking it has no effect.
    pub fn is_built_in(&self, prompt: &Prompt) -> bool {
        self.name_of(prompt) == rehearsal::NAME
    }

    fn name_of<'a>(&'a self, prompt: &'a Prompt) -> &'a str {
        prompt.model.as_deref().unwrap_or(&self.default_model)
    }

    /// Asks the model that `prompt` names, else the default one.
    ///
    /// Takes at most three times `REQUEST_TIMEOUT` and the waits between. A provider that answers 429 or 5xx, or that
    /// cannot be reached, is asked up to three times, each time with the same `Idempotency-Key`. If the prompt has a
    /// schema, the text of the completion is a bare JSON text that satisfies it.
    ///
    /// # Errors
    ///
    /// `Refused`: the prompt is malformed, or its schema is one that cannot be checked in bounded time (see `Schema`),
    /// or the provider refuses it. `RateLimited`: 429, three times. `InvalidOutput`: the answer does not satisfy the
    /// schema. `Unavailable`: anything else. No message contains a key.
    pub async fn complete(&self, prompt: &Prompt, idempotency_key: &str) -> Result<Completion, AiError> {
        let model = self.name_of(prompt);
        check_prompt(prompt, model).map_err(AiError::Refused)?;
        let schema = match prompt.schema.clone() {
            None => None,
            Some(text) => Some(Arc::new(blocking(move || parse(&text)).await??)),
        };
        let mut completion = if model == rehearsal::NAME {
            rehearsal::complete(prompt, schema.as_deref().map(Schema::json))?
        } else {
            self.ask(model, prompt, schema.as_deref(), idempotency_key).await?
        };
        let text = completion.text;
        completion.text = match schema {
            Some(schema) => blocking(move || fitting(text, Some(&schema))).await??,
            None => fitting(text, None)?,
        };
        Ok(completion)
    }

    /// Asks a real model, again if that may help.
    async fn ask(
        &self,
        model: &str,
        prompt: &Prompt,
        schema: Option<&Schema>,
        idempotency_key: &str,
    ) -> Result<Completion, AiError> {
        let Some(client) = &self.client else {
            return Err(AiError::Unavailable("this host can only ask the built-in model".into()));
        };
        // genai takes any name that it does not know for a model of an Ollama on this machine. Only the operator may
        // send requests there, by making one the default.
        let local_is_ours = self.default_model != rehearsal::NAME && is_local(&self.default_model);
        if self.endpoint.is_none() && is_local(model) && !local_is_ours {
            return Err(AiError::Refused(format!("model: this host knows no provider of {model:?}")));
        }
        let (spec, request) = (self.spec(model), request(prompt));
        let options = self.options(model, prompt, schema, idempotency_key);
        let mut waits = self.backoff.iter();
        loop {
            let started = Instant::now();
            let chat = client.exec_chat(spec.clone(), request.clone(), Some(&options));
            let answer = match tokio::time::timeout(REQUEST_TIMEOUT, chat).await {
                Ok(Ok(response)) => completion(model, response),
                Ok(Err(why)) => Err(self.failure(&why)),
                Err(_) => Err(Failure::last(TOO_SLOW, "timeout")),
            };
            let (tokens, outcome) = match &answer {
                Ok(completion) => (Some((completion.input_tokens, completion.output_tokens)), "answered"),
                Err(failure) => (None, failure.cause.as_ref()),
            };
            tracing::info!(
                model,
                idempotency_key,
                outcome,
                duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                input_tokens = tokens.map(|(input, _)| input),
                output_tokens = tokens.map(|(_, output)| output),
                "asked the model"
            );
            match (answer, waits.next()) {
                (Ok(completion), _) => return Ok(completion),
                (Err(failure), Some(wait)) if failure.may_pass => tokio::time::sleep(*wait).await,
                (Err(failure), _) => return Err(failure.answer),
            }
        }
    }

    fn spec(&self, model: &str) -> ModelSpec {
        match &self.endpoint {
            None => ModelSpec::from_name(model),
            Some((endpoint, auth)) => ModelSpec::from_target(ServiceTarget {
                endpoint: endpoint.clone(),
                auth: auth.clone(),
                model: ModelIden::new(AdapterKind::OpenAI, model),
            }),
        }
    }

    fn options(&self, model: &str, prompt: &Prompt, schema: Option<&Schema>, idempotency_key: &str) -> ChatOptions {
        let mut options = ChatOptions::default().with_extra_headers(("Idempotency-Key", idempotency_key));
        // By way of text, because 0.7 as f32 would go out as 0.699999988079071.
        options.temperature = prompt.temperature.and_then(|temperature| temperature.to_string().parse().ok());
        options.max_tokens = prompt.max_tokens;
        if let Some(schema) = schema {
            options = options.with_response_format(JsonSpec::new("answer", to_send(schema)));
        }
        if self.endpoint.is_some() {
            // genai would read `a::b` as a provider and a name, and `qwen-max` as `qwen` with effort `max`. At an
            // endpoint of one's own a name is a name: put it in as it is, and set an effort that is not sent.
            options = options.with_extra_body(json!({"model": model}));
            options = options.with_reasoning_effort(ReasoningEffort::Budget(0));
        }
        options
    }

    /// What a failed request means to the guest.
    fn failure(&self, error: &genai::Error) -> Failure {
        if let genai::Error::Resolver { .. } | genai::Error::RequiresApiKey { .. } | genai::Error::NoAuthData { .. } =
            error
        {
            return Failure::refused("model: this host has no key for its provider", "no key");
        }
        let (genai::Error::WebModelCall { webc_error, .. } | genai::Error::WebAdapterCall { webc_error, .. }) = error
        else {
            // The error's own text may hold the whole prompt.
            return Failure::last("the provider's answer could not be understood", "unreadable answer");
        };
        match webc_error {
            webc::Error::ResponseFailedStatus { status, body, .. } => self.refusal(status.as_u16(), body),
            webc::Error::Reqwest(why) if why.is_timeout() && !why.is_connect() => Failure::last(TOO_SLOW, "timeout"),
            webc::Error::Reqwest(why) if why.is_builder() => {
                Failure::last("the request could not be made", self.without_keys(&causes(why)))
            }
            webc::Error::Reqwest(why) => Failure {
                answer: AiError::Unavailable("the provider could not be reached".into()),
                cause: self.without_keys(&causes(why)).into(),
                may_pass: true,
            },
            webc::Error::ResponseFailedNotJson { .. }
            | webc::Error::ResponseFailedInvalidJson { .. }
            | webc::Error::JsonValueExt(_) => Failure::last("the provider's answer is not JSON", "not JSON"),
        }
    }

    /// What a status that is not success means.
    fn refusal(&self, status: u16, body: &str) -> Failure {
        let cause = format!("status {status}");
        match status {
            429 => Failure { answer: AiError::RateLimited, cause: cause.into(), may_pass: true },
            500.. => {
                let answer = AiError::Unavailable(format!("the provider answered with status {status}"));
                Failure { answer, cause: cause.into(), may_pass: true }
            }
            // Providers repeat parts of the key here, masked, so that no search for the key finds them.
            401 => Failure::refused("the provider does not accept this host's key (401)", cause),
            400.. => {
                let message = shortened(&self.without_keys(&message_of(body)));
                Failure::refused(format!("the provider answered with status {status}: {message}"), cause)
            }
            _ => Failure::last(format!("the provider answered with status {status}"), cause),
        }
    }

    fn without_keys(&self, text: &str) -> String {
        self.keys.iter().fold(text.to_owned(), |text, key| text.replace(key.as_str(), "…"))
    }
}

/// Runs what is bounded, but may take a second, where no other execution waits for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AiError> {
    let failed = |_| AiError::Unavailable("the schema could not be worked on".into());
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

const TOO_SLOW: &str = "the provider gave no answer within 120 s";

/// Why a request brought no completion.
struct Failure {
    answer: AiError,
    /// For the log.
    cause: Cow<'static, str>,
    /// Whether the same request may succeed a moment later.
    may_pass: bool,
}

impl Failure {
    fn last(message: impl Into<String>, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { answer: AiError::Unavailable(message.into()), cause: cause.into(), may_pass: false }
    }

    fn refused(message: impl Into<String>, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { answer: AiError::Refused(message.into()), cause: cause.into(), may_pass: false }
    }
}

/// Where every model is, as genai takes it: the path ends in a slash, or its last part would be replaced.
fn endpoint(base_url: &str, api_key: Option<String>) -> Result<(Endpoint, AuthData), Error> {
    let mut url = reqwest::Url::parse(base_url).map_err(|_| Error::BaseUrl)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Error::BaseUrl);
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    // genai always sends a key. Endpoints that want none do not look at it.
    let auth = AuthData::from_single(api_key.unwrap_or_else(|| "none".into()));
    Ok((Endpoint::from_owned(url.as_str()), auth))
}

/// Whether a model of this name would be looked for on this machine.
fn is_local(model: &str) -> bool {
    !matches!(AdapterKind::from_model(model), Ok(kind) if kind != AdapterKind::Ollama)
}

/// The keys that genai may take from the environment.
fn secrets_of_environment() -> impl Iterator<Item = String> {
    let known = |name: &str| AdapterKind::all().iter().any(|kind| kind.default_key_env_name() == Some(name));
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(move |(name, _)| name.ends_with("_API_KEY") || known(name))
        .map(|(_, value)| value)
}

/// Whether `prompt` can be sent to `model`; if not, which field is wrong.
fn request(prompt: &Prompt) -> ChatRequest {
    let messages = prompt.messages.iter().map(|message| {
        let content = message.content.as_str();
        match message.role {
            Role::System => ChatMessage::system(content),
            Role::User => ChatMessage::user(content),
            Role::Assistant => ChatMessage::assistant(content),
        }
    });
    ChatRequest::new(messages.collect())
}

fn completion(asked: &str, response: ChatResponse) -> Result<Completion, Failure> {
    let filtered = matches!(response.stop_reason, Some(StopReason::ContentFilter(_)));
    let tokens = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    let (input_tokens, output_tokens) =
        (tokens(response.usage.prompt_tokens), tokens(response.usage.completion_tokens));
    // What the provider calls it is more exact, but may be anything.
    let reported = response.provider_model_iden.model_name.as_str();
    let model = if is_model(reported) { reported } else { asked }.to_owned();
    match response.content.into_joined_texts() {
        Some(text) => Ok(Completion { text, model, input_tokens, output_tokens }),
        None if filtered => Err(Failure::refused("the provider's content filter stopped the answer", "filtered")),
        None => Err(Failure::last("the provider's answer has no text", "no text")),
    }
}

/// The sentence in a provider's error, in one of the usual places, else all of it.
fn message_of(body: &str) -> String {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let places = ["/error/message", "/message", "/error", "/detail"];
    let found = json.as_ref().and_then(|json| places.iter().find_map(|place| json.pointer(place)?.as_str()));
    found.unwrap_or(body).to_owned()
}

/// What lies beneath a failed request. Not its own text, which has the URL.
fn causes(error: &reqwest::Error) -> String {
    let chain = std::iter::successors(error.source(), |&error| error.source());
    let texts: Vec<String> = chain.map(ToString::to_string).collect();
    if texts.is_empty() { "unknown".into() } else { texts.join(": ") }
}

/// The schema as a provider gets it: nothing beside a `$ref` but what constrains.
///
/// genai copies the target of a `$ref` that has a description beside it, and with a recursive schema does not stop.
fn to_send(schema: &Schema) -> Value {
    fn strip(node: &mut Value) {
        match node {
            Value::Object(map) => {
                if map.get("$ref").is_some_and(Value::is_string) {
                    for annotation in ["title", "description", "default", "nullable"] {
                        map.remove(annotation);
                    }
                }
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut json = schema.json().clone();
    strip(&mut json);
    json
}

#[cfg(test)]
mod tests;
