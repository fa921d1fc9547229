//! Tells others of what happened: empties the outbox that Postgres fills.
//!
//! A delivery is claimed, sent, and what came of it is recorded. A host that dies in between leaves a claim that runs
//! out, and the delivery is made again under the same id: at least once, and never under two ids.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::audit::Actor;
use crate::crash;
use crate::db::outbox::{Due, Next, Tried};
use crate::db::{self, Db};
use crate::dialer::Dialer;
use crate::link::{self, Links};
use crate::master_key::MasterKeys;
use crate::metrics;
use crate::random;

pub mod letter;
pub mod mail;
mod message;
mod schedule;
mod slack;
mod webhook;

use mail::Mailer;

/// How often to look for what nobody rang for, and how long to leave the database alone between two looks.
const POLL: Duration = Duration::from_millis(500);
const SETTLE: Duration = Duration::from_millis(50);

/// How many deliveries of one tenant are under way at once, so that one whose receivers hang holds up nobody else; and
/// how many of all.
const PER_TENANT_MAX: i64 = 4;
const IN_FLIGHT_MAX: usize = 64;

/// How long no other host tries what this one has claimed: longer than any try takes.
const LEASE: Duration = Duration::from_secs(30);

/// The longest that a try takes, whatever it does.
const TRY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long what is under way may take to end when the host stops.
const DRAIN: Duration = Duration::from_secs(3);

/// How long a settled delivery is kept, with its log, and how often what is older is looked for.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// What it takes to send. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    pub db: Db,
    pub dialer: Dialer,
    pub mailer: Option<Mailer>,
    pub master_keys: MasterKeys,
    pub links: Links,
    /// This host's name in the rows.
    pub host: String,
}

/// What came of sending something.
enum Sent {
    Delivered,
    /// It may work later.
    Failed(Option<Duration>),
    /// It never will.
    Refused,
    /// The receiver wants nothing more of this endpoint.
    Gone,
}

/// A try's end: what came of it, and what the log says.
struct Outcome {
    sent: Sent,
    status: Option<u16>,
    error: Option<String>,
    response: Option<String>,
}

impl Outcome {
    fn new(sent: Sent, error: impl Into<Option<String>>) -> Self {
        Self { sent, status: None, error: error.into(), response: None }
    }
}

/// What is under way, by tenant, and where the next look begins.
#[derive(Default)]
struct InFlight {
    tasks: JoinSet<String>,
    by_tenant: HashMap<String, i64>,
    after: String,
}

impl InFlight {
    fn ended(&mut self, tenant: &str) {
        if let Some(count) = self.by_tenant.get_mut(tenant) {
            *count -= 1;
            if *count <= 0 {
                self.by_tenant.remove(tenant);
            }
        }
    }

    /// Takes away all that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            // A task that panicked is logged by its panic; which tenant's it was is only known of the others.
            match ended {
                Ok(tenant) => self.ended(&tenant),
                Err(error) => tracing::error!(%error, "a delivery ended in a panic"),
            }
        }
        if self.tasks.is_empty() {
            self.by_tenant.clear();
        }
    }
}

impl Outbox {
    /// Sends what is due until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut flight = InFlight::default();
        let mut bell = self.db.bell().listen();
        let mut forgot = Instant::now();
        while !stop.is_cancelled() {
            if forgot.elapsed() >= FORGET_EVERY {
                forgot = Instant::now();
                self.forget().await;
            }
            let wait = match self.start(&mut flight).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "the outbox could not be read; trying again");
                    POLL
                }
            };
            tokio::select! {
                Some(ended) = flight.tasks.join_next() => match ended {
                    Ok(tenant) => flight.ended(&tenant),
                    Err(error) => tracing::error!(%error, "a delivery ended in a panic"),
                },
                () = async { bell.wait(wait).await; tokio::time::sleep(SETTLE).await } => {}
                () = stop.cancelled() => {}
            }
        }
        let drained = async { while flight.tasks.join_next().await.is_some() {} };
        let _ = timeout(DRAIN, drained).await;
        flight.tasks.shutdown().await;
        if let Err(error) = self.db.free_deliveries(&self.host).await {
            tracing::warn!(%error, "what this host was delivering could not be given back; its claims will run out");
        }
    }

    /// Starts as many deliveries as there is room for, and says how long to wait before the next look.
    async fn start(&self, flight: &mut InFlight) -> db::Result<Duration> {
        flight.reap();
        let room = IN_FLIGHT_MAX - flight.tasks.len();
        if room == 0 {
            return Ok(POLL);
        }
        let busy: Vec<(String, i64)> =
            flight.by_tenant.iter().map(|(tenant, count)| (tenant.clone(), *count)).collect();
        crash::point("before_outbox_claim");
        let claim = self.db.claim_deliveries(&self.host, &flight.after, &busy, PER_TENANT_MAX, room as i64, LEASE);
        let due = claim.await?;
        let is_round = flight.after.is_empty();
        // Who was not served for want of room comes first at the next look; after the last tenant, the first.
        flight.after =
            if due.len() == room { due.last().map(|due| due.tenant_id.clone()) } else { None }.unwrap_or_default();
        let none = due.is_empty();
        for mut due in due {
            // Whoever is told of a pause may not decide it by a link that its agent has shown to somebody else.
            if let Cow::Owned(redacted) = link::redact(&due.body) {
                due.body = redacted;
            }
            let (outbox, tenant) = (self.clone(), due.tenant_id.clone());
            *flight.by_tenant.entry(tenant.clone()).or_default() += 1;
            flight.tasks.spawn(async move {
                crash::point("after_outbox_claim");
                outbox.deliver(&due).await;
                tenant
            });
        }
        if !is_round {
            return Ok(Duration::ZERO);
        }
        if !none || !flight.tasks.is_empty() {
            // What is due of a tenant that has its share is begun as soon as one of those has ended.
            return Ok(POLL);
        }
        Ok(self.db.next_delivery_due().await?.unwrap_or(POLL).min(POLL))
    }

    async fn deliver(&self, due: &Due) {
        let (began, at) = (Instant::now(), Utc::now());
        let outcome = timeout(TRY_TIMEOUT, self.send(due)).await;
        let outcome = outcome.unwrap_or_else(|_| Outcome::new(Sent::Failed(None), "no answer in time".to_owned()));
        crash::point("after_outbox_send");
        let failures = due.tries.unsigned_abs() as usize + 1;
        let (next, label) = match outcome.sent {
            Sent::Delivered => (Next::Delivered, "delivered"),
            Sent::Refused => (Next::Failed, "failed"),
            Sent::Gone => (Next::Failed, "gone"),
            Sent::Failed(retry_after) => match schedule::next(failures, retry_after, random::chance(), haste()) {
                Some(wait) => (Next::After(wait), "retried"),
                None => (Next::Failed, "failed"),
            },
        };
        metrics::delivery(label);
        let duration_ms = i32::try_from(began.elapsed().as_millis()).unwrap_or(i32::MAX);
        let (tenant, delivery) = (&due.tenant_id, &due.delivery_id);
        tracing::debug!(tenant.id = tenant, delivery.id = delivery, outcome = label, duration_ms, "delivery");
        let tried = Tried {
            at,
            duration_ms,
            status: outcome.status.map(i32::from),
            error: outcome.error,
            response: outcome.response,
        };
        match self.db.record_delivery(due, &tried, next).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!(tenant.id = tenant, delivery.id = delivery, "another host has it by now"),
            Err(error) => {
                tracing::warn!(tenant.id = tenant, delivery.id = delivery, %error, "a delivery could not be recorded");
            }
        }
        if matches!(outcome.sent, Sent::Gone) {
            self.switch_off(due).await;
        }
        crash::point("after_outbox_record");
    }

    async fn send(&self, due: &Due) -> Outcome {
        if due.reviewer.is_some() {
            return mail::to_reviewer(self, due).await;
        }
        match due.kind.as_deref() {
            Some("webhook") => webhook::send(self, due).await,
            Some("slack") => slack::send(self, due).await,
            Some("email") => mail::to_endpoint(self, due).await,
            _ => Outcome::new(Sent::Refused, "the endpoint was disabled or removed".to_owned()),
        }
    }

    /// The address of a delivery's endpoint.
    fn address(&self, due: &Due) -> Result<String, Outcome> {
        use crate::master_key::Purpose::EndpointAddress;
        let (Some(id), Some(encrypted)) = (&due.address_id, &due.address) else {
            return Err(Outcome::new(Sent::Refused, "the endpoint has no address".to_owned()));
        };
        let unreadable = |why: String| Outcome::new(Sent::Failed(None), format!("the address cannot be read: {why}"));
        let plain = self.master_keys.unseal(EndpointAddress, &due.tenant_id, id, encrypted);
        let plain = plain.map_err(|why| unreadable(why.to_string()))?;
        String::from_utf8(plain.to_vec()).map_err(|why| unreadable(why.to_string()))
    }

    async fn switch_off(&self, due: &Due) {
        let Some(endpoint) = &due.endpoint else { return };
        let change = db::endpoints::Change { switch: Some(Err("it answered 410 Gone")), ..Default::default() };
        tracing::warn!(tenant.id = due.tenant_id, endpoint, "an endpoint answered 410 Gone, and is disabled");
        if let Err(error) = self.db.change_endpoint(&due.tenant_id, endpoint, &change, &Actor::HOST).await {
            tracing::warn!(tenant.id = due.tenant_id, endpoint, %error, "it could not be disabled");
        }
    }

    async fn forget(&self) {
        match self.db.forget_deliveries(KEPT_FOR).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "forgot old deliveries"),
            Err(error) => tracing::warn!(%error, "old deliveries could not be forgotten"),
        }
    }
}

/// What the schedule's times are divided by. Only builds with debug assertions can be told to hurry, by tests.
fn haste() -> f64 {
    let asked = if cfg!(debug_assertions) { std::env::var("COUNTERSIGN_OUTBOX_HASTE").ok() } else { None };
    asked.and_then(|text| text.parse().ok()).filter(|haste| *haste >= 1.0).unwrap_or(1.0)
}
