//! What this host counts.

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::db::decisions::Decided;
use crate::db::outbox::Backlog;
use crate::db::pauses::Open;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    outcome: &'static str,
}

#[derive(Default)]
struct Metrics {
    attempts: Family<Label, Counter>,
    decisions: Family<Label, Counter>,
    deliveries: Family<Label, Counter>,
    cache_refused: Counter,
    open_pauses: Gauge,
    oldest_pause: Gauge<f64, AtomicU64>,
    outbox_due: Gauge,
    outbox_oldest: Gauge<f64, AtomicU64>,
    running: Gauge,
    instance_memory_reserved: Gauge,
    instance_memory_used: Gauge,
}

static METRICS: LazyLock<(Registry, Metrics)> = LazyLock::new(|| {
    let metrics = Metrics::default();
    let mut registry = Registry::with_prefix("countersign");
    registry.register("attempts", "Attempts of this host by how they ended", metrics.attempts.clone());
    registry.register(
        "decisions",
        "Decisions that reached this host by what became of them",
        metrics.decisions.clone(),
    );
    registry.register("deliveries", "Tries of this host to deliver by what came of them", metrics.deliveries.clone());
    registry.register(
        "cache_refused",
        "Files with compiled components that were not this host's, or not whole",
        metrics.cache_refused.clone(),
    );
    registry.register("open_pauses", "Pauses that wait for a decision", metrics.open_pauses.clone());
    registry.register("oldest_pause_seconds", "How long the oldest of them has waited", metrics.oldest_pause.clone());
    registry.register("outbox_due", "Deliveries that are due", metrics.outbox_due.clone());
    registry.register("outbox_oldest_seconds", "For how long the oldest has been", metrics.outbox_oldest.clone());
    registry.register("running", "Executions that this host drives", metrics.running.clone());
    registry.register(
        "instance_memory_reserved_bytes",
        "What was set aside for instances on this host",
        metrics.instance_memory_reserved.clone(),
    );
    registry.register(
        "instance_memory_used_bytes",
        "What instances on this host use",
        metrics.instance_memory_used.clone(),
    );
    (registry, metrics)
});

/// Counts an attempt.
pub(crate) fn attempt(outcome: &'static str) {
    METRICS.1.attempts.get_or_create(&Label { outcome }).inc();
}

/// Counts a decision by what became of it.
pub(crate) fn decision(decided: &Decided) {
    let outcome = match decided {
        Decided::Accepted(_) => "accepted",
        Decided::Recorded(_) => "recorded",
        Decided::Duplicate(_) => "duplicate",
        Decided::AlreadyDecided(_) => "already_decided",
        Decided::AlreadyVoted(_) => "already_voted",
        Decided::NotAsked(_) => "not_asked",
        Decided::KeptForAnother => "not_open_yet",
        Decided::Closed => "closed",
        Decided::NotFound => "not_found",
        Decided::Unfit(_) => "invalid",
        Decided::WebhookIdReused => "webhook_id_reused",
    };
    METRICS.1.decisions.get_or_create(&Label { outcome }).inc();
}

/// Counts a try to deliver a notification.
pub(crate) fn delivery(outcome: &'static str) {
    METRICS.1.deliveries.get_or_create(&Label { outcome }).inc();
}

/// Counts a file in the cache that was not loaded.
pub(crate) fn cache_refused() {
    METRICS.1.cache_refused.inc();
}

/// Shows how many executions this host drives.
pub(crate) fn running(count: usize) {
    METRICS.1.running.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// Shows what was set aside for instances, and what they use, in bytes.
pub(crate) fn instance_memory(reserved: u64, used: u64) {
    METRICS.1.instance_memory_reserved.set(i64::try_from(reserved).unwrap_or(i64::MAX));
    METRICS.1.instance_memory_used.set(i64::try_from(used).unwrap_or(i64::MAX));
}

/// All of it, in the OpenMetrics text format.
pub(crate) fn text(open: &Open, outbox: &Backlog) -> String {
    let (registry, metrics) = &*METRICS;
    metrics.open_pauses.set(open.count);
    metrics.oldest_pause.set(open.oldest_seconds);
    metrics.outbox_due.set(outbox.due);
    metrics.outbox_oldest.set(outbox.oldest_seconds);
    let mut written = String::new();
    // Writing to a string cannot fail.
    let _ = text::encode(&mut written, registry);
    written
}
