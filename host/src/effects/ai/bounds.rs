//! What a prompt may be, and what an agent gets of a model's answer. Pure.

use super::rehearsal;
use crate::execution::JSON_BYTES_MAX;
use crate::journal::{AiError, Prompt};
use crate::schema::Schema;

/// How many messages a prompt may have.
pub(super) const MESSAGES_MAX: usize = 256;

/// Longest name of a model, in bytes.
pub(super) const MODEL_BYTES_MAX: usize = 128;

/// The highest temperature.
pub(super) const TEMPERATURE_MAX: f32 = 2.0;

/// How much of a provider's or a checker's words a message has, in characters.
pub(super) const MESSAGE_CHARS_MAX: usize = 500;

/// The schema of a prompt, if the prompt is one that any model may be asked.
///
/// # Errors
///
/// `Refused`: the prompt is malformed, or its schema is one that cannot be checked in bounded time.
pub fn check(prompt: &Prompt) -> Result<Option<Schema>, AiError> {
    check_prompt(prompt, prompt.model.as_deref().unwrap_or(rehearsal::NAME)).map_err(AiError::Refused)?;
    prompt.schema.as_deref().map(parse).transpose()
}

pub(super) fn parse(schema: &str) -> Result<Schema, AiError> {
    Schema::parse(schema).map_err(|why| AiError::Refused(format!("schema: {why}")))
}

/// A model's answer as the agent gets it: with a schema, the bare JSON text that satisfies it.
///
/// # Errors
///
/// `InvalidOutput`: it does not satisfy the schema. `Unavailable`: it is too large.
pub fn fitting(text: String, schema: Option<&Schema>) -> Result<String, AiError> {
    if text.len() > JSON_BYTES_MAX {
        return Err(AiError::Unavailable("answer too large: more than 1 MiB".into()));
    }
    let Some(schema) = schema else { return Ok(text) };
    let text = unfenced(&text).to_owned();
    schema.check(&text).map_err(|why| AiError::InvalidOutput(shortened(&why)))?;
    Ok(text)
}

pub(super) fn check_prompt(prompt: &Prompt, model: &str) -> Result<(), String> {
    if !(1..=MESSAGES_MAX).contains(&prompt.messages.len()) {
        return Err(format!("messages: there must be 1 to {MESSAGES_MAX}, not {}", prompt.messages.len()));
    }
    if prompt.messages.iter().map(|message| message.content.len()).sum::<usize>() > JSON_BYTES_MAX {
        return Err("messages: more than 1 MiB".into());
    }
    if prompt.temperature.is_some_and(|temperature| !(0.0..=TEMPERATURE_MAX).contains(&temperature)) {
        return Err("temperature: must be 0 to 2".into());
    }
    if !is_model(model) {
        return Err("model: must be 1 to 128 visible ASCII characters, without `..`, `?`, `#`, `%` and `\\`".into());
    }
    Ok(())
}

/// Whether `name` may name a model. Some providers have it in the path of a URL, so it must not leave its place there.
pub(super) fn is_model(name: &str) -> bool {
    (1..=MODEL_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'%' | b'\\'))
        && !name.contains("..")
}

/// The text without the Markdown fence that some models put around JSON.
pub(super) fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner =
        text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")).and_then(|rest| rest.split_once('\n'));
    match inner {
        Some((language, json)) if language.trim().is_empty() || language.trim() == "json" => json.trim(),
        _ => text,
    }
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}
