//! The driver: keeps runs of the workload in flight, deciding each pause the moment it is seen.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};

use tokio::sync::oneshot;

use crate::observer::Seen;
use crate::subject::Subject;

/// How long a run may take to the next pause: one that journals 100,000 steps takes a minute.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a stretch of time has brought.
pub(crate) struct Stretch {
    /// Complete runs in a second.
    pub(crate) rate: f64,
    /// From before the decision is sent until the next pause is seen.
    pub(crate) resumes: Vec<Duration>,
}

/// Keeps so many runs in flight for this long. What begins within it counts, until its end.
pub(crate) async fn stretch(subject: &Subject, in_flight: usize, time: Duration) -> Stretch {
    let began = Instant::now();
    let lanes = (0..in_flight).map(|_| async {
        let mut resumes = vec![];
        while began.elapsed() < time {
            resumes.push(run(subject).await);
        }
        resumes
    });
    let resumes: Vec<Duration> = futures::future::join_all(lanes).await.into_iter().flatten().collect();
    Stretch { rate: resumes.len() as f64 / began.elapsed().as_secs_f64(), resumes }
}

/// One complete run. Returns what its resume took.
async fn run(subject: &Subject) -> Duration {
    let run = subject.start().await;
    see(subject, &run, Some("draft-review")).await;
    let resume = decide(subject, &run, "draft-review", Some("final-approval")).await;
    decide(subject, &run, "final-approval", None).await;
    resume
}

/// Starts so many runs, a few at a time, and returns how many were paused in a second, with their ids.
pub(crate) async fn pause(subject: &Subject, count: usize, at_once: usize) -> (f64, Vec<String>) {
    let began = Instant::now();
    let runs = stream::iter(0..count)
        .map(|_| async {
            let run = subject.start().await;
            see(subject, &run, Some("draft-review")).await;
            run
        })
        .buffer_unordered(at_once);
    let runs: Vec<String> = runs.collect().await;
    (count as f64 / began.elapsed().as_secs_f64(), runs)
}

/// Decides the pause that is open, and returns the time until the next one is, or the end is seen.
pub(crate) async fn decide(subject: &Subject, run: &str, pause: &str, next: Option<&str>) -> Duration {
    let seen = subject.observer.next(run, Some(pause));
    let began = Instant::now();
    assert!(subject.decide(run, pause).await, "{run}: the decision of {pause} was not taken");
    seen_at(run, seen, next).await.duration_since(began)
}

/// Waits until a run has come to this pause, or its end, and says when that was seen.
pub(crate) async fn see(subject: &Subject, run: &str, pause: Option<&str>) -> Instant {
    seen_at(run, subject.observer.next(run, None), pause).await
}

async fn seen_at(run: &str, seen: oneshot::Receiver<Seen>, pause: Option<&str>) -> Instant {
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    let (at, when) = seen.unwrap_or_else(|_| panic!("{run} never came to {pause:?}")).expect("somebody looks");
    assert_eq!(at.as_deref(), pause, "{run}");
    when
}
