//! Where a host listens, and how much it takes there.

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::http::{Door, Tls};
use crate::peer::Proxies;

/// Connections that only ask what this host counts.
const METRICS_CONNECTIONS_MAX: usize = 16;

/// File descriptors that are kept for what is no connection of a client's.
const FILES_RESERVED: u64 = 256;

/// Where the API and the pages are reached.
pub(super) async fn of_api(config: &Config) -> anyhow::Result<Door> {
    let http = &config.http;
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}; choose another --listen", config.listen))?;
    let tls = match (&http.tls_cert, &http.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls::read(certificate, key)?),
        _ => None,
    };
    Ok(Door {
        listener,
        tls,
        proxies: Proxies(http.trusted_proxies.clone()),
        connections_max: connections_max(http.connections as usize),
        per_address_max: http.connections_per_address as usize,
    })
}

/// Where nothing is reached but what this host counts.
pub(super) async fn of_metrics(config: &Config) -> anyhow::Result<Option<Door>> {
    let Some(address) = config.http.metrics_listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}; choose another --metrics-listen"))?;
    let (connections_max, per_address_max) = (METRICS_CONNECTIONS_MAX, METRICS_CONNECTIONS_MAX);
    Ok(Some(Door { listener, tls: None, proxies: Proxies::default(), connections_max, per_address_max }))
}

/// As many connections as are set, or as there are file descriptors for. This process asks for as many of them as it may
/// have: usually a few are given, and very many are allowed.
fn connections_max(set: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(files.saturating_sub(FILES_RESERVED).max(1)).unwrap_or(usize::MAX);
    if most < set {
        tracing::warn!(connections = most, files, "fewer connections are taken than are set: `ulimit -n` bounds them");
    }
    set.min(most)
}
