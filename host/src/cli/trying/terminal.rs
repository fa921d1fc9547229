//! The person at the terminal, who answers in the place of models, reviewers and other agents.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use crate::cli::asks;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::text::{WIDTH, clean, clean_lines, clip, wrap};
use crate::decision::Unfit;
use crate::execution::JSON_BYTES_MAX;
use crate::journal::{AiError, Answer, Ask, CallError, Completion, Millis, Review, Role};
use crate::trial::Question;
use crate::trial::answers::MODEL;

/// How much of a text is shown, in characters.
const SHOWN: usize = 4_000;

pub(super) struct Terminal {
    out: Output,
    is_there: bool,
}

impl Terminal {
    /// Standard input. With `if_terminal` nobody answers if it is a file or a pipe.
    pub(super) fn new(out: Output, if_terminal: bool) -> Self {
        Self { out, is_there: !if_terminal || io::stdin().is_terminal() }
    }

    /// Whether anybody may answer.
    pub(super) fn answers(&self) -> bool {
        self.is_there
    }

    /// Which of the open asks is answered first.
    pub(super) fn pick<'a>(&self, questions: &[&'a Question]) -> Result<Option<&'a Question>, Failure> {
        if let [only] = questions {
            return Ok(Some(only));
        }
        self.say(&format!("\n{} asks are open. Which is answered first?", questions.len()));
        for (place, question) in questions.iter().enumerate() {
            let about = asks::about(&question.ask).map(|about| format!("  {}", clip(&clean(about), WIDTH / 2)));
            self.say(&format!("  {}) {}{}", place + 1, asks::name(&question.ask), about.unwrap_or_default()));
        }
        loop {
            let Some(line) = self.line("first: ")? else { return Ok(None) };
            let place = line.trim().parse::<usize>().ok().and_then(|place| place.checked_sub(1));
            match place.and_then(|place| questions.get(place)) {
                Some(question) => return Ok(Some(question)),
                None => self.say(&format!("a number, 1 to {}", questions.len())),
            }
        }
    }

    /// Asks until the answer is one that a host would give. None at the end of the input.
    pub(super) fn ask(&self, question: &Question, at: Millis) -> Result<Option<Answer>, Failure> {
        self.show(question);
        loop {
            let answered = match &*question.ask {
                Ask::Ai(_) => self.model()?,
                Ask::Pause(_) | Ask::WaitForResume { .. } => self.decision(question, at)?,
                Ask::Call { .. } => self.called()?,
                // A link is made without anybody's help, so nobody is asked for it.
                Ask::Sleep { .. } | Ask::ReviewLink { .. } => Some(Ok(Answer::Slept)),
            };
            let Some(answer) = answered else { return Ok(None) };
            match answer.and_then(|answer| question.fit(answer)) {
                Ok(answer) => return Ok(Some(answer)),
                Err(why) => self.say(&format!("not like that: {}", clean_lines(&why))),
            }
        }
    }

    fn show(&self, question: &Question) {
        self.say(&format!("\n{} (ask {})", asks::name(&question.ask), question.op));
        match &*question.ask {
            Ask::Ai(prompt) => {
                for message in &prompt.messages {
                    let role = match message.role {
                        Role::System => "system",
                        Role::User => "user",
                        Role::Assistant => "assistant",
                    };
                    self.quote(role, &message.content);
                }
                self.quote_if("schema", prompt.schema.as_ref());
            }
            Ask::Pause(request) => {
                self.quote_if("title", request.title.as_ref());
                self.quote_if("page", request.approval_request_url.as_ref());
                self.quote_if("payload", request.payload.as_ref());
                self.quote_if("form", request.response_schema.as_ref());
                if request.editable {
                    self.quote("edit", "an approval without a response approves the payload as it is");
                }
                for (place, stage) in request.stages.iter().enumerate() {
                    let who = match stage.reviewers.as_slice() {
                        [] => "whoever may decide".into(),
                        names => names.join(", "),
                    };
                    self.quote(&format!("stage {}", place + 1), &format!("{} of {who}", stage.required));
                }
                self.quote_if("default", request.default_decision.as_ref());
                if let Some(duration) = request.expires_in_ms {
                    self.quote("expires", &format!("after {}", asks::duration(duration)));
                }
            }
            Ask::WaitForResume { timeout_ms, .. } => {
                if let Some(duration) = timeout_ms {
                    self.quote("timeout", &format!("after {}", asks::duration(*duration)));
                }
            }
            Ask::Call { input, .. } => self.quote("input", input),
            Ask::Sleep { .. } | Ask::ReviewLink { .. } => {}
        }
    }

    fn model(&self) -> Result<Option<Result<Answer, String>>, Failure> {
        self.say(
            "  (a line; or an empty line and then lines up to a lone `.`; or an error: !refused WHY, !rate_limited,",
        );
        self.say("  !budget_exhausted, !invalid_output WHY, !unavailable WHY)");
        let Some(line) = self.line("the model answers: ")? else { return Ok(None) };
        if let Some((error, text)) = error(&line) {
            return Ok(Some(
                match error {
                    "refused" => Ok(AiError::Refused(text)),
                    "rate_limited" => Ok(AiError::RateLimited),
                    "budget_exhausted" => Ok(AiError::BudgetExhausted),
                    "invalid_output" => Ok(AiError::InvalidOutput(text)),
                    "unavailable" => Ok(AiError::Unavailable(text)),
                    _ => Err(format!(
                        "a model has no error `{error}`; a text that begins with ! goes after an empty line"
                    )),
                }
                .map(|error| Answer::Ai(Err(error))),
            ));
        }
        let text = if line.is_empty() {
            let Some(lines) = self.lines()? else { return Ok(None) };
            lines
        } else {
            line
        };
        let completion = Completion { text, model: MODEL.into(), input_tokens: 0, output_tokens: 0 };
        Ok(Some(Ok(Answer::Ai(Ok(completion)))))
    }

    fn decision(&self, question: &Question, at: Millis) -> Result<Option<Result<Answer, String>>, Failure> {
        let Some(form) = &question.form else { return Ok(Some(Err("it takes no decision".into()))) };
        for (place, choice) in form.choices.iter().enumerate() {
            self.say(&format!("  {}) {}", place + 1, clean(choice)));
        }
        if question.due.is_some() {
            self.say("  !expired: nobody decides in time");
        }
        let Some(line) = self.line("decision: ")? else { return Ok(None) };
        let line = line.trim();
        if line == "!expired" {
            return Ok(Some(Ok(Answer::Review(Ok(Review::expired(at))))));
        }
        let place = line.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
        let decision = match place.and_then(|place| form.choices.get(place)) {
            Some(choice) if !form.choices.iter().any(|choice| choice == line) => choice.clone(),
            _ => line.to_owned(),
        };
        if !form.choices.contains(&decision) {
            return Ok(Some(Err(format!(
                "a number, 1 to {}, or one of {}",
                form.choices.len(),
                form.choices.join(", ")
            ))));
        }
        let Some(feedback) = self.line("feedback (empty: none): ")? else { return Ok(None) };
        let feedback = Some(feedback).filter(|feedback| !feedback.is_empty());
        let mut response = None;
        while let Err(why) = form.check(&decision, feedback.as_deref(), response.as_deref()) {
            if let Unfit::NoFeedback(_) = why {
                return Ok(Some(Err(why.to_string())));
            }
            if response.is_some() {
                self.say(&format!("not like that: {}", clean_lines(&why.to_string())));
            }
            response = self.line("response, JSON: ")?;
            if response.is_none() {
                return Ok(None);
            }
        }
        let review = Review { decision, feedback, response, ..Review::expired(at) };
        Ok(Some(Ok(Answer::Review(Ok(review)))))
    }

    fn called(&self) -> Result<Option<Result<Answer, String>>, Failure> {
        self.say("  (JSON; or an error: !failed JSON, !cancelled, !not_found WHAT, !denied WHY, !unavailable WHY)");
        let Some(line) = self.line("it returns: ")? else { return Ok(None) };
        let Some((error, text)) = error(&line) else { return Ok(Some(Ok(Answer::Call(Ok(line))))) };
        Ok(Some(
            match error {
                "failed" => Ok(CallError::Failed(text)),
                "not_found" => Ok(CallError::NotFound(text)),
                "denied" => Ok(CallError::Denied(text)),
                "cancelled" => Ok(CallError::Cancelled),
                "unavailable" => Ok(CallError::Unavailable(text)),
                _ => Err(format!("a call has no error `{error}`")),
            }
            .map(|error| Answer::Call(Err(error))),
        ))
    }

    fn say(&self, text: &str) {
        self.out.prompt(&format!("{text}\n"));
    }

    fn quote(&self, what: &str, text: &str) {
        self.say(&format!("  {what}"));
        for line in wrap(&clip(&clean_lines(text), SHOWN), WIDTH - 6) {
            self.say(&format!("    {line}"));
        }
    }

    fn quote_if(&self, what: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.quote(what, text);
        }
    }

    /// The lines up to a lone `.`.
    fn lines(&self) -> Result<Option<String>, Failure> {
        let mut lines = String::new();
        loop {
            match self.line("")? {
                None => return Ok(None),
                Some(line) if line == "." => return Ok(Some(lines)),
                Some(line) => {
                    if !lines.is_empty() {
                        lines.push('\n');
                    }
                    lines.push_str(&line);
                }
            }
            if lines.len() > JSON_BYTES_MAX {
                return Err(too_long());
            }
        }
    }

    /// One line, without its end. None at the end of the input.
    fn line(&self, prompt: &str) -> Result<Option<String>, Failure> {
        self.out.prompt(prompt);
        let mut line = Vec::new();
        let unreadable = |why: io::Error| Failure::Failed(format!("cannot read standard input: {why}"));
        let bound = JSON_BYTES_MAX as u64 + 2;
        io::stdin().lock().take(bound).read_until(b'\n', &mut line).map_err(unreadable)?;
        if line.is_empty() {
            self.say("");
            return Ok(None);
        }
        if line.len() as u64 == bound && !line.ends_with(b"\n") {
            return Err(too_long());
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        Ok(Some(line.strip_suffix('\r').unwrap_or(line).to_owned()))
    }
}

fn too_long() -> Failure {
    Failure::Usage(format!("an answer on standard input has more than {JSON_BYTES_MAX} bytes"))
}

/// The name and the text of `!name text`.
fn error(line: &str) -> Option<(&str, String)> {
    let line = line.strip_prefix('!')?;
    let (name, text) = line.split_once(' ').unwrap_or((line, ""));
    Some((name.trim(), text.trim().to_owned()))
}
