//! What happens to an execution, as it happens; and what it printed.

use std::collections::VecDeque;

use countersign_tests::{Api, until};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::Bench;

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

/// A connection that follows an execution.
struct Follower {
    response: Response,
    text: String,
    ready: VecDeque<Event>,
}

impl Follower {
    async fn new(api: &Api, execution: &str, last: Option<&str>) -> Self {
        let mut request = api.request(Method::GET, &format!("/v1/executions/{execution}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("the host answers");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new(), ready: VecDeque::new() }
    }

    /// None at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            let chunk = self.response.chunk().await.expect("the connection holds")?;
            self.text += std::str::from_utf8(&chunk).expect("events are text");
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                self.ready.extend(parse(event));
                self.text = rest.to_owned();
            }
        }
        self.ready.pop_front()
    }

    /// All up to the one that `is_last` accepts.
    async fn up_to(&mut self, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = vec![];
        loop {
            events.push(self.next().await.expect("the stream goes on"));
            if is_last(&events[events.len() - 1]) {
                return events;
            }
        }
    }

    async fn rest(&mut self) -> Vec<Event> {
        let mut events = vec![];
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// None of a comment, which keeps the connection alive.
fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = serde_json::from_str(field("data")?).expect("data is JSON");
    Some(Event { name: field("event")?.into(), id: field("id")?.into(), data })
}

fn data(events: &[Event], name: &str) -> Vec<Value> {
    events.iter().filter(|event| event.name == name).map(|event| event.data.clone()).collect()
}

impl Bench {
    async fn log(&self, id: &str) -> Vec<Value> {
        self.api.all(&format!("/v1/executions/{id}/logs?limit=100")).await
    }
}

#[tokio::test]
async fn events_tell_everything_once_and_end_with_the_finished_status() {
    let bench = Bench::new().await;
    bench.model.hold();
    let id = bench.api.start("testbed.log", &json!({"lines": 60})).await;
    let mut follower = Follower::new(&bench.api, &id, None).await;
    let mut events = follower.up_to(|event| event.data["text"] == "err before 59").await;
    bench.model.release();
    events.extend(follower.rest().await);

    let last = events.last().unwrap();
    assert_eq!((&*last.name, &last.data["status"]), ("status", &json!("succeeded")));
    let mut finished = bench.api.finished(&id).await;
    // A list has no such field, and neither has a finished execution.
    finished.as_object_mut().unwrap().remove("waiting_for");
    assert_eq!(last.data, finished);
    assert_eq!(data(&events, "entry"), bench.api.journal(&id).await);
    assert_eq!(data(&events, "log"), bench.log(&id).await);
    assert_eq!(data(&events, "log").len(), 240);
    // Who comes late is told the same.
    let late = Follower::new(&bench.api, &id, None).await.rest().await;
    assert_eq!((data(&late, "entry"), data(&late, "log")), (data(&events, "entry"), data(&events, "log")));
    assert_eq!(late.last().map(|event| &event.data), Some(&finished));
}

#[tokio::test]
async fn a_lost_connection_goes_on_after_the_last_event() {
    let bench = Bench::new().await;
    let id = bench.api.start("testbed.log", &json!({"lines": 70})).await;
    bench.api.finished(&id).await;
    let whole = Follower::new(&bench.api, &id, None).await.rest().await;
    let told = |events: &[Event]| (data(events, "entry"), data(events, "log"));
    assert_eq!(told(&whole).1.len(), 280);
    for cut in [0, 1, 99, 100, 101, 139, 140, 141, whole.len() - 2, whole.len() - 1] {
        let rest = Follower::new(&bench.api, &id, Some(&whole[cut].id)).await.rest().await;
        assert_eq!(told(&rest), told(&whole[cut + 1..]), "after event {cut}");
        assert_eq!(rest.last(), whole.last(), "after event {cut}");
    }
    // An id that nobody gave counts as none.
    for nonsense in ["", "x", "1", "-1.-1", "9999999999.0.0", "0.0.x"] {
        let all = Follower::new(&bench.api, &id, Some(nonsense)).await.rest().await;
        assert_eq!(all.last(), whole.last(), "{nonsense:?}");
    }
}

#[tokio::test]
async fn events_show_a_pause_being_waited_for_and_decided() {
    let bench = Bench::new().await;
    let id = bench.api.start("testbed.pauses", &json!({"n": 1})).await;
    let mut follower = Follower::new(&bench.api, &id, None).await;
    let waiting = follower.up_to(|event| event.data["status"] == "waiting").await;
    let pause = &waiting.last().unwrap().data["waiting_for"]["pauses"][0];
    assert_eq!(*pause, format!("{id}:p0"));
    bench.api.decide(pause.as_str().unwrap(), &json!({"decision": "approved"})).await.expect(200);
    let rest = follower.rest().await;
    assert_eq!(data(&rest, "entry").len(), 1);
    let last = data(&rest, "status").pop().unwrap();
    assert_eq!((&last["status"], &last["result"]), (&json!("succeeded"), &json!(["approved"])));
}

/// What the testbed prints, as it prints it.
fn printed(label: &str, slice: u32, lines: usize) -> Vec<Value> {
    let line = |n: usize| {
        let (stream, word) = if n.is_multiple_of(2) { ("stdout", "out") } else { ("stderr", "err") };
        json!({"slice": slice, "line": n, "stream": stream, "text": format!("{word} {label} {}", n / 2)})
    };
    (0..lines * 2).map(line).collect()
}

#[tokio::test]
async fn a_log_holds_each_line_once_in_order_even_if_the_host_dies_in_between() {
    let mut bench = Bench::new().await;
    let expected = [printed("before", 0, 40), printed("after", 1, 40)].concat();
    let undisturbed = bench.api.start("testbed.log", &json!({"lines": 40})).await;
    bench.api.finished(&undisturbed).await;
    assert_eq!(bench.log(&undisturbed).await, expected);

    bench.model.hold();
    let id = bench.api.start("testbed.log", &json!({"lines": 40})).await;
    for life in 2..4 {
        until("the model is asked", async || (bench.model.calls() == life).then_some(())).await;
        assert_eq!(
            bench.log(&id).await,
            printed("before", 0, 40),
            "what was printed is kept before the model is asked"
        );
        bench.host.kill();
        bench.host.restart(&[]).await;
        bench.api = bench.host.api();
    }
    bench.model.release();
    bench.api.finished(&id).await;
    assert_eq!(bench.log(&id).await, expected);
}
