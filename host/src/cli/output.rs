//! The only place that writes to the terminal.

use std::io::{self, IsTerminal as _, Write as _};

use super::table::Table;
use super::text::{clean_json, clean_lines};

/// What a piece of text is, so that it can be coloured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Heading,
    Aside,
    Good,
    Bad,
    Open,
}

/// Where a command's output goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether standard output gets the API's JSON instead of text.
    pub(crate) json: bool,
    terminal: bool,
    color: bool,
}

impl Output {
    /// Looks at what standard output is.
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, terminal, color: terminal && !no_color }
    }

    /// Writes one line (or several) to standard output. Text from elsewhere must have been cleaned.
    pub(crate) fn line(self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }

    /// Writes a JSON document to standard output, to the byte if that is not a terminal.
    pub(crate) fn document(self, json: &str) -> io::Result<()> {
        if self.terminal { self.line(&clean_json(json)) } else { self.line(json) }
    }

    /// Writes a table to standard output, or to standard error that there is nothing.
    pub(crate) fn table<const N: usize>(self, table: &Table<N>, none: &str) -> io::Result<()> {
        if table.is_empty() {
            self.note(none);
            return Ok(());
        }
        let mut lines = table.lines();
        if let Some(header) = lines.first_mut() {
            *header = self.paint(Style::Heading, header);
        }
        self.line(&lines.join("\n"))
    }

    /// Tells the person at the terminal something that is not the result. Not with `--json`: a program reads then.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            to_stderr(&clean_lines(text));
        }
    }

    /// The same, of less importance.
    pub(crate) fn aside(self, text: &str) {
        if !self.json {
            let text = clean_lines(text);
            to_stderr(&if io::stderr().is_terminal() { self.paint(Style::Aside, &text) } else { text });
        }
    }

    /// Asks the person at the terminal for a line of input; with `--json`, too. Text from elsewhere must have been
    /// cleaned.
    pub(crate) fn prompt(self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// Tells what went wrong: `json` with `--json`, else `text`.
    pub(crate) fn error(self, text: &str, json: &str) {
        if self.json {
            to_stderr(json);
        } else {
            to_stderr(&format!("error: {}", clean_lines(text)));
        }
    }

    /// `text` in the colour of `style`, where colours are wanted.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match style {
            Style::Heading => "1",
            Style::Aside => "2",
            Style::Good => "32",
            Style::Bad => "31",
            Style::Open => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Nobody is left to be told when standard error is gone.
fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
