//! One connection, from its handshake to its end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response};
use futures::future::BoxFuture;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;
use tower::{Service, ServiceExt as _};

use super::body::{Received, Sent};
use super::pulse::{Exchange, Late, Pulse};
use super::stream::Stream;
use super::{House, NOT_TRUSTED, Tls};
use crate::peer::Address;

/// What a request over HTTP/1.1 may have before its body, in bytes, and how many headers.
pub(in super::super) const HEAD_BYTES_MAX: usize = 64 << 10;
pub(in super::super) const HEADERS_MAX: usize = 100;

/// The headers of one over HTTP/2, in bytes, as that counts them.
const HEADER_LIST_BYTES_MAX: u32 = 32 << 10;

/// Requests at once on one connection of HTTP/2.
const STREAMS_MAX: u32 = 100;

/// Streams that a client of HTTP/2 has reset while the host had not looked at them yet, and those that the host has reset
/// itself, before it ends the connection: what is told from a flood by this. Both are what hyper has by itself.
const PENDING_RESETS_MAX: usize = 20;
const LOCAL_RESETS_MAX: usize = 1_024;

/// What is kept of an answer on a connection of HTTP/2 that the client does not take.
const SEND_BUFFER_BYTES: usize = 256 << 10;

/// How often to ask a client of HTTP/2 whether it is still there, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

impl House {
    /// Serves a connection to its end.
    pub(super) async fn receive(self: Arc<Self>, stream: TcpStream, peer: IpAddr) {
        // What is written is whole answers; to wait for more would only hold them up.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.tls.as_ref().map(Tls::acceptor) else { return self.converse(stream, peer).await };
        match tokio::time::timeout(self.patience.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.converse(stream, peer).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self: Arc<Self>, stream: S, peer: IpAddr) {
        let pulse = Pulse::new();
        let service = Exchanges { house: self.clone(), pulse: pulse.clone(), peer };
        let io = TokioIo::new(Stream::new(stream, pulse.clone()));
        let builder = builder();
        let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(service)));
        let mut look = tokio::time::interval(self.patience.look_every());
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::trace!(%peer, %error, "a connection ended early");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = look.tick() => match pulse.late(&self.patience) {
                    None => {}
                    // A client of HTTP/2 is told, and has until the next look to begin no other request.
                    Some(Late::Idle) if !is_ending => {
                        is_ending = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    Some(late) => {
                        tracing::debug!(%peer, ?late, "closed a connection whose client was too slow");
                        return;
                    }
                },
            }
        }
    }
}

/// How HTTP is spoken.
fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // It is `pulse` that looks how long a head takes.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// The requests of one connection, on their way to the router and back.
#[derive(Clone)]
struct Exchanges {
    house: Arc<House>,
    pulse: Arc<Pulse>,
    peer: IpAddr,
}

impl Exchanges {
    /// Where a request with these headers comes from.
    fn address(&self, headers: &HeaderMap) -> Address {
        let forwarded: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default()).collect();
        if !forwarded.is_empty() && !self.house.proxies.trusts(self.peer) && NOT_TRUSTED.may_say() {
            tracing::warn!(
                peer = %self.peer, "X-Forwarded-For of an address that is no trusted proxy's means nothing; if this is \
                your reverse proxy, name it in COUNTERSIGN_TRUSTED_PROXIES"
            );
        }
        Address(self.house.proxies.client(self.peer, forwarded.into_iter()))
    }
}

impl<B> Service<Request<B>> for Exchanges
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static,
{
    type Response = Response<Sent>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Sent>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let exchange = Exchange::begin(&self.pulse, request.version());
        let address = self.address(request.headers());
        request.extensions_mut().insert(address);
        let received = exchange.clone();
        let request = request.map(|body| Body::new(Received::new(body, self.house.patience.chunk, received)));
        let answer = self.house.router.clone().oneshot(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Sent::new(body, exchange))) })
    }
}
