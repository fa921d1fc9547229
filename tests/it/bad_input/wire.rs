//! What is hardly HTTP, or stops in the middle.

use std::time::Duration;

use countersign_tests::api::send;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Victim, assert_error};

impl Victim {
    /// Sends bytes, and returns the answer's status; none if the connection was closed without one.
    async fn status_of(&self, bytes: &[u8]) -> Option<u16> {
        let mut stream = TcpStream::connect(self.host.address()).await.expect("the host listens");
        // The host may have closed it already.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = vec![];
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        let _ = read.expect("the host answers or closes the connection");
        let line = String::from_utf8_lossy(&answer);
        line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_or_dropped() {
    let victim = Victim::new().await;
    let post = |headers: &str, body: &str| format!("POST /v1/executions HTTP/1.1\r\nhost: x\r\n{headers}\r\n{body}");
    let cases: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\r\n\r\n".to_vec(),
        b"hello\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET  / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nx: \0\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame".to_vec(),
        vec![0; 100_000],
        vec![b'A'; 2 << 20],
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000)).into(),
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(1 << 20)).into(),
        format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000)).into(),
        post("content-length: -1\r\n", "").into(),
        post("content-length: 99999999999999999999999\r\n", "").into(),
        post("content-length: 1\r\ncontent-length: 2\r\n", "{}").into(),
        post("content-length: 1, 2\r\n", "{}").into(),
        post("transfer-encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n").into(),
        post("transfer-encoding: chunked\r\n", "ffffffffffffffffff\r\n").into(),
        post("transfer-encoding: nonsense\r\n", "{}").into(),
        post("content-type: application/json\r\ncontent-length: 100\r\n", "{\"target\"").into(),
    ];
    for case in &cases {
        let status = victim.status_of(case).await;
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{:?} for {}",
            status,
            String::from_utf8_lossy(&case[..case.len().min(80)])
        );
    }
    victim.assert_unharmed().await;
}

/// It would lose the answer if the host closed the connection without reading on.
#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let victim = Victim::new().await;
    let body = vec![b' '; 8 << 20];
    for (method, path, api, status) in [
        (Method::PUT, "/v1/agents/x", victim.api.with_key("cs_default_x"), 401),
        (Method::PUT, "/v1/agents/NO", victim.api.clone(), 400),
        (Method::PUT, "/v1/agents/x", victim.api.role("reviewer").await, 403),
        (Method::POST, "/v1/executions", victim.api.clone(), 415),
        (Method::POST, "/v1/webhooks/default", victim.api.clone(), 413),
        (Method::POST, "/v1/agents", victim.api.clone(), 405),
        (Method::POST, "/nowhere", victim.api.clone(), 404),
    ] {
        for _ in 0..5 {
            let reply = send(api.request(method.clone(), path).body(body.clone())).await;
            assert_error(&reply, path);
            assert_eq!(reply.status, status, "{method} {path}");
        }
    }
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn connections_that_stop_in_the_middle_do_not_keep_others_out() {
    let victim = Victim::new().await;
    let mut held = vec![];
    for n in 0..200 {
        let mut stream = TcpStream::connect(victim.host.address()).await.unwrap();
        let half: &[u8] = match n % 3 {
            0 => b"GET /healthz HT",
            1 => b"POST /v1/webhooks/default HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{",
            _ => b"",
        };
        stream.write_all(half).await.unwrap();
        held.push(stream);
    }
    tokio::time::timeout(Duration::from_secs(20), victim.assert_unharmed()).await.expect("others are served");
    drop(held);
    victim.assert_unharmed().await;
}
