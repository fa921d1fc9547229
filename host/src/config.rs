//! Every setting, and what a host keeps in its data directory.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use zeroize::Zeroizing;

mod http;

pub use http::Http;

use crate::address::Rules;
use crate::guest::CacheKey;
use crate::link::BASE_URL_BYTES_MAX;
use crate::master_key::{self, MasterKeys};
use crate::outbox::mail::Mailer;
use crate::random;

mod memory;

/// How a host runs.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Where to listen for HTTP.
    #[arg(long, env = "COUNTERSIGN_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,

    #[command(flatten)]
    pub http: Http,

    /// Where reviewers reach this host: what the links to its pages begin with. Without it, `http://` (with TLS,
    /// `https://`) and the address that it listens on. All hosts on one database need the same.
    #[arg(long, env = "COUNTERSIGN_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Where to keep the private Postgres, compiled components and keys.
    #[arg(long, env = "COUNTERSIGN_DATA_DIR", value_name = "DIR", default_value_os_t = default_data_dir())]
    pub data_dir: PathBuf,

    /// A Postgres to use instead of a private one: postgres://user@host/database. Give the writer endpoint, never a
    /// replica.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Where to connect as the user that owns the tables, to bring them up to date when a host starts. Without it,
    /// DATABASE_URL is used. With it, the user of DATABASE_URL needs to own nothing: only to be a member of the roles
    /// countersign_tenant and countersign_host.
    #[arg(
        long,
        env = "COUNTERSIGN_OWNER_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        requires = "database_url"
    )]
    pub owner_database_url: Option<String>,

    /// The keys that webhook secrets are encrypted under in the database: `countersign secrets master-key` makes one.
    /// Of several, separated by commas, the first encrypts and all decrypt. All hosts on one database need the same; a
    /// host with a private Postgres makes itself one in its data directory.
    #[arg(long, env = "COUNTERSIGN_MASTER_KEY", value_name = "cmk_…", hide_env_values = true)]
    pub master_key: Option<Hidden>,

    /// An OpenAI-compatible endpoint that all models are asked at. Without it, a model's name tells its provider, whose
    /// key is taken from its usual variable (OPENAI_API_KEY, ANTHROPIC_API_KEY, …).
    #[arg(long, env = "COUNTERSIGN_AI_BASE_URL", value_name = "URL")]
    pub ai_base_url: Option<String>,

    /// The key for that endpoint.
    #[arg(long, env = "COUNTERSIGN_AI_KEY", value_name = "KEY", hide_env_values = true)]
    pub ai_key: Option<String>,

    /// The model for prompts that name none. Without any model or key: `rehearsal`, which is built in and needs no
    /// network.
    #[arg(long, env = "COUNTERSIGN_AI_MODEL", value_name = "MODEL")]
    pub ai_model: Option<String>,

    /// Ports beside 443 that notifications are sent to, separated by commas.
    #[arg(long, env = "COUNTERSIGN_ENDPOINT_PORTS", value_name = "PORTS", value_delimiter = ',')]
    pub endpoint_ports: Vec<u16>,

    /// For development: let endpoints have private addresses, plain HTTP and any port. Only on a host that listens on a
    /// loopback address.
    #[arg(long, env = "COUNTERSIGN_ALLOW_PRIVATE_ENDPOINTS", value_parser = clap::builder::FalseyValueParser::new())]
    pub allow_private_endpoints: bool,

    /// The mail server that reviewers and endpoints are written to by: smtps://user:password@host, or smtp:// with
    /// `?tls=required`. Without it no mail is sent. All hosts on one database need the same.
    #[arg(long, env = "COUNTERSIGN_SMTP_URL", value_name = "URL", hide_env_values = true)]
    pub smtp_url: Option<Hidden>,

    /// Who mail is from: `Countersign <desk@example.com>`. Needed with a mail server.
    #[arg(long, env = "COUNTERSIGN_MAIL_FROM", value_name = "ADDRESS")]
    pub mail_from: Option<String>,

    /// How many executions to drive at once. Waiting ones do not count.
    #[arg(long, env = "COUNTERSIGN_CONCURRENCY", value_name = "N", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub concurrency: u32,

    /// The memory that the instances of all executions may use together, as `512MiB` or `4GiB`. Without it, half of what
    /// this machine or container has.
    #[arg(long, env = "COUNTERSIGN_INSTANCE_MEMORY", value_name = "SIZE", value_parser = memory::parse)]
    pub instance_memory: Option<u64>,

    /// How long another host waits before it takes over what this one was driving, in seconds.
    #[arg(long, env = "COUNTERSIGN_LEASE_SECONDS", value_name = "SECONDS", default_value_t = 15,
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub lease_seconds: u64,
}

/// Reads the address of a host, which may be below a path of a server.
fn public_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|why| why.to_string())?;
    let is_bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || !is_bare || url.password().is_some() {
        return Err("give http:// or https://, a host, and if need be a path".into());
    }
    if url.as_str().len() > BASE_URL_BYTES_MAX {
        return Err(format!("longer than {BASE_URL_BYTES_MAX} bytes"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A setting that nothing prints, and that is wiped when it is dropped.
#[derive(Clone)]
pub struct Hidden(Zeroizing<String>);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// What a host is told that was given a database, but no key.
const NO_MASTER_KEY: &str = "\
    COUNTERSIGN_MASTER_KEY is not set. A host on DATABASE_URL needs it: webhook secrets are encrypted under it, and all \
    hosts on one database must have the same. Make one by `countersign secrets master-key`, or by \
    `echo \"cmk_$(openssl rand -base64 32)\"`, and keep it where you keep passwords";

/// What a host is told that would let tenants reach into a network that it serves.
const PRIVATE_ENDPOINTS: &str = "\
    --allow-private-endpoints is for development: it needs --listen with a loopback address. Elsewhere it would let \
    tenants send requests into your network; COUNTERSIGN_ENDPOINT_PORTS allows other ports than 443";

impl Config {
    /// The keys of the setting; without it, on a private Postgres, the one of the data directory.
    pub fn master_keys(&self, data: &DataDir) -> anyhow::Result<MasterKeys> {
        let set = self.master_key.as_ref().map(|text| text.0.trim()).filter(|text| !text.is_empty());
        match set {
            Some(text) => text.parse().context("COUNTERSIGN_MASTER_KEY"),
            None if self.database_url.is_some() => anyhow::bail!(NO_MASTER_KEY),
            None => data.master_keys(),
        }
    }

    /// Where notifications may be sent; `own` are the addresses of this host and its database.
    pub fn address_rules(&self, own: Vec<SocketAddr>) -> anyhow::Result<Rules> {
        anyhow::ensure!(!self.allow_private_endpoints || self.listen.ip().is_loopback(), PRIVATE_ENDPOINTS);
        Ok(Rules { allow_private: self.allow_private_endpoints, ports: self.endpoint_ports.clone(), own })
    }

    /// What instances may use together, in bytes.
    pub fn instance_memory(&self) -> u64 {
        self.instance_memory.unwrap_or_else(|| memory::available() / 2)
    }

    /// Who sends mail, if anybody does.
    pub fn mailer(&self) -> anyhow::Result<Option<Mailer>> {
        let set = self.smtp_url.as_ref().map(|url| url.0.trim()).filter(|url| !url.is_empty());
        match (set, self.mail_from.as_deref().filter(|from| !from.is_empty())) {
            (None, _) => Ok(None),
            (Some(url), Some(from)) => Mailer::new(url, from).map(Some),
            (Some(_), None) => {
                anyhow::bail!("COUNTERSIGN_SMTP_URL is set, and COUNTERSIGN_MAIL_FROM is not: who is the mail from?")
            }
        }
    }
}

/// `/var/lib/countersign` for root, else `countersign` in the user's data directory.
pub fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/lib/countersign".into();
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| "countersign-data".into(), |data| data.join("countersign"))
}

/// The data directory of this process. Its lock is held for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held if no other host uses the directory.
    _lock: Option<fs::File>,
    /// What this host is called in the rows. Another host that bears the same name is dead.
    pub worker: String,
    /// Whether an earlier host of this name may have left work behind.
    pub is_sole: bool,
}

impl DataDir {
    /// Makes the directory if it is not there, and takes its lock if nobody else has it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
        made.with_context(|| format!("the data directory {} cannot be made", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("the data directory {}", path.display()))?;
        let lock = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path.join("host.lock"))?;
        let is_sole = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
        let worker = if is_sole {
            String::from_utf8(secret(&path.join("host-id"), || format!("host-{}", uuid::Uuid::new_v4()).into_bytes())?)?
        } else {
            format!("host-{}", uuid::Uuid::new_v4())
        };
        Ok(Self { path, _lock: is_sole.then_some(lock), worker, is_sole })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where compiled components are kept, and the key that signs them.
    pub fn cache(&self) -> anyhow::Result<(PathBuf, CacheKey)> {
        let directory = self.path.join("cache");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let key = secret(&self.path.join("cache.key"), || random::bytes32().to_vec())?;
        let key = <[u8; 32]>::try_from(key).map_err(|_| anyhow::anyhow!("cache.key must have 32 bytes; remove it"))?;
        Ok((directory, CacheKey::new(key)))
    }

    /// Where components are while they arrive.
    pub fn uploads(&self) -> PathBuf {
        self.path.join("uploads")
    }

    /// The keys of the file `master-key`, which has the form of the setting. It is made once, with one key.
    fn master_keys(&self) -> anyhow::Result<MasterKeys> {
        let path = self.path.join("master-key");
        let text = secret(&path, || format!("{}\n", *master_key::expose(&random::bytes32())).into_bytes())?;
        let text = Zeroizing::new(text);
        let keys = std::str::from_utf8(&text).unwrap_or_default().trim().parse::<MasterKeys>();
        keys.with_context(|| path.display().to_string())
    }

    /// Where a key for the whole host is left for the command line.
    pub fn host_key_file(&self) -> PathBuf {
        self.path.join("host-key")
    }

    /// Where the operator's key of the default tenant is left for the command line.
    pub fn api_key_file(&self) -> PathBuf {
        self.path.join("api-key")
    }
}

/// Reads a small private file, or makes it. Two that make it at once end up with the same content.
pub fn secret(path: &Path, make: impl FnOnce() -> Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let temporary = path.with_extension(format!("{}.tmp", uuid::Uuid::new_v4()));
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read.with_context(|| path.display().to_string()),
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&make())?;
    file.sync_all()?;
    // A link fails where a rename would replace what another process has just made.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(fs::read(path)?),
    }
}
