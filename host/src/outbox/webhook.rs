//! Notifications as signed webhooks: Standard Webhooks.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Outbox, Outcome, Sent};
use crate::db::outbox::Due;
use crate::dialer::Answer;
use crate::master_key::Purpose;
use crate::signature::{self, Secret};

/// Posts a notification, signed with each secret that is in force.
pub(super) async fn send(outbox: &Outbox, due: &Due) -> Outcome {
    let address = match outbox.address(due) {
        Ok(address) => address,
        Err(outcome) => return outcome,
    };
    let headers = match headers(outbox, due) {
        Ok(headers) => headers,
        Err(why) => return Outcome::new(Sent::Failed(None), why),
    };
    judge(outbox.dialer.post(&address, headers, due.body.clone()).await)
}

/// What an answer says of the delivery.
pub(super) fn judge(answer: Result<Answer, String>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return Outcome::new(Sent::Failed(None), why),
    };
    let (sent, error) = match answer.status {
        200..=299 => (Sent::Delivered, None),
        300..=399 => (Sent::Failed(answer.retry_after), Some("redirects are not followed".to_owned())),
        410 => (Sent::Gone, Some("it answered 410 Gone".to_owned())),
        status => (Sent::Failed(answer.retry_after), Some(format!("it answered {status}"))),
    };
    let response = Some(answer.excerpt).filter(|text| !text.is_empty());
    Outcome { sent, status: Some(answer.status), error, response }
}

fn headers(outbox: &Outbox, due: &Due) -> Result<HeaderMap, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut signatures = vec![];
    let mut unreadable = "the endpoint has no signing secret".to_owned();
    for (id, encrypted) in due.secret_ids.iter().zip(&due.secrets) {
        let secret = outbox.master_keys.unseal(Purpose::EndpointSecret, &due.tenant_id, id, encrypted);
        match secret.map(Secret::from_key) {
            Ok(Ok(secret)) => {
                signatures.push(signature::sign(&secret, &due.notification_id, now, due.body.as_bytes()));
            }
            Ok(Err(why)) => unreadable = format!("a signing secret cannot be read: {why}"),
            Err(why) => unreadable = format!("a signing secret cannot be read: {why}"),
        }
    }
    if signatures.is_empty() {
        return Err(unreadable);
    }
    let mut headers = HeaderMap::new();
    let texts = [
        ("webhook-id", due.notification_id.clone()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ];
    for (name, text) in texts {
        let value = HeaderValue::from_str(&text).map_err(|why| why.to_string())?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}
