//! Which of the installed Postgres versions to run.

use std::collections::HashSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::place::{Place, output_of};
use super::{Error, TOOL_WAIT};

/// The programs the host runs; a directory counts only with all of them.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "psql"];
/// Where packages put one directory per major version: the parent, the name before the version,
/// and where in it the programs are. Debian, PostgreSQL's RPMs, Alpine, Homebrew, Postgres.app.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];
/// Where one version is, often not on `PATH`.
const FIXED: [&str; 3] = ["/usr/local/pgsql/bin", "/opt/homebrew/bin", "/usr/local/bin"];

/// The directory of the programs to run: the first that the server's user can run, in the order
/// `PATH`, `pg_config`, the usual places newest first. With a cluster, only its major version.
///
/// # Errors
/// [`Error::NotInstalled`], [`Error::Version`]; [`Error::Io`] for an unreadable cluster.
pub(super) async fn find(place: &Place) -> Result<PathBuf, Error> {
    let made_by = cluster_version(&place.cluster)?;
    let mut found = Vec::new();
    for dir in candidates(place).await {
        // One that does not run, say because it is in root's home, is no candidate.
        let asked = output_of(version_question(place, &dir), TOOL_WAIT).await;
        let Some(version) = asked.ok().as_deref().and_then(version_said) else {
            continue;
        };
        if made_by.is_none_or(|made_by| made_by == version) {
            return Ok(dir);
        }
        found.push(version.to_string());
    }
    match made_by {
        Some(made_by) if !found.is_empty() => {
            Err(Error::Version { cluster: place.cluster.clone(), made_by, found: found.join(", ") })
        }
        _ => Err(Error::NotInstalled),
    }
}

/// The major version that made the cluster, if there is one.
fn cluster_version(cluster: &Path) -> Result<Option<u32>, Error> {
    let path = cluster.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => leading_number(&text).map(Some).ok_or_else(|| {
            let reason = std::io::Error::other("it holds no version");
            Error::io("use", &path)(reason)
        }),
        Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(Error::io("read", &path)(reason)),
    }
}

/// Every directory that has the programs, once, in order of preference.
async fn candidates(place: &Place) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut pg_config = place.command("pg_config");
    pg_config.arg("--bindir");
    // Most machines have none: it comes with the development files.
    if let Ok(dir) = output_of(pg_config, TOOL_WAIT).await {
        dirs.push(PathBuf::from(dir));
    }
    for (parent, before, inside) in VERSIONED {
        let names = fs::read_dir(parent).into_iter().flatten().flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        let newest_first = newest_first(names.iter().map(AsRef::as_ref), before);
        dirs.extend(newest_first.map(|name| Path::new(parent).join(name).join(inside)));
    }
    dirs.extend(FIXED.map(PathBuf::from));
    let mut seen = HashSet::new();
    dirs.into_iter()
        // A relative one would mean the host's working directory, whatever that is.
        .filter(|dir| dir.is_absolute())
        .filter_map(|dir| dir.canonicalize().ok())
        .filter(|dir| PROGRAMS.iter().all(|program| dir.join(program).is_file()))
        .filter(|dir| seen.insert(dir.clone()))
        .collect()
}

/// Those of `names` that are `before` and a version, the highest first.
fn newest_first<'a>(names: impl Iterator<Item = &'a OsStr>, before: &str) -> impl Iterator<Item = &'a str> {
    let mut versions: Vec<(u32, &str)> = names
        .filter_map(OsStr::to_str)
        .filter_map(|name| Some((leading_number(name.strip_prefix(before)?)?, name)))
        .collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, name)| name)
}

fn version_question(place: &Place, dir: &Path) -> tokio::process::Command {
    let mut command = place.command(dir.join("postgres"));
    command.arg("--version");
    command
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian …)`.
fn version_said(answer: &str) -> Option<u32> {
    leading_number(answer.split_once("(PostgreSQL)")?.1.trim_start())
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says() {
        let said = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)";
        assert_eq!(version_said(said), Some(15));
        assert_eq!(version_said("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(version_said("something else 7"), None);
    }

    #[test]
    fn versions_sort_as_numbers_and_other_names_are_left_out() {
        let names = ["pgsql-9", "pgsql-17", "pgsql-x", "lib", "pgsql-10"].map(OsStr::new);
        let sorted: Vec<_> = newest_first(names.into_iter(), "pgsql-").collect();
        assert_eq!(sorted, ["pgsql-17", "pgsql-10", "pgsql-9"]);
    }
}
