//! The HTTP client of the commands.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::failure::{Failure, Refusal};

/// How long a host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a host may take to answer a request that does not say otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How many pages a listing follows, of 100 items each: as many as the longest journal has.
const PAGES_MAX: usize = 2_000;

/// A host and the key to it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) url: String,
    key: Option<String>,
}

/// An answer that is not an error.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A page of a list, its items as they came.
#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

impl Client {
    /// A client that presents `key` to the host at `url`; nothing is sent yet.
    pub(crate) fn new(url: &str, key: Option<String>) -> Result<Self, Failure> {
        let invalid = |why: &dyn std::fmt::Display| Failure::Usage(format!("`{url}` is no URL of a host: {why}"));
        let parsed = reqwest::Url::parse(url).map_err(|error| invalid(&error))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(invalid(&"it must start with http:// or https://"));
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&parsed) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| invalid(&causes(&error)))?;
        Ok(Self { http, url: parsed.as_str().trim_end_matches('/').to_owned(), key })
    }

    /// The same, but it presents no key.
    pub(crate) fn without_key(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// A request to `path`, for `send`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url)).timeout(ANSWER_TIMEOUT);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request; an error of the host is a `Failure`.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Reply, Failure> {
        let response = self.open(request).await?;
        let status = response.status().as_u16();
        let body = response.text().await.map_err(|error| self.unreachable(&error))?;
        Ok(Reply { status, body })
    }

    /// Sends a request whose answer is read piece by piece.
    pub(crate) async fn open(&self, request: RequestBuilder) -> Result<reqwest::Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.text().await.map_err(|error| self.unreachable(&error))?;
        Err(Failure::Refused(refusal(status, body)))
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Reply, Failure> {
        self.send(self.request(Method::GET, path)).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Reply, Failure> {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// `POST path` with a body of JSON.
    pub(crate) async fn post(&self, path: &str, body: &impl serde::Serialize) -> Result<Reply, Failure> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `PUT path` with a body of JSON.
    pub(crate) async fn put(&self, path: &str, body: &impl serde::Serialize) -> Result<Reply, Failure> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// Every page of the list at `path`, as one page that is the last.
    pub(crate) async fn list(&self, path: &str) -> Result<Reply, Failure> {
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = with_query(path, &[("limit", Some("100")), ("after", after.as_deref())]);
            let page: Page = self.get(&page).await?.parse()?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
        Ok(Reply { status: 200, body: format!(r#"{{"items":[{}],"next":null}}"#, items.join(",")) })
    }

    /// The failure that a connection's error is.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::Unreachable { url: self.url.clone(), cause: causes(error) }
    }
}

impl Reply {
    /// The body as what the API says it is.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.body).map_err(|error| {
            Failure::Refused(Refusal {
                status: 502,
                code: "unexpected_answer".into(),
                message: format!("what answers there is no Countersign host, or another version: {error}"),
                body: Failure::Failed(format!("unexpected answer: {error}")).to_json(),
            })
        })
    }

    /// The items of a list, and what to pass as `after` for more.
    pub(crate) fn items<T: DeserializeOwned>(&self) -> Result<(Vec<T>, Option<String>), Failure> {
        #[derive(Deserialize)]
        struct Items<T> {
            items: Vec<T>,
            next: Option<String>,
        }
        let page: Items<T> = self.parse()?;
        Ok((page.items, page.next))
    }
}

/// Reads the API's error; a proxy on the way may have answered in another form.
fn refusal(status: u16, body: String) -> Refusal {
    #[derive(Deserialize)]
    struct Body {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: String,
        message: String,
    }
    match serde_json::from_str::<Body>(&body) {
        Ok(Body { error }) => Refusal { status, code: error.code, message: error.message, body },
        Err(_) => {
            let shown = super::text::clip(body.trim(), 200);
            let message = format!("the answer does not come from a Countersign host: {shown:?}");
            let blame = if status >= 500 { "host" } else { "client" };
            let error = serde_json::json!({"error": {"code": "unexpected_answer", "message": message, "blame": blame}});
            Refusal { status, code: "unexpected_answer".into(), message, body: error.to_string() }
        }
    }
}

/// The innermost cause says the most: "Connection refused".
fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it does not answer in time".into();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// `path` with those `pairs` that have a value.
pub(crate) fn with_query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut text = path.to_owned();
    for (name, value) in pairs {
        if let Some(value) = value {
            let separator = if text.contains('?') { '&' } else { '?' };
            text.push_str(&format!("{separator}{name}={}", segment(value)));
        }
    }
    text
}

/// `text` as one segment of a path or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A key that `serve` leaves in its data directory, and how to give another instead.
struct Left {
    file: &'static str,
    ask: &'static str,
}

const API_KEY: Left = Left { file: "api-key", ask: "pass --api-key or set COUNTERSIGN_API_KEY" };
const HOST_KEY: Left = Left { file: "host-key", ask: "pass --key or set COUNTERSIGN_HOST_KEY" };

/// The key to the host at `url`: the one given, else the one that `serve` left in its data directory.
///
/// That one is an operator's, so it is only sent to a host on this machine.
pub(crate) fn find_key(url: &str, given: Option<&str>) -> Result<String, Failure> {
    find(url, given, &API_KEY)
}

/// The same, of the key for all of the host.
pub(crate) fn find_host_key(url: &str, given: Option<&str>) -> Result<String, Failure> {
    find(url, given, &HOST_KEY)
}

fn find(url: &str, given: Option<&str>, left: &Left) -> Result<String, Failure> {
    if let Some(key) = given.map(str::trim).filter(|key| !key.is_empty()) {
        return Ok(key.to_owned());
    }
    let ask = left.ask;
    if !reqwest::Url::parse(url).is_ok_and(|url| is_loopback(&url)) {
        return Err(Failure::Usage(format!("no API key for {url}: {ask}")));
    }
    let data_dir = std::env::var_os("COUNTERSIGN_DATA_DIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(crate::config::default_data_dir, PathBuf::from);
    key_in(&data_dir, left)
}

/// A client for a host on this machine, with the key that it left in its data directory.
pub(crate) fn from_data_dir(url: &str, data_dir: &Path) -> Result<Client, Failure> {
    Client::new(url, Some(key_in(data_dir, &API_KEY)?))
}

fn key_in(data_dir: &Path, left: &Left) -> Result<String, Failure> {
    let (ask, file) = (left.ask, data_dir.join(left.file));
    let text = std::fs::read_to_string(&file).map_err(|error| {
        Failure::Usage(format!(
            "no API key: {ask}. `countersign serve` leaves one in its data directory, which is COUNTERSIGN_DATA_DIR; {} \
             cannot be read ({error})",
            file.display()
        ))
    })?;
    match text.lines().next().map(str::trim).filter(|key| !key.is_empty()) {
        Some(key) => Ok(key.to_owned()),
        None => Err(Failure::Usage(format!("{} is empty: {ask}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_escaped() {
        assert_eq!(segment("exec_1:a.b~c-d"), "exec_1:a.b~c-d");
        assert_eq!(segment("../é?"), "..%2F%C3%A9%3F");
        assert_eq!(with_query("/x", &[("a", Some("1 2")), ("b", None), ("c", Some("&"))]), "/x?a=1%202&c=%26");
    }

    #[test]
    fn errors_of_the_api_and_of_others_are_read() {
        let api = refusal(404, r#"{"error":{"code":"c","message":"m","blame":"client"}}"#.into());
        assert_eq!((api.code.as_str(), api.message.as_str()), ("c", "m"));
        let other = refusal(502, "<html>Bad Gateway".into());
        assert_eq!(other.code, "unexpected_answer");
        assert!(other.message.ends_with("\"<html>Bad Gateway\""));
        assert!(other.body.contains(r#""blame":"host""#));
    }

    #[test]
    fn the_operators_key_stays_on_this_machine() {
        assert!(matches!(find_key("http://example.com", None), Err(Failure::Usage(_))));
        assert!(matches!(find_key("http://127.0.0.1.example.com", None), Err(Failure::Usage(_))));
        assert_eq!(find_key("http://example.com", Some(" cs_1 ")).expect("given"), "cs_1");
        let loopback = |url: &str| reqwest::Url::parse(url).is_ok_and(|url| is_loopback(&url));
        assert!(["http://127.0.0.1:7070", "http://localhost", "https://[::1]:1"].into_iter().all(loopback));
    }

    #[test]
    fn only_urls_of_the_web_are_hosts() {
        for url in ["", "127.0.0.1:7070", "ftp://x", "http://"] {
            assert!(matches!(Client::new(url, None), Err(Failure::Usage(_))), "{url}");
        }
        assert!(Client::new("http://localhost:7070/", None).is_ok());
    }
}
