//! Tells others of what happened: empties the outbox that Postgres fills.
//!
//! A delivery is claimed, sent, and what came of it is recorded. A host that dies in between leaves a claim that runs
//! out, and the delivery is made again under the same id: at least once, and never under two ids.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::audit::Actor;
use crate::crash;
use crate::db::outbox::{CLAIM_MAX, Due, FORGET_MAX, LANES_MAX, Lane, Next, Tried};
use crate::db::{self, Db};
use crate::dialer::Dialer;
use crate::link::{self, Links};
use crate::master_key::MasterKeys;
use crate::metrics;
use crate::notification::ATTEMPTS_MAX;
use crate::random;

pub mod letter;
pub mod mail;
mod message;
mod schedule;
mod share;
mod slack;
mod webhook;

use mail::Mailer;

/// How often to look for what nobody rang for, and how long to leave the database alone between two looks.
const POLL: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_millis(50);

/// How many deliveries are under way at once; `share` says how many of each tenant.
const IN_FLIGHT_MAX: usize = CLAIM_MAX;

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

/// What is under way, and the lane after which the next look begins; at the first one if none.
#[derive(Default)]
struct InFlight {
    tasks: JoinSet<()>,
    lanes: HashMap<Id, Lane>,
    after: Option<Lane>,
}

impl InFlight {
    fn ended(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => {
                tracing::error!(%error, "a delivery ended in a panic");
                error.id()
            }
        };
        self.lanes.remove(&id);
    }

    /// Takes away all that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(&ended);
        }
    }
}

impl Outbox {
    /// Sends what is due until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut flight = InFlight::default();
        let mut bell = self.db.bell().listen();
        let forgetting = tokio::spawn(self.clone().forget_until(stop.clone()));
        while !stop.is_cancelled() {
            let wait = match self.start(&mut flight).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "the outbox could not be read; trying again");
                    POLL
                }
            };
            tokio::select! {
                Some(ended) = flight.tasks.join_next_with_id() => flight.ended(&ended),
                () = async { bell.wait(wait).await; tokio::time::sleep(SETTLE).await } => {}
                () = stop.cancelled() => {}
            }
        }
        let drained = async { while flight.tasks.join_next().await.is_some() {} };
        let _ = timeout(DRAIN, drained).await;
        flight.tasks.shutdown().await;
        let _ = forgetting.await;
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
        crash::point("before_outbox_claim");
        let is_round = flight.after.is_none();
        let waiting = self.db.lanes(flight.after.as_ref()).await?;
        let running: Vec<&Lane> = flight.lanes.values().collect();
        let shares = share::share(&waiting, &running, room);
        let last = waiting.last().filter(|_| waiting.len() == LANES_MAX).map(|waiting| &waiting.lane);
        let due = match &shares.lanes[..] {
            [] => vec![],
            lanes => self.db.claim_deliveries(&self.host, lanes, LEASE).await?,
        };
        flight.after = shares.cut.or(last).cloned();
        let none = due.is_empty();
        due.into_iter().for_each(|due| self.spawn(due, flight));
        if flight.tasks.len() < IN_FLIGHT_MAX && (flight.after.is_some() || (!is_round && !none)) {
            return Ok(Duration::ZERO);
        }
        if !none || !flight.tasks.is_empty() {
            // What is due in a lane that has its share is begun as soon as one of those has ended.
            return Ok(POLL);
        }
        // Of the lanes that were looked at, which are all but where there are very many.
        let next = waiting.iter().filter_map(|waiting| waiting.due_in_seconds).fold(POLL.as_secs_f64(), f64::min);
        Ok(Duration::from_secs_f64(next.max(0.0)))
    }

    fn spawn(&self, mut due: Due, flight: &mut InFlight) {
        // Whoever is told of a pause may not decide it by a link that its agent has shown to somebody else.
        if let Cow::Owned(redacted) = link::redact(&due.body) {
            due.body = redacted;
        }
        let (outbox, lane) = (self.clone(), due.lane());
        let task = flight.tasks.spawn(async move {
            crash::point("after_outbox_claim");
            outbox.deliver(&due).await;
        });
        flight.lanes.insert(task.id(), lane);
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
            Sent::Failed(_) if due.attempts >= ATTEMPTS_MAX => (Next::Failed, "failed"),
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
        if due.attempts > ATTEMPTS_MAX {
            return Outcome::new(Sent::Refused, format!("it was tried {ATTEMPTS_MAX} times, the last without an end"));
        }
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

    /// Forgets old deliveries from time to time, beside what is sent, until `stop`.
    async fn forget_until(self, stop: CancellationToken) {
        let forgetting = async {
            loop {
                self.forget().await;
                tokio::time::sleep(FORGET_EVERY).await;
            }
        };
        stop.run_until_cancelled(forgetting).await;
    }

    async fn forget(&self) {
        let mut count = 0;
        loop {
            match self.db.forget_deliveries(KEPT_FOR).await {
                Ok(gone) => {
                    count += gone;
                    if gone < FORGET_MAX {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "old deliveries could not be forgotten");
                    break;
                }
            }
        }
        if count > 0 {
            tracing::info!(count, "forgot old deliveries");
        }
    }
}

/// What the schedule's times are divided by. Only builds with debug assertions can be told to hurry, by tests.
fn haste() -> f64 {
    let asked = if cfg!(debug_assertions) { std::env::var("COUNTERSIGN_OUTBOX_HASTE").ok() } else { None };
    asked.and_then(|text| text.parse().ok()).filter(|haste| *haste >= 1.0).unwrap_or(1.0)
}
