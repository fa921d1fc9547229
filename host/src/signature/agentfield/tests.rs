use super::*;

/// GitHub's own example of `X-Hub-Signature-256`.
const GITHUB_SECRET: &str = "It's a Secret to Everybody";
const GITHUB_BODY: &[u8] = b"Hello, World!";
const GITHUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

/// Made with Stripe's library for Python, whose scheme is the one with a time.
const SECRET: &str = "whsec_test_secret";
const TIME: u64 = 1_767_225_600;
const BODY: &[u8] = br#"{"id":"evt_1","object":"event","type":"run.resume"}"#;
const DIGITS: &str = "b1cc0b4c12d2f4b0639fd07e13f2f71c06783c3fc2841a958b63f0271eda116e";

fn timed(timestamp: &str, digits: &str) -> String {
    format!("t={timestamp},v1={digits}")
}

fn good() -> String {
    timed(&TIME.to_string(), DIGITS)
}

fn check(header: &str, key: &str, body: &[u8], now: u64, takes_bare: bool) -> bool {
    Signature::parse(header).is_ok_and(|signature| signature.verify(&[key], body, now, takes_bare).is_ok())
}

#[test]
fn the_known_answers_hold() {
    assert!(check(&good(), SECRET, BODY, TIME, false));
    assert!(check(GITHUB, GITHUB_SECRET, GITHUB_BODY, TIME, true));
    assert!(check(GITHUB.strip_prefix("sha256=").unwrap(), GITHUB_SECRET, GITHUB_BODY, 0, true), "the bare digits");
    assert!(check(&GITHUB.to_uppercase().replace("SHA", "sha"), GITHUB_SECRET, GITHUB_BODY, 0, true), "upper case");
}

#[test]
fn a_signature_without_a_time_is_taken_only_where_that_is_wanted() {
    assert!(Signature::parse(GITHUB).unwrap().is_bare());
    assert!(!check(GITHUB, GITHUB_SECRET, GITHUB_BODY, TIME, false));
    assert!(!Signature::parse(&good()).unwrap().is_bare());
}

#[test]
fn a_time_is_good_for_five_minutes_and_written_in_one_way() {
    for now in [TIME - 300, TIME, TIME + 300] {
        assert!(check(&good(), SECRET, BODY, now, true));
    }
    for now in [0, TIME - 301, TIME + 301, u64::MAX] {
        assert!(!check(&good(), SECRET, BODY, now, true), "{now}");
    }
    for text in ["", "0", "+1767225600", "01767225600", " 1767225600", "1767225600.0", "1e9", "-1", "999999999999"] {
        assert!(Signature::parse(&timed(text, DIGITS)).is_err(), "{text:?}");
    }
}

#[test]
fn whatever_is_changed_is_found() {
    for place in 0..DIGITS.len() {
        let mut digits = DIGITS.as_bytes().to_vec();
        digits[place] = if digits[place] == b'0' { b'1' } else { b'0' };
        let header = timed(&TIME.to_string(), std::str::from_utf8(&digits).unwrap());
        assert!(!check(&header, SECRET, BODY, TIME, true), "digit {place}");
    }
    for place in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[place] ^= 1;
        assert!(!check(&good(), SECRET, &body, TIME, true), "byte {place}");
    }
    assert!(!check(&timed(&(TIME + 1).to_string(), DIGITS), SECRET, BODY, TIME, true));
    assert!(!check(&good(), "whsec_test_secret2", BODY, TIME, true));
    assert!(Signature::parse(&good()).unwrap().verify(&[""; 0], BODY, TIME, true).is_err(), "no secrets");
    // The time is not just left out.
    assert!(!check(DIGITS, SECRET, BODY, TIME, true));
}

#[test]
fn only_the_three_forms_are_read() {
    for header in [
        "".to_owned(),
        "sha256=".into(),
        "sha1=757107ea".into(),
        format!("sha256={}", &DIGITS[1..]),
        format!("sha256={DIGITS}0"),
        format!("sha512={DIGITS}"),
        format!(" {DIGITS}"),
        format!("v1={DIGITS}"),
        format!("t={TIME}"),
        format!("t={TIME},v1="),
        format!("t={TIME},v0={DIGITS}"),
        format!("t={TIME},v1=é{}", &DIGITS[2..]),
        format!("t={TIME},t={TIME},v1={DIGITS}"),
        format!("t={TIME}{}", format!(",v1={DIGITS}").repeat(6)),
        format!("t={TIME},v1={DIGITS},x={}", "y".repeat(HEADER_BYTES_MAX)),
    ] {
        assert!(Signature::parse(&header).is_err(), "{header}");
    }
}

#[test]
fn one_of_several_signatures_and_one_of_several_keys_is_enough() {
    let header = format!("v0=x,v1={},t={TIME},v1={DIGITS}", "0".repeat(64));
    let signature = Signature::parse(&header).unwrap();
    assert!(signature.verify(&["whsec_new", SECRET], BODY, TIME, false).is_ok());
    assert!(signature.verify(&["whsec_new"], BODY, TIME, false).is_err());
}

#[test]
fn a_delivery_is_the_same_by_its_event_or_by_its_time_and_body() {
    let (now, later) = (good(), timed(&(TIME + 1).to_string(), DIGITS));
    let (now, later) = (Signature::parse(&now).unwrap(), Signature::parse(&later).unwrap());
    let bare = Signature::parse(DIGITS).unwrap();
    let id = now.delivery_id(None, BODY);
    assert_eq!(id, now.delivery_id(None, BODY));
    assert!(id.len() == 43 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{id}");
    for other in [now.delivery_id(None, b"{}"), later.delivery_id(None, BODY), bare.delivery_id(None, BODY)] {
        assert_ne!(id, other);
    }
    let event = now.delivery_id(Some("evt_1"), BODY);
    assert_eq!(event, later.delivery_id(Some("evt_1"), BODY), "it is sent again with another time");
    assert_eq!(event, bare.delivery_id(Some("evt_1"), b"{}"));
    assert_ne!(event, now.delivery_id(Some("evt_2"), BODY));
}
