//! The table of docs/performance.md: publish-with-review on a host, beside the same written by hand.

use std::time::{Duration, Instant};

use countersign_tests::Database;
use serde_json::json;

use crate::flow::{decide, pause, see, stretch};
use crate::pgbench;
use crate::picture;
use crate::statements::Statements;
use crate::subject::Subject;
use crate::table::{Goal, Table, median};

/// How much of everything.
struct Scale {
    rounds: usize,
    stretch: Duration,
    /// Runs that are started in each round, and left paused.
    starts: usize,
    /// How many are paused in the end.
    paused: usize,
    /// How long an idle host is looked at.
    idle: Duration,
    restarts: usize,
    steps: &'static [u32],
    language_steps: u32,
}

const FULL: Scale = Scale {
    rounds: 5,
    stretch: Duration::from_secs(5),
    starts: 2_000,
    paused: 100_000,
    idle: Duration::from_secs(20),
    restarts: 5,
    steps: &[1_000, 10_000, 100_000],
    language_steps: 10_000,
};

const QUICK: Scale = Scale {
    rounds: 2,
    stretch: Duration::from_millis(1_500),
    starts: 1_000,
    paused: 5_000,
    idle: Duration::from_secs(5),
    restarts: 2,
    steps: &[1_000, 10_000],
    language_steps: 1_000,
};

/// How many runs are started at once for `starts`.
const STARTS_AT_ONCE: usize = 16;

pub(crate) async fn measure(is_quick: bool) {
    let scale = if is_quick { QUICK } else { FULL };
    let mut table = Table::default();
    let (mut here, bare) = (Subject::countersign().await, Subject::bare().await);
    here.restart().await;
    Table::head();
    tokio::time::sleep(Duration::from_secs(2)).await;
    table.alone("host idle after its start", "MiB", mib(here.host().memory()), Goal::AtMost(40.0));
    pgbench::measure(&bare.database, &mut table).await;
    throughput(&scale, &here, &bare, &mut table).await;
    starts(&scale, &here, &bare, &mut table).await;
    restarts(&scale, &mut here, &mut table).await;
    idle(&scale, &mut here, &mut table).await;
    steps(&scale, &here, &mut table).await;
    picture::write(&table);
}

/// The rows about journals of many steps, alone.
pub(crate) async fn measure_steps(is_quick: bool) {
    let here = Subject::countersign().await;
    Table::head();
    steps(if is_quick { &QUICK } else { &FULL }, &here, &mut Table::default()).await;
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Complete runs in a second, and what a resume takes, at several numbers of runs in flight; the two in turns.
async fn throughput(scale: &Scale, here: &Subject, bare: &Subject, table: &mut Table) {
    for subject in [here, bare] {
        stretch(subject, 16, scale.stretch).await;
    }
    for in_flight in [1, 16, 64] {
        let (mut rates, mut p50s, mut p99s) = (vec![], vec![], vec![]);
        for _ in 0..scale.rounds {
            let both = [stretch(here, in_flight, scale.stretch).await, stretch(bare, in_flight, scale.stretch).await];
            rates.push(both.each_ref().map(|stretch| stretch.rate));
            let sorted = both.map(|mut stretch| {
                stretch.resumes.sort_unstable();
                stretch.resumes
            });
            let at = |part: usize| sorted.each_ref().map(|times| ms(times[(times.len() - 1) * part / 100]));
            p50s.push(at(50));
            p99s.push(at(99));
        }
        let what = format!("complete runs, {in_flight} in flight");
        table.beside(&what, "runs/s", medians(&rates), Goal::AtLeast(0.6));
        let goal = || if in_flight <= 16 { Goal::AtMost(2.0) } else { Goal::None };
        table.beside(&format!("resume p50, {in_flight} in flight"), "ms", medians(&p50s), goal());
        table.beside(&format!("resume p99, {in_flight} in flight"), "ms", medians(&p99s), goal());
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn medians(pairs: &[[f64; 2]]) -> (f64, f64) {
    let of = |which: usize| median(pairs.iter().map(|pair| pair[which]).collect());
    (of(0), of(1))
}

/// Starts until the first pause; and what those cost that then wait.
async fn starts(scale: &Scale, here: &Subject, bare: &Subject, table: &mut Table) {
    // What an allocator and a table keep once they have grown is nobody's.
    for subject in [here, bare] {
        pause(subject, scale.starts, STARTS_AT_ONCE).await;
    }
    let (memory, rows) = (here.host().memory(), bytes(&here.database).await);
    let bare_rows = bytes(&bare.database).await;
    let mut rates = vec![];
    for _ in 0..scale.rounds {
        let here = pause(here, scale.starts, STARTS_AT_ONCE).await.0;
        rates.push([here, pause(bare, scale.starts, STARTS_AT_ONCE).await.0]);
    }
    table.beside("starts until the first pause", "starts/s", medians(&rates), Goal::AtLeast(0.5));
    let count = (scale.rounds * scale.starts) as f64;
    let grown = here.host().memory().saturating_sub(memory) as f64 / count / 1_024.0;
    table.alone("memory of the host for each paused run", "KiB", grown, Goal::AtMost(0.2));
    let each = (bytes(&here.database).await - rows) / count / 1_024.0;
    let bare_each = (bytes(&bare.database).await - bare_rows) / count / 1_024.0;
    table.alone("database for each paused run", "KiB", each, Goal::AtMost(1.5));
    table.alone("… of the flow written by hand", "KiB", bare_each, Goal::None);
}

/// What all tables and indexes take, once nothing dead is left in them that could be used again.
async fn bytes(database: &Database) -> f64 {
    sqlx::raw_sql("vacuum").execute(&database.pool).await.expect("a vacuum");
    let sum = "select sum(pg_total_relation_size(oid))::bigint from pg_class
               where relkind = 'r' and relnamespace = 'public'::regnamespace";
    database.number(sum).await as f64
}

/// From `kill -9` until a run is complete whose decision is sent as soon as the host is back.
async fn restarts(scale: &Scale, here: &mut Subject, table: &mut Table) {
    let mut times = vec![];
    for _ in 0..scale.restarts {
        let (_, runs) = pause(here, 1, 1).await;
        decide(here, &runs[0], "draft-review", Some("final-approval")).await;
        let began = Instant::now();
        here.host_mut().kill();
        here.host_mut().restart(&[]).await;
        here.find_host();
        decide(here, &runs[0], "final-approval", None).await;
        times.push(ms(began.elapsed()));
    }
    table.alone("kill -9 until the first resumed run is complete", "ms", median(times), Goal::AtMost(500.0));
}

/// A host that does nothing, with many paused runs and with none.
async fn idle(scale: &Scale, here: &mut Subject, table: &mut Table) {
    let mut none = Subject::countersign().await;
    none.restart().await;
    let count = "select count(*) from execution where status = 'waiting'";
    let paused = usize::try_from(here.database.number(count).await).unwrap_or(0);
    pause(here, scale.paused.saturating_sub(paused), STARTS_AT_ONCE).await;
    let paused = here.database.number(count).await;
    here.restart().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let memories = (mib(here.host().memory()), mib(none.host().memory()));
    let grown = 100.0 * (memories.0 / memories.1 - 1.0);
    table.alone(&format!("{paused} paused: memory of the idle host"), "MiB", memories.0, Goal::None);
    table.alone(&format!("{paused} paused: more than with none"), "%", grown, Goal::AtMost(5.0));
    drop(none);
    sqlx::raw_sql("vacuum analyze").execute(&here.database.pool).await.expect("a vacuum");
    let statements = Statements::watch(&here.database).await;
    let cpu = here.host().cpu();
    tokio::time::sleep(scale.idle).await;
    let used = (here.host().cpu() - cpu).as_secs_f64() / scale.idle.as_secs_f64();
    let asked = statements.count().await as f64 / scale.idle.as_secs_f64();
    table.alone(&format!("{paused} paused: idle host"), "% of a core", 100.0 * used, Goal::AtMost(0.5));
    table.alone(&format!("{paused} paused: idle host"), "queries/s", asked, Goal::AtMost(5.0));
}

/// What a decision takes after many steps: until the next pause is seen, of which the run has a few, or its end.
async fn steps(scale: &Scale, here: &Subject, table: &mut Table) {
    const PAUSES: usize = 5;
    let lift = "update tenant set limits = limits || '{\"asks\": 200000, \"journal_bytes\": 67108864, \"attempt_cpu_ms\": 600000}'
                where tenant_id = 'default'";
    sqlx::raw_sql(lift).execute(&here.database.pool).await.expect("a tenant's limits");
    let after = async |target: &str, input: serde_json::Value| {
        let run = here.start_other(target, &input).await;
        see(here, &run, Some("p0")).await;
        let mut times = vec![];
        for number in 0..PAUSES {
            let next = (number + 1 < PAUSES).then(|| format!("p{}", number + 1));
            times.push(ms(decide(here, &run, &format!("p{number}"), next.as_deref()).await));
        }
        median(times)
    };
    let mut ten_thousand = f64::NAN;
    for &steps in scale.steps {
        let time = after("testbed.ticks", json!({"n": steps, "pauses": PAUSES})).await;
        let goal = match steps {
            1_000 => 10.0,
            10_000 => 60.0,
            _ => 600.0,
        };
        table.alone(&format!("resume after {steps} steps"), "ms", time, Goal::AtMost(goal));
        match steps {
            10_000 => ten_thousand = time,
            100_000 => {
                let ratio = time / (10.0 * ten_thousand);
                table.alone("100000 steps, in units of ten times 10000", "×", ratio, Goal::AtMost(1.3));
            }
            _ => {}
        }
    }
    let mut rust = None;
    for language in ["rust", "python", "typescript"] {
        let (name, field) = match language {
            "rust" => ("testbed".to_owned(), "n"),
            language => (format!("testbed_{language}"), "count"),
        };
        here.deploy("spoken", &name).await;
        let time = after("spoken.ticks", json!({field: scale.language_steps, "pauses": PAUSES})).await;
        let ratio = time / *rust.get_or_insert(time);
        let what = format!("resume after {} steps, {language}", scale.language_steps);
        table.alone(&what, "ms", time, Goal::None);
        if language != "rust" {
            table.alone(&format!("… {language}, in units of rust"), "×", ratio, Goal::AtMost(5.0));
        }
    }
}

impl Subject {
    /// Stops the host and starts it again, with nothing left of what it has done so far.
    async fn restart(&mut self) {
        self.host_mut().stop().await;
        self.host_mut().restart(&[]).await;
        self.find_host();
    }
}
