//! What browsers are told of every answer, and which web sites may use the API.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use tower_http::cors::CorsLayer;

/// No answer of a host is for a browser to sniff, frame, keep, or load into another site's page, and none runs anything.
/// The reviewers' pages say more exactly what they need.
pub(super) const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// For a year, a browser uses nothing but TLS.
const HSTS: &str = "max-age=31536000";

/// How long a browser may keep what it was told of a route.
const CORS_MAX_AGE: Duration = Duration::from_secs(600);

/// Adds what an answer does not say by itself.
pub(super) fn harden(mut response: Response, has_tls: bool) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if has_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    response
}

/// Lets the scripts of these sites use the API. There are no cookies, so nobody's browser speaks for him: a script has to
/// have a key.
pub(super) fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("prefer"),
            HeaderName::from_static("x-api-key"),
        ])
        .expose_headers([header::LOCATION, header::RETRY_AFTER])
        .max_age(CORS_MAX_AGE)
}
