use super::*;

fn entry(seq: u64) -> Entry {
    Entry {
        tenant: "acme".into(),
        seq,
        at: format!("2026-01-01T00:00:{seq:02}.000001Z"),
        sealed_at: format!("2026-01-01T00:00:{seq:02}.100000Z"),
        actor: "key:7n8e5r19".into(),
        actor_name: Some("Zoë".into()),
        source: (!seq.is_multiple_of(2)).then(|| "10.0.0.1".into()),
        action: Action::PauseDecided.as_str().into(),
        subject: "exec_0:review".into(),
        details: raw(r#"{"decision":"approved","early":false}"#),
        sha256: String::new(),
    }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

fn seal(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut previous = NO_HASH.to_owned();
    for entry in &mut entries {
        entry.sha256 = entry.hash_after(&previous);
        previous.clone_from(&entry.sha256);
    }
    entries
}

fn log() -> Vec<Entry> {
    seal((1..=6).map(entry).collect())
}

fn verify(entries: &[Entry], kept: Option<&Head>) -> Result<Head, Fault> {
    let mut chain = Chain::new(kept.cloned());
    entries.iter().for_each(|entry| chain.push(entry));
    chain.end()
}

fn head(entry: &Entry) -> Head {
    Head { seq: entry.seq, sha256: entry.sha256.clone() }
}

#[test]
fn hashes_are_the_documented_ones() {
    // As the program in docs/audit.md computes them.
    let [first, second] = [0, 1].map(|n| log()[n].sha256.clone());
    assert_eq!(first, "9d3aadb4459867f842a09c4488cde9d09dcd06b01532d4e28d96cda0873a05d9");
    assert_eq!(second, "f0f42cd2134ab128e2e33d94329638cf19811b5c03c9398b03b0e8f2c20608ad");
}

#[test]
fn no_two_entries_have_the_same_fields_for_their_hash() {
    let mut hashes = std::collections::HashSet::new();
    let one = entry(1);
    let empty = |text: &str| Some(text.to_owned());
    for other in [
        one.clone(),
        Entry { tenant: "acm".into(), ..one.clone() },
        Entry { seq: 2, ..one.clone() },
        Entry { at: one.sealed_at.clone(), ..one.clone() },
        Entry { sealed_at: one.at.clone(), ..one.clone() },
        Entry { actor: "key:7n8e5r1".into(), actor_name: empty("9Zoë"), ..one.clone() },
        Entry { actor_name: None, ..one.clone() },
        Entry { actor_name: empty(""), ..one.clone() },
        Entry { actor_name: one.source.clone(), source: one.actor_name.clone(), ..one.clone() },
        Entry { source: None, ..one.clone() },
        Entry { action: "pause.decide".into(), subject: "dexec_0:review".into(), ..one.clone() },
        Entry { details: raw(r#"{"decision":"rejected","early":false}"#), ..one.clone() },
        Entry { details: raw(r#"{"decision":"approved", "early":false}"#), ..one.clone() },
    ] {
        assert!(hashes.insert(other.hash_after(NO_HASH)), "{other:?}");
    }
    assert!(hashes.insert(one.hash_after(&one.hash_after(NO_HASH))));
}

#[test]
fn a_log_that_nobody_touched_is_whole_and_so_is_every_beginning_of_it() {
    let log = log();
    for length in 0..=log.len() {
        let end = log[..length].last().map_or_else(Head::none, head);
        assert_eq!(verify(&log[..length], None), Ok(end.clone()));
        for kept in &log[..length] {
            assert_eq!(verify(&log[..length], Some(&head(kept))), Ok(end.clone()));
        }
    }
}

#[test]
fn a_changed_entry_is_found_even_if_its_hash_was_changed_with_it() {
    let mut log = log();
    log[2].actor = "key:other".into();
    assert_eq!(verify(&log, None), Err(Fault::Changed(3)));
    log[2].sha256 = log[2].hash_after(&log[1].sha256);
    assert_eq!(verify(&log, None), Err(Fault::Changed(4)));
    let kept = head(&super::tests::log()[4]);
    let log = seal(log);
    assert!(verify(&log, None).is_ok(), "whoever may rewrite all of it is found by a head that was kept, only");
    assert_eq!(verify(&log, Some(&kept)), Err(Fault::OtherHead(5)));
}

#[test]
fn a_missing_entry_a_cut_end_and_a_foreign_entry_are_found() {
    let whole = log();
    let without = |n: usize| whole.iter().enumerate().filter(move |(at, _)| *at != n).map(|(_, entry)| entry.clone());
    assert_eq!(verify(&without(0).collect::<Vec<_>>(), None), Err(Fault::Missing(1, 2)));
    assert_eq!(verify(&without(3).collect::<Vec<_>>(), None), Err(Fault::Missing(4, 5)));
    let kept = head(&whole[5]);
    assert_eq!(verify(&without(5).collect::<Vec<_>>(), Some(&kept)), Err(Fault::Cut { ends: 5, kept: 6 }));
    assert_eq!(verify(&[], Some(&kept)), Err(Fault::Cut { ends: 0, kept: 6 }));
    let mut foreign = whole.clone();
    foreign[1].tenant = "other".into();
    assert_eq!(verify(&foreign, None), Err(Fault::OtherTenant(2, "other".into())));
    let mut moved_up = without(3).collect::<Vec<_>>();
    moved_up[3].seq = 4;
    assert_eq!(verify(&moved_up, None), Err(Fault::Changed(4)), "the gap was closed");
}

#[test]
fn reordered_entries_are_found_as_such() {
    let mut swapped = log();
    swapped.swap(2, 3);
    assert_eq!(verify(&swapped, None), Err(Fault::Reordered(3)));
    swapped[2].seq = 3;
    swapped[3].seq = 4;
    assert_eq!(verify(&swapped, None), Err(Fault::Reordered(3)), "with their numbers exchanged, too");
    let mut last_first = log();
    last_first.rotate_right(1);
    assert_eq!(verify(&last_first, None), Err(Fault::Reordered(1)));
}

#[test]
fn a_head_is_read_as_it_is_written_and_nothing_else_is_one() {
    let head = head(&log()[3]);
    assert_eq!(head.to_string().parse(), Ok(head.clone()));
    assert_eq!(head.to_string().to_uppercase().parse(), Ok(head.clone()));
    let cut = &head.to_string()[..60];
    for bad in ["", ":", "4", "4:", cut, &format!("-{head}"), &format!("{head}0"), &head.to_string().replace(':', " ")]
    {
        assert_eq!(bad.parse::<Head>(), Err(NotAHead), "{bad:?}");
    }
}

#[test]
fn every_action_has_a_name_of_its_own() {
    for action in Action::ALL {
        assert_eq!(Action::from_name(action.as_str()), Some(action));
    }
    assert_eq!(Action::from_name("pause"), None);
}

#[test]
fn details_are_the_same_text_whatever_their_order_and_say_what_is_only_claimed() {
    assert_eq!(details([("b", 1.into()), ("a", Value::Null)]), r#"{"a":null,"b":1}"#);
    assert_eq!(details([]), "{}");
    let actor = |who| Actor { who, name: Some("Ada"), from: None };
    let plain = r#"{"decision":"ok","early":true}"#;
    assert_eq!(decision("ok", true, &actor(Who::Key("k"))), plain);
    assert_eq!(decision("ok", true, &actor(Who::HostKey("k"))), plain);
    let webhook = actor(Who::Webhook { id: "w", secret: "sec_1" });
    let signed = r#"{"decision":"ok","early":true,"secret":"sec_1"}"#;
    assert_eq!(decision("ok", true, &Actor { name: None, ..webhook }), signed);
    let claimed = r#"{"decision":"ok","early":true,"name_is_claimed":true,"secret":"sec_1"}"#;
    assert_eq!(decision("ok", true, &webhook), claimed);
}

#[test]
fn an_entry_with_a_field_that_no_hash_covers_is_none() {
    let text = serde_json::to_string(&entry(1)).unwrap();
    let read: Entry = serde_json::from_str(&text).unwrap();
    assert_eq!(read.hash_after(NO_HASH), entry(1).hash_after(NO_HASH));
    assert!(serde_json::from_str::<Entry>(&text.replacen('{', r#"{"note":"x","#, 1)).is_err());
    assert!(serde_json::from_str::<Entry>(&text.replacen('{', r#"{"subject":"x","#, 1)).is_err(), "twice");
}

#[test]
fn an_address_is_written_in_one_way() {
    let from = |text: &str| Actor { from: text.parse().ok(), ..Actor::HOST }.source();
    assert_eq!(from("::ffff:10.1.2.3").as_deref(), Some("10.1.2.3"));
    assert_eq!(from("2001:DB8:0::1").as_deref(), Some("2001:db8::1"));
    assert_eq!(Actor::HOST.source(), None);
}
