//! Asks and answers in a line each. Pure.

use super::text::{WIDTH, clean, clip};
use crate::guest::{LogLine, Stream};
use crate::journal::{Answer, Ask, CallError};

/// What an ask is called.
pub(crate) fn name(ask: &Ask) -> String {
    match ask {
        Ask::Ai(_) => "model".into(),
        Ask::Pause(request) => format!("pause {}", clip(&clean(&request.approval_request_id), WIDTH / 2)),
        Ask::WaitForResume { approval_request_id, .. } => {
            format!("wait for {}", clip(&clean(approval_request_id), WIDTH / 2))
        }
        Ask::ReviewLink { approval_request_id, .. } => {
            format!("link to {}", clip(&clean(approval_request_id), WIDTH / 2))
        }
        Ask::Call { target, .. } => format!("call {}", clip(&clean(target), WIDTH / 2)),
        Ask::Sleep { duration_ms } => format!("sleep {}", duration(*duration_ms)),
    }
}

/// What an ask is about, if there is more to say than its name.
pub(crate) fn about(ask: &Ask) -> Option<&str> {
    match ask {
        Ask::Ai(prompt) => prompt.messages.last().map(|message| message.content.as_str()),
        Ask::Pause(request) => request.title.as_deref().or(request.approval_request_url.as_deref()),
        Ask::Call { input, .. } => Some(input),
        Ask::ReviewLink { reviewer, .. } => Some(reviewer),
        Ask::WaitForResume { .. } | Ask::Sleep { .. } => None,
    }
}

/// What was answered.
pub(crate) fn answered(answer: &Answer) -> String {
    let text = match answer {
        Answer::Ai(Ok(completion)) => completion.text.clone(),
        Answer::Ai(Err(error)) => format!("error {}", json(error)),
        Answer::Review(Ok(review)) => match &review.feedback {
            Some(feedback) => format!("{}: {feedback}", review.decision),
            None => review.decision.clone(),
        },
        Answer::Link(Ok(link)) => link.clone(),
        Answer::Review(Err(error)) | Answer::Link(Err(error)) => format!("error {}", json(error)),
        Answer::Call(Ok(result)) => result.clone(),
        Answer::Call(Err(CallError::Failed(detail))) => format!("failed: {detail}"),
        Answer::Call(Err(error)) => format!("error {}", json(error)),
        Answer::Slept => "over".into(),
    };
    clean(&text)
}

/// One step of an execution, on one line.
pub(crate) fn step(seq: usize, ask: &Ask, answer: &Answer) -> String {
    let about = about(ask).map(|about| format!(" {}", clip(&clean(about), WIDTH / 2))).unwrap_or_default();
    clip(&format!("{seq:>4}  {}{about}  → {}", name(ask), answered(answer)), WIDTH * 3 / 2)
}

/// A line that the agent printed.
pub(crate) fn log_line(line: &LogLine) -> String {
    let stream = match line.stream {
        Stream::Stdout => "",
        Stream::Stderr => "stderr: ",
    };
    format!("      │ {stream}{}", clean(&line.text))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A length of time, in its largest unit that says it exactly.
pub(crate) fn duration(millis: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{AiError, Message, Prompt, Role};

    #[test]
    fn a_step_is_one_line_without_control_characters() {
        let content = format!("one\ntwo\x1b[31m{}", "x".repeat(500));
        let message = Message { role: Role::User, content };
        let ask =
            Ask::Ai(Prompt { messages: vec![message], model: None, schema: None, temperature: None, max_tokens: None });
        let line = step(7, &ask, &Answer::Ai(Err(AiError::RateLimited)));
        assert!(
            line.starts_with("   7  model one two[31mxxx") && line.ends_with("…  → error \"rate_limited\""),
            "{line}"
        );
        assert!(!line.contains('\n'));
    }

    #[test]
    fn durations_are_exact() {
        assert_eq!([0, 1_500, 5_000, 86_400_000, 90_000].map(duration), ["0 ms", "1500 ms", "5 s", "1 d", "90 s"]);
    }
}
