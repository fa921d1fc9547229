//! Components on their way in: each goes to a file while it arrives, so that nothing of it is in memory before all of it
//! is there, within its bounds.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::error::{Error, Result};
use crate::db::agents::Digest;
use crate::guest::{COMPONENT_BYTES_MAX, Invalid, check};
use crate::limits::Limits;
use crate::tally::Tally;

/// How many uploads are under way at once: of a host, and of one tenant. Each holds its component in memory, at times.
const UPLOADS_MAX: usize = 8;
const PER_TENANT_MAX: usize = 2;

/// What a client is told to wait then.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long an upload may take, and how long nothing of it may come.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);
const CHUNK_TIMEOUT: Duration = Duration::from_secs(15);

/// How many components are looked at at once: that is work for a core.
const CHECKS_MAX: usize = 2;

const WASM: &str = "application/wasm";

/// The uploads of a host. Cheap to clone.
#[derive(Clone)]
pub struct Uploads(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    /// How many each tenant has under way.
    under_way: Mutex<Tally>,
    checks: Semaphore,
}

/// The right of a tenant to one upload, until it is dropped.
pub(super) struct Place {
    uploads: Uploads,
    tenant: String,
}

/// All of a component, in a file that has no name, and so is gone when nobody has it open, however that ends.
pub(super) struct Received {
    file: tokio::fs::File,
    bytes: usize,
    pub(super) digest: Digest,
}

impl Uploads {
    /// Puts them into `directory`. If no other host uses it, what a host has left there that died is removed.
    pub fn new(directory: &Path, is_sole: bool) -> io::Result<Self> {
        if is_sole
            && let Err(error) = fs::remove_dir_all(directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        Ok(Self(Arc::new(Inner {
            directory: directory.to_owned(),
            under_way: Mutex::default(),
            checks: Semaphore::new(CHECKS_MAX),
        })))
    }

    /// A place for an upload of this tenant, if there is one.
    pub(super) fn place(&self, tenant: &str) -> Result<Place> {
        let mut under_way = self.under_way();
        let message = if under_way.of(tenant) >= PER_TENANT_MAX {
            format!("{PER_TENANT_MAX} uploads are under way already; wait until one of them has ended")
        } else if under_way.all() >= UPLOADS_MAX {
            "this host has as many uploads under way as it takes; try again soon".into()
        } else {
            under_way.add(tenant);
            return Ok(Place { uploads: self.clone(), tenant: tenant.to_owned() });
        };
        Err(Error::TooManyRequests { code: "rate_limited", message, retry_after: RETRY_AFTER })
    }

    fn under_way(&self) -> MutexGuard<'_, Tally> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.uploads.under_way().remove(&self.tenant);
    }
}

impl Place {
    /// Takes a component of at most `bytes_max` bytes from the body.
    pub(super) async fn receive(&self, request: Request, bytes_max: usize) -> Result<Received> {
        let bytes_max = bytes_max.min(COMPONENT_BYTES_MAX);
        let headers = request.headers();
        if is_encoded(headers) {
            return Err(Error::UnsupportedMediaType(WASM));
        }
        if length(headers).is_some_and(|length| length > bytes_max as u64) {
            return Err(Error::TooLarge(bytes_max));
        }
        let receive = self.write(request, bytes_max);
        tokio::time::timeout(UPLOAD_TIMEOUT, receive).await.unwrap_or(Err(Error::RequestTimeout))
    }

    async fn write(&self, request: Request, bytes_max: usize) -> Result<Received> {
        let mut file = tokio::fs::File::from_std(nameless(&self.uploads.0.directory).map_err(|why| failed(&why))?);
        let (mut bytes, mut digest) = (0, Sha256::new());
        let mut body = request.into_body().into_data_stream();
        loop {
            let chunk = tokio::time::timeout(CHUNK_TIMEOUT, body.next()).await;
            let chunk = match chunk.map_err(|_| Error::RequestTimeout)? {
                None => break,
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => {
                    // The client went away; nobody reads the answer.
                    tracing::debug!(%error, "an upload was not read to its end");
                    return Err(Error::RequestTimeout);
                }
            };
            bytes += chunk.len();
            if bytes > bytes_max {
                return Err(Error::TooLarge(bytes_max));
            }
            digest.update(&chunk);
            file.write_all(&chunk).await.map_err(|why| failed(&why))?;
        }
        file.flush().await.map_err(|why| failed(&why))?;
        Ok(Received { file, bytes, digest: digest.finalize().into() })
    }

    /// Reads the component and looks through it. What is uploaded is read by few at once.
    pub(super) async fn check(&self, mut received: Received, limits: &Limits) -> Result<Result<Arc<[u8]>, Invalid>> {
        let _permit = self.uploads.0.checks.acquire().await.map_err(|_| Error::Internal)?;
        let mut wasm = Vec::with_capacity(received.bytes);
        received.file.rewind().await.map_err(|why| failed(&why))?;
        received.file.read_to_end(&mut wasm).await.map_err(|why| failed(&why))?;
        let limits = limits.clone();
        let checked = tokio::task::spawn_blocking(move || check(&wasm, &limits).map(|()| wasm.into()));
        checked.await.map_err(|error| {
            tracing::error!(%error, "an upload could not be looked at");
            Error::Internal
        })
    }
}

/// A file that only its handle leads to.
fn nameless(directory: &Path) -> io::Result<fs::File> {
    let path = directory.join(uuid::Uuid::new_v4().simple().to_string());
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn failed(error: &io::Error) -> Error {
    tracing::error!(%error, "an upload could not be kept");
    Error::Internal
}

/// Whether it is anything but the bytes of a component.
fn is_encoded(headers: &HeaderMap) -> bool {
    let is = |value: &str, other: &str| value.trim().eq_ignore_ascii_case(other);
    let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let has_encoding = encodings.into_iter().any(|value| !value.to_str().is_ok_and(|value| is(value, "identity")));
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    has_encoding || kind.split('/').next().is_some_and(|kind| is(kind, "multipart"))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
