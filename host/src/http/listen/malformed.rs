//! What is no HTTP, or more of it than is taken, never reaches a handler: hyper answers it with a status and nothing else.
//! Such an answer gets the body and the headers of all our errors here.

use axum::body::Bytes;
use axum::http::StatusCode;

use super::super::error::Error;
use super::super::security;

/// What hyper writes then is shorter, in bytes.
const BYTES_MAX: usize = 256;

/// What to write instead of these bytes, if they are all of such an answer. None of ours is: those have other headers.
pub(super) fn instead_of(bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() > BYTES_MAX || !bytes.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let (first, headers) = head.split_once("\r\n")?;
    let mut date = "";
    for header in headers.split("\r\n") {
        match header.split_once(": ")? {
            ("date", _) => date = header,
            ("connection", "close") | ("content-length", "0") => {}
            _ => return None,
        }
    }
    let status = first.split(' ').nth(1)?.parse::<StatusCode>().ok()?;
    let (status, body) = match status {
        StatusCode::BAD_REQUEST => Error::invalid("what came is no request of HTTP/1.1, nor of HTTP/2"),
        StatusCode::URI_TOO_LONG => Error::UriTooLong,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Error::HeadersTooLarge,
        _ => return None,
    }
    .written();
    let mut answer = format!("HTTP/1.1 {status}\r\n{date}\r\nconnection: close\r\ncontent-type: application/json\r\n");
    for (name, value) in security::HEADERS {
        answer += &format!("{name}: {value}\r\n");
    }
    answer += &format!("content-length: {}\r\n\r\n{body}", body.len());
    Some(answer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPERS: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                          date: Sun, 22 Nov 2026 22:10:59 GMT\r\n\r\n";

    #[test]
    fn what_hyper_answers_by_itself_gets_a_body_and_headers() {
        let answer = String::from_utf8(instead_of(HYPERS.as_bytes()).unwrap().to_vec()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\ndate: Sun, 22 Nov 2026 22:10:59 GMT\r\n"), "{head}");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        assert!(head.contains("x-content-type-options: nosniff") && body.contains("invalid_request"), "{answer}");
        for (status, code) in [("414 URI Too Long", "uri_too_long"), ("431 Request Header", "headers_too_large")] {
            let answer = instead_of(HYPERS.replace("400 Bad Request", status).as_bytes()).unwrap();
            assert!(String::from_utf8_lossy(&answer).contains(code), "{status}");
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        for other in [
            HYPERS.replace("400 Bad Request", "200 OK"),
            HYPERS.replace("400 Bad Request", "404 Not Found"),
            HYPERS.replace("date:", "x-content-type-options:"),
            HYPERS.replace("content-length: 0", "content-length: 2"),
            format!("{HYPERS}{{}}"),
            HYPERS[1..].to_owned(),
            HYPERS[..HYPERS.len() - 1].to_owned(),
            format!("{{\"text\":\"{HYPERS}\"}}"),
        ] {
            assert_eq!(instead_of(other.as_bytes()), None, "{other}");
        }
    }
}
