//! `countersign link`.

use serde::{Deserialize, Serialize};

use super::client::{Client, segment};
use super::failure::Failure;
use super::output::Output;
use super::text::clean;
use super::time;

/// The options of `countersign link`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Who has the link can decide: give it to that reviewer and to nobody else. It is printed once.

Examples:
  countersign link exec_…:draft-review --reviewer zoe@example.com
  countersign link exec_…:draft-review --reviewer Zoë --expires-in-seconds 86400")]
pub(crate) struct LinkArgs {
    /// The pause, as `countersign pauses` lists it; it need not be open yet
    #[arg(value_name = "PAUSE")]
    pause: String,
    /// Who gets the link; the decision bears this name
    #[arg(long, value_name = "NAME")]
    reviewer: String,
    /// How long the link is good, and no longer than the pause [default: 31 days, which is the most]
    #[arg(long, value_name = "SECONDS")]
    expires_in_seconds: Option<u64>,
}

#[derive(Serialize)]
struct NewLink<'a> {
    reviewer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Link {
    url: String,
    expires_at: String,
}

/// Makes a link, and prints it.
pub(crate) async fn link(args: &LinkArgs, client: &Client, out: Output) -> Result<(), Failure> {
    let body = NewLink { reviewer: &args.reviewer, expires_in_seconds: args.expires_in_seconds };
    let reply = client.post(&format!("/v1/pauses/{}/links", segment(&args.pause)), &body).await?;
    if out.json {
        return Ok(out.document(&reply.body)?);
    }
    let link: Link = reply.parse()?;
    out.line(&clean(&link.url))?;
    out.note(&format!("Who has it can decide. It expires {}.", time::relative(&link.expires_at, time::now())));
    Ok(())
}
