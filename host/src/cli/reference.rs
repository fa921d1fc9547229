//! `docs/cli.md`: every command on one page, from the same source as `--help`.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

/// The page.
pub(crate) fn page() -> String {
    let mut command = super::Cli::command();
    command.build();
    let mut page = String::from(
        "# The command line\n\n\
         Generated from the code: `COUNTERSIGN_WRITE_DOCS=1 cargo test -p countersign reference` writes it anew. `countersign COMMAND --help` says the same.\n",
    );
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "\n{about}\n\n| Command | |\n|---|---|\n");
    let mut leaves = vec![];
    collect(&command, &mut leaves);
    for leaf in &leaves {
        let (name, about) = (path(leaf), leaf.get_about().map(ToString::to_string).unwrap_or_default());
        let _ = writeln!(page, "| [`{name}`](#{}) | {about} |", name.replace(' ', "-"));
    }
    let _ = write!(page, "\n## Every command\n\n");
    let globals: Vec<&Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).collect();
    options(&mut page, &globals);
    help(&mut page, &command);
    for leaf in leaves {
        let _ = write!(page, "\n## {}\n\n", path(leaf));
        let about = leaf.get_long_about().or_else(|| leaf.get_about()).map(ToString::to_string).unwrap_or_default();
        let usage = leaf.clone().render_usage().to_string();
        let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
        let _ = write!(page, "{about}\n\n```text\n{usage}\n```\n\n");
        let own: Vec<&Arg> = leaf.get_arguments().filter(|arg| !arg.is_global_set()).collect();
        options(&mut page, &own);
        help(&mut page, leaf);
    }
    page
}

/// The commands that do something, in the order of `--help`.
fn collect<'a>(command: &'a Command, leaves: &mut Vec<&'a Command>) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        if inner.has_subcommands() { collect(inner, leaves) } else { leaves.push(inner) }
    }
}

/// Such as `countersign keys create`.
fn path(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    name.to_owned()
}

fn options(page: &mut String, arguments: &[&Arg]) {
    let shown = |arg: &&&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    for argument in arguments.iter().filter(shown) {
        let about = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string);
        let about = about.unwrap_or_default().replace('\n', " ");
        let mut notes = vec![];
        let choices = argument.get_possible_values();
        if argument.get_action().takes_values() && !choices.is_empty() {
            let names: Vec<String> = choices.iter().map(|choice| format!("`{}`", choice.get_name())).collect();
            notes.push(format!("one of {}", names.join(", ")));
        }
        if let Some(variable) = argument.get_env() {
            notes.push(format!("environment: `{}`", variable.to_string_lossy()));
        }
        // One that depends on who asks would make the page another on every machine.
        let default = argument.get_default_values().first().filter(|_| argument.get_id() != "data_dir");
        if let Some(default) = default.filter(|_| argument.get_action().takes_values()) {
            notes.push(format!("default: `{}`", default.to_string_lossy()));
        }
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
        let _ = writeln!(page, "- `{}`: {about}{notes}", argument.to_string().replace('`', ""));
    }
}

fn help(page: &mut String, command: &Command) {
    if let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        let _ = write!(page, "\n```text\n{}\n```\n", text.to_string().trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the page is kept.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");

    #[test]
    fn the_reference_is_what_the_code_says() {
        let page = page();
        if std::env::var_os("COUNTERSIGN_WRITE_DOCS").is_some() {
            std::fs::write(FILE, &page).expect("the page can be written");
        }
        let kept = std::fs::read_to_string(FILE).unwrap_or_default();
        let differs = kept.lines().zip(page.lines()).find(|(kept, made)| kept != made);
        assert!(
            kept == page,
            "docs/cli.md is not what the code says; write it anew with COUNTERSIGN_WRITE_DOCS=1. First difference: {differs:?}"
        );
    }
}
