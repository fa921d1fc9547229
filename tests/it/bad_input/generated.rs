//! Requests made by chance: the routes of /openapi.json, with anything in every place. The same ones each time.

use countersign::signature::{Secret, sign};
use countersign_tests::api::{now, send};
use countersign_tests::{Api, Reply};
use futures::StreamExt as _;
use futures::stream;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{Victim, assert_error, deep, nowhere};
use crate::agentfield;

const REQUESTS: u64 = 1_500;

/// As many are under way at once.
const AT_ONCE: usize = 16;

/// A source of numbers: splitmix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    pub(super) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Anything, as it may stand in a path or a query.
    fn part(&mut self, good: &[String]) -> String {
        const ODD: [&str; 20] = [
            "",
            "%00",
            "%FF",
            "%C3%28",
            "..%2F..",
            "%0d%0aX:1",
            "-1",
            "0",
            "1",
            "99999999999999999999",
            "null",
            "true",
            "%7B%7D",
            "'",
            "%F0%9F%A6%80",
            "exec_",
            "a:b",
            "*",
            "testbed",
            "%",
        ];
        match self.below(4) {
            0 => self.pick(good).clone(),
            1 => "x".repeat(1 + self.below(3_000)),
            _ => (*self.pick(&ODD)).to_owned(),
        }
    }

    /// Any JSON, not too large.
    fn value(&mut self, depth: usize) -> Value {
        const TEXTS: [&str; 12] =
            ["", "approved", "testbed.echo", "operator", "\u{0}", "ä🦀", "testbed", "only", "exec_0", "-", " ", "9e99"];
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.one_in(2)),
            2 => json!(self.below(1_000) as i64 - 500),
            3 => json!(*self.pick(&[i64::MIN, i64::MAX, 0, 1, 1 << 53])),
            4 => json!(self.pick(&TEXTS)),
            5 => json!("y".repeat(self.below(5_000))),
            6 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => self.object(depth - 1),
        }
    }

    /// An object with fields that some route knows.
    fn object(&mut self, depth: usize) -> Value {
        const FIELDS: [&str; 17] = [
            "target",
            "input",
            "name",
            "role",
            "expires_in_days",
            "decision",
            "feedback",
            "response",
            "reviewer",
            "pause_id",
            "execution_id",
            "approval_request_id",
            "requestId",
            "type",
            "data",
            "x",
            "",
        ];
        (0..self.below(5)).map(|_| ((*self.pick(&FIELDS)).to_owned(), self.value(depth))).collect()
    }

    /// A good body, damaged; or none that was ever good.
    fn body(&mut self, path: &str, pause: &str) -> Vec<u8> {
        let mut good = match path {
            "/v1/executions" => json!({"target": "testbed.pause_once", "input": {"id": "x"}}),
            "/v1/keys" => json!({"name": "n", "role": "reviewer", "expires_in_days": 1}),
            "/v1/secrets" => json!({"name": "n"}),
            "/api/v1/execute/{target}" | "/api/v1/execute/async/{target}" => json!({"input": {"id": "x"}}),
            "/api/v1/webhooks/approval-response" | "/api/v1/webhooks/approval-response/{tenant}" => {
                json!({"requestId": pause, "decision": "no", "type": "completed", "data": {"response": {}}})
            }
            "/v1/webhooks/{tenant}" => json!({"pause_id": pause, "decision": "no", "reviewer": "r"}),
            _ => json!({"decision": "no", "feedback": "f", "response": {}}),
        };
        if self.one_in(3) {
            let fields: Vec<String> = good.as_object().expect("an object").keys().cloned().collect();
            let field = self.pick(&fields).clone();
            good[field] = self.value(3);
        }
        match self.below(8) {
            0 => vec![],
            1 => (0..self.below(300)).map(|_| self.below(256) as u8).collect(),
            2 => deep(1 + self.below(20_000)).into_bytes(),
            3 => self.object(4).to_string().into_bytes(),
            4 => good.to_string().into_bytes(),
            _ => {
                let mut bytes = good.to_string().into_bytes();
                for _ in 0..=self.below(4) {
                    let place = self.below(bytes.len());
                    match self.below(3) {
                        0 => bytes[place] = self.below(256) as u8,
                        1 => drop(bytes.remove(place)),
                        _ => bytes.insert(place, *self.pick(b"{}[]\",:\\\0\xff1")),
                    }
                }
                bytes
            }
        }
    }

    fn headers(&mut self, mut request: RequestBuilder) -> RequestBuilder {
        const NAMES: [&str; 9] = [
            "content-type",
            "content-encoding",
            "prefer",
            "idempotency-key",
            "last-event-id",
            "accept",
            "webhook-id",
            "expect",
            "x-forwarded-for",
        ];
        const VALUES: [&[u8]; 12] = [
            b"",
            b"\xff\xfe",
            b"gzip",
            b"application/json",
            b"text/plain",
            b"wait=1",
            b"wait=x",
            b"1.2.3",
            b"a b",
            b"*/*",
            b"127.0.0.1",
            b"msg",
        ];
        for _ in 0..self.below(3) {
            request = request.header(*self.pick(&NAMES), *self.pick(&VALUES));
        }
        request
    }
}

/// What the requests are made for.
struct Place {
    api: Api,
    secret: Secret,
    pause: String,
    /// Methods and paths.
    operations: Vec<(Method, String)>,
    /// Ids of things that there are.
    good: Vec<String>,
}

impl Place {
    async fn new(victim: &Victim) -> Self {
        let execution = victim.api.start("testbed.pause_once", &json!({})).await;
        let pause = victim.api.paused(&execution, "only").await;
        let document = victim.api.get("/openapi.json").await.expect(200);
        let mut operations = vec![];
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for method in methods.as_object().expect("methods").keys() {
                operations.push((method.to_uppercase().parse().expect("a method"), path.clone()));
            }
        }
        Self {
            api: victim.api.clone(),
            secret: victim.api.secret().await,
            good: vec![pause.clone(), format!("{}:x", nowhere()), nowhere(), "testbed".into(), "default".into()],
            pause,
            operations,
        }
    }

    /// The request of this number, and what it was.
    fn request(&self, number: u64) -> (String, RequestBuilder) {
        let mut dice = Dice(number.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let (method, path) = dice.pick(&self.operations).clone();
        let method =
            if dice.one_in(10) { dice.pick(&[Method::GET, Method::POST, Method::PATCH]).clone() } else { method };
        let mut concrete = String::new();
        for part in path.split('/').skip(1) {
            concrete.push('/');
            if part.starts_with('{') {
                concrete += &dice.part(&self.good);
            } else {
                concrete += part;
            }
        }
        if dice.one_in(3) {
            let names = ["limit", "after", "status", "agent", "execution", "x"];
            let query: Vec<String> =
                (0..=dice.below(2)).map(|_| format!("{}={}", dice.pick(&names), dice.part(&self.good))).collect();
            concrete = format!("{concrete}?{}", query.join("&"));
        }
        let mut request = match dice.below(12) {
            0 => self.api.anonymous(method.clone(), &concrete),
            1 => self.api.with_key("cs_default_x").request(method.clone(), &concrete),
            _ => self.api.request(method.clone(), &concrete),
        };
        if method == Method::POST {
            let body = dice.body(&path, &self.pause);
            if path.starts_with("/v1/webhooks") && !dice.one_in(4) {
                let (id, time) = (format!("msg_{}", number % 50), now());
                request = request.header("webhook-id", &id).header("webhook-timestamp", time);
                request = request.header("webhook-signature", sign(&self.secret, &id, time, &body));
            }
            if path.starts_with("/api/v1/webhooks") && !dice.one_in(4) {
                request = request.header("x-hax-signature", agentfield::timed(&self.secret.expose(), now(), &body));
            }
            if !dice.one_in(8) {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        } else if method == Method::PUT {
            request = request.body(vec![0; dice.below(100)]);
        }
        (format!("request {number}: {method} {concrete:.200}"), dice.headers(request))
    }
}

#[tokio::test]
async fn whatever_is_sent_is_answered_in_the_one_shape_and_never_by_a_failure_of_the_host() {
    let victim = Victim::new().await;
    let place = Place::new(&victim).await;
    let replies: Vec<(String, Reply)> = stream::iter(0..REQUESTS)
        .map(|number| {
            let (what, request) = place.request(number);
            async move { (what, send(request).await) }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut refused = 0;
    for (what, reply) in &replies {
        if reply.status >= 400 {
            assert_error(reply, what);
            refused += 1;
        }
    }
    assert!(refused > REQUESTS / 2, "only {refused} were bad ones");
    let codes: std::collections::BTreeSet<&str> = replies.iter().map(|(_, reply)| reply.code()).collect();
    assert!(codes.len() >= 12, "they were refused for too few reasons: {codes:?}");
    // No guess hits a choice of the pause.
    let pause = victim.api.get(&format!("/v1/pauses/{}", place.pause)).await.expect(200);
    assert_eq!(pause["decision"], Value::Null);
    victim.assert_unharmed().await;
}
