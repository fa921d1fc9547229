//! The terminal of `countersign dev`: lines that scroll, and one at the bottom that stays.

use std::io::{self, IsTerminal as _, Write as _};

use crossterm::cursor::MoveToColumn;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::queue;
use crossterm::style::Print;
use crossterm::terminal::{Clear, ClearType, disable_raw_mode, enable_raw_mode, size};
use futures::StreamExt as _;

use crate::cli::output::{Output, Style};
use crate::cli::text::{clean, clip};

/// How wide a terminal is that does not say.
const COLUMNS: u16 = 80;

/// The longest line that can be typed, in characters. An input may be longer in a file.
const TYPED_MAX: usize = 64 * 1024;

/// Where everything is shown. Without a terminal on both sides: lines only, and no keys.
pub(super) struct Screen {
    out: Output,
    keys: Option<EventStream>,
    bottom: String,
}

/// What somebody at the terminal has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    /// Ctrl-U: all that was typed is forgotten.
    Forget,
    /// Ctrl-C or Ctrl-D; or the terminal is gone.
    Quit,
    /// The terminal has another size.
    Resized,
}

impl Screen {
    /// Takes the terminal over, if there is one.
    pub(super) fn open(out: Output) -> io::Result<Self> {
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let keys = if is_terminal {
            enable_raw_mode()?;
            Some(EventStream::new())
        } else {
            None
        };
        Ok(Self { out, keys, bottom: String::new() })
    }

    /// Whether somebody can press keys.
    pub(super) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Shows lines above the bottom one. What is not ours in them has been cleaned.
    pub(super) fn say(&self, text: &str) -> io::Result<()> {
        if self.keys.is_none() {
            return self.out.line(text);
        }
        let mut stdout = io::stdout().lock();
        queue!(stdout, MoveToColumn(0), Clear(ClearType::UntilNewLine))?;
        for line in text.lines() {
            queue!(stdout, Print(line), Print("\r\n"))?;
        }
        self.draw(&mut stdout)
    }

    /// Changes the bottom line.
    pub(super) fn set_bottom(&mut self, text: &str) -> io::Result<()> {
        if self.keys.is_none() || self.bottom == text {
            return Ok(());
        }
        text.clone_into(&mut self.bottom);
        self.redraw()
    }

    /// Shows the bottom line again, as wide as the terminal is now.
    pub(super) fn redraw(&self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        queue!(stdout, MoveToColumn(0), Clear(ClearType::UntilNewLine))?;
        self.draw(&mut stdout)
    }

    fn draw(&self, stdout: &mut impl io::Write) -> io::Result<()> {
        queue!(stdout, Print(self.out.paint(Style::Heading, &clip(&self.bottom, columns() - 1))))?;
        stdout.flush()
    }

    /// The next key; never, if there is no terminal. Safe to be dropped.
    pub(super) async fn key(&mut self) -> Key {
        let Some(keys) = &mut self.keys else { return std::future::pending().await };
        loop {
            match keys.next().await {
                Some(Ok(Event::Key(event))) => {
                    if let Some(key) = read(event) {
                        return key;
                    }
                }
                Some(Ok(Event::Resize(..))) => return Key::Resized,
                Some(Ok(_)) => (),
                Some(Err(_)) | None => return Key::Quit,
            }
        }
    }

    /// Gives the terminal back.
    pub(super) fn close(&mut self) {
        if self.keys.take().is_some() {
            let mut stdout = io::stdout().lock();
            // Nothing can be done about a terminal that is gone.
            let _ = queue!(stdout, MoveToColumn(0), Clear(ClearType::UntilNewLine));
            let _ = stdout.flush();
            let _ = disable_raw_mode();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

/// How wide the terminal is. Some do not know, and say 0.
fn columns() -> usize {
    usize::from(size().map_or(COLUMNS, |(columns, _)| if columns == 0 { COLUMNS } else { columns }))
}

fn read(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            KeyCode::Char('c' | 'd') => Some(Key::Quit),
            KeyCode::Char('u') => Some(Key::Forget),
            KeyCode::Char('h') => Some(Key::Backspace),
            KeyCode::Char('j' | 'm') => Some(Key::Enter),
            _ => None,
        };
    }
    match event.code {
        KeyCode::Char(c) => Some(Key::Char(c)),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Backspace => Some(Key::Backspace),
        _ => None,
    }
}

/// A question at the bottom, and what has been typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    question: String,
    pub(super) typed: String,
}

impl Prompt {
    /// With this typed already.
    pub(super) fn new(question: &str, typed: &str) -> Self {
        Self { question: question.to_owned(), typed: typed.to_owned() }
    }

    /// Types; the keys that end a prompt do nothing here.
    pub(super) fn press(&mut self, key: &Key) {
        match key {
            Key::Char(c) if self.typed.len() < TYPED_MAX => self.typed.push(*c),
            Key::Backspace => {
                self.typed.pop();
            }
            Key::Forget => self.typed.clear(),
            _ => (),
        }
    }

    /// As the bottom line: of a long text the end, where it grows.
    pub(super) fn line(&self) -> String {
        let room = columns().saturating_sub(self.question.chars().count() + 4).max(10);
        let typed = clean(&self.typed);
        let skipped = typed.chars().count().saturating_sub(room);
        let end: String = typed.chars().skip(skipped).collect();
        format!("{}: {}{end}_", self.question, if skipped > 0 { "…" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
        read(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn what_ends_a_program_ends_this_one_too() {
        for c in ['c', 'd'] {
            assert_eq!(press(KeyCode::Char(c), KeyModifiers::CONTROL), Some(Key::Quit));
        }
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), Some(Key::Char('c')));
        assert_eq!(press(KeyCode::F(1), KeyModifiers::NONE), None);
    }

    #[test]
    fn a_line_is_typed_and_its_end_is_shown() {
        let mut prompt = Prompt::new("feedback", "");
        for key in [Key::Char('a'), Key::Char('é'), Key::Backspace, Key::Char('b'), Key::Enter] {
            prompt.press(&key);
        }
        assert_eq!((prompt.typed.as_str(), prompt.line().as_str()), ("ab", "feedback: ab_"));
        prompt.press(&Key::Forget);
        assert_eq!(prompt.typed, "");
        let long = Prompt::new("input", &format!("{}end", "x".repeat(500)));
        assert!(long.line().starts_with("input: …x") && long.line().ends_with("end_"));
    }
}
