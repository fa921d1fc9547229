//! Notifications as mail: to reviewers who are asked, each with a link of their own, and to endpoints of the kind.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::message::Mailbox;
use lettre::transport::smtp::PoolConfig;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::letter::Letter;
use super::message::Message;
use super::{Outbox, Outcome, Sent};
use crate::db::outbox::Due;
use crate::link::LIFE_MS_MAX;

/// How long one command to the mail server may take, and how many connections to it are held.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECTIONS_MAX: u32 = 4;

/// The codes by which a server refuses one mail for good. Others of 500 and more, as 530 or 535 to who may not log in, are
/// about this host's settings, which somebody can mend.
const REFUSED: RangeInclusive<u16> = 550..=554;

/// Sends mail. Cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// By the server at `smtp://`, `smtps://`, or `smtp://…?tls=required` (or `opportunistic`).
    ///
    /// # Errors
    ///
    /// What is wrong with the settings. Does not show the address, which holds a password.
    pub fn new(url: &str, from: &str) -> anyhow::Result<Self> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| anyhow::anyhow!("COUNTERSIGN_SMTP_URL is not of the form smtps://user:password@host:port"))?;
        let from = from.parse().map_err(|why| anyhow::anyhow!("COUNTERSIGN_MAIL_FROM is no mail address: {why}"))?;
        let pool = PoolConfig::new().max_size(CONNECTIONS_MAX);
        Ok(Self { transport: builder.timeout(Some(TIMEOUT)).pool_config(pool).build(), from })
    }
}

/// Writes to a reviewer who is asked.
pub(super) async fn to_reviewer(outbox: &Outbox, due: &Due) -> Outcome {
    let Some(email) = &due.email else {
        return Outcome::new(Sent::Refused, "the reviewer has no address any more".to_owned());
    };
    if due.pause_status.as_deref() != Some("open") {
        return Outcome::new(Sent::Refused, "the pause was no longer open".to_owned());
    }
    // Made here and kept nowhere: whoever reads rows or logs must not be able to decide with it.
    let link = personal_link(outbox, due);
    send(outbox, due, email, link.as_deref()).await
}

/// Writes to an endpoint. Whoever reads it there has a key of their own, so there is no link.
pub(super) async fn to_endpoint(outbox: &Outbox, due: &Due) -> Outcome {
    match outbox.address(due) {
        Ok(address) => send(outbox, due, &address, None).await,
        Err(outcome) => outcome,
    }
}

/// The link by which a delivery's reviewer decides. Good for as long as any; what ends sooner is the pause.
fn personal_link(outbox: &Outbox, due: &Due) -> Option<String> {
    let (execution, name, reviewer) =
        (due.execution_id.as_ref()?, due.approval_request_id.as_ref()?, due.reviewer.as_ref()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let expires = u64::try_from(now).unwrap_or(u64::MAX).saturating_add(LIFE_MS_MAX);
    Some(outbox.links.review_link(&due.tenant_id, execution, name, reviewer, expires))
}

async fn send(outbox: &Outbox, due: &Due, to: &str, link: Option<&str>) -> Outcome {
    let Some(mailer) = &outbox.mailer else {
        let why = "this host sends no mail: COUNTERSIGN_SMTP_URL is not set".to_owned();
        return Outcome::new(Sent::Failed(None), why);
    };
    let to: Address = match to.parse() {
        Ok(to) => to,
        Err(why) => return Outcome::new(Sent::Refused, format!("the address is none: {why}")),
    };
    let letter = Letter {
        from: &mailer.from,
        to: Mailbox::new(None, to),
        notification_id: &due.notification_id,
        delivery_id: &due.delivery_id,
        message: &Message::of(&due.r#type, &due.body),
        link,
    };
    let mail = match letter.write() {
        Ok(mail) => mail,
        Err(why) => return Outcome::new(Sent::Refused, format!("the mail could not be written: {why}")),
    };
    match mailer.transport.send(mail).await {
        Ok(answer) => Outcome { status: Some(u16::from(answer.code())), ..Outcome::new(Sent::Delivered, None) },
        Err(error) => {
            let status = error.status().map(u16::from);
            Outcome { status, ..Outcome::new(sent(status), format!("the mail server: {error}")) }
        }
    }
}

/// What a mail has become that the server did not take, by its code.
fn sent(status: Option<u16>) -> Sent {
    if status.is_some_and(|code| REFUSED.contains(&code)) { Sent::Refused } else { Sent::Failed(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_given_up_only_if_the_server_refuses_just_that_mail() {
        for code in [550, 551, 552, 553, 554] {
            assert!(matches!(sent(Some(code)), Sent::Refused), "{code}");
        }
        for code in [421, 450, 452, 500, 502, 503, 530, 534, 535, 538, 555] {
            assert!(matches!(sent(Some(code)), Sent::Failed(None)), "{code}");
        }
        assert!(matches!(sent(None), Sent::Failed(None)));
    }
}
