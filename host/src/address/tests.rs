use super::*;

fn rules() -> Rules {
    Rules { own: vec!["198.41.0.4:443".parse().unwrap()], ..Rules::default() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// The first and the last address of every range, and what embeds another.
const DENIED: [&str; 66] = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.88.99.0",
    "192.88.99.255",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.255",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:0.0.0.0",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:255.255.255.255",
    "::ffff:0:127.0.0.1",
    "64:ff9b::",
    "64:ff9b::7f00:1",
    "64:ff9b::ffff:ffff",
    "64:ff9b:1::",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
    "100::",
    "100::ffff:ffff:ffff:ffff",
    "2001::",
    "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002::",
    "2002:7f00:1::",
    "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff::",
    "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::1",
    "5f00::",
    "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fc00::",
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::1",
    "ff02::1",
];

/// Those next to the ranges, so that no range is too wide.
const PUBLIC: [&str; 27] = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.101.0",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2003::1",
    "2606:4700::1111",
    "3ffe:ffff::1",
];

#[test]
fn nothing_is_dialled_that_is_not_public() {
    for text in DENIED {
        assert!(matches!(rules().check(ip(text), Some(443)), Err(Refused::Denied(..))), "{text} was taken");
    }
    for text in PUBLIC {
        assert_eq!(rules().check(ip(text), Some(443)), Ok(()), "{text}");
    }
}

#[test]
fn a_host_is_read_as_whoever_dials_it_would() {
    let same = [
        "127.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "0x7f000001",
        "017700000001",
        "127.1",
        "127.0.1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "0",
        "[fe80::1]",
    ];
    for host in same {
        let read = rules().read(&format!("https://{host}/hook"));
        assert!(matches!(read, Err(Refused::Denied(..))), "{host}: {read:?}");
    }
}

#[test]
fn an_address_is_https_on_port_443_without_a_user() {
    let cases = [
        ("http://example.com/", Refused::Scheme),
        ("ftp://example.com/", Refused::Scheme),
        ("file:///etc/passwd", Refused::Scheme),
        ("https://example.com:8443/", Refused::Port(8443)),
        ("https://example.com:80/", Refused::Port(80)),
        ("https://me@example.com/", Refused::UserInfo),
        ("https://me:secret@example.com/", Refused::UserInfo),
        ("https://:secret@example.com/", Refused::UserInfo),
    ];
    for (text, why) in cases {
        assert_eq!(rules().read(text), Err(why), "{text}");
    }
    for text in
        ["", "example.com", "https://", "https://exa mple.com", "https://a:99999/", "//example.com", "https://[::1"]
    {
        assert!(matches!(rules().read(text), Err(Refused::NoUrl(_))), "{text:?}");
    }
    assert_eq!(rules().read(&format!("https://example.com/{}", "x".repeat(2_048))), Err(Refused::TooLong));
    assert_eq!(rules().read(&format!("https://{}.com/", "a.".repeat(150))), Err(Refused::NoHost));
    for text in ["https://example.com", "https://example.com:443/a?b=c#d", "https://1.1.1.1/", "HTTPS://EXAMPLE.com/"] {
        assert!(rules().read(text).is_ok(), "{text}");
    }
    let with_port = Rules { ports: vec![8443], ..rules() };
    assert!(with_port.read("https://example.com:8443/").is_ok());
    assert_eq!(with_port.read("https://example.com:8444/"), Err(Refused::Port(8444)));
}

#[test]
fn the_hosts_own_addresses_are_refused_even_in_development() {
    assert!(matches!(rules().check(ip("198.41.0.4"), Some(443)), Err(Refused::Denied(..))));
    assert!(matches!(rules().check(ip("198.41.0.4"), None), Err(Refused::Denied(..))));
    let own = vec!["127.0.0.1:7070".parse().unwrap()];
    let development = Rules { allow_private: true, own, ..Rules::default() };
    assert!(development.read("http://127.0.0.1:9000/hook").is_ok());
    assert!(development.read("http://[::1]:9000/hook").is_ok());
    assert!(matches!(development.read("http://127.0.0.1:7070/"), Err(Refused::Denied(..))));
    assert!(matches!(development.read("http://0x7f.1:7070/"), Err(Refused::Denied(..))));
    assert_eq!(development.read("ftp://127.0.0.1/"), Err(Refused::Scheme));
}
