use super::*;

const OLD: &str = "cmk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "cmk_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const EXECUTION: &str = "exec_0123456789abcdef0123456789abcdef";
/// Made by another implementation of the format, and its id.
const VECTOR: &str = "csl_AQJxxQgAAAGjGFxQAAEjRWeJq83vASNFZ4mrze8ABGFjbWUADmRyYWZ0LXJldmlldy\
    MyAARab8Or.rAlXnh2QdF0fB_-ibfyJ4yIHyJTYBYt4zthjhThhtvg";
const VECTOR_ID: &str = "4567ae43612ee980";
const EXPIRES: Millis = 1_800_000_000_000;

fn links(keys: &str) -> Links {
    Links::new(keys.parse().unwrap(), "https://countersign.example/")
}

fn token(links: &Links, tenant: &str, name: &str, reviewer: &str, expires: Millis) -> String {
    let link = links.review_link(tenant, EXECUTION, name, reviewer, expires);
    link.strip_prefix("https://countersign.example/r/").expect("a link begins with the host's address").to_owned()
}

#[test]
fn a_link_is_the_one_of_the_documented_format() {
    assert_eq!(token(&links(OLD), "acme", "draft-review#2", "Zoë", EXPIRES), VECTOR);
    let link = links(OLD).read(VECTOR, EXPIRES - 1).unwrap();
    assert_eq!((&*link.tenant, &*link.execution), ("acme", EXECUTION));
    assert_eq!((&*link.approval_request_id, &*link.reviewer), ("draft-review#2", "Zoë"));
    assert_eq!((link.expires, &*link.id), (EXPIRES, VECTOR_ID));
}

#[test]
fn a_link_is_good_until_it_expires_and_not_then() {
    let token = token(&links(OLD), "acme", "x", "zoe", EXPIRES);
    assert!(links(OLD).read(&token, 0).is_ok());
    assert!(links(OLD).read(&token, EXPIRES - 1).is_ok());
    assert_eq!(links(OLD).read(&token, EXPIRES), Err(Invalid));
}

#[test]
fn a_token_with_another_character_anywhere_is_refused() {
    let token = token(&links(OLD), "acme", "x", "zoe", EXPIRES);
    for place in 0..token.len() {
        for other in "Aa0_-.=\u{e9}".chars().filter(|other| !token[place..].starts_with(*other)) {
            let altered = format!("{}{other}{}", &token[..place], &token[place + 1..]);
            assert_eq!(links(OLD).read(&altered, 0), Err(Invalid), "{other:?} at {place}");
        }
        let shorter = format!("{}{}", &token[..place], &token[place + 1..]);
        assert_eq!(links(OLD).read(&shorter, 0), Err(Invalid), "without the character at {place}");
    }
    for more in ["A", "=", ".", "\n"] {
        assert_eq!(links(OLD).read(&format!("{token}{more}"), 0), Err(Invalid));
    }
    assert_eq!(links(OLD).read(&format!("{token}{}", "A".repeat(1_000_000)), 0), Err(Invalid));
    assert_eq!(links(OLD).read("", 0), Err(Invalid));
}

#[test]
fn a_mac_is_of_its_own_fields_alone() {
    let one = token(&links(OLD), "acme", "x", "zoe", EXPIRES);
    let others = [
        token(&links(OLD), "acmf", "x", "zoe", EXPIRES),
        token(&links(OLD), "acme", "y", "zoe", EXPIRES),
        token(&links(OLD), "acme", "x", "zof", EXPIRES),
        token(&links(OLD), "acme", "x", "zoe", EXPIRES + 1),
        token(&links(OLD), "acm", "ex", "zoe", EXPIRES),
        token(&links(NEW), "acme", "x", "zoe", EXPIRES),
    ];
    let mac = one.split_once('.').unwrap().1;
    for other in others {
        let forged = format!("{}.{mac}", other.split_once('.').unwrap().0);
        assert_eq!(links(&format!("{OLD},{NEW}")).read(&forged, 0), Err(Invalid), "{forged}");
    }
}

#[test]
fn a_link_is_good_for_as_long_as_a_host_has_its_key() {
    let old = token(&links(OLD), "acme", "x", "zoe", EXPIRES);
    assert!(links(&format!("{NEW},{OLD}")).read(&old, 0).is_ok());
    assert_eq!(links(NEW).read(&old, 0), Err(Invalid));
    let new = token(&links(&format!("{NEW},{OLD}")), "acme", "x", "zoe", EXPIRES);
    assert!(links(NEW).read(&new, 0).is_ok());
}

#[test]
fn what_is_out_of_its_bounds_makes_no_good_link() {
    let long = "x".repeat(REVIEWER_BYTES_MAX + 1);
    for (tenant, name, reviewer) in [
        ("acme", "x", "@editors"),
        ("acme", "x", ""),
        ("Acme", "x", "zoe"),
        ("acme", "a b", "zoe"),
        ("acme", "x", &long),
    ] {
        let token = token(&links(OLD), tenant, name, reviewer, EXPIRES);
        assert_eq!(links(OLD).read(&token, 0), Err(Invalid), "{tenant} {name} {reviewer}");
    }
    let longest =
        token(&links(OLD), &"t".repeat(64), &format!("{}#200000", "x".repeat(128)), &"r".repeat(256), EXPIRES);
    assert!(links(OLD).read(&longest, 0).is_ok());
    assert!(longest.len() <= TOKEN_BYTES_MAX);
}

#[test]
fn a_redacted_link_shows_whose_it_is_and_does_not_work() {
    let link = links(OLD).review_link("acme", EXECUTION, "x", "zoe", EXPIRES);
    let text = format!(r#"{{"link":"{link}","again":"{link}-more","cut":"{}"}}"#, &link[..link.len() - 20]);
    let redacted = redact(&text);
    let (fields, mac) = link.split_once("/r/").unwrap().1.split_once('.').unwrap();
    assert!(!redacted.contains(&mac[..8]) && redacted.contains(fields), "{redacted}");
    assert!(redacted.contains(".redacted-more\""), "{redacted}");
    assert_eq!(redact(&redacted), redacted, "what is redacted stays as it is");
    assert_eq!(links(OLD).read(&redact(link.split_once("/r/").unwrap().1), 0), Err(Invalid));
    for plain in ["", "csl_", "csl_.", "csl_a", "a csl_ b. c", "no link", "csl_a. b"] {
        assert_eq!(redact(plain), plain);
    }
}

#[test]
fn a_link_is_redacted_whatever_stands_before_it() {
    let link = links(OLD).review_link("acme", EXECUTION, "x", "zoe", EXPIRES);
    let mac = link.rsplit_once('.').unwrap().1;
    for before in ["csl_", "csl_a", "csl_a.", "csl_.", "csl_a.redacted", "csl_a.b", "csl_csl_a.csl_b."] {
        let token = link.split_once("/r/").unwrap().1;
        for text in [format!("{before}{token}"), format!("{before}{link}")] {
            assert!(!redact(&text).contains(&mac[8..]), "{text}");
        }
    }
}
