//! `countersign deploy` and `countersign agents`.

use std::path::PathBuf;
use std::time::Duration;

use futures::stream;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::{Body, Method};

use super::api::Version;
use super::build;
use super::client::{Client, Reply, segment};
use super::failure::Failure;
use super::output::{Output, Style};
use super::project::Project;
use super::table::Table;
use super::text::{bytes, clean, count};
use super::time;

/// How long an upload and the compilation after it may take.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(600);

/// An upload that takes no longer than this shows no progress.
const QUIET: Duration = Duration::from_secs(1);

/// How much is sent at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// The options of `countersign deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The same bytes as the active version change nothing. Running executions stay on their version.

Examples:
  countersign deploy .
  countersign deploy hello --name hello-staging
  countersign deploy target/publisher.wasm --name publisher")]
pub(crate) struct DeployArgs {
    /// A project, which is built first; or a component: a WebAssembly file of at most 32 MiB
    #[arg(value_name = "DIR|FILE.wasm")]
    source: PathBuf,
    /// The agent that it becomes the next version of: 1 to 64 of a-z 0-9 _ -, starting with a letter [default for a
    /// project: its name]
    #[arg(long, value_name = "AGENT")]
    name: Option<String>,
    #[command(flatten)]
    how: build::How,
}

/// Uploads a component, built first if need be, and prints what the host found in it.
///
/// What is wrong with the command line is told before anything is built.
pub(crate) async fn deploy(
    args: &DeployArgs,
    client: impl FnOnce() -> Result<Client, Failure>,
    out: Output,
) -> Result<(), Failure> {
    let (client, agent, component) = if args.source.is_dir() {
        let project = Project::find(&args.source, args.how.lang)?;
        let client = client()?;
        let built = build::build_aloud(&project, None, args.how.verbose, out).await?;
        out.aside(&format!("built {}  {}", build::shown(&built.path), built.facts()));
        (client, args.name.clone().unwrap_or(project.name), built.component)
    } else {
        let component = tokio::fs::read(&args.source)
            .await
            .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", args.source.display())))?;
        let name = args.name.clone();
        let name = name.ok_or_else(|| Failure::Usage("a component needs a name: --name AGENT".into()))?;
        (client()?, name, component)
    };
    let bar = progress(component.len(), out);
    let reply = upload(&client, &agent, component, &bar).await;
    bar.finish_and_clear();
    let reply = reply?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let version: Version = reply.parse()?;
    let news = if reply.status == 201 { "deployed" } else { "already active" };
    out.line(&format!("{} version {} {}", clean(&version.agent), version.version, out.paint(Style::Good, news)))?;
    out.line(&format!("  digest     {}", clean(&version.digest)))?;
    out.line(&format!("  size       {}", bytes(version.size_bytes)))?;
    for function in &version.manifest.functions {
        let about = function.description.as_deref().map(|text| format!("  {}", clean(text))).unwrap_or_default();
        let target = format!("{}.{}", clean(&version.agent), clean(&function.name));
        out.line(&format!("  function   {target}{}", out.paint(Style::Aside, &about)))?;
    }
    if args.name.is_none() && version.manifest.name != version.agent {
        let called = clean(&version.manifest.name);
        out.note(&format!("Its code calls it {called}; to have it called so here: --name {called}"));
    }
    Ok(())
}

/// Sends `component` as the next version of `agent`.
pub(crate) async fn upload(
    client: &Client,
    agent: &str,
    component: Vec<u8>,
    bar: &ProgressBar,
) -> Result<Reply, Failure> {
    let length = component.len();
    let sent = bar.clone();
    let pieces: Vec<Vec<u8>> = component.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect();
    let pieces = stream::iter(pieces.into_iter().map(move |piece| {
        sent.inc(piece.len() as u64);
        if sent.position() == length as u64 {
            sent.set_message("the host validates and compiles it");
        }
        Ok::<_, std::convert::Infallible>(piece)
    }));
    let request = client
        .request(Method::PUT, &format!("/v1/agents/{}", segment(agent)))
        .timeout(DEPLOY_TIMEOUT)
        .header("content-type", "application/wasm")
        .header("content-length", length)
        .body(Body::wrap_stream(pieces));
    client.send(request).await
}

/// A bar on standard error that appears only when it is worth it.
fn progress(length: usize, out: Output) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::hidden());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {decimal_bytes}/{decimal_total_bytes} {elapsed} {msg}") {
        bar.set_style(style);
    }
    if !out.json {
        let shown = bar.clone();
        tokio::spawn(async move {
            tokio::time::sleep(QUIET).await;
            if !shown.is_finished() {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(200));
            }
        });
    }
    bar
}

/// Lists the agents and their active versions.
pub(crate) async fn agents(client: &Client, out: Output) -> Result<(), Failure> {
    let reply = client.list("/v1/agents").await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let (versions, _) = reply.items::<Version>()?;
    let now = time::now();
    let mut table = Table::new(["AGENT", "VERSION", "DEPLOYED", "SIZE", "FUNCTIONS"]);
    for version in versions {
        let functions = &version.manifest.functions;
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        let names = if names.len() > 6 { count(names.len(), "function") } else { names.join(", ") };
        table.row([
            version.agent,
            version.version.to_string(),
            time::relative(&version.created_at, now),
            bytes(version.size_bytes),
            names,
        ]);
    }
    Ok(out.table(&table, "No agents yet. Upload one: countersign deploy DIR, or FILE.wasm --name AGENT")?)
}
