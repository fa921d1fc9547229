//! Requests that are malformed in one way or another, over bare connections. The same ones each time.
//!
//! 2,000 of them; `MALFORMED_REQUESTS` says otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use countersign_tests::build::root;
use futures::StreamExt as _;
use futures::stream;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::generated::Dice;
use super::{Victim, deep};

const REQUESTS: u64 = 2_000;
const AT_ONCE: usize = 16;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who answers: the host, in the shape of its errors, or what reads HTTP below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Host,
    /// It is no HTTP that a request could be made of: hyper answers 400, 414 or 431 without a body, or closes.
    Wire,
}

struct Case {
    what: &'static str,
    by: By,
    bytes: Vec<u8>,
}

/// What a request is made of.
struct Maker<'a> {
    dice: Dice,
    key: &'a str,
}

type Header = (&'static str, Vec<u8>);

impl Maker<'_> {
    fn request(&self, method: &str, target: &[u8], headers: &[Header], body: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{method} ").into_bytes();
        bytes.extend(target);
        bytes.extend(b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        bytes.extend(format!("authorization: Bearer {}\r\n", self.key).as_bytes());
        for (name, value) in headers {
            bytes.extend(name.as_bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        bytes
    }

    /// A POST of JSON, or of what calls itself so.
    fn post(&self, path: &str, body: &[u8]) -> Vec<u8> {
        let length = body.len().to_string().into_bytes();
        let headers = [("content-type", b"application/json".to_vec()), ("content-length", length)];
        self.request("POST", path.as_bytes(), &headers, body)
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        self.dice.pick(of).clone()
    }

    /// Any bytes.
    fn noise(&mut self, up_to: usize) -> Vec<u8> {
        (0..self.dice.below(up_to)).map(|_| self.dice.below(256) as u8).collect()
    }

    fn case(&mut self) -> Case {
        let host = |what, bytes| Case { what, by: By::Host, bytes };
        let wire = |what, bytes| Case { what, by: By::Wire, bytes };
        let path = self.pick(&["/v1/executions", "/v1/keys", "/v1/secrets", "/v1/endpoints"]);
        match self.dice.below(19) {
            0 => host("broken JSON", self.broken_json(path)),
            1 => host("wrong types", self.wrong_types(path)),
            2 => host("huge numbers", self.huge_number()),
            3 => host("deep nesting", {
                let depth = 200 + self.dice.below(100_000);
                self.post(path, format!("{{\"input\":{},\"target\":\"a.b\"}}", deep(depth)).as_bytes())
            }),
            4 => host("invalid UTF-8", {
                let mut body = b"{\"name\":\"".to_vec();
                body.extend(self.pick(&[&b"\xff"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80"]));
                body.extend(b"\",\"role\":\"reviewer\"}");
                self.post("/v1/keys", &body)
            }),
            5 => host("NUL", {
                let name = self.pick(&["\\u0000", "a\\u0000", "\\u0000b"]);
                self.post("/v1/keys", format!("{{\"name\":\"{name}\",\"role\":\"reviewer\"}}").as_bytes())
            }),
            6 => host("wrong content type", {
                let kind =
                    self.pick(&["text/plain", "", "application/xml", "application/jsonx", "multipart/form-data"]);
                let headers = [("content-type", kind.as_bytes().to_vec()), ("content-length", b"2".to_vec())];
                self.request("POST", path.as_bytes(), &headers, b"{}")
            }),
            7 => host("content encoding", {
                let coding = self.pick(&["gzip", "br", "identity, gzip", "zstd", "x"]);
                let kind = b"application/json".to_vec();
                let headers =
                    [("content-type", kind), ("content-encoding", coding.into()), ("content-length", b"2".to_vec())];
                self.request("POST", path.as_bytes(), &headers, b"{}")
            }),
            8 => host("wrong method", {
                let method = self.pick(&["PATCH", "BREW", "TRACE", "PROPFIND", "QUERY", "post", "X"]);
                self.request(method, path.as_bytes(), &[], b"")
            }),
            9 => host("odd path", self.odd_path()),
            10 => host("odd query", self.odd_query()),
            11 => host("odd header", self.odd_header()),
            12 => host("duplicate fields", {
                let body = self.pick(&[
                    r#"{"name":"a","name":"b","role":"reviewer"}"#,
                    r#"{"name":"a","role":"reviewer","role":"operator"}"#,
                ]);
                self.post("/v1/keys", body.as_bytes())
            }),
            13 => host("duplicate headers", {
                let headers = [("authorization", b"Bearer x".to_vec()), ("content-length", b"0".to_vec())];
                self.request("POST", path.as_bytes(), &headers, b"")
            }),
            14 => wire("no HTTP", {
                let mut bytes = self.noise(400);
                // Not by chance the beginning of a request.
                bytes.insert(0, self.pick(b"\x00\x16\xff {("));
                bytes
            }),
            15 => wire("bad framing", self.bad_framing(path)),
            16 => wire("truncated chunks", self.truncated(path)),
            17 => wire("huge headers", {
                let size = (512 << 10) + self.dice.below(512 << 10);
                self.request("GET", b"/v1/agents", &[("x", vec![b'a'; size])], b"")
            }),
            _ => host("pipelined", {
                // The second of two: the first is a good one, and kept apart.
                let mut bytes = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
                bytes.extend(self.broken_json(path));
                bytes
            }),
        }
    }

    fn broken_json(&mut self, path: &str) -> Vec<u8> {
        let whole = br#"{"target":"testbed.echo","input":{"a":[1,2,{"b":null}]},"name":"n"}"#;
        let body = match self.dice.below(4) {
            0 => whole[..1 + self.dice.below(whole.len() - 2)].to_vec(),
            1 => [&whole[..], b"}"].concat(),
            2 => self.noise(200),
            _ => self
                .pick(&[
                    &b"{'a':1}"[..],
                    b"{\"a\":01}",
                    b"{\"a\":NaN}",
                    b"[1,]",
                    b"{\"a\" 1}",
                    b"\xef\xbb\xbf{}",
                    b"//",
                ])
                .to_vec(),
        };
        self.post(path, &body)
    }

    fn wrong_types(&mut self, path: &str) -> Vec<u8> {
        let field = self.pick(&["target", "name", "role", "kind", "x"]);
        let value = self.pick(&["null", "1", "true", "[]", "{}", "[\"x\"]", "1.5"]);
        let bare = self.pick(&["null", "1", "\"x\"", "[]", "true"]);
        if self.dice.one_in(3) {
            // No route takes it: a body is an object.
            return self.post(if path == "/v1/secrets" { "/v1/keys" } else { path }, bare.as_bytes());
        }
        let path = if path == "/v1/secrets" { "/v1/endpoints" } else { path };
        self.post(path, format!("{{\"{field}\":{value}}}").as_bytes())
    }

    fn huge_number(&mut self) -> Vec<u8> {
        let number = match self.dice.below(4) {
            0 => "9".repeat(20 + self.dice.below(2_000)),
            1 => format!("-{}", "9".repeat(20 + self.dice.below(200))),
            2 => "1e400".into(),
            _ => format!("{}.5", self.dice.below(1_000)),
        };
        self.post(
            "/v1/keys",
            format!("{{\"name\":\"n\",\"role\":\"reviewer\",\"expires_in_days\":{number}}}").as_bytes(),
        )
    }

    fn odd_path(&mut self) -> Vec<u8> {
        let collection =
            self.pick(&["agents", "executions", "pauses", "deliveries", "endpoints", "groups", "reviewers"]);
        let odd = self.pick(&[
            "%00",
            "%FF",
            "%C3%28",
            "%2e%2e%2f",
            "..",
            "%",
            "%zz",
            "a%20b%00",
            "exec_%30",
            ";x",
            "%0d%0aX:1",
            "~",
            "*",
            "%F8",
        ]);
        let tail = self.pick(&["", "/", "//", "/x/y/z", "/%2F"]);
        let long = "a".repeat(1 + self.dice.below(20_000));
        let path = match self.dice.below(3) {
            0 => format!("/v1/{collection}/{odd}{tail}"),
            1 => format!("/v1/{collection}/{long}"),
            _ => format!("/{odd}/{collection}{tail}"),
        };
        self.request("GET", path.as_bytes(), &[], b"")
    }

    fn odd_query(&mut self) -> Vec<u8> {
        let query = match self.dice.below(8) {
            0 => format!(
                "limit={}",
                self.pick(&["0", "-1", "101", "x", "1e2", "99999999999999999999", "", "1.5", "%31%00"])
            ),
            1 => format!("after={}", self.pick(&["", "x", "%00", "-1", "0.0", "%FF", "9.exec_", "..", "1.exec_0"])),
            2 => format!("status={}", self.pick(&["", "done", "Pending", "%00", "pending,failed"])),
            3 => format!("x{}=1", self.dice.below(1_000)),
            4 => "limit=1&limit=2".into(),
            5 => format!("agent={}", "A".repeat(1 + self.dice.below(3_000))),
            6 => "agent=%FF%FE".into(),
            _ => "limit[]=1".into(),
        };
        self.request("GET", format!("/v1/executions?{query}").as_bytes(), &[], b"")
    }

    fn odd_header(&mut self) -> Vec<u8> {
        let body = br#"{"target":"testbed.echo"}"#;
        let odd = match self.dice.below(5) {
            0 => ("idempotency-key", self.pick(&[&b""[..], b"a b", b"\xff\xfe", b"\xc3\xa4"]).to_vec()),
            1 => ("idempotency-key", vec![b'k'; 129 + self.dice.below(2_000)]),
            2 => (
                "prefer",
                self.pick(&[&b"wait=x"[..], b"wait=", b"wait=-1", b"wait=1e3", b"wait=99999999999999999999"]).to_vec(),
            ),
            3 => ("authorization", self.pick(&[&b"Basic eA=="[..], b"\xff", b"Bearer"]).to_vec()),
            _ => ("content-encoding", b"\xff".to_vec()),
        };
        let headers = [
            ("content-type", b"application/json".to_vec()),
            ("content-length", body.len().to_string().into_bytes()),
            odd,
        ];
        self.request("POST", b"/v1/executions", &headers, body)
    }

    fn bad_framing(&mut self, path: &str) -> Vec<u8> {
        let header: Header = match self.dice.below(6) {
            0 => (
                "content-length",
                self.pick(&[&b"-1"[..], b"x", b"1, 2", b"99999999999999999999999", b"+1", b"0x1"]).to_vec(),
            ),
            1 => ("transfer-encoding", self.pick(&[&b"nonsense"[..], b"gzip", b"chunked, x"]).to_vec()),
            2 => ("x", b"a\0b".to_vec()),
            3 => ("no colon\r\nx", b"1".to_vec()),
            4 => ("a b", b"1".to_vec()),
            _ => ("\x7f", b"1".to_vec()),
        };
        self.request("POST", path.as_bytes(), &[("content-type", b"application/json".to_vec()), header], b"{}")
    }

    fn truncated(&mut self, path: &str) -> Vec<u8> {
        let chunks = self.pick(&[
            &b"5\r\n{\"a\":"[..],
            b"zz\r\n{}\r\n0\r\n\r\n",
            b"ffffffffffffffffff\r\n",
            b"5;x=y\r\n{\"a",
            b"-1\r\n",
            b"2\r\n{}",
        ]);
        let headers = [("content-type", b"application/json".to_vec()), ("transfer-encoding", b"chunked".to_vec())];
        self.request("POST", path.as_bytes(), &headers, chunks)
    }
}

/// All that comes back until the host closes.
async fn answer(address: &str, case: &Case) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("the host listens");
    // The host may have closed it already.
    let _ = stream.write_all(&case.bytes).await;
    // Who waits for an answer keeps its end open; who sends half a request and goes, does not.
    if case.by == By::Wire {
        let _ = stream.shutdown().await;
    }
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// The status and the body of the last answer.
fn last(answer: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (_, last) = text.rsplit_once("HTTP/1.1 ")?;
    let body = last.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Some((last.get(..3)?.parse().ok()?, body.to_owned()))
}

#[tokio::test]
async fn every_malformed_request_is_refused_in_the_one_shape_within_seconds() {
    let victim = Victim::new().await;
    let requests = std::env::var("MALFORMED_REQUESTS").map_or(REQUESTS, |number| number.parse().expect("a number"));
    let address = victim.host.url().strip_prefix("http://").expect("an address").to_owned();
    let key = victim.api.key().to_owned();
    let document = std::fs::read_to_string(root().join("docs/api.md")).unwrap();
    let answers: Vec<(u64, Case, Option<Vec<u8>>)> = stream::iter(0..requests)
        .map(|seed| {
            let (address, key) = (address.clone(), key.clone());
            async move {
                let case = Maker { dice: Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), key: &key }.case();
                let answer = tokio::time::timeout(PATIENCE, answer(&address, &case)).await.ok();
                (seed, case, answer)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;

    let mut counts = BTreeMap::<(&str, By, u16), u64>::new();
    for (seed, case, answer) in answers {
        let what = format!("{} (request {seed}): {}", case.what, shown(&case.bytes));
        let answer = answer.unwrap_or_else(|| panic!("{what}: no end of the answer in {PATIENCE:?}"));
        let Some((status, body)) = last(&answer) else {
            assert_eq!(case.by, By::Wire, "{what}: no answer");
            *counts.entry((case.what, By::Wire, 0)).or_default() += 1;
            continue;
        };
        assert!((400..500).contains(&status), "{what}: {status} {body}");
        // Below the host there is nobody who knows the shape; nobody reads it there either.
        let by = if body.is_empty() && matches!(status, 400 | 414 | 431) { By::Wire } else { By::Host };
        assert!(case.by == By::Wire || by == By::Host, "{what}: {status}, without a body");
        if by == By::Host {
            let json: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{what}: {status} {body:?}"));
            let code = json["error"]["code"].as_str().unwrap_or_default();
            assert!(document.contains(&format!("`{code}`")), "{what}: {json}");
            assert!(json["error"]["message"].is_string() && json["error"]["blame"] == "client", "{what}: {json}");
        }
        *counts.entry((case.what, by, status)).or_default() += 1;
    }
    println!("{counts:#?}");
    let kinds: std::collections::BTreeSet<&str> = counts.keys().map(|(what, ..)| *what).collect();
    assert!(kinds.len() >= 18, "{kinds:?}");
    victim.assert_unharmed().await;
}

fn shown(bytes: &[u8]) -> String {
    let line = bytes.iter().position(|&b| b == b'\r').unwrap_or(bytes.len()).min(150);
    let end = bytes.len().saturating_sub(80).max(line);
    format!("{} … {}", String::from_utf8_lossy(&bytes[..line]), String::from_utf8_lossy(&bytes[end..]))
}
