//! The built-in model: it asks nobody, costs nothing, and always gives the same answer to the same prompt.
//!
//! It is there to try an agent out before a real model is paid for. Its text takes up the words of the prompt, so that
//! a person who reviews it sees what came of a brief and of feedback.

use serde_json::Value;

use crate::journal::{AiError, Completion, Prompt, Role};

mod maker;

/// The name that asks for this model. No other model can have it.
pub(crate) const NAME: &str = "rehearsal";

/// What introduces feedback in a prompt; a draft with feedback is revised.
const FEEDBACK: &str = "Feedback:";

/// How many words a quoted topic or feedback has at most.
const QUOTED_WORDS_MAX: usize = 24;

/// Longest word that is taken over, in characters.
const WORD_CHARS_MAX: usize = 40;

/// Words that say nothing of what a text is about.
const FILLERS: &[&str] = &[
    "about",
    "also",
    "answer",
    "article",
    "blog",
    "brief",
    "could",
    "draft",
    "feedback",
    "following",
    "from",
    "have",
    "into",
    "json",
    "make",
    "more",
    "please",
    "post",
    "return",
    "revise",
    "should",
    "text",
    "that",
    "their",
    "them",
    "this",
    "with",
    "would",
    "write",
    "your",
];

/// Answers `prompt`; with a schema, by a small JSON text made from it.
///
/// The answer may miss a schema with rare keywords: the caller checks it, as it checks every model's.
///
/// # Errors
///
/// `InvalidOutput` if the schema admits nothing, or nothing small.
pub(super) fn complete(prompt: &Prompt, schema: Option<&Value>) -> Result<Completion, AiError> {
    let matter = Matter::of(prompt);
    let mut text = match schema {
        None => matter.essay(),
        Some(schema) => maker::value(schema, &matter)
            .map(|value| value.to_string())
            .ok_or_else(|| AiError::InvalidOutput("the rehearsal model found no value for this schema".into()))?,
    };
    if let (None, Some(limit)) = (schema, prompt.max_tokens) {
        text = cut(&text, usize::try_from(limit).unwrap_or(usize::MAX));
    }
    Ok(Completion {
        input_tokens: prompt.messages.iter().map(|message| tokens(&message.content)).sum(),
        output_tokens: tokens(&text),
        model: NAME.into(),
        text,
    })
}

/// One word is one token.
fn tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// The text up to its `words`th word.
fn cut(text: &str, words: usize) -> String {
    let end = text.split_whitespace().nth(words).map(|word| word.as_ptr().addr() - text.as_ptr().addr());
    text[..end.unwrap_or(text.len())].trim_end().to_owned()
}

/// What a prompt is about.
struct Matter {
    topic: String,
    feedback: Option<String>,
    /// Telling words of the prompt, each once; never empty.
    words: Vec<String>,
}

impl Matter {
    fn of(prompt: &Prompt) -> Self {
        let user = prompt.messages.iter().rev().find(|message| message.role == Role::User);
        let text = user.or(prompt.messages.last()).map_or("", |message| message.content.as_str());
        let (brief, feedback) = match text.rsplit_once(FEEDBACK) {
            Some((brief, feedback)) => (brief, Some(quote(feedback))),
            None => (text, None),
        };
        // Feedback alone refers to the brief that an earlier message gave.
        let brief = if brief.trim().is_empty() {
            let first = prompt.messages.iter().find(|message| message.role == Role::User);
            first.map_or("", |message| message.content.as_str())
        } else {
            brief
        };
        let mut words: Vec<String> = Vec::new();
        let topic = topic(brief);
        for word in
            topic.split_whitespace().chain(brief.split_whitespace()).map(bare).filter(|word| word.chars().count() > 3)
        {
            let word = word.to_lowercase();
            if !FILLERS.contains(&word.as_str()) && !words.contains(&word) && words.len() < QUOTED_WORDS_MAX {
                words.push(word);
            }
        }
        if words.is_empty() {
            words = ["first", "draft", "example"].map(String::from).to_vec();
        }
        Self { topic, feedback, words }
    }

    fn word(&self, index: usize) -> &str {
        &self.words[index % self.words.len()]
    }

    fn title(&self) -> String {
        let mut letters = self.topic.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
    }

    fn essay(&self) -> String {
        let (title, topic, [a, b, c]) = (self.title(), &self.topic, [0, 1, 2].map(|index| self.word(index)));
        let Some(feedback) = &self.feedback else {
            return format!(
                "{title}\n\nThis is a first draft about {topic}. It begins with {a}, because that is what readers ask \
                 about first, and goes on to {b}.\n\nThree things matter here. {title} starts small, and one example of \
                 {c} says more than a list. It is honest about what is not known yet. And it ends with what to do \
                 next.\n\nIn short: {topic} is worth a closer look, and {a} is the place to begin."
            );
        };
        let mut text = format!(
            "{title} (revised)\n\nThis version takes up the feedback: {feedback}.\n\nIt is still about {topic}, and now \
             puts that point first."
        );
        if ["short", "brief", "concise"].iter().all(|word| !feedback.to_lowercase().contains(word)) {
            text += &format!(
                " What was said about {a} and {b} is kept where it serves the point, and dropped where it does not.\n\n\
                 One example of {c} follows directly, so that a reader sees at once what changed. The end repeats the \
                 request in our own words: {feedback}."
            );
        }
        text
    }
}

/// What the brief names after "about", "on" or a colon, or else its beginning.
fn topic(brief: &str) -> String {
    let line = brief.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    let after = [" about ", " on ", ": "].iter().filter_map(|mark| line.split_once(mark)).map(|(_, rest)| rest);
    let quoted = after.map(quote).find(|rest| !rest.is_empty()).unwrap_or_else(|| quote(line));
    if quoted.is_empty() { "the subject at hand".into() } else { quoted }
}

/// The first words of a text, on one line, without the stop at its end.
fn quote(text: &str) -> String {
    let words = text.split_whitespace().take(QUOTED_WORDS_MAX);
    let words: Vec<String> = words.map(|word| word.chars().take(WORD_CHARS_MAX).collect()).collect();
    words.join(" ").trim_end_matches(['.', ',', ';', ':', '!', '?']).to_owned()
}

fn bare(word: &str) -> &str {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    word.char_indices().nth(WORD_CHARS_MAX).map_or(word, |(end, _)| &word[..end])
}

#[cfg(test)]
mod tests;
