use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::schema::schema_text;
use crate::{AiError, Ask, Completion, Message, Prompt, Role, host, json};

/// Begins a prompt.
///
/// ```no_run
/// # async fn example() -> Result<(), countersign_sdk::AiError> {
/// let haiku = countersign_sdk::ai().system("You write haikus.").user("Rust").text().await?;
/// # Ok(())
/// # }
/// ```
pub fn ai() -> Ai {
    Ai { prompt: Prompt::default() }
}

/// A prompt in the making. [`text`](Ai::text), [`json`](Ai::json) and [`completion`](Ai::completion) ask it.
#[derive(Clone, Debug)]
#[must_use = "a prompt is asked by `text`, `json` or `completion`"]
pub struct Ai {
    prompt: Prompt,
}

impl Ai {
    /// Adds an instruction that stands above the conversation.
    pub fn system(self, content: impl Into<String>) -> Self {
        self.message(Role::System, content)
    }

    /// Adds what the user says.
    pub fn user(self, content: impl Into<String>) -> Self {
        self.message(Role::User, content)
    }

    /// Adds what the model said in an earlier turn.
    pub fn assistant(self, content: impl Into<String>) -> Self {
        self.message(Role::Assistant, content)
    }

    /// Adds a message after those already there; at most 256 in all.
    pub fn message(mut self, role: Role, content: impl Into<String>) -> Self {
        self.prompt.messages.push(Message { role, content: content.into() });
        self
    }

    /// Names the model; otherwise it is the host's default.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.prompt.model = Some(name.into());
        self
    }

    /// Sets the sampling temperature, 0 to 2; otherwise it is the model's default.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.prompt.temperature = Some(temperature);
        self
    }

    /// Bounds the answer's length in tokens; otherwise the bound is the model's default.
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.prompt.max_tokens = Some(tokens);
        self
    }

    /// Demands an answer that satisfies this JSON Schema. [`json`](Ai::json) does so by itself.
    pub fn schema(mut self, schema: &Value) -> Self {
        self.prompt.schema = Some(schema.to_string());
        self
    }

    /// Asks for the answer's text.
    pub fn text(self) -> Ask<Result<String, AiError>> {
        Ask::new(async { Ok(host::ai(self.prompt).await?.text) })
    }

    /// Asks for an answer of this shape. Its JSON Schema goes along, unless [`schema`](Ai::schema) set another.
    ///
    /// An answer that is not a `T` is [`AiError::InvalidOutput`], which says where.
    ///
    /// ```no_run
    /// # use countersign_sdk::{AiError, ai, data};
    /// #[data]
    /// struct Verdict {
    ///     /// 1 to 5.
    ///     stars: u8,
    ///     reason: String,
    /// }
    ///
    /// # async fn example(post: &str) -> Result<(), AiError> {
    /// let verdict: Verdict = ai().system("You judge posts.").user(post).json().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn json<T: DeserializeOwned + JsonSchema + 'static>(mut self) -> Ask<Result<T, AiError>> {
        self.prompt.schema = self.prompt.schema.or_else(schema_text::<T>);
        Ask::new(async {
            let text = host::ai(self.prompt).await?.text;
            json::read(&text).map_err(AiError::InvalidOutput)
        })
    }

    /// Asks for the answer, with the model that gave it and what it consumed.
    pub fn completion(self) -> Ask<Result<Completion, AiError>> {
        Ask::new(host::ai(self.prompt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_order() {
        let prompt = ai().system("a").user("b").assistant("c").model("m").max_tokens(9).prompt;
        let turns: Vec<_> = prompt.messages.iter().map(|m| (m.role, m.content.as_str())).collect();
        assert_eq!(turns, [(Role::System, "a"), (Role::User, "b"), (Role::Assistant, "c")]);
        assert_eq!(prompt.model.as_deref(), Some("m"));
        assert_eq!(prompt.max_tokens, Some(9));
    }
}
