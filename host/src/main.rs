//! The binary `countersign`: one command line for operators, developers and reviewers.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::str::FromStr as _;

use clap::Parser as _;
use countersign::cli::{self, Cli};
use countersign::guest::compile_child;
use countersign::link::redact;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

/// Standard error, for a log that never holds a link that works, whichever library writes it down.
struct Log;

impl Write for Log {
    /// All of an event comes at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(redact(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.is_compiler() {
        // Alone, without the threads of a runtime: it lowers its limits first.
        return compile_child();
    }
    let filter = EnvFilter::try_from_env("COUNTERSIGN_LOG").unwrap_or_else(|_| EnvFilter::new("warn,countersign=info"));
    // At `trace` it writes down what models answer.
    let filter = filter.add_directive(Directive::from_str("genai::webc=info").expect("it is one"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(|| Log).init();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::run(cli)),
        Err(error) => {
            tracing::error!(%error, "the runtime could not be started");
            ExitCode::FAILURE
        }
    }
}
