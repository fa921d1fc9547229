//! Bodies that were refused before they were read to their end.
//!
//! If the host just closed the connection then, a client that is still sending would lose the answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::header;
use futures::{Stream, StreamExt as _};

use super::BODY_TIMEOUT;
use crate::guest::COMPONENT_BYTES_MAX;

/// Reads on, after the answer, what the handler has left of the body.
pub(super) async fn read_on(request: Request) -> Request {
    // Who expects to be told to go on has not sent anything yet.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return request;
    }
    request.map(|body| Body::from_stream(ReadOn(Some(body.into_data_stream()))))
}

struct ReadOn(Option<BodyDataStream>);

impl Stream for ReadOn {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let polled = body.poll_next_unpin(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled
    }
}

impl Drop for ReadOn {
    fn drop(&mut self) {
        if let Some(rest) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(tokio::time::timeout(BODY_TIMEOUT, discard(rest)));
        }
    }
}

/// Reads as much as the largest body may have; then the connection is closed.
async fn discard(mut rest: BodyDataStream) {
    let mut bytes = 0;
    while let Some(Ok(more)) = rest.next().await {
        bytes += more.len();
        if bytes > COMPONENT_BYTES_MAX {
            return;
        }
    }
}
