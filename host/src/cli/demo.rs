//! `countersign demo`: an agent waits for two people while its host is killed twice.
//!
//! The host is a real child process that dies by SIGKILL, and the model lives here, outside of it, so that what the
//! demo counts is what really happened.

mod host;
mod model;
mod play;
mod story;

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::host::Host;
use self::model::Model;
use self::story::Story;
use super::failure::Failure;
use super::output::Output;

/// The options of `countersign demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Needs Postgres' programs on this machine, and nothing else; the model is a part of the demo.

Examples:
  countersign demo
  countersign demo --keep
  countersign demo --pipeline target/guests/wasm32-wasip2/guest/publish_with_review_python.wasm")]
pub(crate) struct DemoArgs {
    /// Where publish_with_review.wasm and publisher.wasm are
    #[arg(long, value_name = "DIR", default_value = "target/guests/wasm32-wasip2/guest")]
    agents: PathBuf,
    /// The component of the agent that waits for people [default: publish_with_review.wasm, of those]
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Where the demo's host keeps its data; a second demo starts faster
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    data_dir: PathBuf,
    /// Leave the host running at the end, with commands to try
    #[arg(long)]
    keep: bool,
}

/// Plays the demo, and leaves no process behind.
pub(crate) async fn demo(args: DemoArgs, out: Output) -> Result<(), Failure> {
    let agents = play::Agents::read(&args.agents, args.pipeline.as_deref())?;
    let model = Model::start().await.map_err(|error| Failure::Failed(format!("cannot start the model: {error}")))?;
    let data_dir = std::path::absolute(&args.data_dir)
        .map_err(|error| Failure::Usage(format!("--data-dir {}: {error}", args.data_dir.display())))?;
    let mut host = Host::new(data_dir, &model.url()).map_err(|error| super::failed(&error))?;
    let story = Story::new(out);
    let outcome = perform(&agents, &mut host, &model, &story, args.keep).await;
    if host.is_running() {
        out.note("stopping the host and its Postgres …");
    }
    host.stop().await;
    outcome.map_err(|error| {
        Failure::Failed(format!("the demo failed: {error:#}\nThe host's log is {}", host.log().display()))
    })
}

async fn perform(
    agents: &play::Agents,
    host: &mut Host,
    model: &Model,
    story: &Story,
    keep: bool,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let stage = tokio::select! {
        stage = play::play(agents, host, model, story) => stage?,
        () = signals.next() => anyhow::bail!("interrupted"),
    };
    if keep {
        story.invite(host, &stage.secret)?;
        signals.next().await;
    }
    Ok(())
}

/// What usually ends a program. Here it ends the host first.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on none of them ends this process by itself.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one. Safe to be dropped.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
            _ = self.hangup.recv() => (),
        }
    }
}
