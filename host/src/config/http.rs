//! The settings of what a host says over HTTP, and to whom.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::peer;

/// How a host is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct Http {
    /// Speak TLS, with the certificates of this file: PEM, the host's own first. They are read again when they change,
    /// and on SIGHUP.
    #[arg(long, env = "COUNTERSIGN_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of the certificate, as PEM.
    #[arg(long, env = "COUNTERSIGN_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The reverse proxies before this host, separated by commas: addresses, or networks as 10.0.0.0/8. Only they are
    /// believed when they say by `X-Forwarded-For` for whom they ask.
    #[arg(long, env = "COUNTERSIGN_TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',',
          value_parser = peer::network)]
    pub trusted_proxies: Vec<IpNet>,

    /// The web sites whose scripts may use the API, separated by commas: `https://app.example`. None if there is none.
    #[arg(long, env = "COUNTERSIGN_CORS_ORIGINS", value_name = "ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<String>,

    /// Where to serve `/metrics` without a key, and nothing else. An address that only your monitoring reaches.
    #[arg(long, env = "COUNTERSIGN_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,

    /// How many connections to have at once. One more waits until another ends.
    #[arg(long, env = "COUNTERSIGN_CONNECTIONS", value_name = "N", default_value_t = 4_096,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,

    /// How many of them one address may have, if it is no trusted proxy's. One more is closed.
    #[arg(long, env = "COUNTERSIGN_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections_per_address: u32,

    /// How many requests of one address in a second may fail to prove who sends them, with bad keys, signatures or
    /// links. Ten times as many may come at once.
    #[arg(long, env = "COUNTERSIGN_FAILURES_PER_SECOND", value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub failures_per_second: u32,
}

/// Reads what a browser sends as `Origin`.
fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_origin = |url: &url::Url| {
        matches!(url.scheme(), "http" | "https") && !text.contains('*') && url.origin().ascii_serialization() == text
    };
    match url::Url::parse(text) {
        Ok(url) if is_origin(&url) => Ok(text.to_owned()),
        _ => {
            Err("give each as a browser does: https://app.example, with a port if it is not 443, no path and no `*`"
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_exact() {
        for good in ["https://app.example", "http://localhost:3000", "https://[::1]:8443", " https://app.example"] {
            assert_eq!(origin(good).as_deref(), Ok(good.trim()), "{good}");
        }
        for bad in
            ["", "*", "null", "https://*.example", "app.example", "https://app.example/", "https://app.example/x"]
        {
            assert!(origin(bad).is_err(), "{bad}");
        }
        for bad in ["https://App.example", "https://app.example:443", "ftp://app.example", "https://u@app.example"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
