//! Text that is safe and short enough for a terminal. Pure.

use std::fmt::Write as _;

/// How wide a table or a timeline may be, in characters.
pub(crate) const WIDTH: usize = 100;

/// Whether a terminal might act on `c` instead of showing it.
///
/// Escape sequences start with a C0 or C1 control; the other ones reorder the text around them, so that it reads as
/// something else than it is.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `text` on one line, without what a terminal might act on.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .filter(|&c| !is_unsafe(c))
        .collect()
}

/// `text` with its lines kept, without what a terminal might act on.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// A JSON document with the same meaning, without what a terminal might act on.
///
/// Such characters can only be inside strings, where JSON has an escape for them; line ends are layout.
pub(crate) fn clean_json(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if is_unsafe(c) && !matches!(c, '\n' | '\r' | '\t') {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
        text
    })
}

/// At most `width` characters of `text`, with an ellipsis where some were left out.
pub(crate) fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(width.saturating_sub(1)).collect();
    clipped.push('…');
    clipped
}

/// `text` broken at spaces into lines of at most `width` characters; a longer word stays whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// `text` as one word of a POSIX shell.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '@' | '=' | ',');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A number of bytes, for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{} kB", count / 1_000),
        _ => format!("{}.{} MB", count / 1_000_000, count / 100_000 % 10),
    }
}

/// A number and its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_a_terminal() {
        assert_eq!(clean("\x1b[31mred\x1b[0m\x07"), "[31mred[0m");
        assert_eq!(clean("a\u{9b}31mb\u{7f}"), "a31mb");
        assert_eq!(clean("user\u{202e}txt.exe\u{2066}"), "usertxt.exe");
        assert_eq!(clean("one\r\ntwo\tthree"), "one  two three");
        assert_eq!(clean("Grüße, 世界 🚀"), "Grüße, 世界 🚀");
    }

    #[test]
    fn lines_are_kept_where_they_are_wanted() {
        assert_eq!(clean_lines("a\r\n\x1bb\nc"), "a\nb\nc");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let json = "{\n \"a\": \"x\u{9b}y\u{202e}z\"\n}";
        let cleaned = clean_json(json);
        assert_eq!(cleaned, "{\n \"a\": \"x\\u009by\\u202ez\"\n}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("is JSON");
        assert_eq!(value(&cleaned), value(json));
    }

    #[test]
    fn clipping_counts_characters() {
        assert_eq!(clip("héllo", 5), "héllo");
        assert_eq!(clip("héllo!", 5), "héll…");
        assert_eq!(clip("", 0), "");
    }

    #[test]
    fn wrapping_breaks_at_spaces() {
        assert_eq!(wrap("one two  three\nfour", 7), ["one two", "three", "four"]);
        assert_eq!(wrap("incomprehensible", 4), ["incomprehensible"]);
    }

    #[test]
    fn shell_words_survive_a_shell() {
        assert_eq!(shell_word("exec_1:draft-review"), "exec_1:draft-review");
        assert_eq!(shell_word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!([bytes(999), bytes(118_000), bytes(21_550_000)], ["999 B", "118 kB", "21.5 MB"]);
        assert_eq!([count(1, "page"), count(0, "page")], ["1 page", "0 pages"]);
    }
}
