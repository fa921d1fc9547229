//! `countersign deploy` and `countersign agents`.

use std::path::PathBuf;
use std::time::Duration;

use futures::stream;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::{Body, Method};

use super::api::Version;
use super::client::{Client, Reply, segment};
use super::failure::Failure;
use super::output::{Output, Style};
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
  countersign deploy target/publisher.wasm --name publisher")]
pub(crate) struct DeployArgs {
    /// The component: a WebAssembly file of at most 32 MiB
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The agent that it becomes the next version of: 1 to 64 of a-z 0-9 _ -, starting with a letter
    #[arg(long, value_name = "AGENT")]
    name: String,
}

/// Uploads a component and prints what the host found in it.
pub(crate) async fn deploy(args: &DeployArgs, client: &Client, out: Output) -> Result<(), Failure> {
    let component = tokio::fs::read(&args.file)
        .await
        .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", args.file.display())))?;
    let bar = progress(component.len(), out);
    let reply = upload(client, &args.name, component, &bar).await;
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
    Ok(out.table(&table, "No agents yet. Upload one: countersign deploy FILE.wasm --name AGENT")?)
}
