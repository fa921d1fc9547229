//! `countersign build`: makes a component of a project.

mod toolchain;
mod tool;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use self::tool::EndedBy;
use super::failure::Failure;
use super::output::{Output, Style};
use super::project::{Language, Project};
use super::text::{bytes, clean, clip, shell_word};

/// How often a build that nobody sees the progress of says that it goes on.
const STILL_EVERY: Duration = Duration::from_secs(15);

/// How much of a tool's line is shown as its progress, in characters.
const PROGRESS_SHOWN: usize = 80;

/// The options of `countersign build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The folder's manifest tells the language, and what is run:
  Cargo.toml      cargo build --release --target wasm32-wasip2
  pyproject.toml  PYTHON -m countersign build DIR, with the Python of DIR/.venv, of $VIRTUAL_ENV, or python3
  package.json    node DIR/node_modules/countersign/bin/countersign-build.js DIR, or that of a folder above DIR

Nothing is installed: what is missing is named, with the command that installs it. A component that no host would take
is refused here.

Examples:
  countersign build
  countersign build hello --output /tmp/hello.wasm
  countersign build hello --verbose")]
pub(crate) struct BuildArgs {
    /// The project
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Where the component goes [default: DIR/dist/NAME.wasm, NAME from the manifest]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

/// How a project is built.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct How {
    /// The language, where the folder has manifests of several
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub(crate) lang: Option<Language>,
    /// Show everything that the language's tool says while it builds
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// A component that has been built and checked.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) path: PathBuf,
    pub(crate) component: Vec<u8>,
    pub(crate) took: Duration,
    /// How many warnings the tool gave.
    pub(crate) warnings: usize,
}

/// Builds a project and says what came of it.
pub(crate) async fn build(args: &BuildArgs, out: Output) -> Result<(), Failure> {
    let project = Project::find(&args.dir, args.how.lang)?;
    let built = build_aloud(&project, args.output.as_deref(), args.how.verbose, out).await?;
    if out.json {
        let document = json!({
            "name": project.name, "language": project.language.word(), "component": built.path,
            "size_bytes": built.component.len(), "duration_ms": built.took.as_millis() as u64,
        });
        return Ok(out.document(&document.to_string())?);
    }
    Ok(out.line(&format!("{}  {}", clean(&shown(&built.path)), out.paint(Style::Aside, &built.facts())))?)
}

/// Builds, with its progress on standard error.
pub(crate) async fn build_aloud(
    project: &Project,
    output: Option<&Path>,
    verbose: bool,
    out: Output,
) -> Result<Built, Failure> {
    let default = project.component();
    let output = output.unwrap_or(&default);
    let plan = toolchain::plan(project)?;
    out.note(&format!("{}: {} project, {}", project.name, project.language.title(), shown(&project.dir)));
    out.aside(&format!("runs {}", plan.shown));
    let bar = spinner(out, verbose);
    let mut told = Instant::now();
    let built = make(project, plan, output, EndedBy::Terminal, |line| {
        if verbose {
            out.note(line);
        } else if bar.is_hidden() {
            if told.elapsed() > STILL_EVERY {
                told = Instant::now();
                out.note(&format!("still building: {}", clip(&clean(line), PROGRESS_SHOWN)));
            }
        } else {
            bar.set_message(clip(&clean(line), PROGRESS_SHOWN));
        }
    })
    .await;
    bar.finish_and_clear();
    let built = built?;
    if built.warnings > 0 && !verbose {
        out.note(&format!("{}; see them with --verbose", super::text::count(built.warnings, "warning")));
    }
    Ok(built)
}

/// Builds without a word, but for what `on_line` does with those of the tool. Dropped, it leaves nothing running.
pub(crate) async fn build_quietly(project: &Project, on_line: impl FnMut(&str)) -> Result<Built, Failure> {
    make(project, toolchain::plan(project)?, &project.component(), EndedBy::Drop, on_line).await
}

async fn make(
    project: &Project,
    plan: toolchain::Plan,
    output: &Path,
    ended_by: EndedBy,
    on_line: impl FnMut(&str),
) -> Result<Built, Failure> {
    let began = Instant::now();
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |what: &str, path: &Path, error: std::io::Error| {
        Failure::Failed(format!("cannot {what} {}: {error}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| failed("make", folder, error))?;
    // Beside its place, so that nobody finds half a component there, or one that no host takes.
    let fresh = tool::Temporary::beside(output);
    let said = tool::run(plan.command(&fresh.path), ended_by, on_line).await;
    let said = said.map_err(|why| Failure::Failed(why.told(&project.name, &plan.shown)))?;
    let made = plan.made(&said, &fresh.path).map_err(Failure::Failed)?;
    let component = tokio::fs::read(&made).await.map_err(|error| failed("read", &made, error))?;
    let component = check(project, component).await?;
    if made != fresh.path {
        tokio::fs::write(&fresh.path, &component).await.map_err(|error| failed("write", &fresh.path, error))?;
    }
    std::fs::rename(&fresh.path, output).map_err(|error| failed("write", output, error))?;
    let path = output.canonicalize().map_err(|error| failed("find", output, error))?;
    Ok(Built { path, component, took: began.elapsed(), warnings: said.warnings })
}

/// The same look that a host takes at an upload before it compiles it.
async fn check(project: &Project, component: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let limits = crate::limits::Limits::default();
    let checked = tokio::task::spawn_blocking(move || crate::guest::check(&component, &limits).map(|()| component));
    let checked =
        checked.await.map_err(|error| Failure::Failed(format!("the component could not be checked: {error}")))?;
    checked.map_err(|why| {
        Failure::Failed(format!("{} was built, but no host would take it: {why}", shell_word(&project.name)))
    })
}

impl Built {
    /// Its size, and how long it took.
    pub(crate) fn facts(&self) -> String {
        format!("{}  {:.1} s", bytes(self.component.len() as u64), self.took.as_secs_f64())
    }
}

/// A path as people read it: from where they are, if it is below.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let near = here.and_then(|here| path.strip_prefix(here).ok()).filter(|near| !near.as_os_str().is_empty());
    near.unwrap_or(path).display().to_string()
}

/// A line on a terminal that changes; hidden where there is no terminal, and where every line is shown anyway.
fn spinner(out: Output, verbose: bool) -> ProgressBar {
    if out.json || verbose {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
