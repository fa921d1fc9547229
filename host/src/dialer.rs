//! Requests to places that tenants choose: nothing is dialled but what `address` allows.
//!
//! A name is looked up once for each connection, all that it has is checked, and just that is dialled: a name that had
//! public addresses when its endpoint was made, and has others now, is not. No redirect is followed, no proxy of the
//! environment is used, and of an answer no more than `RESPONSE_BYTES_MAX` is read.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, redirect, retry};
use url::{Host, Url};

use crate::address::{Refused, Rules};

/// How long a connection may take, a name's lookup among it, and a request in all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of an answer is read, and kept, in bytes.
const RESPONSE_BYTES_MAX: usize = 16 << 10;
const EXCERPT_BYTES_MAX: usize = 1 << 10;

/// How long a connection that nobody uses is kept, and how many to one host.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_MAX: usize = 4;

/// The addresses that a name has.
type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Whether an address is one of this machine.
type IsOwn = fn(IpAddr) -> bool;

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    client: Client,
    guard: Guard,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, as text that can be kept.
    pub excerpt: String,
}

impl Dialer {
    pub fn new(rules: Rules) -> anyhow::Result<Self> {
        Self::with(rules, look_up, is_this_machine)
    }

    fn with(rules: Rules, lookup: Lookup, is_own: IsOwn) -> anyhow::Result<Self> {
        let guard = Guard { rules: Arc::new(rules), lookup, is_own };
        let client = Client::builder()
            .dns_resolver(guard.clone())
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .https_only(!guard.rules.allow_private)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, guard })
    }

    /// Whether an endpoint may have this address, as far as can be told now.
    pub async fn check(&self, address: &str) -> Result<(), Refused> {
        let url = self.guard.read(address)?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        let port = url.port_or_known_default();
        let looked_up = tokio::time::timeout(CONNECT_TIMEOUT, self.guard.resolve_all(name, port)).await;
        looked_up
            .unwrap_or_else(|_| Err(Refused::Unresolved(name.into(), "nobody answered in time".into())))
            .map(|_| ())
    }

    /// Posts JSON.
    ///
    /// # Errors
    ///
    /// Why there is no answer. Does not show the address, which may be a secret.
    pub async fn post(&self, address: &str, headers: HeaderMap, body: String) -> Result<Answer, String> {
        // Again, because a literal address is never looked up, and the rules may have changed since it was kept.
        let url: Url = self.guard.read(address).map_err(|why| format!("refused: {why}"))?;
        let request = self.client.post(url).headers(headers).header("content-type", "application/json").body(body);
        let mut response = request.send().await.map_err(describe)?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        // What was received is received, even if the rest of the answer never comes.
        let excerpt = excerpt(&read(&mut response).await);
        Ok(Answer { status, retry_after, excerpt })
    }
}

/// Resolves names for the client, and lets through only what may be dialled.
#[derive(Clone)]
struct Guard {
    rules: Arc<Rules>,
    lookup: Lookup,
    is_own: IsOwn,
}

impl Guard {
    /// Reads an endpoint's address, and refuses one of this machine that stands in place of a name.
    fn read(&self, text: &str) -> Result<Url, Refused> {
        let url = self.rules.read(text)?;
        match url.host() {
            Some(Host::Ipv4(ip)) => self.refuse_own(ip.into())?,
            Some(Host::Ipv6(ip)) => self.refuse_own(ip.into())?,
            Some(Host::Domain(_)) | None => {}
        }
        Ok(url)
    }

    fn refuse_own(&self, ip: IpAddr) -> Result<(), Refused> {
        if !self.rules.allow_private && (self.is_own)(ip) {
            return Err(Refused::Denied(ip, "this machine's own address"));
        }
        Ok(())
    }

    /// All addresses of a name, if each of them may be dialled.
    async fn resolve_all(&self, name: &str, port: Option<u16>) -> Result<Vec<SocketAddr>, Refused> {
        let unresolved = |why: String| Refused::Unresolved(name.into(), why);
        let found = (self.lookup)(name.to_owned()).await.map_err(|why| unresolved(why.to_string()))?;
        if found.is_empty() {
            return Err(unresolved("it is not known".into()));
        }
        for address in &found {
            self.rules.check(address.ip(), port)?;
            self.refuse_own(address.ip())?;
        }
        Ok(found)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.resolve_all(name.as_str(), None).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn look_up(name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    // Port 0: that of the URL is used.
    Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
}

/// By whether a socket can be bound to it.
fn is_this_machine(ip: IpAddr) -> bool {
    // Of nobody, so that binding to it says that this system binds to anything.
    const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    let binds = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    binds(ip) && !binds(NOBODY)
}

/// What went wrong, with its causes, without the address.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        let why_text = why.to_string();
        if !text.ends_with(&why_text) {
            text = format!("{text}: {why_text}");
        }
        cause = why.source();
    }
    text
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    (at.to_utc() - Utc::now()).to_std().ok()
}

async fn read(response: &mut Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = RESPONSE_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    bytes
}

/// The beginning as text: no control characters but line breaks, nothing that Postgres could not keep.
fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_BYTES_MAX)]);
    let mut kept = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')) {
        // A byte that is no text has become a sign of three.
        if kept.len() + c.len_utf8() > EXCERPT_BYTES_MAX {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A name that has a public address when it is looked up first, and this machine's afterwards.
    fn rebinding(_: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let address = if ASKED.fetch_add(1, Ordering::SeqCst) == 0 { "1.1.1.1:0" } else { "127.0.0.1:0" };
        Box::pin(async move { Ok(vec![address.parse().unwrap()]) })
    }

    fn mixed(_: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Ok(vec!["1.1.1.1:0".parse().unwrap(), "10.0.0.1:0".parse().unwrap()]) })
    }

    fn unknown(_: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Ok(vec![]) })
    }

    #[tokio::test]
    async fn a_name_that_has_become_private_is_refused_when_it_is_dialled() {
        let dialer = Dialer::with(Rules::default(), rebinding, is_this_machine).unwrap();
        assert_eq!(dialer.check("https://hooks.example/").await, Ok(()));
        let failed = dialer.post("https://hooks.example/secret", HeaderMap::new(), String::new()).await.unwrap_err();
        assert!(failed.contains("127.0.0.1 is a loopback address"), "{failed}");
        assert!(!failed.contains("secret"), "{failed}");
    }

    #[tokio::test]
    async fn a_name_of_which_one_address_is_private_or_that_has_none_is_refused() {
        let dialer = Dialer::with(Rules::default(), mixed, is_this_machine).unwrap();
        assert!(matches!(dialer.check("https://hooks.example/").await, Err(Refused::Denied(..))));
        let dialer = Dialer::with(Rules::default(), unknown, is_this_machine).unwrap();
        assert!(matches!(dialer.check("https://hooks.example/").await, Err(Refused::Unresolved(..))));
    }

    #[tokio::test]
    async fn a_literal_address_is_checked_though_it_is_never_looked_up() {
        let dialer = Dialer::new(Rules::default()).unwrap();
        for address in ["https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://localhost/"] {
            let failed = dialer.post(address, HeaderMap::new(), String::new()).await.unwrap_err();
            assert!(failed.contains("is a loopback address"), "{address}: {failed}");
        }
    }

    #[tokio::test]
    async fn a_public_address_of_this_machine_is_refused_in_place_of_a_name_too() {
        let is_own: IsOwn = |ip| ["1.1.1.1", "2606:4700::1111"].contains(&ip.to_string().as_str());
        let dialer = Dialer::with(Rules::default(), look_up, is_own).unwrap();
        for address in ["https://1.1.1.1/", "https://[2606:4700::1111]/"] {
            let refused = dialer.check(address).await.unwrap_err();
            assert!(refused.to_string().contains("this machine's own address"), "{address}: {refused}");
            let failed = dialer.post(address, HeaderMap::new(), String::new()).await.unwrap_err();
            assert!(failed.contains("this machine's own address"), "{address}: {failed}");
        }
        assert!(dialer.check("https://1.0.0.1/").await.is_ok());
        let development = Rules { allow_private: true, ..Rules::default() };
        assert!(Dialer::with(development, look_up, is_own).unwrap().check("https://1.1.1.1/").await.is_ok());
    }

    #[test]
    fn an_excerpt_is_short_and_can_be_kept() {
        assert_eq!(excerpt(b"a\0b\x1b[31m\nc"), "ab[31m\nc");
        assert!(excerpt(&[0xff; 5_000]).len() <= EXCERPT_BYTES_MAX);
        assert_eq!(excerpt("ä".repeat(2_000).as_bytes()).len(), EXCERPT_BYTES_MAX);
    }
}
