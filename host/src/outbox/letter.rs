//! Notifications as mail: how one is written. Pure: no I/O, no clock.

use lettre::Message as Mail;
use lettre::message::{Mailbox, MultiPart};

use super::message::Message;

/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 150;

/// What a mail is made of.
pub(super) struct Letter<'a> {
    pub(super) from: &'a Mailbox,
    pub(super) to: Mailbox,
    pub(super) notification_id: &'a str,
    pub(super) delivery_id: &'a str,
    pub(super) message: &'a Message,
    /// Where the one who is written to decides.
    pub(super) link: Option<&'a str>,
}

impl Letter<'_> {
    /// Writes it. The same letter always has the same `Message-ID`, so that one that is sent twice is seen to be one.
    pub(super) fn write(self) -> Result<Mail, lettre::error::Error> {
        let subject: String = self.message.headline.chars().take(SUBJECT_CHARS_MAX).collect();
        let id = format!("<{}.{}@{}>", self.notification_id, self.delivery_id, self.from.email.domain());
        let body = MultiPart::alternative_plain_html(self.text(), self.html());
        Mail::builder()
            .from(self.from.clone())
            .to(self.to.clone())
            .subject(subject)
            .message_id(Some(id))
            .multipart(body)
    }

    fn places(&self) -> Vec<(&'static str, &str)> {
        let link = self.link.map(|link| ("Decide here; the link is yours alone", link));
        let page = self.message.page.as_deref().map(|page| ("What it is about", page));
        link.into_iter().chain(page).collect()
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.message.headline, self.message.event);
        for (what, place) in self.places() {
            text += &format!("\n{what}:\n{place}\n");
        }
        text += "\n";
        for (name, value) in &self.message.details {
            text += &format!("{name}: {value}\n");
        }
        text
    }

    fn html(&self) -> String {
        let mut html = format!(
            "<!doctype html><html><body><h2>{}</h2><p>{}</p>",
            escape(&self.message.headline),
            escape(&self.message.event)
        );
        for (what, place) in self.places() {
            html += &format!("<p><a href=\"{}\">{}</a></p>", escape(place), escape(what));
        }
        html += "<table>";
        for (name, value) in &self.message.details {
            html += &format!("<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(value));
        }
        html + "</table></body></html>"
    }
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(title: &str, to: &str) -> String {
        let body = serde_json::json!({"data": {"title": title, "agent": "a", "function": "f", "status": "open"}});
        let message = Message::of("pause.opened", &body.to_string());
        let letter = Letter {
            from: &"Countersign <desk@example.com>".parse().unwrap(),
            to: Mailbox::new(None, to.parse().unwrap()),
            notification_id: "msg_1",
            delivery_id: "dlv_1",
            message: &message,
            link: Some("https://countersign.example/r?a=1&t=x"),
        };
        String::from_utf8(letter.write().unwrap().formatted()).unwrap()
    }

    #[test]
    fn no_title_makes_a_header_of_its_own() {
        for title in
            ["a\r\nBcc: all@example.com", "a\nBcc: x", "a\r\n\r\nbody", "ä\r\nBcc: x", "\u{2028}Bcc: x", "a\0b"]
        {
            let mail = written(title, "ada@example.com");
            let headers = mail.split("\r\n\r\n").next().unwrap();
            let names: Vec<&str> = headers
                .split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
                .filter_map(|line| line.split_once(':').map(|(name, _)| name))
                .collect();
            assert_eq!(
                names,
                ["From", "To", "Subject", "Message-ID", "MIME-Version", "Date", "Content-Type"],
                "{title:?}: {headers}"
            );
        }
    }

    #[test]
    fn no_address_is_two_and_none_holds_a_line_break() {
        for bad in ["a@example.com, b@example.com", "a@example.com\r\nBcc: b@example.com", "a", "<a@example.com>", ""] {
            assert!(bad.parse::<lettre::Address>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_an_agent_wrote_is_text_in_html() {
        let mail = written("<script>alert(1)</script>", "ada@example.com");
        assert!(mail.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{mail}");
        assert!(mail.contains("Message-ID: <msg_1.dlv_1@example.com>"), "{mail}");
    }
}
