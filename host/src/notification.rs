//! What others are told, and what they may be called. Pure: no I/O, no clock.

/// The types of notifications that an endpoint can ask for. Triggers write them (`migrations/0006_notifications.sql`).
pub const EVENTS: [&str; 10] = [
    "pause.opened",
    "pause.advanced",
    "pause.reminded",
    "pause.escalated",
    "pause.decided",
    "pause.expired",
    "pause.cancelled",
    "execution.succeeded",
    "execution.failed",
    "execution.cancelled",
];

/// How many endpoints a tenant has. Each event is written once for each of them.
pub const ENDPOINTS_MAX: i64 = 64;

/// How many members a group has.
pub const MEMBERS_MAX: usize = 256;

/// How many reviewers with an address, and how many groups, of a tenant are kept. Whoever finds out whom a pause asks
/// looks through them.
pub const REVIEWERS_MAX: i64 = 10_000;
pub const GROUPS_MAX: i64 = 1_000;

/// How often one delivery is tried in all, so that its log has an end.
pub const ATTEMPTS_MAX: i32 = 100;

/// How many failed deliveries of an endpoint one request makes again.
pub const REDELIVERED_MAX: i64 = 10_000;

/// Longest mail address, in bytes: that of SMTP.
const EMAIL_BYTES_MAX: usize = 254;

/// Whether mail can be sent there. One address, without a name.
pub fn is_email(text: &str) -> bool {
    text.len() <= EMAIL_BYTES_MAX && text.parse::<lettre::Address>().is_ok()
}

/// Whether `id` has the form of a delivery's id.
pub fn is_delivery_id(id: &str) -> bool {
    id.strip_prefix("dlv_")
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_address_is_one_and_nothing_else() {
        assert!(is_email("ada@example.com") && is_email("a+b@sub.example.org"));
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in ["", "ada", "ada@", "Ada <ada@example.com>", "a@b.c, d@e.f", "a@b.c\r\nBcc: d@e.f", "a@b c", &long] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }
}
