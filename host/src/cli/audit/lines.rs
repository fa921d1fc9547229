//! An answer of many lines, as it arrives.

use std::time::Duration;

use reqwest::{Method, Response};

use crate::cli::client::Client;
use crate::cli::failure::Failure;

/// An answer as silent as this is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long all of it may take.
const ANSWER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Longest line, in bytes: an entry has a few KiB.
const LINE_BYTES_MAX: usize = 1 << 20;

pub(super) struct Lines<'a> {
    client: &'a Client,
    response: Response,
    /// The beginning of a line whose end has not arrived.
    rest: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) async fn open(client: &'a Client, path: &str) -> Result<Self, Failure> {
        let request = client.request(Method::GET, path).timeout(ANSWER_MAX);
        let opened = tokio::time::timeout(SILENCE_MAX, client.open(request)).await;
        let response = opened.map_err(|_| silent(client))??;
        Ok(Self { client, response, rest: Vec::new() })
    }

    /// The next lines, each with its end; none after the last. An answer that breaks off is an error.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            let chunk = tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| silent(self.client))?.map_err(|error| self.client.unreachable(&error))?;
            let Some(chunk) = chunk else {
                let whole = self.rest.is_empty();
                return if whole { Ok(None) } else { Err(Failure::Failed("the host's last line has no end".into())) };
            };
            self.rest.extend(chunk);
            if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
                let lines = self.rest.drain(..=end).collect();
                let text = String::from_utf8(lines);
                return text.map(Some).map_err(|_| Failure::Failed("the host's answer is no text".into()));
            }
            if self.rest.len() > LINE_BYTES_MAX {
                return Err(Failure::Failed(format!("the host sent a line of more than {LINE_BYTES_MAX} bytes")));
            }
        }
    }
}

fn silent(client: &Client) -> Failure {
    Failure::Unreachable { url: client.url.clone(), cause: "it does not answer in time".into() }
}
