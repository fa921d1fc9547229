//! One host, from its configuration to its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
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
use crate::guest::{Cache, Engine};
use crate::http::{self, App, Browsers, Counted, KEY_NAME_BYTES_MAX, Notifier, Uploads};
use crate::link::Links;
use crate::outbox::Outbox;
use crate::rate::Rates;
use crate::strangers::Strangers;
use crate::timekeeper;
use crate::worker::{Room, Worker};

mod door;
mod seal;
mod secrets;
mod usage;

pub use secrets::{Rekeyed, rekey_secrets};

/// The tenant that every installation has.
const DEFAULT_TENANT: &str = "default";

/// How often to look whether the private Postgres answers.
const LOOK_AFTER_POSTGRES: Duration = Duration::from_secs(2);

/// How long the tasks that follow what tenants do let it gather, so that a busy host does much at once: its commits are in
/// the way of others.
const GATHER: Duration = Duration::from_secs(1);

/// How often they look by themselves whether there is something to do, if the bell was not heard.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// How long requests that are under way may take to end when the host stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs a host until SIGINT or SIGTERM.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    // First, because it is what fails most often, and nothing has to be undone then.
    let door = door::of_api(&config).await?;
    let metrics_door = door::of_metrics(&config).await?;
    let address = door.listener.local_addr()?;
    let data = DataDir::open(&config.data_dir)?;
    let master_keys = config.master_keys(&data)?;
    let mailer = config.mailer()?;
    config.address_rules(vec![])?;
    let (db, postgres) = database(&config, &data).await?;
    secrets::look(&db, &master_keys).await?;
    let public_url = public_url(&config, address);
    let links = Links::new(master_keys.clone(), &public_url);
    let database_url = postgres.as_ref().map(Embedded::url).or(config.database_url.as_deref());
    let listens = [Some(address), metrics_door.as_ref().and_then(|door| door.listener.local_addr().ok())];
    let rules = config.address_rules(own_addresses(listens.into_iter().flatten(), database_url).await)?;
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
    let starts = Rates::default();
    let cache = start(&config, &data, &db).await?;
    let uploads = Uploads::new(&data.uploads(), data.is_sole).context("a directory for uploads")?;
    let counted = Counted { starts: starts.clone(), strangers: Strangers::new(config.http.failures_per_second) };
    let app = App::new(db.clone(), cache.clone(), uploads, master_keys, links.clone(), counted, notifier);
    let stop = CancellationToken::new();
    let postgres = postgres.map(|postgres| tokio::spawn(keep(postgres, data.path().into(), db.clone(), stop.clone())));
    let worker = tokio::spawn(worker(&config, &data, &db, &cache, links, starts)?.run(stop.clone()));
    let timekeeper = tokio::spawn(timekeeper::run(db.clone(), stop.clone()));
    let sealer = tokio::spawn(seal::run(db.clone(), stop.clone()));
    let outbox = tokio::spawn(outbox.run(stop.clone()));
    let adder = tokio::spawn(usage::run(db.clone(), stop.clone()));

    if let Some(door) = metrics_door {
        tracing::info!(address = %door.listener.local_addr()?, "serves /metrics to whoever asks here");
        tokio::spawn(http::serve_metrics(door, app.clone(), stop.clone()));
    }
    let browsers = Browsers { origins: config.http.cors_origins.clone(), use_tls: public_url.starts_with("https://") };
    tracing::info!(%address, data_dir = %data.path().display(), worker = data.worker, "countersign is ready");
    let mut server = tokio::spawn(http::serve(door, app, browsers, stop.clone()));
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
    adder.await?;
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
    let scheme = if config.http.tls_cert.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{listens}");
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
        let db = Db::connect(url, config.owner_database_url.as_deref(), sends_mail)
            .await
            .context("the database of DATABASE_URL")?;
        return Ok((db, None));
    }
    let postgres = Embedded::start(data.path()).await?;
    let db = Db::connect(postgres.url(), None, sends_mail).await.context("the private Postgres")?;
    Ok((db, Some(postgres)))
}

/// Makes the host ready: its default tenant and key, its engine, and what an earlier host of this name left behind.
async fn start(config: &Config, data: &DataDir, db: &Db) -> anyhow::Result<Cache> {
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
    Ok(Cache::new(engine, directory, key))
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

fn worker(
    config: &Config,
    data: &DataDir,
    db: &Db,
    cache: &Cache,
    links: Links,
    starts: Rates,
) -> anyhow::Result<Worker> {
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
        starts,
        name: data.worker.clone(),
        lease: Duration::from_secs(config.lease_seconds),
        concurrency: config.concurrency as usize,
        room: Room::new(config.instance_memory()),
    })
}

/// Where this host and its database are: what no notification is ever sent to.
async fn own_addresses(listens: impl Iterator<Item = SocketAddr>, database_url: Option<&str>) -> Vec<SocketAddr> {
    const POSTGRES_PORT: u16 = 5432;
    let mut own: Vec<SocketAddr> = listens.collect();
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
