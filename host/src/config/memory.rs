//! Sizes of memory: as they are written, and what this machine has.

use std::fs;
use std::path::Path;

/// What instances may use at the least: less does not hold one of an ordinary agent.
const SIZE_MIN: u64 = 16 << 20;

/// Taken for what the machine has where it does not say.
const UNKNOWN: u64 = 2 << 30;

/// Reads a size: a number and `KiB`, `MiB` or `GiB`, or nothing for bytes.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let size = unit.zip(digits.trim().parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
    size.filter(|size| *size >= SIZE_MIN).ok_or_else(|| "give at least 16MiB, as `512MiB` or `4GiB`".into())
}

/// The memory that this process may have: that of the machine, or of its container if that has less.
pub(super) fn available() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_machine(&text)).unwrap_or(UNKNOWN);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().flat_map(limits).fold(machine, u64::min)
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The limits of a control group and of those around it. A line is `0::/path` (version 2) or `n:memory:/path`.
fn limits(line: &str) -> Vec<u64> {
    let mut parts = line.splitn(3, ':');
    let (controllers, path) = (parts.nth(1).unwrap_or_default(), parts.next().unwrap_or_default());
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return vec![],
    };
    let below = Path::new(root).join(path.trim_start_matches('/'));
    let groups = below.ancestors().take_while(|group| group.starts_with(root));
    groups.filter_map(|group| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        assert_eq!(parse("16777216"), Ok(16 << 20));
        assert_eq!((parse("512MiB"), parse("4 GiB"), parse("65536KiB")), (Ok(512 << 20), Ok(4 << 30), Ok(64 << 20)));
        for bad in ["", "MiB", "-1GiB", "1.5GiB", "4GB", "15MiB", "99999999999999GiB", "4GiBMiB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(of_machine("MemFree: 1 kB\nMemTotal:       24 kB\n"), Some(24 << 10));
        assert!(available() >= SIZE_MIN);
    }
}
