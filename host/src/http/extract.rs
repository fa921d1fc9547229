//! Reads bodies, queries and texts, within bounds and with our own errors; and writes JSON.

use std::borrow::Cow;
use std::str::FromStr;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize as _, Deserializer, Serialize};
use serde_json::Number;
use serde_json::value::RawValue;

use super::error::{Error, Result};
use super::{BODY_TIMEOUT, JSON_BODY_BYTES_MAX};
use crate::execution::JSON_BYTES_MAX;
use crate::json;
use crate::link::redact;
use crate::peer::Stalled;

/// How many items a page has, if the client does not say, and at the most.
const PAGE_DEFAULT: i64 = 50;
pub(super) const PAGE_MAX: i64 = 100;

pub(super) const JSON: &str = "application/json";

/// JSON that leaves the API. Who may see there what an agent asked and was told must not be able to decide by a link in it,
/// so links are redacted.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match self.redacted() {
            Ok(text) => ([(header::CONTENT_TYPE, JSON)], text).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                Error::Internal.into_response()
            }
        }
    }
}

impl<T: Serialize> Json<T> {
    /// Its text, without what makes links work.
    pub(super) fn redacted(&self) -> serde_json::Result<String> {
        let text = serde_json::to_string(&self.0)?;
        let redacted = match redact(&text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(redacted) => Some(redacted),
        };
        Ok(redacted.unwrap_or(text))
    }
}

/// A JSON body of at most 1 MiB and a bit.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        if !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType(JSON));
        }
        parse(&bytes(request, JSON, JSON_BODY_BYTES_MAX).await?).map(Self)
    }
}

/// The parts of a path.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|why| Error::invalid(format!("the path: {}", why.body_text())))
    }
}

/// A query string.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|why| Error::invalid(format!("the query: {}", why.body_text())))
    }
}

/// Reads the body, which should be of the type `wanted`, never holding more of it than `bytes_max`.
pub(super) async fn bytes(request: Request, wanted: &'static str, bytes_max: usize) -> Result<Bytes> {
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(Error::UnsupportedMediaType(wanted));
    }
    let read = whole_body(request.into_body(), bytes_max);
    tokio::time::timeout(BODY_TIMEOUT, read).await.map_err(|_| Error::RequestTimeout)?
}

async fn whole_body(body: axum::body::Body, bytes_max: usize) -> Result<Bytes> {
    // What is announced as too long need not be read.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Error::TooLarge(bytes_max));
    }
    let (mut stream, mut whole) = (body.into_data_stream(), vec![]);
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| {
            if Stalled::is_cause_of(&error) {
                return Error::RequestTimeout;
            }
            tracing::debug!(%error, "a body broke off");
            Error::invalid("the body breaks off, or is not framed as its headers say")
        })?;
        if whole.len() + part.len() > bytes_max {
            return Err(Error::TooLarge(bytes_max));
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.into())
}

/// Reads a JSON object. Structs are objects here; serde would take arrays of their values as well.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let parsed = parse_any(body)?;
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::invalid("the body: it is not a JSON object"));
    }
    Ok(parsed)
}

/// Reads JSON, telling what is no JSON from what is not the right JSON.
pub(super) fn parse_any<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|why| {
        // What the reader stumbled over first says nothing of what comes after.
        let is_json = std::str::from_utf8(body).is_ok() && serde_json::from_slice::<IgnoredAny>(body).is_ok();
        let code = if is_json { "invalid_request" } else { "invalid_json" };
        Error::BadRequest(code, format!("the body: {why}"))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// A whole number, which JSON may write with a point: 5.0 is 5.
pub(super) fn whole<'de, D: Deserializer<'de>>(value: D) -> std::result::Result<Option<i64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(value)? else { return Ok(None) };
    json::whole(&number).map(Some).ok_or_else(|| D::Error::custom(format!("{number} is no whole number")))
}

/// A text of a client's, within its bound, that Postgres can keep.
pub(super) fn text<'a>(field: &str, value: &'a str, bytes_max: usize) -> Result<&'a str> {
    if value.len() > bytes_max || value.contains('\0') {
        return Err(Error::invalid(format!("`{field}`: at most {bytes_max} bytes, and no NUL")));
    }
    Ok(value)
}

/// A JSON document of a client's: bounded, not nested too deep, verbatim.
pub(super) fn document<'a>(field: &str, value: &'a RawValue) -> Result<&'a str> {
    let text = value.get();
    if text.len() > JSON_BYTES_MAX {
        return Err(Error::TooLarge(JSON_BYTES_MAX));
    }
    json::check(text).map_err(|why| Error::invalid(format!("`{field}`: {why}")))?;
    Ok(text)
}

/// Which page of a list is asked for.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    /// 1 to 100; 50 if absent.
    pub(super) limit: Option<i64>,
    /// The `next` of the page before.
    pub(super) after: Option<String>,
}

/// How many items a page is to have.
pub(super) fn limit(asked: Option<i64>) -> Result<i64> {
    match asked {
        None => Ok(PAGE_DEFAULT),
        Some(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(Error::invalid(format!("`limit` is 1 to {PAGE_MAX}"))),
    }
}

/// The error for an `after` that no page gave.
pub(super) fn bad_cursor() -> Error {
    Error::invalid("`after` is the `next` of the page before")
}

/// The number in a cursor: digits and nothing else.
pub(super) fn cursor_number<T: FromStr>(digits: &str) -> Result<T> {
    let number = Some(digits).filter(|digits| digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit()));
    number.and_then(|number| number.parse().ok()).ok_or_else(bad_cursor)
}

/// The time in a cursor, in microseconds. No page gives one before 1970, and Postgres could not hold all of them.
pub(super) fn cursor_time(micros: &str) -> Result<DateTime<Utc>> {
    let micros = Some(micros).filter(|micros| micros.len() <= 16 && micros.bytes().all(|b| b.is_ascii_digit()));
    let time = micros.and_then(|micros| micros.parse().ok()).and_then(DateTime::from_timestamp_micros);
    time.ok_or_else(bad_cursor)
}

/// JSON text from a row, to be shown as it is.
pub(super) fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
