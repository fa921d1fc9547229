//! What of the deliveries that wait is begun now, so that receivers that hang hold up nobody else. Pure: no I/O, no
//! clock.

use crate::db::outbox::{LANE_MAX, Lane, Waiting};

/// How many deliveries to one endpoint are under way at once; to all endpoints of one tenant; and mails to its reviewers,
/// which wait for no endpoint.
const PER_ENDPOINT_MAX: usize = LANE_MAX;
const PER_TENANT_MAX: usize = 4;
const PER_REVIEWERS_MAX: usize = LANE_MAX;

/// How many of each lane to claim.
#[derive(Debug, Default)]
pub(super) struct Shares<'a> {
    pub(super) lanes: Vec<(&'a Lane, usize)>,
    /// The last lane of the tenant at which there was no more room: the next look begins after it.
    pub(super) cut: Option<&'a Lane>,
}

/// Shares `room` out among lanes, which are in order of their tenants, while others are `running`.
pub(super) fn share<'a>(waiting: &'a [Waiting], running: &[&Lane], mut room: usize) -> Shares<'a> {
    let mut shares = Shares::default();
    for tenant in waiting.chunk_by(|one, other| one.lane.tenant_id == other.lane.tenant_id) {
        for (lane, count) in of_tenant(tenant, running) {
            let count = count.min(room);
            room -= count;
            if count > 0 {
                shares.lanes.push((lane, count));
            }
        }
        if room == 0 {
            shares.cut = tenant.last().map(|last| &last.lane);
            break;
        }
    }
    shares
}

/// What one tenant may begin, if there is room for all of it.
fn of_tenant<'a>(tenant: &'a [Waiting], running: &[&Lane]) -> Vec<(&'a Lane, usize)> {
    let busy = |lane: &Lane| running.iter().filter(|other| **other == lane).count();
    let (reviewers, mut endpoints): (Vec<_>, Vec<_>) =
        tenant.iter().filter(|waiting| waiting.is_due()).partition(|waiting| waiting.lane.is_reviewers());
    let mut shares: Vec<(&Lane, usize)> = reviewers
        .iter()
        .map(|waiting| (&waiting.lane, PER_REVIEWERS_MAX.saturating_sub(busy(&waiting.lane))))
        .collect();

    let Some(first) = endpoints.first() else { return shares };
    let of_same = |lane: &&&Lane| lane.tenant_id == first.lane.tenant_id && !lane.is_reviewers();
    let left = PER_TENANT_MAX.saturating_sub(running.iter().filter(of_same).count());
    // The one that has least under way first, then the one that has waited longest: a long backlog of one must not make
    // another wait until it is empty.
    endpoints.sort_by_key(|waiting| waiting.next_at);
    let mut given = vec![0; endpoints.len()];
    for _ in 0..left {
        let under_way = |place: &usize| busy(&endpoints[*place].lane) + given[*place];
        let next = (0..endpoints.len()).min_by_key(under_way);
        let Some(next) = next.filter(|next| under_way(next) < PER_ENDPOINT_MAX) else { break };
        given[next] += 1;
    }
    shares.extend(endpoints.iter().zip(given).map(|(waiting, count)| (&waiting.lane, count)));
    shares
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn lane(tenant: &str, recipient: &str) -> Lane {
        Lane { tenant_id: tenant.into(), recipient: recipient.into() }
    }

    fn waiting(lanes: &[(&str, &str, i64)]) -> Vec<Waiting> {
        let waiting = |(tenant, recipient, at): &(&str, &str, i64)| Waiting {
            lane: lane(tenant, recipient),
            next_at: DateTime::from_timestamp(*at, 0).expect("a time"),
            due_in_seconds: (*at < 200).then_some((*at - 100) as f64),
        };
        lanes.iter().map(waiting).collect()
    }

    fn counts(waiting: &[Waiting], running: &[&Lane], room: usize) -> Vec<(String, usize)> {
        let shares = share(waiting, running, room).lanes;
        let mut counts: Vec<_> =
            shares.iter().map(|(lane, n)| (format!("{}/{}", lane.tenant_id, lane.recipient), *n)).collect();
        counts.sort();
        counts
    }

    fn some(counts: &[(&str, usize)]) -> Vec<(String, usize)> {
        counts.iter().map(|(lane, n)| ((*lane).to_owned(), *n)).collect()
    }

    #[test]
    fn an_endpoint_has_two_a_tenant_four_and_its_reviewers_two_besides() {
        let lanes = waiting(&[
            ("a", "", 1),
            ("a", "x", 1),
            ("b", "x", 1),
            ("b", "y", 2),
            ("b", "z", 3),
            ("c", "x", 101),
            ("d", "x", 200),
        ]);
        let expected = some(&[("a/", 2), ("a/x", 2), ("b/x", 2), ("b/y", 1), ("b/z", 1)]);
        assert_eq!(counts(&lanes, &[], 64), expected);
    }

    #[test]
    fn the_one_that_has_least_under_way_comes_first_however_long_another_has_waited() {
        let (x, y) = (lane("a", "x"), lane("a", "y"));
        let lanes = waiting(&[("a", "", 1), ("a", "x", 1), ("a", "y", 2), ("a", "z", 3)]);
        assert_eq!(counts(&lanes, &[&x, &x, &y], 64), some(&[("a/", 2), ("a/z", 1)]));
        assert_eq!(counts(&lanes, &[&x, &x, &y, &y], 64), some(&[("a/", 2)]));
        let other = lane("b", "x");
        assert_eq!(counts(&lanes, &[&x, &other, &other], 64), some(&[("a/", 2), ("a/x", 1), ("a/y", 1), ("a/z", 1)]));
    }

    #[test]
    fn the_next_look_begins_after_the_tenant_for_whom_there_was_no_more_room() {
        let lanes = waiting(&[("a", "x", 1), ("b", "x", 1), ("b", "y", 1), ("c", "x", 1)]);
        let shares = share(&lanes, &[], 3);
        assert_eq!(shares.lanes.iter().map(|(_, n)| n).sum::<usize>(), 3);
        assert_eq!(shares.cut, Some(&lane("b", "y")));
        assert!(share(&lanes, &[], 64).cut.is_none());
    }
}
