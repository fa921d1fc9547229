//! Notifications as messages to an incoming webhook of Slack's, or of whatever takes the same.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::message::Message;
use super::{Outbox, Outcome, webhook};
use crate::db::outbox::Due;

/// Posts a message. It is not signed: whoever knows the address may post there.
pub(super) async fn send(outbox: &Outbox, due: &Due) -> Outcome {
    let address = match outbox.address(due) {
        Ok(address) => address,
        Err(outcome) => return outcome,
    };
    let body = render(&Message::of(&due.r#type, &due.body)).to_string();
    webhook::judge(outbox.dialer.post(&address, HeaderMap::new(), body).await)
}

/// The text is for those that know no blocks, and for what a phone shows. It is all that Slack reads as markup; no link
/// is in it but the pause's own page.
fn render(message: &Message) -> Value {
    let page = message.page.as_ref().map(|page| format!(" <{}|Open>", escape(page))).unwrap_or_default();
    let text = format!("{} — {}{page}", escape(&message.headline), escape(&message.event));
    let details: Vec<String> = message.details.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    let mut blocks = vec![
        json!({"type": "section", "text": plain(&format!("{}\n{}", message.headline, message.event))}),
        json!({"type": "context", "elements": [plain(&cut(&details.join("\n")))]}),
    ];
    if let Some(page) = &message.page {
        let button = json!({"type": "button", "text": plain("Open"), "url": page});
        blocks.push(json!({"type": "actions", "elements": [button]}));
    }
    json!({"text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

/// What Slack asks for in text that is markup: mentions and links cannot be made of what an agent wrote.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Slack takes 3,000 characters in a block.
fn cut(text: &str) -> String {
    const CHARS_MAX: usize = 3_000;
    text.chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_wrote_makes_no_mention_and_no_link() {
        let message = Message {
            headline: "<!channel> <https://evil.example|click> & more".into(),
            event: "A decision is needed.".into(),
            details: vec![("Agent", "a.f".into())],
            page: Some("https://example.com/?a=1&b=2".into()),
        };
        let body = render(&message);
        assert_eq!(
            body["text"],
            "&lt;!channel&gt; &lt;https://evil.example|click&gt; &amp; more — A decision is needed. \
             <https://example.com/?a=1&amp;b=2|Open>"
        );
        assert_eq!(body["blocks"][0]["text"]["type"], "plain_text");
        assert_eq!(body["blocks"][2]["elements"][0]["url"], "https://example.com/?a=1&b=2");
    }
}
