use super::*;

const KEY: &str = "cmk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "cmk_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const SECRET: &str = "whsec_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=";

/// `SECRET` as the secret `sec_0123` of `acme` under `KEY`, by another implementation of XChaCha20-Poly1305.
const ENCRYPTED: &str = "010271c508c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf1d0d4ee32a1b160d34c618d930b24d106ca1b3\
                         90dfe250ca5f930870633f1cbb695c50b8fe7580f63f41cdcf276d8996";

fn keys(text: &str) -> MasterKeys {
    text.parse().unwrap()
}

fn secret() -> Secret {
    SECRET.parse().unwrap()
}

fn nonce() -> [u8; NONCE_BYTES] {
    std::array::from_fn(|place| 200 + place as u8)
}

fn encrypted() -> Vec<u8> {
    keys(KEY).encrypt("acme", "sec_0123", &secret(), nonce())
}

#[test]
fn a_secret_is_encrypted_as_another_implementation_does_it() {
    assert_eq!(hex(&encrypted()), ENCRYPTED);
    assert_eq!(keys(KEY).first().to_string(), "0271c508");
    assert_eq!(KeyId::of(&encrypted()), Some(keys(KEY).first()));
    assert_eq!(keys(KEY).decrypt("acme", "sec_0123", &encrypted()).unwrap().expose(), SECRET);
}

#[test]
fn what_belongs_to_another_tenant_or_id_is_not_decrypted() {
    let altered = Unreadable::Altered(keys(KEY).first());
    for (tenant, id) in
        [("acme2", "sec_0123"), ("acme", "sec_0124"), ("", ""), ("acm", "e\0sec_0123"), ("sec_0123", "acme")]
    {
        assert_eq!(keys(KEY).decrypt(tenant, id, &encrypted()).unwrap_err(), altered, "{tenant} {id}");
    }
}

#[test]
fn what_was_altered_anywhere_or_cut_is_not_decrypted() {
    let good = encrypted();
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[place] ^= 1 << bit;
            assert!(keys(KEY).decrypt("acme", "sec_0123", &bad).is_err(), "byte {place}, bit {bit}");
        }
        assert!(keys(KEY).decrypt("acme", "sec_0123", &good[..place]).is_err(), "{place} bytes");
    }
    for plain in [&b"whsec_ZGVmZ2hpamts"[..], &[2; 80], &[1; 80]] {
        assert!(keys(KEY).decrypt("acme", "sec_0123", plain).is_err());
    }
}

#[test]
fn the_first_key_encrypts_and_all_decrypt() {
    let (old, both, new) = (keys(KEY), keys(&format!("{OTHER}, {KEY}\n")), keys(OTHER));
    assert_eq!(both.ids().collect::<Vec<_>>(), [new.first(), old.first()]);
    assert_eq!(both.decrypt("acme", "sec_0123", &encrypted()).unwrap().expose(), SECRET);
    let anew = both.encrypt("acme", "sec_0123", &secret(), nonce());
    assert_eq!(new.decrypt("acme", "sec_0123", &anew).unwrap().expose(), SECRET);
    assert_eq!(old.decrypt("acme", "sec_0123", &anew).unwrap_err(), Unreadable::NoKey(new.first()));
    let exposed = expose(&std::array::from_fn(|place| place as u8));
    assert_eq!(*exposed, KEY);
}

#[test]
fn what_is_no_list_of_keys_is_refused_without_being_repeated() {
    let bare = KEY.strip_prefix(KEY_PREFIX).unwrap();
    let (short, long) = (&KEY[..KEY.len() - 4], format!("cmk_AAAA{bare}"));
    for bad in ["", "cmk_", bare, short, &long, &KEY.to_uppercase(), KEY.trim_end_matches('='), SECRET] {
        let wrong = bad.parse::<MasterKeys>().unwrap_err();
        assert_eq!(wrong, NotMasterKeys::Form { place: 1, count: 1 }, "{bad}");
        let second = format!("{KEY},{bad}").parse::<MasterKeys>().unwrap_err();
        assert_eq!(second.to_string(), "key 2 of 2 is not `cmk_` and the base64 of 32 bytes");
    }
    let many = |count| (0..count).map(|byte| expose(&[byte as u8; 32]).to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(keys(&many(KEYS_MAX)).ids().count(), KEYS_MAX);
    assert_eq!(many(KEYS_MAX + 1).parse::<MasterKeys>().unwrap_err(), NotMasterKeys::TooMany);
    let twice = format!("{KEY},{OTHER},{KEY}").parse::<MasterKeys>().unwrap_err();
    assert_eq!(twice.to_string(), "two keys have the id 0271c508; give each key once");
}

#[test]
fn keys_are_shown_by_their_ids_only() {
    assert_eq!(format!("{:?}", keys(&format!("{KEY},{OTHER}"))), format!("[0271c508, {}]", keys(OTHER).first()));
}
