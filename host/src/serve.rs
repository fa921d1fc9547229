//! One host, from its configuration to its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::api_key::{HOST_TENANT, Role};
use crate::audit::Actor;
use crate::config::{self, Config, DataDir};
use crate::db::Db;
use crate::db::embedded::Embedded;
use crate::dialer::Dialer;
use crate::effects::ai::{Models, Settings};
use crate::guest::{Cache, Engine, Limits};
use crate::http::{self, App, KEY_NAME_BYTES_MAX, Notifier};
use crate::link::Links;
use crate::master_key::MasterKeys;
use crate::outbox::Outbox;
use crate::timekeeper;
use crate::worker::Worker;

mod seal;
mod secrets;

pub use secrets::{Rekeyed, rekey_secrets};

/// The tenant that every installation has.
const DEFAULT_TENANT: &str = "default";

/// How often to look whether the private Postgres answers.
const LOOK_AFTER_POSTGRES: Duration = Duration::from_secs(2);

/// How long requests that are under way may take to end when the host stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs a host until SIGINT or SIGTERM.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    // First, because it is what fails most often, and nothing has to be undone then.
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}; choose another --listen", config.listen))?;
    let data = DataDir::open(&config.data_dir)?;
    let master_keys = config.master_keys(&data)?;
    let mailer = config.mailer()?;
    config.address_rules(vec![])?;
    let (db, postgres) = database(&config, &data).await?;
    secrets::look(&db, &master_keys).await?;
    let links = Links::new(master_keys.clone(), &public_url(&config, listener.local_addr()?));
    let database_url = postgres.as_ref().map(Embedded::url).or(config.database_url.as_deref());
    let rules = config.address_rules(own_addresses(listener.local_addr()?, database_url).await)?;
    let dialer = Dialer::new(rules)?;
    let outbox = Outbox {
        db: db.clone(),
        dialer: dialer.clone(),
        mailer: mailer.clone(),
        master_keys: master_keys.clone(),
        links: links.clone(),
        host: data.worker.clone(),
    };
    let notifier = Notifier { dialer, sends_mail: mailer.is_some() };
    let (app, cache) = start(&config, &data, &db, master_keys, links.clone(), notifier).await?;
    let stop = CancellationToken::new();
    let postgres = postgres.map(|postgres| tokio::spawn(keep(postgres, data.path().into(), db.clone(), stop.clone())));
    let worker = tokio::spawn(worker(&config, &data, &db, &cache, links)?.run(stop.clone()));
    let timekeeper = tokio::spawn(timekeeper::run(db.clone(), stop.clone()));
    let sealer = tokio::spawn(seal::run(db.clone(), stop.clone()));
    let outbox = tokio::spawn(outbox.run(stop.clone()));

    tracing::info!(
        address = %listener.local_addr()?, data_dir = %data.path().display(), worker = data.worker,
        "countersign is ready"
    );
    let mut server = tokio::spawn(http::serve(listener, app, stop.clone()));
    let served = tokio::select! {
        served = &mut server => served.context("the HTTP server")?.context("the HTTP server"),
        signal = stop_signal() => signal,
    };
    tracing::info!("stopping");
    stop.cancel();
    if tokio::time::timeout(DRAIN, &mut server).await.is_err() {
        server.abort();
    }
    worker.await?;
    timekeeper.await?;
    sealer.await?;
    outbox.await?;
    db.close().await;
    if let Some(postgres) = postgres {
        postgres.await?.stop().await?;
    }
    served
}

/// What links begin with: the setting, else the address that the host listens on.
fn public_url(config: &Config, listens: SocketAddr) -> String {
    if let Some(url) = &config.public_url {
        return url.clone();
    }
    let url = format!("http://{listens}");
    if listens.ip().is_unspecified() {
        tracing::warn!(url, "links for reviewers begin with this, which leads nowhere; set COUNTERSIGN_PUBLIC_URL");
    }
    url
}

/// Looks after the private Postgres until `stop`, and starts it again if it has died.
async fn keep(mut postgres: Embedded, data: PathBuf, db: Db, stop: CancellationToken) -> Embedded {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_AFTER_POSTGRES)).await.is_some() {
        if db.is_reachable().await {
            continue;
        }
        tracing::warn!("the private Postgres does not answer; starting it again");
        match Embedded::start(&data).await {
            Ok(again) => postgres = again,
            Err(error) => tracing::error!(%error, "the private Postgres could not be started again"),
        }
    }
    postgres
}

/// Makes a key for the whole host, directly in the database.
pub async fn create_host_key(config: Config, name: String) -> anyhow::Result<String> {
    anyhow::ensure!(!name.trim().is_empty() && name.len() <= KEY_NAME_BYTES_MAX, "a key's name is 1 to 128 bytes");
    let data = DataDir::open(&config.data_dir)?;
    let (db, postgres) = database(&config, &data).await?;
    let (_, key) = http::new_key(&db, HOST_TENANT, &name, Role::Host, None, Actor::HOST).await?;
    db.close().await;
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    Ok(key)
}

async fn database(config: &Config, data: &DataDir) -> anyhow::Result<(Db, Option<Embedded>)> {
    let sends_mail = config.mailer()?.is_some();
    if let Some(url) = &config.database_url {
        let db = Db::connect(url, sends_mail).await.context("the database of DATABASE_URL")?;
        return Ok((db, None));
    }
    let postgres = Embedded::start(data.path()).await?;
    let db = Db::connect(postgres.url(), sends_mail).await.context("the private Postgres")?;
    Ok((db, Some(postgres)))
}

/// Makes the host ready: its default tenant and key, its engine, and what an earlier host of this name left behind.
async fn start(
    config: &Config,
    data: &DataDir,
    db: &Db,
    keys: MasterKeys,
    links: Links,
    notifier: Notifier,
) -> anyhow::Result<(App, Cache)> {
    if db.create_tenant(DEFAULT_TENANT, &Actor::HOST).await? || !data.api_key_file().exists() {
        let name = format!("first operator of {}", data.worker);
        write_key(db, DEFAULT_TENANT, &name, Role::Operator, &data.api_key_file()).await?;
    }
    if !data.host_key_file().exists() {
        write_key(db, HOST_TENANT, &format!("first of {}", data.worker), Role::Host, &data.host_key_file()).await?;
    }
    if data.is_sole {
        let count = db.rescue(Some(&data.worker)).await?;
        if count > 0 {
            tracing::info!(count, "took up what this host was driving when it died");
        }
        db.free_deliveries(&data.worker).await?;
    }
    let (directory, key) = data.cache()?;
    let engine = Engine::new().map_err(|why| anyhow::anyhow!("the WebAssembly engine: {why:#}"))?;
    tracing::debug!(concurrency = config.concurrency, "engine ready");
    let cache = Cache::new(engine, directory, key);
    Ok((App::new(db.clone(), cache.clone(), keys, links, notifier), cache))
}

/// Makes a key and leaves it in a file. One that a crash kept from being written down is never used; the next start makes
/// another.
async fn write_key(db: &Db, tenant: &str, name: &str, role: Role, path: &Path) -> anyhow::Result<()> {
    let (_, key) = http::new_key(db, tenant, name, role, None, Actor::HOST).await?;
    let _ = std::fs::remove_file(path);
    config::secret(path, || format!("{key}\n").into_bytes())?;
    tracing::info!(path = %path.display(), tenant.id = tenant, role = role.as_str(), "wrote a first key");
    Ok(())
}

fn worker(config: &Config, data: &DataDir, db: &Db, cache: &Cache, links: Links) -> anyhow::Result<Worker> {
    let models = Models::new(Settings {
        base_url: config.ai_base_url.clone(),
        api_key: config.ai_key.clone(),
        default_model: config.ai_model.clone(),
    })?;
    Ok(Worker {
        db: db.clone(),
        cache: cache.clone(),
        models: Arc::new(models),
        links,
        limits: Limits::default(),
        name: data.worker.clone(),
        lease: Duration::from_secs(config.lease_seconds),
        concurrency: config.concurrency as usize,
    })
}

/// Where this host and its database are: what no notification is ever sent to.
async fn own_addresses(listen: SocketAddr, database_url: Option<&str>) -> Vec<SocketAddr> {
    const POSTGRES_PORT: u16 = 5432;
    let mut own = vec![listen];
    let Some(url) = database_url.and_then(|url| Url::parse(url).ok()) else { return own };
    // A socket's directory is no host, and nothing that could be dialled.
    let Some(host) = url.host_str() else { return own };
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), url.port().unwrap_or(POSTGRES_PORT))).await;
    own.extend(found.into_iter().flatten());
    own
}

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminate.recv() => Ok(()),
    }
}
