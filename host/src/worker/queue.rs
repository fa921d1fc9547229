//! What to claim next: the longest due first, as long as there is room for all; by tenant when there is not.

use std::time::Duration;

use super::Worker;
use super::share::{self, Shares};
use super::slots::Slots;
use crate::db;
use crate::db::claims::{CLAIM_MAX, Claim, Claimed};
use crate::db::queue::{LINES_MAX, Line, Lines};

/// How often to look for work that nobody rang for.
pub(super) const POLL: Duration = Duration::from_secs(1);

/// How long to leave the database to what was just claimed, before looking for more.
const SETTLE: Duration = Duration::from_millis(5);

/// How one worker looks for work.
#[derive(Default)]
pub(super) struct Queue {
    /// Whether to go from tenant to tenant: there may be more that is due than room, or some of it may not be claimed.
    by_tenant: bool,
    /// The tenant after which the next such look begins; at the first one if none.
    after: Option<String>,
    /// Whether looks since the first tenant have found a reason to go by tenant again.
    again: bool,
}

/// What a look has brought.
#[derive(Default)]
pub(super) struct Look {
    pub(super) claims: Vec<Claim>,
    /// How long to wait before the next look, unless the bell rings.
    pub(super) wait: Duration,
    /// Whether the next slot that becomes free is worth a look at once.
    pub(super) is_left: bool,
}

impl Queue {
    /// Claims what there is room for.
    pub(super) async fn look(&mut self, worker: &Worker, slots: &Slots) -> db::Result<Look> {
        let (free, most) = slots.free_and_most();
        let free = free.min(CLAIM_MAX);
        if free == 0 {
            return Ok(Look { wait: POLL, is_left: true, ..Look::default() });
        }
        // Whosever they are, nobody gets more than one tenant may have.
        let limit = free.min(share::most_of(slots.count()).saturating_sub(most));
        if self.by_tenant || limit == 0 || worker.room.is_waited_for() {
            return self.look_by_tenant(worker, slots, free).await;
        }
        let Claimed { claims, found, next_due } =
            worker.db.claim(&worker.name, limit, worker.lease, most + limit).await?;
        if found == limit || found > claims.len() {
            self.by_tenant = true;
            return Ok(Look { claims, ..Look::default() });
        }
        let wait = next_due.unwrap_or(POLL).clamp(Duration::from_millis(1), POLL);
        Ok(Look { claims, wait, is_left: false })
    }

    async fn look_by_tenant(&mut self, worker: &Worker, slots: &Slots, free: usize) -> db::Result<Look> {
        let Lines { mut lines, has_others } = worker.db.lines(self.after.as_deref()).await?;
        // No more of those for whose instances there is no room.
        let waiting = worker.room.waiting();
        lines.iter_mut().filter(|line| waiting.contains(&line.tenant)).for_each(|line| line.running_max = 0);
        let each_max = if has_others { share::most_of(slots.count()) } else { slots.count() };
        let Shares { shares, is_left } = share::share(&lines, &slots.running(), free, each_max);
        let claims = match &shares[..] {
            [] => vec![],
            shares => worker.db.claim_of(&worker.name, shares, worker.lease).await?.claims,
        };
        // Who had as much as was asked for may have more.
        let claimed = |tenant: &str| claims.iter().filter(|claim| claim.tenant == tenant).count();
        let is_more = shares.iter().any(|(tenant, count)| claimed(tenant) == *count);
        self.again |= is_left || is_more;
        self.after = lines.last().filter(|_| lines.len() == LINES_MAX).map(|line| line.tenant.clone());
        self.by_tenant = self.after.is_some() || std::mem::take(&mut self.again);
        let wait = if is_more || self.after.is_some() {
            Duration::ZERO
        } else if claims.is_empty() && is_left {
            next_due(&lines).unwrap_or(POLL).clamp(SETTLE, POLL)
        } else {
            SETTLE
        };
        Ok(Look { claims, wait, is_left })
    }
}

/// How long until the next execution of somebody becomes due who has none now.
fn next_due(lines: &[Line]) -> Option<Duration> {
    lines.iter().filter(|line| !line.is_suspended).filter_map(|line| line.due_in).min()
}
