//! TLS: the certificate, and how it is renewed while the host runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

/// How often to look whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a client may go on with, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate in force. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
    /// Of the files when they were looked at last, whether they were any good or not.
    seen: RwLock<[u8; 32]>,
}

impl Tls {
    /// Reads both files. They are PEM.
    pub fn read(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let (config, seen) = (Arc::new(config(certificate, key)?), digest(certificate, key));
        Ok(Self(Arc::new(Inner {
            certificate: certificate.into(),
            key: key.into(),
            config: RwLock::new(config),
            seen: RwLock::new(seen),
        })))
    }

    /// What a connection that begins now is secured by.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Reads the files again when they have changed, or a SIGHUP comes, until `stop`.
    pub(super) async fn keep(self, stop: CancellationToken) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = hangup.recv() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let tls = self.clone();
            // Files may be slow to read.
            let _ = tokio::task::spawn_blocking(move || tls.look()).await;
        }
    }

    /// Takes what the files hold, if it is new and good. Connections that there are go on as they are.
    fn look(&self) {
        let Inner { certificate, key, config: current, seen } = &*self.0;
        let found = digest(certificate, key);
        if std::mem::replace(&mut *seen.write().unwrap_or_else(PoisonError::into_inner), found) == found {
            return;
        }
        match config(certificate, key) {
            Ok(new) => {
                *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                tracing::info!(path = %certificate.display(), "took a new TLS certificate");
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "kept the TLS certificate as it was; the new one is not good"
                );
            }
        }
    }
}

/// Of what both files hold, readable or not.
fn digest(certificate: &Path, key: &Path) -> [u8; 32] {
    let mut digest = Sha256::new();
    for path in [certificate, key] {
        let content = std::fs::read(path).unwrap_or_default();
        digest.update(content.len().to_le_bytes());
        digest.update(content);
    }
    digest.finalize().into()
}

fn config(certificate: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.with_context(|| format!("the TLS certificate {}", certificate.display()))?;
    anyhow::ensure!(!chain.is_empty(), "the TLS certificate {}: there is none in it", certificate.display());
    let secret = PrivateKeyDer::from_pem_file(key).with_context(|| format!("the TLS key {}", key.display()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret);
    let mut config = config.context("the TLS certificate and its key")?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}
