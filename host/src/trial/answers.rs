//! Answers that a person or a file gives in a trial: how they are written, and whether a host would give them. Pure.
//!
//! A file of bare answers is a JSON list. `docs/testing.md` shows every form to people.

use std::collections::{BTreeMap, VecDeque};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Question;
use crate::approval::REVIEWER_BYTES_MAX;
use crate::decision::FEEDBACK_BYTES_MAX;
use crate::effects::ai::fitting;
use crate::execution::JSON_BYTES_MAX;
use crate::journal::{AiError, Answer, Ask, CallError, Completion, Millis, Review};
use crate::json;

/// The model that a text is said to come from, if its answer names none.
pub const MODEL: &str = "try";

/// Bare answers that have not been used yet, each with its place in the list.
#[derive(Debug, Default)]
pub struct Answers(VecDeque<(usize, Bare)>);

/// An answer that does not say to which ask, but to what kind of ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Bare {
    /// The one ask that it is meant for, if it says so.
    op: Option<u64>,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Completion(Completion),
    Decision(Review),
    /// JSON text.
    Result(String),
    /// Some errors can be those of a model and of a call.
    Error(Option<AiError>, Option<CallError>),
    Slept,
}

impl Answers {
    /// Reads a JSON list of bare answers. An error names the place in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let items: Vec<Box<RawValue>> =
            serde_json::from_str(text).map_err(|why| format!("it is no JSON list: {why}"))?;
        let read = |(place, json)| match bare(json) {
            Ok(bare) => Ok((place, bare)),
            Err(why) => Err(format!("answers[{place}]: {why}")),
        };
        Ok(Self(items.iter().map(|item| item.get()).enumerate().map(read).collect::<Result<_, String>>()?))
    }

    /// The first answer of the list that is of the kind of an open ask, for the oldest such ask.
    ///
    /// An error says which answer a host would not give, and why.
    pub fn take<'a>(
        &mut self,
        questions: &(impl Iterator<Item = &'a Question> + Clone),
        at: Millis,
    ) -> Result<Option<(usize, u64, Answer)>, String> {
        let found = self.0.iter().enumerate().find_map(|(index, (place, bare))| {
            let mut fitting = questions.clone().filter(|question| bare.op.is_none_or(|op| op == question.op));
            let (question, answer) = fitting.find_map(|question| Some((question, bare.answer(question, at)?)))?;
            Some((index, *place, question, answer))
        });
        let Some((index, place, question, answer)) = found else { return Ok(None) };
        let (op, kind) = (question.op, question.ask.kind());
        let answer = question.fit(answer).map_err(|why| format!("answers[{place}] for ask {op} ({kind}): {why}"))?;
        self.0.remove(index);
        Ok(Some((place, op, answer)))
    }

    /// The places of the answers that are left.
    pub fn unused(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(place, _)| *place)
    }
}

impl Bare {
    /// The answer to this question, if it is of its kind.
    fn answer(&self, question: &Question, at: Millis) -> Option<Answer> {
        Some(match (&self.what, &*question.ask) {
            (What::Completion(completion), Ask::Ai(_)) => Answer::Ai(Ok(completion.clone())),
            (What::Error(Some(error), _), Ask::Ai(_)) => Answer::Ai(Err(error.clone())),
            (What::Decision(review), Ask::Pause(_) | Ask::WaitForResume { .. }) => {
                Answer::Review(Ok(Review { decided_at_ms: at, ..review.clone() }))
            }
            (What::Result(json), Ask::Call { .. }) => Answer::Call(Ok(json.clone())),
            (What::Error(_, Some(error)), Ask::Call { .. }) => Answer::Call(Err(error.clone())),
            (What::Slept, Ask::Sleep { .. }) => Answer::Slept,
            _ => return None,
        })
    }
}

impl Question {
    /// The answer as the agent gets it, if a host would give it.
    pub fn fit(&self, answer: Answer) -> Result<Answer, String> {
        if !answer.fits(&self.ask) {
            return Err(format!("an ask of kind {} takes another kind of answer", self.ask.kind()));
        }
        match answer {
            Answer::Ai(Ok(completion)) => {
                let text = fitting(completion.text, self.schema.as_deref()).map_err(|why| match why {
                    AiError::InvalidOutput(why) => format!("the text does not satisfy the prompt's schema: {why}"),
                    _ => format!("the text has more than {JSON_BYTES_MAX} bytes"),
                })?;
                Ok(Answer::Ai(Ok(Completion { text, ..completion })))
            }
            Answer::Review(Ok(review)) => self.fit_review(review).map(|review| Answer::Review(Ok(review))),
            Answer::Call(Ok(json)) => fit_json("`result`", json).map(|json| Answer::Call(Ok(json))),
            Answer::Call(Err(CallError::Failed(json))) => {
                fit_json("`failed`", json).map(|json| Answer::Call(Err(CallError::Failed(json))))
            }
            other => Ok(other),
        }
    }

    fn fit_review(&self, review: Review) -> Result<Review, String> {
        if review.is_expired() {
            let due = self.due.ok_or("it has no expiry, so it cannot be `expired`")?;
            let Some(default) = &self.default else { return Ok(Review::expired(due)) };
            let form = self.form.as_ref();
            let response = form.and_then(|form| form.check(default, Some("by default"), None).ok().flatten());
            return Ok(Review { decision: default.clone(), response, votes: review.votes, ..Review::expired(due) });
        }
        let too_long = |text: &Option<String>, max| text.as_ref().is_some_and(|text| text.len() > max);
        if too_long(&review.feedback, FEEDBACK_BYTES_MAX) {
            return Err(format!("`feedback`: at most {FEEDBACK_BYTES_MAX} bytes"));
        }
        if too_long(&review.reviewer, REVIEWER_BYTES_MAX) {
            return Err(format!("`reviewer`: at most {REVIEWER_BYTES_MAX} bytes"));
        }
        if too_long(&review.response, JSON_BYTES_MAX) {
            return Err(format!("`response`: at most {JSON_BYTES_MAX} bytes"));
        }
        let Some(form) = &self.form else { return Ok(review) };
        let response = form.check(&review.decision, review.feedback.as_deref(), review.response.as_deref());
        Ok(Review { response: response.map_err(|why| why.to_string())?, ..review })
    }
}

fn fit_json(what: &str, json: String) -> Result<String, String> {
    if json.len() > JSON_BYTES_MAX {
        return Err(format!("{what}: at most {JSON_BYTES_MAX} bytes"));
    }
    match json::check(&json) {
        Ok(()) => Ok(json),
        Err(why) => Err(format!("{what}: not JSON: {why}")),
    }
}

/// The fields of a bare answer, each with its JSON text.
type Fields = BTreeMap<String, Box<RawValue>>;

/// The field that tells of which kind an answer is, and those that may stand beside it and `op`.
const KINDS: [(&str, &[&str]); 6] = [
    ("text", &["model", "input_tokens", "output_tokens"]),
    ("json", &["model", "input_tokens", "output_tokens"]),
    ("decision", &["feedback", "response", "reviewer", "votes"]),
    ("result", &[]),
    ("error", &[]),
    ("slept", &[]),
];

fn bare(json: &str) -> Result<Bare, String> {
    if let Ok(text) = serde_json::from_str::<String>(json) {
        return Ok(Bare { op: None, what: What::Completion(completion(text, &Fields::new())?) });
    }
    let names = "`text`, `json`, `decision`, `result`, `error` or `slept`";
    let mut fields: Fields = serde_json::from_str(json)
        .map_err(|_| format!("it must be a text (a model's answer) or an object with one of {names}"))?;
    let op = fields.remove("op").map(|op| read("op", &op)).transpose()?;
    let mut kinds = KINDS.into_iter().filter(|(kind, _)| fields.contains_key(*kind));
    let (Some((kind, beside)), None) = (kinds.next(), kinds.next()) else {
        return Err(format!("it must have exactly one of {names}"));
    };
    if let Some(other) = fields.keys().find(|name| *name != kind && !beside.contains(&name.as_str())) {
        let known: Vec<&str> = beside.iter().copied().chain(["op"]).collect();
        return Err(format!("beside `{kind}` there may be {}, not `{other}`", known.join(", ")));
    }
    let value = &fields[kind];
    let what = match kind {
        "text" => What::Completion(completion(read(kind, value)?, &fields)?),
        "json" => What::Completion(completion(value.get().to_owned(), &fields)?),
        "decision" => What::Decision(Review {
            decision: read(kind, value)?,
            feedback: optional("feedback", &fields)?,
            response: fields.get("response").map(|response| response.get().to_owned()),
            reviewer: optional("reviewer", &fields)?,
            decided_at_ms: 0,
            votes: optional("votes", &fields)?.unwrap_or_default(),
        }),
        "result" => What::Result(value.get().to_owned()),
        "error" => error(value)?,
        _ if value.get() == "true" => What::Slept,
        _ => return Err("`slept` must be true".into()),
    };
    Ok(Bare { op, what })
}

fn completion(text: String, fields: &Fields) -> Result<Completion, String> {
    Ok(Completion {
        text,
        model: optional("model", fields)?.unwrap_or_else(|| MODEL.into()),
        input_tokens: optional("input_tokens", fields)?.unwrap_or(0),
        output_tokens: optional("output_tokens", fields)?.unwrap_or(0),
    })
}

fn error(value: &RawValue) -> Result<What, String> {
    // What a called function failed with is JSON here, and a text in the journal.
    if let Ok(fields) = serde_json::from_str::<Fields>(value.get())
        && let Some(failed) = fields.get("failed").filter(|_| fields.len() == 1)
    {
        return Ok(What::Error(None, Some(CallError::Failed(failed.get().to_owned()))));
    }
    let (model, call) = (serde_json::from_str(value.get()).ok(), serde_json::from_str(value.get()).ok());
    if model.is_none() && call.is_none() {
        return Err("`error` must be one of a model's: {\"refused\":TEXT}, \"rate_limited\", \"budget_exhausted\", \
                    {\"invalid_output\":TEXT}, {\"unavailable\":TEXT}; or of a call's: {\"failed\":JSON}, \
                    \"cancelled\", {\"not_found\":TEXT}, {\"denied\":TEXT}, {\"unavailable\":TEXT}"
            .into());
    }
    Ok(What::Error(model, call))
}

fn read<T: DeserializeOwned>(name: &str, value: &RawValue) -> Result<T, String> {
    serde_json::from_str(value.get()).map_err(|why| format!("`{name}`: {why}"))
}

fn optional<T: DeserializeOwned>(name: &str, fields: &Fields) -> Result<Option<T>, String> {
    fields.get(name).map_or(Ok(None), |value| read(name, value))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::decision::Form;

    fn question(op: u64, ask: Ask) -> Question {
        let form = Form { choices: vec!["yes".into(), "no".into()], ..Form::default() };
        Question { op, ask: Arc::new(ask), pause: None, due: None, form: Some(form), default: None, schema: None }
    }

    fn wait(op: u64) -> Question {
        question(op, Ask::WaitForResume { approval_request_id: "x".into(), timeout_ms: None })
    }

    fn call(op: u64) -> Question {
        question(op, Ask::Call { target: "a.b".into(), input: "1".into() })
    }

    #[test]
    fn answers_go_to_the_oldest_ask_of_their_kind_in_the_order_of_the_list() {
        let list = r#"[{"result": {"a" : 1}}, {"decision":"no","op":4}, {"decision":"yes"}, {"error":"cancelled"}]"#;
        let mut answers = Answers::parse(list).unwrap();
        let open = [wait(3), wait(4), call(5), call(6)];
        let mut taken = vec![];
        while let Some((place, op, answer)) = answers.take(&open.iter(), 7).unwrap() {
            taken.push((place, op, answer.to_text()));
        }
        assert_eq!(taken[0], (0, 5, r#"{"call":{"Ok":"{\"a\" : 1}"}}"#.into()));
        assert_eq!(taken[1], (1, 4, r#"{"review":{"Ok":{"decision":"no","decided_at_ms":7}}}"#.into()));
        assert_eq!((taken[2].1, taken[3].2.as_str()), (3, r#"{"call":{"Err":"cancelled"}}"#));
    }

    #[test]
    fn the_answers_in_the_documentation_are_answers() {
        let text = include_str!("../../../docs/testing.md");
        let (_, rest) = text.split_once("```json\n[").unwrap();
        let (list, _) = rest.split_once("```").unwrap();
        assert_eq!(Answers::parse(&format!("[{list}")).unwrap().unused().count(), 6);
        // Every form of an error.
        let row = text.lines().find(|line| line.starts_with("| `{\"error\"")).unwrap();
        let forms: Vec<&str> = row.split('`').skip(3).step_by(2).collect();
        assert_eq!(forms.len(), 10, "{forms:?}");
        for form in forms {
            let form = form.replace(": …}", ": 1}");
            Answers::parse(&format!(r#"[{{"error": {form}}}]"#)).unwrap();
        }
    }

    #[test]
    fn an_answer_that_no_open_ask_takes_is_left() {
        let mut answers = Answers::parse(r#"["a text", {"decision":"yes","op":9}, {"slept":true}]"#).unwrap();
        assert_eq!(answers.take(&[wait(3)].iter(), 0), Ok(None));
        assert_eq!(answers.unused().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn what_is_no_answer_is_told_by_its_place() {
        for (bad, why) in [
            ("7", "must be a text"),
            ("{}", "exactly one of"),
            (r#"{"text":"a","decision":"b"}"#, "exactly one of"),
            (r#"{"text":7}"#, "`text`"),
            (r#"{"decision":"a","feedbak":"b"}"#, "not `feedbak`"),
            (r#"{"error":"broken"}"#, "`error` must be"),
            (r#"{"slept":false}"#, "`slept` must be true"),
            (r#"{"result":1,"op":-1}"#, "`op`"),
        ] {
            let error = Answers::parse(&format!("[\"fine\", {bad}]")).unwrap_err();
            assert!(error.starts_with("answers[1]: ") && error.contains(why), "{bad}: {error}");
        }
        assert!(Answers::parse("{}").is_err());
    }

    #[test]
    fn a_host_would_refuse_it_and_so_does_a_trial() {
        let mut answers = Answers::parse(r#"[{"decision":"maybe"}]"#).unwrap();
        let error = answers.take(&[wait(3)].iter(), 0).unwrap_err();
        assert!(error.starts_with("answers[0] for ask 3 (wait_for_resume)") && error.contains("yes, no"), "{error}");
        let expired = Answer::Review(Ok(Review::expired(0)));
        assert!(wait(1).fit(expired.clone()).unwrap_err().contains("no expiry"));
        let due = Question { due: Some(9), ..wait(1) };
        assert_eq!(due.fit(expired), Ok(Answer::Review(Ok(Review::expired(9)))));
        assert!(call(1).fit(Answer::Call(Ok("{".into()))).unwrap_err().contains("not JSON"));
        assert!(call(1).fit(Answer::Slept).is_err());
    }
}
