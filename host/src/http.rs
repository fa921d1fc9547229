//! The API: clients write rows here, workers act on them. Knows nothing of the worker: they meet in Postgres.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{MatchedPath, Request};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use crate::db::Db;
use crate::db::secrets::Signing;
use crate::dialer::Dialer;
use crate::guest::Cache;
use crate::link::Links;
use crate::master_key::MasterKeys;
use crate::rate::Rates;
use crate::strangers::Strangers;
use crate::trust::Trusted;
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
mod functions;
mod groups;
mod health;
mod journal;
mod key_uses;
mod keys;
mod limits;
mod links;
mod listen;
mod pauses;
mod reviewers;
mod secrets;
mod security;
mod settings;
mod tenants;
mod unread;
mod uploads;
mod usage;
mod webhooks;

pub use access::{Access, ROUTES};
use auth::GoodKeys;
pub use auth::new_key;
use document::Document;
use error::Error;
use functions::Functions;
use key_uses::KeyUses;
pub use keys::NAME_BYTES_MAX as KEY_NAME_BYTES_MAX;
pub use listen::{Door, Tls};
pub use uploads::Uploads;

/// Largest JSON body, in bytes: an input may have 1 MiB, and something around it.
const JSON_BODY_BYTES_MAX: usize = (1 << 20) + (64 << 10);

/// Longest path with its query, in bytes: the longest name in it is a link's token.
const URI_BYTES_MAX: usize = 8 << 10;

/// How long a request may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What the handlers need. Cheap to clone.
#[derive(Clone)]
pub struct App {
    db: Db,
    cache: Cache,
    uploads: Uploads,
    master_keys: MasterKeys,
    links: Links,
    good_keys: GoodKeys,
    /// What webhooks may be signed with, by tenant.
    signing: Trusted<String, Arc<[Signing]>>,
    functions: Functions,
    key_uses: KeyUses,
    /// Requests and starts of each tenant, on this host.
    requests: Rates,
    starts: Rates,
    strangers: Strangers,
    readiness: health::Readiness,
    notifier: Notifier,
}

/// What is counted of who comes.
pub struct Counted {
    /// The executions that each tenant starts, here and by calls.
    pub starts: Rates,
    pub strangers: Strangers,
}

/// What says whether an endpoint could be told.
#[derive(Clone)]
pub struct Notifier {
    pub dialer: Dialer,
    /// Whether this host sends mail.
    pub sends_mail: bool,
}

impl App {
    pub fn new(
        db: Db,
        cache: Cache,
        uploads: Uploads,
        master_keys: MasterKeys,
        links: Links,
        counted: Counted,
        notifier: Notifier,
    ) -> Self {
        Self {
            db,
            cache,
            uploads,
            master_keys,
            links,
            good_keys: GoodKeys::new(),
            signing: Trusted::new(),
            functions: Functions::new(),
            key_uses: KeyUses::default(),
            requests: Rates::default(),
            starts: counted.starts,
            strangers: counted.strangers,
            readiness: health::Readiness::default(),
            notifier,
        }
    }
}

/// What is said to browsers.
pub struct Browsers {
    /// The sites whose scripts may use the API.
    pub origins: Vec<String>,
    /// Whether they reach this host by TLS.
    pub use_tls: bool,
}

/// Serves the API and the reviewers' pages until `stop`; then lets the requests that are under way end, for as long as it
/// is polled.
pub async fn serve(door: Door, app: App, browsers: Browsers, stop: CancellationToken) -> std::io::Result<()> {
    let served = door.serve(router(app.clone(), &browsers), stop.clone());
    let (served, ()) = tokio::join!(served, app.key_uses.write_until(&app.db, &stop));
    served
}

/// Serves what this host counts, to whoever reaches this door.
pub async fn serve_metrics(door: Door, app: App, stop: CancellationToken) -> std::io::Result<()> {
    door.serve(guarded(health::open_router(), false).with_state(app), stop).await
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
        .merge(limits::router())
        .merge(usage::router())
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
fn router(app: App, browsers: &Browsers) -> Router {
    let (router, document) = api().split_for_parts();
    let document = Bytes::from(document::finished(&document));
    let site = web::Site { db: app.db.clone(), links: app.links.clone(), strangers: app.strangers.clone() };
    let mut api = router
        .route(
            "/openapi.json",
            axum::routing::get(async move || ([(header::CONTENT_TYPE, "application/json")], document.clone())),
        )
        .method_not_allowed_fallback(async || Error::MethodNotAllowed);
    if !browsers.origins.is_empty() {
        // Only of the API: no other site has any business with the pages.
        api = api.layer(security::cors(&browsers.origins));
    }
    guarded(api.merge(web::router(site)), browsers.use_tls).with_state(app)
}

/// What is the same for every route.
fn guarded(router: Router<App>, use_tls: bool) -> Router<App> {
    router
        .fallback(async || Error::NotFound("not_found", "there is no such route; see /openapi.json".into()))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(middleware::from_fn(unread::read_on))
        .layer(middleware::from_fn(bound_uri))
        .layer(CatchPanicLayer::custom(|_| Error::Internal.into_response()))
        .layer(middleware::map_response(move |response| ready(security::harden(response, use_tls))))
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(()))
}

async fn bound_uri(request: Request, next: Next) -> Response {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > URI_BYTES_MAX { Error::UriTooLong.into_response() } else { next.run(request).await }
}

/// What a request is called in the log: by its route, never by its path. That of a reviewer's page is as good as a key,
/// and a path that fits no route may be one with a typing error.
fn span(request: &Request) -> tracing::Span {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    tracing::debug_span!("request", method = %request.method(), route)
}
