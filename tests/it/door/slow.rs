//! Clients that are slow, on purpose or not.

use std::time::{Duration, Instant};

use countersign_tests::api::send;
use countersign_tests::build::guest;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Door, rest};

/// How long the hosts of these tests wait for a client, in milliseconds.
const PATIENCE_MS: &str = "600";
const PATIENCE: Duration = Duration::from_millis(600);

async fn door() -> Door {
    Door::new(&[("COUNTERSIGN_HTTP_PATIENCE_MS", PATIENCE_MS)]).await
}

#[tokio::test]
async fn a_client_that_does_not_get_to_the_end_of_a_request_is_let_go() {
    let door = door().await;
    for start in [&b""[..], b"GET /heal", b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ", b"PRI * HTTP/2.0\r\n\r\nSM"]
    {
        let began = Instant::now();
        let mut stream = door.sent(start).await;
        assert_eq!(rest(&mut stream).await, "", "{}", String::from_utf8_lossy(start));
        assert!(began.elapsed() > PATIENCE / 2, "it had some time");
    }
    send(door.api.anonymous(Method::GET, "/healthz")).await.expect(200);
    door.host.assert_unharmed();
}

#[tokio::test]
async fn to_send_a_little_now_and_then_gives_nobody_more_time() {
    let door = door().await;
    let (mut reading, mut writing) = door.sent(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.into_split();
    let began = Instant::now();
    let dribble = async {
        let mut every = tokio::time::interval(PATIENCE / 10);
        loop {
            every.tick().await;
            if writing.write_all(b"x: y\r\n").await.is_err() {
                return;
            }
        }
    };
    let mut answer = vec![];
    tokio::select! {
        _ = reading.read_to_end(&mut answer) => {}
        () = dribble => {}
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(answer, b"");
    door.says("late=Head").await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_a_body_is_told_so() {
    let door = door().await;
    for path in ["/v1/webhooks/default", "/v1/executions"] {
        let key = door.api.key();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: 100\r\n\r\n{{"
        );
        let mut stream = door.sent(head.as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn who_waits_for_an_answer_of_the_hosts_may_take_long() {
    let door = door().await;
    door.api.deploy("testbed", guest("testbed")).await;
    let id = door.api.start("testbed.pauses", &json!({"n": 1})).await;
    let pause = door.api.paused(&id, "p0").await;
    let mut events = door.api.request(Method::GET, &format!("/v1/executions/{id}/events")).send().await.unwrap();
    let began = Instant::now();
    let waited = door.api.get(&format!("/v1/pauses/{pause}?wait=3")).await.expect(200);
    assert_eq!(waited["status"], "open");
    assert!(began.elapsed() > 4 * PATIENCE);
    door.api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    let mut text = String::new();
    while let Some(chunk) = events.chunk().await.expect("the stream goes on") {
        text += &String::from_utf8_lossy(&chunk);
    }
    assert!(text.contains("succeeded"), "{text}");
}

#[tokio::test]
async fn a_connection_that_is_not_used_is_closed_after_a_while() {
    let door = door().await;
    let mut stream = door.sent(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let began = Instant::now();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("{\"status\":\"ok\"}"), "{answer}");
    assert!(began.elapsed() > PATIENCE, "it may be used again for longer than a request may take");
}

/// A connection is not closed under the hands of a client that uses it.
#[tokio::test]
async fn a_connection_that_is_used_lives_longer_than_one_that_is_not() {
    let door = door().await;
    let mut stream = door.connect().await;
    let mut every = tokio::time::interval(PATIENCE / 2);
    for n in 0..8 {
        every.tick().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("{\"status\":\"ok\"}") {
            let mut buffer = [0; 4_096];
            let read = stream.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "closed at request {n}");
            answer += &String::from_utf8_lossy(&buffer[..read]);
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_let_go() {
    let door = door().await;
    // Far more than what the kernel keeps for both ends.
    let requests = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(400);
    let mut stream = door.sent(requests.as_bytes()).await;
    door.says("late=Answer").await;
    let document = send(door.api.anonymous(Method::GET, "/openapi.json")).await.bytes.len();
    let mut answers = vec![];
    let _ = stream.read_to_end(&mut answers).await;
    assert!(answers.len() < 400 * document, "{} bytes", answers.len());
}

/// Over HTTP/2 it is a window that a client keeps shut; the connection itself is not blocked.
#[tokio::test]
async fn a_client_of_http_2_that_keeps_its_window_shut_is_let_go() {
    let door = door().await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS: the initial window is of 0 bytes.
    bytes.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    // HEADERS, which end the stream, too: GET, http, a path, an authority.
    let mut headers = vec![0x82, 0x86, 0x04, 13];
    headers.extend(b"/openapi.json");
    headers.extend([0x01, 1, b'x']);
    bytes.extend(frame(1, 0x5, 1, &headers));
    let mut stream = door.sent(&bytes).await;
    door.says("late=Answer").await;
    rest(&mut stream).await;
    door.host.assert_unharmed();
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
