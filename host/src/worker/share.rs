//! How many executions of each tenant are claimed, so that no flood of one keeps out the others. Pure: no I/O, no clock.

use crate::db::queue::Line;
use crate::tally::Tally;

/// Of the slots of a host, what one tenant may have while there are others: theirs may come at any time, and must not
/// wait until one of its executions has ended.
pub(super) fn most_of(slots: usize) -> usize {
    (slots * 3 / 4).max(1)
}

/// How many to claim of each tenant, the ones that run least first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shares<'a> {
    pub(super) shares: Vec<(&'a str, usize)>,
    /// Whether something that is due is left where it is: its tenant runs as many as it may, is suspended, or there is no
    /// more room.
    pub(super) is_left: bool,
}

/// Shares `free` slots out among tenants, of whom one may have `each_max` of all slots, while others are `running`.
pub(super) fn share<'a>(lines: &'a [Line], running: &Tally, free: usize, each_max: usize) -> Shares<'a> {
    let due: Vec<&Line> = lines.iter().filter(|line| line.due_in.is_none()).collect();
    let mut wanting: Vec<(&Line, usize, usize)> =
        due.iter().filter(|line| !line.is_suspended).map(|line| (*line, running.of(&line.tenant), 0)).collect();
    for _ in 0..free {
        let may = wanting.iter_mut().filter(|(line, has, given)| has + given < line.running_max.min(each_max));
        let Some((.., given)) = may.min_by_key(|(_, has, given)| *has + *given) else { break };
        *given += 1;
    }
    wanting.sort_by_key(|(_, has, _)| *has);
    let shares: Vec<_> = wanting
        .iter()
        .filter(|(.., given)| *given > 0)
        .map(|(line, _, given)| (line.tenant.as_str(), *given))
        .collect();
    Shares { is_left: shares.len() < due.len(), shares }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(tenant: &str, running_max: usize) -> Line {
        Line { tenant: tenant.into(), due_in: None, is_suspended: false, running_max }
    }

    fn running(counts: &[(&str, usize)]) -> Tally {
        let mut tally = Tally::default();
        for (tenant, count) in counts {
            (0..*count).for_each(|_| tally.add(tenant));
        }
        tally
    }

    #[test]
    fn free_slots_are_shared_evenly_and_who_runs_least_comes_first() {
        let lines = [line("a", 64), line("b", 64), line("c", 64)];
        assert_eq!(share(&lines, &running(&[]), 7, 24).shares, [("a", 3), ("b", 2), ("c", 2)]);
        let shared = share(&lines, &running(&[("a", 20), ("b", 3)]), 5, 24);
        assert_eq!(shared, Shares { shares: vec![("c", 4), ("b", 1)], is_left: true });
    }

    #[test]
    fn no_tenant_gets_more_than_its_quota_and_none_that_is_suspended() {
        let suspended = Line { is_suspended: true, ..line("b", 64) };
        let lines = [line("a", 3), suspended, line("c", 64)];
        let shared = share(&lines, &running(&[("a", 2)]), 16, 24);
        assert_eq!(shared, Shares { shares: vec![("c", 15), ("a", 1)], is_left: true });
        assert_eq!(share(&lines[..2], &running(&[("a", 3)]), 16, 24), Shares { shares: vec![], is_left: true });
    }

    #[test]
    fn one_tenant_leaves_a_quarter_of_the_slots_to_those_who_may_come() {
        assert_eq!([1, 2, 4, 32].map(most_of), [1, 1, 3, 24]);
        let lines = [line("a", 64)];
        assert_eq!(share(&lines, &running(&[("a", 20)]), 12, most_of(32)).shares, [("a", 4)]);
        assert_eq!(share(&lines, &running(&[("a", 24)]), 8, most_of(32)), Shares { shares: vec![], is_left: true });
        assert_eq!(share(&lines, &running(&[("a", 24)]), 8, 32).shares, [("a", 8)]);
    }

    #[test]
    fn what_is_not_due_yet_is_neither_claimed_nor_left() {
        let later = Line { due_in: Some(Duration::from_secs(1)), ..line("a", 64) };
        assert_eq!(share(&[later], &running(&[]), 16, 24), Shares::default());
    }
}
