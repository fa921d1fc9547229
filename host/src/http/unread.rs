//! Bodies that were refused before they were read to their end.
//!
//! If the host just closed the connection then, a client that is still sending would lose the answer; and one that is
//! not told that the connection ends with it would lose its next request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::{Stream, StreamExt as _};

use super::BODY_TIMEOUT;
use crate::guest::COMPONENT_BYTES_MAX;

/// Reads on, after the answer, what the handler has left of the body, and says that the connection ends then.
pub(super) async fn read_on(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (version, was_read) = (request.version(), Arc::new(AtomicBool::new(false)));
    // Who expects to be told to go on has not sent anything yet.
    let reads_on = !request.headers().contains_key(header::EXPECT);
    let request = request.map(|body| {
        let body = Some(body.into_data_stream());
        Body::from_stream(Rest { body, reads_on, was_read: was_read.clone() })
    });
    let mut response = next.run(request).await;
    if !was_read.load(Ordering::Relaxed) && version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

struct Rest {
    body: Option<BodyDataStream>,
    reads_on: bool,
    was_read: Arc<AtomicBool>,
}

impl Stream for Rest {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = body.poll_next_unpin(cx);
        if let Poll::Ready(end @ (None | Some(Err(_)))) = &polled {
            self.was_read.store(end.is_none(), Ordering::Relaxed);
            self.body = None;
        }
        polled
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if self.reads_on
            && let Some(rest) = self.body.take()
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
