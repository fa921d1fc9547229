//! `countersign dev`: a host, and an agent that is built and deployed anew whenever its source changes.
//!
//! But for starting the host it is a client of the HTTP API. The host is a child process, as it would be in production,
//! and ends when this one does.

mod desk;
mod follow;
mod host;
mod screen;
mod sources;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::desk::{Desk, Task};
use self::host::Host;
use self::screen::{Key, Screen};
use self::sources::Sources;
use super::api::Version;
use super::build::{self, How};
use super::client::{self, Client, segment};
use super::demo::Signals;
use super::deploy;
use super::failure::Failure;
use super::output::{Output, Style};
use super::project::Project;
use super::text::{clean, clean_lines, shell_word};

pub(crate) use self::host::serve_below;

/// How much news may wait to be shown. Whoever brings more waits, too.
const NEWS_MAX: usize = 256;

/// How many requests that somebody at the terminal has made may be under way.
const ACTIONS_MAX: usize = 16;

/// Where the inputs that were used last are kept, below the data directory.
const INPUTS: &str = "dev-inputs.json";

/// The options of `countersign dev`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Builds and deploys the project, and again whenever its source changes; if that fails, the last
version stays. Shows what executions ask, are told and print, and what waits for a decision.

Keys: a approve, r reject, c request changes, 1 to 9 other choices; n the next pause; s start an execution; b build
again; q or Ctrl-C quit. Without a terminal it only prints.

It starts a host of its own, with a private Postgres, and stops it at the end. With --url it uses the one there; what
COUNTERSIGN_URL says does not count, so that no change goes by mistake to a host that others use.

Examples:
  countersign dev
  countersign dev hello --listen 127.0.0.1:0
  countersign dev hello --url http://127.0.0.1:7070")]
pub(crate) struct DevArgs {
    /// The project
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Where its host listens; port 0: a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Where its host keeps its data [default: DIR/.countersign]
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// The agent's name [default: the project's]
    #[arg(long, value_name = "AGENT")]
    name: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Runs until somebody ends it. `url` is that of a host which runs already.
pub(crate) async fn dev(args: &DevArgs, url: Option<&str>, key: Option<&str>, out: Output) -> Result<(), Failure> {
    if out.json {
        return Err(Failure::Usage("dev is for people; programs use build, deploy and run, with --json".into()));
    }
    let project = Project::find(&args.dir, args.how.lang)?;
    let data_dir = args.data_dir.clone().unwrap_or_else(|| project.dir.join(".countersign"));
    let data_dir = std::path::absolute(&data_dir)
        .map_err(|error| Failure::Usage(format!("--data-dir {}: {error}", data_dir.display())))?;
    // From here on Ctrl-C does not end this process by itself.
    let mut signals = Signals::new()?;
    let mut host = None;
    let client = if let Some(url) = url {
        Client::new(url, Some(client::find_key(url, key)?))?
    } else {
        out.note(&format!("starting a host with the data directory {} …", build::shown(&data_dir)));
        let started = tokio::select! {
            started = Host::start(&data_dir, args.listen) => started.map_err(|error| super::failed(&error))?,
            () = signals.next() => return Ok(()),
        };
        let client = client::from_data_dir(&started.url, &data_dir)?;
        host = Some(started);
        client
    };
    let agent = args.name.clone().unwrap_or_else(|| project.name.clone());
    let session = Session::open(project, agent, client, data_dir, host.is_some(), args.how.verbose, out);
    let ended = match session {
        Ok(session) => session.run(host.as_mut(), &mut signals).await,
        Err(failure) => Err(failure),
    };
    if let Some(host) = host {
        out.note("stopping the host and its Postgres …");
        host.stop().await;
    }
    ended
}

/// What came of a build.
type Deployed = Result<(Version, bool, String), Failure>;

struct Session {
    project: Project,
    agent: String,
    client: Client,
    data_dir: PathBuf,
    /// Whether the host is ours, so that all that happens on it is of interest.
    is_own: bool,
    verbose: bool,
    out: Output,
    screen: Screen,
    desk: Desk,
    sources: Sources,
    /// What the person at the terminal has asked of the host.
    actions: JoinSet<Option<String>>,
}

impl Session {
    fn open(
        project: Project,
        agent: String,
        client: Client,
        data_dir: PathBuf,
        is_own: bool,
        verbose: bool,
        out: Output,
    ) -> Result<Self, Failure> {
        let sources = Sources::watch(&project.dir)
            .map_err(|error| Failure::Failed(format!("cannot watch {}: {error}", project.dir.display())))?;
        let inputs = std::fs::read(data_dir.join(INPUTS)).ok();
        let inputs: BTreeMap<String, Value> =
            inputs.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        let screen = Screen::open(out)?;
        let desk = Desk::new(out, &agent, screen.has_keys(), inputs);
        let actions = JoinSet::new();
        Ok(Self { project, agent, client, data_dir, is_own, verbose, out, screen, desk, sources, actions })
    }

    async fn run(mut self, mut host: Option<&mut Host>, signals: &mut Signals) -> Result<(), Failure> {
        let (sender, mut news) = mpsc::channel(NEWS_MAX);
        let agent = (!self.is_own).then(|| self.agent.clone());
        let mut follower = JoinSet::new();
        follower.spawn(follow::follow(self.client.clone(), agent, sender));
        self.greet()?;
        let (mut said, mut building) = self.build();
        loop {
            self.screen.set_bottom(&self.desk.bottom())?;
            tokio::select! {
                deployed = building.as_mut() => {
                    building = Box::pin(std::future::pending());
                    self.desk.building = None;
                    self.deployed(deployed)?;
                }
                Ok(()) = said.changed() => {
                    let line = said.borrow_and_update().clone();
                    if self.verbose {
                        self.screen.say(&clean(&line))?;
                    }
                    self.desk.building = Some(line);
                }
                () = self.sources.changed() => {
                    self.tell("changed", "the source", Style::Heading)?;
                    // Drops the build that is under way, and so kills its tool.
                    (said, building) = self.build();
                }
                Some(news) = news.recv() => {
                    for line in self.desk.hear(news) {
                        self.screen.say(&line)?;
                    }
                }
                key = self.screen.key() => {
                    if key == Key::Resized {
                        self.screen.redraw()?;
                    }
                    match self.desk.press(&key) {
                        Some(Task::Quit) => return Ok(()),
                        Some(Task::Build) => (said, building) = self.build(),
                        Some(task) => self.act(task)?,
                        None => (),
                    }
                }
                Some(Ok(Some(line))) = self.actions.join_next() => self.screen.say(&line)?,
                error = died(&mut host) => return Err(super::failed(&error)),
                () = signals.next() => return Ok(()),
            }
        }
    }

    /// Says where the host is, and how to talk to it from elsewhere.
    fn greet(&self) -> Result<(), Failure> {
        self.tell("host", &self.client.url, Style::Heading)?;
        if self.is_own {
            let url = shell_word(&self.client.url);
            let data_dir = shell_word(&self.data_dir.display().to_string());
            let export = format!("export COUNTERSIGN_URL={url} COUNTERSIGN_DATA_DIR={data_dir}");
            self.tell("", &self.out.paint(Style::Aside, &format!("in another terminal: {export}")), Style::Aside)?;
        }
        Ok(())
    }

    /// A line that is about no execution.
    fn tell(&self, what: &str, about: &str, style: Style) -> Result<(), Failure> {
        let what = self.out.paint(style, &format!("{what:<9}"));
        Ok(self.screen.say(format!("       {what} {}", about).trim_end())?)
    }

    /// Begins to build and deploy; what the tool says comes line by line.
    fn build(&mut self) -> (watch::Receiver<String>, Pin<Box<dyn Future<Output = Deployed> + Send>>) {
        self.sources.note();
        self.desk.building = Some(String::new());
        let (sender, receiver) = watch::channel(String::new());
        let (dir, language) = (self.project.dir.clone(), self.project.language);
        let (client, agent) = (self.client.clone(), self.agent.clone());
        let work = async move {
            // Its name may have changed with its manifest; the agent keeps the one that it began with.
            let project = Project::find(&dir, Some(language))?;
            let built = build::build_quietly(&project, |line| drop(sender.send(line.to_owned()))).await?;
            drop(sender.send("deploying".to_owned()));
            let facts = built.facts();
            let reply = deploy::upload(&client, &agent, built.component, &ProgressBar::hidden()).await?;
            Ok((reply.parse()?, reply.status == 201, facts))
        };
        (receiver, Box::pin(work))
    }

    fn deployed(&mut self, deployed: Deployed) -> Result<(), Failure> {
        match deployed {
            Ok((version, is_new, facts)) => {
                let news = if is_new { "" } else { ", as before" };
                let functions: Vec<&str> = version.manifest.functions.iter().map(|it| it.name.as_str()).collect();
                let about = format!("{} version {}{news}: {}", version.agent, version.version, functions.join(", "));
                let facts = self.out.paint(Style::Aside, &facts);
                self.tell("deployed", &format!("{}  {facts}", clean(&about)), Style::Good)?;
                self.desk.deployed(version.manifest.functions);
                Ok(())
            }
            Err(failure @ Failure::Output(_)) => Err(failure),
            Err(failure) => {
                self.tell("failed", "the last version stays; waiting for the source to change", Style::Bad)?;
                Ok(self.screen.say(&clean_lines(&failure.to_string()))?)
            }
        }
    }

    /// Does what somebody asked for, without waiting for it.
    fn act(&mut self, task: Task) -> Result<(), Failure> {
        if self.actions.len() >= ACTIONS_MAX {
            return Ok(self.screen.say("the host has not answered yet")?);
        }
        let client = self.client.clone();
        match task {
            Task::Say(text) => self.screen.say(&text)?,
            Task::Decide { pause, body } => {
                self.actions.spawn(async move {
                    let path = format!("/v1/pauses/{}/decision", segment(&pause));
                    // What comes of it is news of the execution.
                    client.post(&path, &body).await.err().map(|why| clean_lines(&why.to_string()))
                });
            }
            Task::Start { target, input } => {
                self.keep_inputs();
                self.actions.spawn(async move {
                    let started = client.post("/v1/executions", &json!({"target": target, "input": input})).await;
                    started.err().map(|why| clean_lines(&why.to_string()))
                });
            }
            Task::Build | Task::Quit => (),
        }
        Ok(())
    }

    /// For the next time. A folder that cannot be written costs only that.
    fn keep_inputs(&self) {
        let written = serde_json::to_vec(&self.desk.inputs).map(|json| write_in(&self.data_dir, INPUTS, &json));
        if let Ok(Err(error)) = written {
            tracing::debug!(%error, "the inputs could not be kept");
        }
    }
}

fn write_in(dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join(name), bytes)
}

/// Waits for the end of the host, if it is ours.
async fn died(host: &mut Option<&mut Host>) -> anyhow::Error {
    match host {
        Some(host) => host.ended().await,
        None => std::future::pending().await,
    }
}
