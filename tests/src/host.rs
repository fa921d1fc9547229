//! A host as a process of its own: the real binary, to be killed, stopped and started again.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use crate::build::{self, root};
use crate::canary::AI_KEY;
use crate::{Api, Database, Model, PATIENCE};

/// What the hosts of the tests encrypt webhook secrets under.
pub const MASTER_KEY: &str = "cmk_dGhlIG1hc3RlciBrZXkgb2YgYWxsIHRlc3QgaG9zdHM=";

/// One host on one data directory. Killed when dropped.
pub struct Host {
    child: Option<Child>,
    data_dir: PathBuf,
    environment: Vec<(String, String)>,
    url: String,
    /// Where it says what it counts.
    metrics: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Host {
    /// Starts a host on this database, whose models are all `model`.
    pub async fn start(database: &Database, model: &Model) -> Self {
        Self::start_with(database, model, &[]).await
    }

    /// The same, with these environment variables besides.
    pub async fn start_with(database: &Database, model: &Model, environment: &[(&str, &str)]) -> Self {
        let data_dir = root().join("target/test-hosts").join(Uuid::now_v7().simple().to_string());
        share_compiled_components(&data_dir);
        let mut all = vec![
            ("DATABASE_URL".to_owned(), database.url.clone()),
            ("COUNTERSIGN_MASTER_KEY".into(), MASTER_KEY.into()),
            ("COUNTERSIGN_AI_KEY".into(), AI_KEY.into()),
            ("COUNTERSIGN_AI_BASE_URL".into(), model.base_url.clone()),
            ("COUNTERSIGN_AI_MODEL".into(), "test-model".into()),
            ("COUNTERSIGN_LOG".into(), "info,countersign=debug".into()),
            ("COUNTERSIGN_LEASE_SECONDS".into(), "3".into()),
            ("COUNTERSIGN_METRICS_LISTEN".into(), "127.0.0.1:0".into()),
            // All clients of the tests are at one address. Those of its bounds set others.
            ("COUNTERSIGN_CONNECTIONS_PER_ADDRESS".into(), "4096".into()),
            ("COUNTERSIGN_FAILURES_PER_SECOND".into(), "100000".into()),
        ];
        all.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut host = Self {
            child: None,
            data_dir,
            environment: all,
            url: String::new(),
            metrics: String::new(),
            log: Arc::default(),
        };
        host.restart(&[]).await;
        host
    }

    /// Starts it (again), with these environment variables besides its own, and waits until it listens.
    pub async fn restart(&mut self, environment: &[(&str, &str)]) {
        assert!(self.try_restart(environment).await, "the host died as it started");
    }

    /// The same; false if it died before it listened.
    pub async fn try_restart(&mut self, environment: &[(&str, &str)]) -> bool {
        assert!(self.child.is_none(), "the host still runs");
        let mut child = Command::new(build::host())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&self.data_dir)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host's binary starts");
        let stderr = child.stderr.take().expect("it is piped");
        self.child = Some(child);
        let (log, from) = (self.log.clone(), self.log().len());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                log.lock().expect("no panic under this lock").push(line);
            }
        });
        let log = self.log.clone();
        let address = move |what: &str| {
            let log = log.lock().expect("no panic under this lock");
            let line = log[from..].iter().find(|line| line.contains(what))?;
            line.split("address=").nth(1)?.split([' ', '\u{1b}']).next().map(ToOwned::to_owned)
        };
        let ready = crate::until("the host is ready", async || {
            // In this order: what it wrote before it died is still read.
            let dead = self.is_dead();
            address("countersign is ready").map(Some).or(dead.then_some(None))
        });
        let Some(ready) = ready.await else { return false };
        let has_tls = self.environment.iter().any(|(name, _)| name == "COUNTERSIGN_TLS_CERT");
        self.url = format!("{}://{ready}", if has_tls { "https" } else { "http" });
        self.metrics = format!("http://{}/metrics", address("serves /metrics").expect("the log says where"));
        true
    }

    /// What it counts, as it says to whoever reaches its door for that.
    pub async fn metrics(&self) -> String {
        let reply = crate::api::send(reqwest::Client::new().get(&self.metrics)).await;
        assert_eq!(reply.status, 200);
        String::from_utf8(reply.bytes).expect("it is text")
    }

    /// Where it says so.
    pub fn metrics_url(&self) -> &str {
        &self.metrics
    }

    /// Where it listens, without the scheme.
    pub fn address(&self) -> &str {
        self.url.split_once("://").expect("a URL").1
    }

    /// A client with the operator's key that the host wrote down.
    pub fn api(&self) -> Api {
        let key = std::fs::read_to_string(self.data_dir.join("api-key")).expect("the host wrote a key");
        Api::new(&self.url, key.trim())
    }

    /// A client with the key for the whole host that it wrote down.
    pub fn host_api(&self) -> Api {
        let key = std::fs::read_to_string(self.data_dir.join("host-key")).expect("the host wrote a key");
        Api::new(&self.url, key.trim())
    }

    /// Where it keeps its files.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes another tenant, as who runs the host does: by the command line. Returns a client with its first key.
    pub fn tenant(&self, name: &str) -> Api {
        let made = Command::new(build::host())
            .args(["tenants", "create", name, "--url", &self.url])
            .env("COUNTERSIGN_HOST_KEY", self.host_api().key())
            .output()
            .expect("the host's binary starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = String::from_utf8(made.stdout).expect("a key is text");
        Api::new(&self.url, key.trim())
    }

    /// Fails the test if the host panicked or logged an error, in any of its lives.
    #[track_caller]
    pub fn assert_unharmed(&self) {
        let bad: Vec<String> =
            self.log().into_iter().filter(|line| line.contains("panicked") || line.contains(" ERROR ")).collect();
        assert!(bad.is_empty(), "the host's log has:\n{}", bad.join("\n"));
    }

    /// Fails the test if a secret that every host has is in its log.
    fn assert_discreet(&self) {
        let key = std::fs::read_to_string(self.data_dir.join("api-key")).unwrap_or_default();
        let host_key = std::fs::read_to_string(self.data_dir.join("host-key")).unwrap_or_default();
        let secrets = [AI_KEY, MASTER_KEY.trim_start_matches("cmk_"), key.trim(), host_key.trim()];
        for line in self.log() {
            let found = secrets.iter().find(|secret| !secret.is_empty() && line.contains(**secret));
            assert!(found.is_none(), "a secret is in the host's log: {line}");
        }
    }

    /// Dies as by `kill -9`, and is gone when this returns.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until it has died by itself; whether it did in time.
    pub async fn died(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let Some(child) = &mut self.child else { return true };
            if matches!(child.try_wait(), Ok(Some(_))) {
                self.child = None;
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        false
    }

    /// Whether it has died by itself already.
    pub fn is_dead(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(Some(_))))
    }

    /// Stops it in its tracks (SIGSTOP).
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to look at its files again (SIGHUP).
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert!(self.died().await, "the host does not end");
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.child.as_ref().expect("the host runs"));
        kill_process(pid, signal).expect("it takes signals");
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the host runs").id()
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let pid = self.child.as_ref().expect("the host runs").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("in KiB") * 1024
    }

    /// The processor time that it has used so far.
    pub fn cpu(&self) -> std::time::Duration {
        let pid = self.child.as_ref().expect("the host runs").id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
        // After the name in parentheses, the 12th and 13th are user and system time, in ticks of 10 ms.
        let fields = stat.rsplit_once(')').expect("a process has a name").1.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        std::time::Duration::from_millis(ticks * 10)
    }

    /// What it wrote to its log, over all its lives.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no panic under this lock").clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the host's log\n{}\n---", self.log().join("\n"));
        } else {
            self.assert_discreet();
        }
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

/// All hosts of the tests compile each guest once: they share the cache and the key that signs it.
fn share_compiled_components(data_dir: &Path) {
    let shared = root().join("target/test-hosts/shared");
    std::fs::create_dir_all(shared.join("cache")).expect("a folder for compiled guests");
    std::fs::create_dir_all(data_dir).expect("a data directory");
    let _ = countersign::config::secret(&shared.join("cache.key"), || vec![7; 32]).expect("a key");
    for name in ["cache", "cache.key"] {
        std::os::unix::fs::symlink(shared.join(name), data_dir.join(name)).expect("a link");
    }
}
