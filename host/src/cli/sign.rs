//! `countersign sign`: signs a webhook's body as Standard Webhooks wants it.

use std::io::Read as _;

use serde_json::json;

use super::failure::Failure;
use super::output::Output;
use super::time;
use crate::signature::{self, Secret};

/// The options of `countersign sign`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Sign a decision and send it:
  BODY='{\"pause_id\":\"exec_…:draft-review\",\"decision\":\"approved\"}'
  printf %s \"$BODY\" | countersign sign --secret whsec_… > headers
  curl -H @headers -H 'content-type: application/json' --data-binary \"$BODY\" \\
    http://127.0.0.1:7070/v1/webhooks/default")]
pub(crate) struct SignArgs {
    /// The secret to sign with, as `countersign secrets create` printed it
    #[arg(long, value_name = "whsec_…", env = "COUNTERSIGN_WEBHOOK_SECRET", hide_env_values = true)]
    secret: String,
    /// The id of this delivery: the same id and body again are the same delivery [default: a new one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The time of this delivery; the host takes it for 5 minutes [default: now]
    #[arg(long, value_name = "UNIX_SECONDS")]
    timestamp: Option<u64>,
}

/// The three headers of a signed delivery.
pub(crate) type Headers = [(&'static str, String); 3];

/// Signs standard input and prints the headers.
pub(crate) fn sign(args: &SignArgs, out: Output) -> Result<(), Failure> {
    let mut body = Vec::new();
    std::io::stdin()
        .read_to_end(&mut body)
        .map_err(|error| Failure::Usage(format!("cannot read the body from standard input: {error}")))?;
    let id = args.id.clone().unwrap_or_else(new_id);
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !(1..=64).contains(&id.len()) || !id.bytes().all(valid) {
        return Err(Failure::Usage("--id must be 1 to 64 of A-Z a-z 0-9 _ -".into()));
    }
    let headers = headers(&args.secret, &id, args.timestamp.unwrap_or_else(now_seconds), &body)?;
    if out.json {
        let object: serde_json::Map<_, _> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        out.document(&json!(object).to_string())?;
    } else {
        out.line(&headers.map(|(name, value)| format!("{name}: {value}")).join("\n"))?;
    }
    Ok(())
}

/// An id for a new delivery.
pub(crate) fn new_id() -> String {
    format!("msg_{}", uuid::Uuid::new_v4().simple())
}

/// The time for a delivery that is sent now.
pub(crate) fn now_seconds() -> u64 {
    time::now().unsigned_abs() / 1000
}

/// The headers that make `body` a delivery called `id`, sent at `timestamp`.
pub(crate) fn headers(secret: &str, id: &str, timestamp: u64, body: &[u8]) -> Result<Headers, Failure> {
    let signature = signature::sign(&parse(secret)?, id, timestamp, body);
    Ok([("webhook-id", id.to_owned()), ("webhook-timestamp", timestamp.to_string()), ("webhook-signature", signature)])
}

/// The secret, which may have lost its padding, or have white space around it, on its way here.
fn parse(secret: &str) -> Result<Secret, Failure> {
    let text = secret.trim().trim_end_matches('=');
    let encoded = text.len().saturating_sub("whsec_".len());
    let padding = "=".repeat(encoded.next_multiple_of(4) - encoded);
    let no_secret =
        |_| Failure::Usage("a secret is `whsec_` and base64, as `countersign secrets create` prints it".into());
    format!("{text}{padding}").parse().map_err(no_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_standard() {
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let [id, timestamp, signature] =
            headers(secret, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body).expect("the secret is one");
        assert_eq!(id, ("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk".into()));
        assert_eq!(timestamp, ("webhook-timestamp", "1649367553".into()));
        assert_eq!(signature, ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=".into()));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for secret in ["", "whsec_", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_not base64", "whsec_AAEC"] {
            assert!(matches!(parse(secret), Err(Failure::Usage(_))), "{secret}");
        }
        let padded = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        for secret in [padded, padded.trim_end_matches('='), &format!(" {padded}\n")] {
            assert_eq!(parse(secret).expect("it is one").expose(), padded);
        }
    }
}
