//! Server-sent events of an execution, across lost connections.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Method, Response};

use super::client::{Client, segment};
use super::failure::Failure;

/// A stream as silent as this is taken for dead; the host sends a comment more often.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A connection may live as long as this; then there is a new one.
const CONNECTION_MAX: Duration = Duration::from_secs(24 * 3600);

/// The most bytes of one event; the largest is a journal entry.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// The events of one execution, from its beginning.
pub(crate) struct Events {
    client: Client,
    path: String,
    response: Option<Response>,
    parser: Parser,
    arrived: VecDeque<Event>,
}

impl Events {
    /// Connects to nothing yet.
    pub(crate) fn new(client: Client, execution: &str) -> Self {
        let path = format!("/v1/executions/{}/events", segment(execution));
        Self { client, path, response: None, parser: Parser::default(), arrived: VecDeque::new() }
    }

    /// Connects if there is no connection, after the last event that was seen.
    pub(crate) async fn connect(&mut self) -> Result<(), Failure> {
        if self.response.is_some() {
            return Ok(());
        }
        self.parser.restart();
        let mut request = self.client.request(Method::GET, &self.path).timeout(CONNECTION_MAX);
        if let Some(id) = &self.parser.last_id {
            request = request.header("last-event-id", id);
        }
        let request = request.header("accept", "text/event-stream");
        // The whole stream may take a day, its beginning may not.
        let opened = tokio::time::timeout(SILENCE_MAX, self.client.open(request)).await;
        self.response = Some(opened.unwrap_or_else(|_| Err(self.silent()))?);
        Ok(())
    }

    /// The next event; none when the connection ended: the execution finished, or the host went away.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        self.connect().await?;
        loop {
            if let Some(event) = self.arrived.pop_front() {
                return Ok(Some(event));
            }
            let Some(response) = &mut self.response else { return Ok(None) };
            let chunk = tokio::time::timeout(SILENCE_MAX, response.chunk()).await;
            match chunk {
                Ok(Ok(Some(bytes))) => {
                    self.arrived.extend(self.parser.feed(&bytes));
                    if self.parser.line.len() + self.parser.data.len() > EVENT_BYTES_MAX {
                        return Err(Failure::Failed("the host sent an event that is too large".into()));
                    }
                }
                // A broken connection and a silent one are ends like any other; the caller looks why.
                Ok(Ok(None) | Err(_)) | Err(_) => self.response = None,
            }
        }
    }

    fn silent(&self) -> Failure {
        Failure::Unreachable { url: self.path.clone(), cause: "it does not answer in time".into() }
    }
}

/// The part of the event stream format that matters here.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    kind: String,
    data: String,
    id: Option<String>,
    last_id: Option<String>,
}

impl Parser {
    /// Forgets an event that had only arrived in part.
    fn restart(&mut self) {
        *self = Self { last_id: self.last_id.take(), ..Self::default() };
    }

    fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            events.extend(self.take(line.trim_end_matches('\r')));
        }
        events
    }

    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            if let Some(id) = self.id.take() {
                self.last_id = Some(id);
            }
            let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
            return (!data.is_empty()).then_some(Event { kind, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "id" => self.id = Some(value.to_owned()),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            _ => (),
        }
        None
    }
}

/// Waits longer from failure to failure, until `reset`.
pub(crate) struct Backoff {
    next: Duration,
    told: bool,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(5);

    /// No failure yet.
    pub(crate) fn new() -> Self {
        Self { next: Self::FIRST, told: false }
    }

    /// It goes well again.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Whether the user is to be told of a failure: of the first since it went well.
    pub(crate) fn is_news(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }

    /// Waits.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Self::LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: &str) -> Event {
        Event { kind: kind.into(), data: data.into() }
    }

    #[test]
    fn events_are_put_together_from_pieces() {
        let mut parser = Parser::default();
        let stream = "event: status\nid: 7\ndata: {\"a\":\ndata: \"é\"}\n\n: comment\n\nevent:log\r\ndata:x\r\n\r\n";
        let events: Vec<Event> = stream.as_bytes().chunks(3).flat_map(|piece| parser.feed(piece)).collect();
        assert_eq!(events, [event("status", "{\"a\":\n\"é\"}"), event("log", "x")]);
        assert_eq!(parser.last_id.as_deref(), Some("7"));
    }

    #[test]
    fn a_failure_is_told_once() {
        let mut backoff = Backoff::new();
        assert_eq!([backoff.is_news(), backoff.is_news()], [true, false]);
        backoff.reset();
        assert!(backoff.is_news());
    }

    #[test]
    fn a_lost_connection_goes_on_after_the_last_whole_event() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(b"id: 1\ndata: a\n\nid: 2\nevent: log\ndata: b\n"), [event("", "a")]);
        parser.restart();
        assert_eq!(parser.last_id.as_deref(), Some("1"));
        assert_eq!(parser.feed(b"data: c\n\n"), [event("", "c")]);
    }
}
