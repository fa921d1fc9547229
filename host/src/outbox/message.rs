//! What a notification says to a person. Pure: no I/O, no clock.

use serde_json::Value;
use url::Url;

/// Longest headline and detail, in characters. Both stand in one line.
const HEADLINE_CHARS_MAX: usize = 200;
const DETAIL_CHARS_MAX: usize = 1_000;

/// A notification in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The title of the pause, or what there is in its place. One line.
    pub(super) headline: String,
    /// What happened.
    pub(super) event: String,
    /// A name and a value each; one line.
    pub(super) details: Vec<(&'static str, String)>,
    /// The pause's own page, if it names one that a browser opens.
    pub(super) page: Option<String>,
}

impl Message {
    /// Reads the body of a notification.
    pub(super) fn of(event: &str, body: &str) -> Self {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let data = &body["data"];
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let target = match (text(&data["agent"]), text(&data["function"])) {
            (Some(agent), Some(function)) => format!("{agent}.{function}"),
            _ => "countersign".into(),
        };
        let mut details: Vec<(&'static str, String)> = vec![];
        let mut detail = |name, value: Option<String>| {
            details.extend(value.map(|value| (name, line(&value, DETAIL_CHARS_MAX))));
        };
        detail("Agent", Some(target.clone()));
        detail("Choices", list(&data["choices"]).filter(|_| data["status"] == "open"));
        detail("Asked", list(&data["asked"]).filter(|_| data["status"] == "open"));
        detail("Until", text(&data["expires_at"]).filter(|_| data["status"] == "open"));
        detail("Decision", text(&data["decision"]["decision"]));
        detail("By", text(&data["decision"]["reviewer"]));
        detail("Feedback", text(&data["decision"]["feedback"]));
        detail("Error", text(&data["error"]["message"]));
        detail("Endpoint", text(&data["endpoint"]));
        detail("Id", text(&data["id"]));
        let title = text(&data["title"]).filter(|title| !title.trim().is_empty());
        let headline = title.unwrap_or_else(|| match text(&data["approval_request_id"]) {
            Some(name) => format!("{target}: {name}"),
            None => target,
        });
        Self {
            headline: line(&headline, HEADLINE_CHARS_MAX),
            event: describe(event).into(),
            details,
            page: text(&data["approval_request_url"]).and_then(|page| browsable(&page)),
        }
    }
}

fn describe(event: &str) -> &'static str {
    match event {
        "pause.opened" => "A decision is needed.",
        "pause.advanced" => "A decision is needed at the next stage.",
        "pause.reminded" => "A decision is still needed.",
        "pause.escalated" => "A decision is still needed, and others are asked now.",
        "pause.decided" => "It was decided.",
        "pause.expired" => "Nobody decided in time.",
        "pause.cancelled" => "A decision is no longer needed.",
        "execution.succeeded" => "The execution has succeeded.",
        "execution.failed" => "The execution has failed.",
        "execution.cancelled" => "The execution was cancelled.",
        "endpoint.test" => "This is a test of an endpoint.",
        _ => "Something happened.",
    }
}

fn list(value: &Value) -> Option<String> {
    let texts: Vec<&str> = value.as_array()?.iter().filter_map(Value::as_str).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// One line of at most so many characters.
fn line(text: &str, chars_max: usize) -> String {
    let clean = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let clean = clean.collect::<Vec<_>>().join(" ");
    if clean.chars().count() <= chars_max {
        return clean;
    }
    clean.chars().take(chars_max - 1).chain(['…']).collect()
}

/// The address, if it is one of the web.
fn browsable(page: &str) -> Option<String> {
    let page = Url::parse(page).ok().filter(|page| matches!(page.scheme(), "http" | "https"))?;
    // These would end a link in Slack's markup, or in an angle bracket of a mail.
    Some(String::from(page).replace('|', "%7C").replace('<', "%3C").replace('>', "%3E"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_in_a_few_lines() {
        let body = r#"{"data":{"id":"exec_1:x","agent":"a","function":"f","approval_request_id":"x","status":"open",
            "title":"Ship\r\nBcc: all","choices":["yes","no"],"asked":[],"expires_at":null,
            "approval_request_url":"https://example.com/a|b"}}"#;
        let message = Message::of("pause.opened", body);
        assert_eq!(message.headline, "Ship Bcc: all");
        assert_eq!(message.page.as_deref(), Some("https://example.com/a%7Cb"));
        let details = [("Agent", "a.f"), ("Choices", "yes, no"), ("Id", "exec_1:x")];
        assert_eq!(message.details, details.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn a_page_that_is_no_web_page_is_not_shown_and_what_is_long_is_cut() {
        for page in ["javascript:alert(1)", "file:///etc/passwd", "x", ""] {
            assert_eq!(browsable(page), None, "{page}");
        }
        assert_eq!(line(&"x".repeat(500), 200).chars().count(), 200);
        assert_eq!(Message::of("pause.opened", "{").headline, "countersign");
    }
}
