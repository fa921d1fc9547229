//! The command line: one file per command or family of commands.
//!
//! Every command that asks something of a host is a client of the HTTP API, like anybody else's program. `serve`,
//! `tenants host-key` and `secrets rekey` are the host themselves; `new`, `build` and `try` need none, nor does `replay`, but for an execution.

mod api;
mod asks;
mod audit;
mod build;
mod child;
mod client;
mod deliveries;
mod demo;
mod deploy;
mod dev;
mod divergence;
mod endpoints;
mod events;
mod executions;
mod failure;
mod keys;
mod link;
mod local;
mod logs;
mod master_key;
mod new;
mod output;
mod pauses;
mod project;
#[cfg(test)]
mod reference;
mod replay;
mod reviewers;
mod run;
mod settings;
mod show;
mod sign;
mod table;
mod tenants;
mod text;
mod time;
mod trying;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::client::Client;
use self::failure::{Exit, Failure};
use self::output::Output;

/// A durable host for AI agents that must wait for people
///
/// An agent is a WebAssembly component. It may ask a model, call another agent, and pause for a human decision. While it
/// waits it is rows in Postgres; hours, days or a crash later a signed webhook brings the decision, and the agent goes
/// on exactly where it stopped.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = AFTER_HELP, after_long_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  it went well
  1  the execution failed or was cancelled (run --wait, try) or does not replay (replay); a project was
     not made or not built; the audit log is not as it was sealed (audit verify); serve, tenants, demo
     or dev failed
  2  the command line is wrong
  3  the host refused (HTTP 4xx)
  4  the host cannot be reached or has failed (HTTP 5xx)
  5  the time was up and the execution goes on (run --wait SECONDS)

Examples:
  # See it work, from start to end, on your machine:
  countersign demo

  # An agent of your own; `dev` is a host that builds it anew whenever you save:
  countersign new hello --lang python
  countersign dev hello

  # Or step by step; the host makes itself a private Postgres and a first API key:
  countersign serve &
  countersign deploy hello
  countersign run hello.announce --input '{\"brief\":\"Night trains\"}'
  countersign pauses
  countersign decide exec_…:review approved --feedback 'Name the launch date.'";

/// Where a host listens, unless it is told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:7070";

#[derive(clap::Args)]
#[command(next_help_heading = "Client options")]
struct Globals {
    /// The host to talk to [env: COUNTERSIGN_URL] [default: http://127.0.0.1:7070]
    // Not clap's own `env` and `default_value`: `dev` must know whether somebody has named a host for this one command.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// The API key [default: the one that `serve` left in its data directory]
    #[arg(long, global = true, env = "COUNTERSIGN_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
    /// Print the API's JSON: one document on standard output, errors on standard error
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the host
    Serve(Box<crate::config::Config>),
    /// Run the host of `dev`, until standard input ends
    #[command(hide = true)]
    ServeBelow(Box<crate::config::Config>),
    /// See an agent wait for two people while its host is killed twice
    Demo(demo::DemoArgs),
    /// Make a project with an agent that works
    New(new::NewArgs),
    /// Make a component of a project
    Build(build::BuildArgs),
    /// Run a host that builds and deploys a project whenever its source changes
    Dev(dev::DevArgs),
    /// Run an agent in memory, and answer what it asks
    Try(Box<trying::TryArgs>),
    /// Hold an agent against the journal of an execution
    Replay(replay::ReplayArgs),
    /// Upload an agent: a project, which is built first, or a component
    Deploy(deploy::DeployArgs),
    /// List the agents
    #[command(after_help = "Examples:\n  countersign agents")]
    Agents,
    /// Start an execution, and wait for it if wanted
    Run(run::RunArgs),
    /// List executions, newest first
    Ps(executions::PsArgs),
    /// Show an execution and what it asked and was told
    Show(show::ShowArgs),
    /// Show what an agent wrote to its standard output and error
    Logs(logs::LogsArgs),
    /// List what waits for a human decision
    Pauses(pauses::PausesArgs),
    /// Decide a pause
    Decide(pauses::DecideArgs),
    /// Make a link by which somebody without a key can decide a pause
    Link(link::LinkArgs),
    /// Stop an execution for good
    Cancel(executions::CancelArgs),
    /// Say who is told of pauses and executions
    #[command(subcommand)]
    Endpoints(endpoints::EndpointsCommand),
    /// See what was told to whom, and have it told again
    #[command(subcommand)]
    Deliveries(deliveries::DeliveriesCommand),
    /// Keep the addresses of reviewers, who get mail when a pause asks them
    #[command(subcommand)]
    Reviewers(reviewers::ReviewersCommand),
    /// Make groups of reviewers, who are asked by one name
    #[command(subcommand)]
    Groups(reviewers::GroupsCommand),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Make, list and revoke the secrets that sign webhooks, and encrypt them anew
    #[command(subcommand)]
    Secrets(keys::SecretsCommand),
    /// Show and change what a tenant has switched on
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// See who did what, and whether the log of it was changed
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Sign a webhook's body on standard input and print the headers
    Sign(sign::SignArgs),
    /// Make, list, suspend and resume tenants, with a key for the whole host
    #[command(subcommand)]
    Tenants(tenants::TenantsCommand),
}

/// Does what the command line says; the exit code tells scripts how it went.
pub async fn run(cli: Cli) -> ExitCode {
    let out = Output::new(cli.globals.json);
    match dispatch(cli, out).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let exit = failure.exit();
            if exit != Exit::Ok {
                out.error(&failure.to_string(), &failure.to_json());
            }
            exit.into()
        }
    }
}

async fn dispatch(cli: Cli, out: Output) -> Result<Exit, Failure> {
    let globals = &cli.globals;
    let key = globals.api_key.as_deref();
    let url = || {
        let url = globals.url.clone().or_else(|| std::env::var("COUNTERSIGN_URL").ok());
        url.unwrap_or_else(|| DEFAULT_URL.to_owned())
    };
    let client = || {
        let url = url();
        Client::new(&url, Some(client::find_key(&url, key)?))
    };
    match cli.command {
        Command::Serve(config) => crate::serve(*config).await.map_err(|error| failed(&error))?,
        Command::ServeBelow(config) => dev::serve_below(*config).await.map_err(|error| failed(&error))?,
        Command::Dev(args) => dev::dev(&args, globals.url.as_deref(), key, out).await?,
        Command::Tenants(command) => tenants::tenants(command, &url(), out).await?,
        Command::Try(args) => return trying::run(&args, out).await,
        Command::Replay(args) => return replay::run(&args, client, out).await,
        Command::Demo(args) => demo::demo(args, out).await?,
        Command::New(args) => new::new(&args, out)?,
        Command::Build(args) => build::build(&args, out).await?,
        Command::Deploy(args) => deploy::deploy(&args, client, out).await?,
        Command::Agents => deploy::agents(&client()?, out).await?,
        Command::Run(args) => return run::run(&args, &client()?, out).await,
        Command::Ps(args) => executions::ps(&args, &client()?, out).await?,
        Command::Show(args) => show::show(&args, &client()?, out).await?,
        Command::Logs(args) => logs::logs(&args, &client()?, out).await?,
        Command::Pauses(args) => pauses::pauses(&args, &client()?, out).await?,
        Command::Decide(args) => pauses::decide(&args, &client()?, out).await?,
        Command::Link(args) => link::link(&args, &client()?, out).await?,
        Command::Cancel(args) => executions::cancel(&args, &client()?, out).await?,
        Command::Endpoints(command) => endpoints::endpoints(&command, &client()?, out).await?,
        Command::Deliveries(command) => deliveries::deliveries(&command, &client()?, out).await?,
        Command::Reviewers(command) => reviewers::reviewers(&command, &client()?, out).await?,
        Command::Groups(command) => reviewers::groups(&command, &client()?, out).await?,
        Command::Keys(command) => keys::keys(&command, &client()?, out).await?,
        Command::Secrets(command) => keys::secrets(command, client, out).await?,
        Command::Settings(command) => settings::settings(&command, &client()?, out).await?,
        Command::Audit(command) => audit::audit(command, client, out).await?,
        Command::Sign(args) => sign::sign(&args, out)?,
    }
    Ok(Exit::Ok)
}

/// An error of the host's own, with its causes.
fn failed(error: &anyhow::Error) -> Failure {
    Failure::Failed(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("countersign").chain(line.split(' ')))
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        let leaves = Cli::command()
            .get_subcommands()
            .filter(|command| !command.has_subcommands() && !command.is_hide_set() && command.get_name() != "serve")
            .filter(|command| !command.get_after_help().is_some_and(|help| help.to_string().contains("Examples:")))
            .map(|command| command.get_name().to_owned())
            .collect::<Vec<_>>();
        assert!(leaves.is_empty(), "without examples: {leaves:?}");
    }

    #[test]
    fn wait_may_have_a_number() {
        assert!(parse("run a.b --wait").is_ok());
        assert!(parse("run a.b --wait 5 --json").is_ok());
        assert!(parse("--json run a.b --wait=5").is_ok());
        assert!(parse("run a.b --wait soon").is_err());
        assert!(parse("run ab").is_err());
    }
}
