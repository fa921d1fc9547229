//! The API: clients write rows here, workers act on them. Knows nothing of the worker: they meet in Postgres.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use crate::db::Db;
use crate::dialer::Dialer;
use crate::guest::Cache;
use crate::link::Links;
use crate::master_key::MasterKeys;
use crate::web;

mod access;
mod agentfield;
mod agents;
mod audit;
mod auth;
mod deliveries;
mod document;
mod endpoints;
mod error;
mod events;
mod executions;
mod extract;
mod groups;
mod health;
mod journal;
mod key_uses;
mod keys;
mod links;
mod pauses;
mod reviewers;
mod secrets;
mod settings;
mod tenants;
mod unread;
mod webhooks;

pub use access::{Access, ROUTES};
use auth::GoodKeys;
pub use auth::new_key;
use document::Document;
use error::Error;
use key_uses::KeyUses;
pub use keys::NAME_BYTES_MAX as KEY_NAME_BYTES_MAX;

/// Largest JSON body, in bytes: an input may have 1 MiB, and something around it.
const JSON_BODY_BYTES_MAX: usize = (1 << 20) + (64 << 10);

/// How long a request may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What the handlers need. Cheap to clone.
#[derive(Clone)]
pub struct App {
    db: Db,
    cache: Cache,
    master_keys: MasterKeys,
    links: Links,
    good_keys: GoodKeys,
    key_uses: KeyUses,
    notifier: Notifier,
}

/// What says whether an endpoint could be told.
#[derive(Clone)]
pub struct Notifier {
    pub dialer: Dialer,
    /// Whether this host sends mail.
    pub sends_mail: bool,
}

impl App {
    pub fn new(db: Db, cache: Cache, master_keys: MasterKeys, links: Links, notifier: Notifier) -> Self {
        Self { db, cache, master_keys, links, good_keys: GoodKeys::new(), key_uses: KeyUses::default(), notifier }
    }
}

/// Serves the API and the reviewers' pages until `stop`; then lets the requests that are under way end, for as long as it is polled.
pub async fn serve(listener: TcpListener, app: App, stop: CancellationToken) -> std::io::Result<()> {
    // Whoever changes something is recorded with the address that it comes from.
    let service = router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let (served, ()) = tokio::join!(served.into_future(), app.key_uses.write_until(&app.db, &stop));
    served
}

/// The routes of the API.
fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(agents::router())
        .merge(executions::router())
        .merge(journal::router())
        .merge(events::router())
        .merge(pauses::router())
        .merge(links::router())
        .merge(webhooks::router())
        .merge(keys::router())
        .merge(secrets::router())
        .merge(tenants::router())
        .merge(reviewers::router())
        .merge(groups::router())
        .merge(endpoints::router())
        .merge(deliveries::router())
        .merge(settings::router())
        .merge(agentfield::router())
        .merge(audit::router())
        .merge(health::router())
}

/// What describes them.
#[cfg(test)]
fn document() -> utoipa::openapi::OpenApi {
    api().split_for_parts().1
}

/// The whole API, and the pages.
fn router(app: App) -> Router {
    let (router, document) = api().split_for_parts();
    let document = document::finished(&document);
    let pages = web::router(web::Site { db: app.db.clone(), links: app.links.clone() });
    router
        .route(
            "/openapi.json",
            axum::routing::get(async move || ([(header::CONTENT_TYPE, "application/json")], document.clone())),
        )
        .merge(pages)
        .fallback(async || Error::NotFound("not_found", "there is no such route; see /openapi.json".into()))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(axum::middleware::map_response(harden))
        .layer(axum::middleware::from_fn(unread::read_on))
        .layer(CatchPanicLayer::custom(|_| axum::response::IntoResponse::into_response(Error::Internal)))
        // What failed is logged where it is handled, and an agent that failed, which is a 502 for some, is no error here.
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(()))
        .with_state(app)
}

/// What a request is called in the log: by its route, never by its path. That of a reviewer's page is as good as a key,
/// and a path that fits no route may be one with a typing error.
fn span(request: &Request) -> tracing::Span {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    tracing::debug_span!("request", method = %request.method(), route)
}

/// No answer of a host is for a browser to sniff, frame or keep.
async fn harden(mut response: axum::response::Response) -> axum::response::Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
