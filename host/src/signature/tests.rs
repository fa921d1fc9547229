use super::*;

struct Vector {
    secret: &'static str,
    id: &'static str,
    timestamp: u64,
    body: &'static str,
    signature: &'static str,
}

/// Known answers; the first is the reference libraries' own.
const VECTORS: [Vector; 6] = [
    Vector {
        secret: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        timestamp: 1_649_367_553,
        body: r#"{"email":"test@example.com","username":"test_user"}"#,
        signature: "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    },
    Vector {
        secret: "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        id: "rsm_01J9ZK3T5Q8V7W6X5Y4Z3A2B1C",
        timestamp: 1_767_225_600,
        body: r#"{"type":"run.resume","run":"run_01J9ZK","pause":3,"data":{"approved":true}}"#,
        signature: "v1,jmsOX5LuR34M/dgi252GU744v83Nhs3cHQfCUf0uGCI=",
    },
    Vector {
        secret: "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        id: "evt_empty",
        timestamp: 1_767_225_601,
        body: "",
        signature: "v1,VETg3qDKILvZZh9wrA3R71c1o5XrAeku2e9jN7tXklY=",
    },
    Vector {
        secret: "whsec_Ip4iWiL+uitjGIpOUuAFezr96Mv+t6R7mAceyuqrdaw=",
        id: "evt_utf8",
        timestamp: 1_767_225_602,
        body: r#"{"who":"Zoë 🦀 漢字","n":1.50,"s":"a.b.c"}"#,
        signature: "v1,f4DudbGoaLxNezCvIMIboN0FhQNwZbOIbySNWUCMbHI=",
    },
    Vector {
        secret: "whsec_VqeJiey/r0FLDT9+xK/dxHxjS5YYrc/mQ08tID6lzuc2dVzk06rWwDE3n0ZClNJvB+JwaX9bdAhq7jgMGz5I5Q==",
        id: "evt_ws",
        timestamp: 1_767_225_603,
        body: "{ \"a\" : 1 ,\n  \"b\" : [ ] }\n",
        signature: "v1,Nc98kF6nVB7NOzPBGivcMkPx2k/uDHwhoNjU0DoKXTo=",
    },
    Vector {
        secret: "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr",
        id: "a",
        timestamp: 0,
        body: "0",
        signature: "v1,mAu1LYlv8G4G6BLlATPl0hiajFIswGP2Ql/nplEErbk=",
    },
];

const NOW: u64 = 1_767_225_600;
const BODY: &[u8] = br#"{"decision":"approved"}"#;

fn secret(byte: u8) -> Secret {
    Secret::from_bytes([byte; 32])
}

fn check(secrets: &[Secret], id: &str, timestamp: &str, signature: &str, body: &[u8]) -> bool {
    verify(secrets, &Headers { id, timestamp, signature }, body, NOW).is_ok()
}

#[test]
fn the_known_answers_hold() {
    for vector in &VECTORS {
        let secret: Secret = vector.secret.parse().unwrap();
        assert_eq!(secret.expose(), vector.secret);
        assert_eq!(sign(&secret, vector.id, vector.timestamp, vector.body.as_bytes()), vector.signature);
        let timestamp = vector.timestamp.to_string();
        let headers = Headers { id: vector.id, timestamp: &timestamp, signature: vector.signature };
        let verdict = verify(&[secret], &headers, vector.body.as_bytes(), vector.timestamp);
        // Time 0 is signed like any other, but no webhook of today bears it: `0` counts as a leading zero.
        assert_eq!(verdict.is_ok(), vector.timestamp != 0, "{}", vector.id);
    }
}

#[test]
fn any_flipped_bit_is_refused() {
    fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..bytes.len() * 8).map(|bit| {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        })
    }
    let (secrets, id, timestamp) = ([secret(7)], "msg_1", NOW.to_string());
    let signature = sign(&secrets[0], id, NOW, BODY);
    assert!(check(&secrets, id, &timestamp, &signature, BODY));

    for flipped in flips(id.as_bytes()).filter_map(|bytes| String::from_utf8(bytes).ok()) {
        assert!(!check(&secrets, &flipped, &timestamp, &signature, BODY), "id {flipped:?}");
    }
    for flipped in flips(timestamp.as_bytes()).filter_map(|bytes| String::from_utf8(bytes).ok()) {
        assert!(!check(&secrets, id, &flipped, &signature, BODY), "timestamp {flipped:?}");
    }
    for flipped in flips(signature.as_bytes()).filter_map(|bytes| String::from_utf8(bytes).ok()) {
        assert!(!check(&secrets, id, &timestamp, &flipped, BODY), "signature {flipped:?}");
    }
    for flipped in flips(BODY) {
        assert!(!check(&secrets, id, &timestamp, &signature, &flipped));
    }
}

#[test]
fn a_timestamp_counts_for_five_minutes_either_way() {
    let secrets = [secret(7)];
    for (timestamp, accepted) in [(NOW - 301, false), (NOW - 300, true), (NOW + 300, true), (NOW + 301, false)] {
        let signature = sign(&secrets[0], "a", timestamp, BODY);
        assert_eq!(check(&secrets, "a", &timestamp.to_string(), &signature, BODY), accepted, "{timestamp}");
    }
}

#[test]
fn a_timestamp_is_written_in_one_way_only() {
    let secret = secret(7);
    let texts = [
        i64::MIN.to_string(),
        i64::MAX.to_string(),
        u64::MAX.to_string(),
        format!("+{NOW}"),
        format!("-{NOW}"),
        format!("0{NOW}"),
        format!(" {NOW}"),
        format!("{NOW} "),
        format!("{NOW}.0"),
        "1.0".into(),
        "1e9".into(),
        "0".into(),
        "\u{0661}".into(),
        String::new(),
    ];
    for text in texts {
        // Signed over this very text, so that nothing but the text can be the cause.
        let mac = secret.mac("a", &text, BODY).finalize().into_bytes();
        let signature = format!("v1,{}", STANDARD.encode(mac));
        assert!(!check(std::slice::from_ref(&secret), "a", &text, &signature, BODY), "{text:?}");
    }
}

#[test]
fn an_id_outside_its_bounds_is_refused() {
    let secrets = [secret(7)];
    let accepts = |id: &str| check(&secrets, id, &NOW.to_string(), &sign(&secrets[0], id, NOW, BODY), BODY);
    assert!(accepts(&"a".repeat(64)));
    for id in ["", "a.b", "a\r\nb", "a b", "ä", &"a".repeat(65)] {
        assert!(!accepts(id), "{id:?}");
    }
}

#[test]
fn a_malformed_signature_is_refused() {
    let (secrets, timestamp) = ([secret(9)], NOW.to_string());
    // An id whose signature tells the two alphabets of base64 apart.
    let (id, good) = (0..)
        .map(|n| format!("m{n}"))
        .map(|id| (id.clone(), sign(&secrets[0], &id, NOW, BODY)))
        .find(|(_, signature)| signature.contains('+') && signature.contains('/'))
        .unwrap();
    let accepts = |signature: &str| check(&secrets, &id, &timestamp, signature, BODY);
    let base64 = good.strip_prefix("v1,").unwrap();
    assert!(accepts(&good));

    let bad = [
        String::new(),
        "v1,".into(),
        "v1".into(),
        "v1,AAAA".into(),
        format!("v1a,{base64}"),
        format!("v2,{base64}"),
        format!("V1,{base64}"),
        base64.to_owned(),
        "v1,%%%%".into(),
        good.replace('+', "-").replace('/', "_"),
        good.trim_end_matches('=').to_owned(),
        format!("{good}="),
        format!("v1, {base64}"),
        good.replace(',', ""),
        vec![good.clone(); 1_000].join(" "),
        vec![good.clone(); 6].join(" "),
        format!("{good} v1,{}", "A".repeat(254)),
    ];
    for signature in bad {
        assert!(!accepts(&signature), "{signature:.80?}");
    }
    assert!(accepts(&vec![good.clone(); 5].join(" ")));
}

#[test]
fn one_of_several_signatures_and_secrets_is_enough() {
    let (old, new, other) = (secret(1), secret(2), secret(3));
    let timestamp = NOW.to_string();
    let by_old = sign(&old, "a", NOW, BODY);
    let secrets = [new, old];
    assert!(check(&secrets, "a", &timestamp, &by_old, BODY));
    assert!(check(&secrets, "a", &timestamp, &format!("v1a,AAAA {} {by_old}", sign(&other, "a", NOW, BODY)), BODY));
    assert!(!check(&[other], "a", &timestamp, &by_old, BODY), "another one's key");
    assert!(!check(&[], "a", &timestamp, &by_old, BODY), "no key");
}

#[test]
fn the_body_counts_byte_for_byte() {
    let secrets = [secret(7)];
    let body = br#"{"b":1.50,"a":"x"}"#;
    let signature = sign(&secrets[0], "a", NOW, body);
    let again = serde_json::to_vec(&serde_json::from_slice::<serde_json::Value>(body).unwrap()).unwrap();
    assert_ne!(again, body);
    assert!(check(&secrets, "a", &NOW.to_string(), &signature, body));
    assert!(!check(&secrets, "a", &NOW.to_string(), &signature, &again));
}

#[test]
fn a_secret_has_24_to_64_bytes_and_does_not_show_them() {
    let text = |length: usize| format!("whsec_{}", STANDARD.encode(vec![b'k'; length]));
    for (length, accepted) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
        assert_eq!(text(length).parse::<Secret>().is_ok(), accepted, "{length}");
    }
    let not_a_prefix = text(24).replace("whsec_", "whsk_");
    for bad in ["", "whsec_", "whsec_%%%", &not_a_prefix, text(25).trim_end_matches('=')] {
        assert!(bad.parse::<Secret>().is_err(), "{bad}");
    }
    assert_eq!(format!("{:?}", secret(7)), "Secret(…)");
}

#[test]
fn what_was_wrong_is_not_displayed() {
    let headers = Headers { id: "a.b", timestamp: "", signature: "" };
    let error = verify(&[secret(7)], &headers, BODY, NOW).unwrap_err();
    assert_eq!(error.to_string(), "the signature is not valid");
    assert!(error.reason().contains("webhook-id"));
}
