//! Tells the demo, so that a person enjoys reading it.

use std::time::{Duration, Instant};

use super::host::Host;
use crate::cli::output::{Output, Style};
use crate::cli::text::{WIDTH, clean, clean_lines, shell_word, wrap};

/// Where the text of a line begins: after the time and the name.
const INDENT: usize = 23;

/// A timeline.
pub(super) struct Story {
    out: Output,
    start: Instant,
}

/// Who does something.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    Host,
    Kill,
    Developer,
    Agent,
    Model,
    Editor,
    Publisher,
    Stranger,
}

impl Who {
    fn name(self) -> (&'static str, Style) {
        match self {
            Self::Host => ("host", Style::Heading),
            Self::Kill => ("kill -9", Style::Bad),
            Self::Developer => ("developer", Style::Heading),
            Self::Agent => ("agent", Style::Open),
            Self::Model => ("model", Style::Heading),
            Self::Editor => ("editor", Style::Good),
            Self::Publisher => ("publisher", Style::Good),
            Self::Stranger => ("stranger", Style::Bad),
        }
    }
}

/// What the demo has measured.
pub(super) struct Figures {
    pub(super) asked: usize,
    pub(super) kills: usize,
    pub(super) resumes: [Duration; 2],
    pub(super) forged: u16,
    pub(super) repeated: String,
    pub(super) attempts: u64,
    pub(super) status: String,
}

impl Story {
    /// The time starts now.
    pub(super) fn new(out: Output) -> Self {
        Self { out, start: Instant::now() }
    }

    /// Says what will happen.
    pub(super) fn open(&self) -> anyhow::Result<()> {
        let title = "An agent waits for two people. Its host is killed while it waits, twice.";
        Ok(self.out.line(&format!("\n{}\n", self.out.paint(Style::Heading, title)))?)
    }

    /// Who does what, now.
    pub(super) fn tell(&self, who: Who, what: &str) -> anyhow::Result<()> {
        let (name, style) = who.name();
        let time =
            self.out.paint(Style::Aside, &format!("{:>8}", format!("+{:.2}s", self.start.elapsed().as_secs_f64())));
        let name = self.out.paint(style, &format!("{name:<11}"));
        let lines = wrap(&clean_lines(what), WIDTH - INDENT);
        for (number, line) in lines.iter().enumerate() {
            if number == 0 {
                self.out.line(&format!("{time}  {name}  {line}"))?;
            } else {
                self.out.line(&format!("{:INDENT$}{line}", ""))?;
            }
        }
        Ok(())
    }

    /// The words of somebody, under a line.
    pub(super) fn quote(&self, text: &str) -> anyhow::Result<()> {
        for line in wrap(&clean_lines(text), WIDTH - INDENT - 2) {
            self.out.line(&format!("{:INDENT$}{} {line}", "", self.out.paint(Style::Aside, "│")))?;
        }
        Ok(())
    }

    /// A line between two acts.
    pub(super) fn gap(&self) -> anyhow::Result<()> {
        Ok(self.out.line("")?)
    }

    /// What it comes to.
    pub(super) fn sum_up(&self, figures: &Figures) -> anyhow::Result<()> {
        let [first, second] = figures.resumes.map(millis);
        let rows = [
            ("model asked", format!("{} times; counted by the model, outside of the host", figures.asked)),
            ("host killed", format!("{} times, with SIGKILL", figures.kills)),
            ("resumed after", format!("{first} and {second}, from sending the decision to what came of it")),
            ("attempts", format!("{}; each replayed what was answered before", figures.attempts)),
            ("forged decision", format!("HTTP {}", figures.forged)),
            ("repeated delivery", figures.repeated.clone()),
            ("status", figures.status.clone()),
            ("demo took", format!("{:.1} s", self.start.elapsed().as_secs_f64())),
        ];
        self.gap()?;
        for (name, value) in rows {
            self.out.line(&format!(
                "  {}  {}",
                self.out.paint(Style::Heading, &format!("{name:<17}")),
                clean(&value)
            ))?;
        }
        self.gap()
    }

    /// Commands to copy and paste, for a host that stays.
    pub(super) fn invite(&self, host: &Host, secret: &str) -> anyhow::Result<()> {
        let program = std::env::current_exe()?;
        let program = shell_word(&program.to_string_lossy());
        let key_file = shell_word(&host.data_dir().join("api-key").to_string_lossy());
        let text = format!(
            r#"The host goes on, and so does the demo's model. In another terminal:

  alias countersign={program}
  export COUNTERSIGN_URL={url}
  export COUNTERSIGN_API_KEY=$(head -n 1 {key_file})

  ID=$(countersign run content-pipeline.publish_with_review --input '{{"brief":"A bakery opens."}}')
  countersign pauses
  countersign decide $ID:draft-review approved --feedback 'Cut the first sentence.'
  countersign decide $ID:final-approval approved
  countersign show $ID

A decision as another program sends it, signed (make a new ID first, as above):

  BODY='{{"pause_id":"'$ID':draft-review","decision":"approved","reviewer":"curl"}}'
  printf %s "$BODY" | countersign sign --secret {secret} > headers
  curl -H @headers -H 'content-type: application/json' --data-binary "$BODY" \
    $COUNTERSIGN_URL/v1/webhooks/default

  curl -H "authorization: Bearer $COUNTERSIGN_API_KEY" $COUNTERSIGN_URL/v1/executions/$ID

Press Ctrl-C here to stop the host and its Postgres.
"#,
            url = host.url(),
            secret = shell_word(&clean(secret)),
        );
        Ok(self.out.line(&text)?)
    }
}

/// A short time.
pub(super) fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
