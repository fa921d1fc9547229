//! Pages that show nothing of any pause.

use askama::Template as _;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::page::Notice;
use crate::db;

/// Why a reviewer sees no pause.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 404: the link was altered, is not ours, or has expired. One page for all, so that nobody learns anything from it.
    BadLink,
    /// 403: nothing of the tenant is served. Only whoever has a link that is good learns it.
    Suspended,
    /// 408.
    RequestTimeout,
    /// 413.
    TooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 500. The cause has been logged.
    Internal,
    /// 503. The database cannot be reached.
    Unavailable,
}

impl From<db::Error> for Refusal {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Unavailable(error) => {
                tracing::warn!(%error, "the database is not available");
                Self::Unavailable
            }
            error => {
                tracing::error!(%error, "a page failed");
                Self::Internal
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::BadLink => (
                StatusCode::NOT_FOUND,
                "This link is not valid",
                "It has expired, or is not complete. Look whether all of it was copied; if it was, ask whoever sent it to \
                 you for a new one.",
            ),
            Self::Suspended => (
                StatusCode::FORBIDDEN,
                "Not available",
                "Whoever asks you for a decision is not served here at the moment, so none can be taken. Nothing is wrong \
                 with your link.",
            ),
            Self::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "Not sent",
                "Your decision did not arrive in time. Go back and try again.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Not taken",
                "What you have sent is too large. Go back and shorten it: the feedback may have 64 KiB, and the rest 1 MiB.",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Not taken",
                "This page takes what its own form sends. Programs decide by the API.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "It is not your fault. Open the link again; it shows whether your decision was taken.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available at the moment",
                "Open the link again in a minute; it shows whether your decision was taken.",
            ),
        };
        // Written from texts of our own, it cannot fail.
        let html = Notice { title, text }.render().unwrap_or_default();
        let mut response = (status, Html(html)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
