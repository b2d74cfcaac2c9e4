//! Publishing from inside the process, to be measured by others.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use progress_core::{EventPayload, ProgressTracker, StartError, Task};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

/// `GET /bench/{events}/{rate}/{tasks}/{prefix}`: publishes so many events to each of the tasks
/// `PREFIX-0` … `PREFIX-(tasks-1)`, at so many a second over all (0: without a pause), and answers when
/// all is published. `?kind=state` publishes State under one key, else each event is a milestone.
///
/// The tasks stay live, as those do whose work goes on, until [`RUNS`] later runs have begun.
pub(crate) fn routes(tracker: ProgressTracker) -> Router {
    Router::new()
        .route("/bench/{events}/{rate}/{tasks}/{prefix}", get(run))
        .with_state(Bench {
            tracker,
            runs: Arc::default(),
        })
}

#[derive(Clone)]
struct Bench {
    tracker: ProgressTracker,
    runs: Arc<Mutex<VecDeque<Vec<Task>>>>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    kind: String,
}

async fn run(
    State(bench): State<Bench>,
    Path((events, rate, tasks, prefix)): Path<(u64, f64, u64, String)>,
    Query(Kind { kind }): Query<Kind>,
) -> Result<String, (StatusCode, String)> {
    let refused = |error: String| (StatusCode::BAD_REQUEST, error);
    if events.saturating_mul(tasks) > MOST_EVENTS || tasks > MOST_TASKS {
        let limits = format!("at most {MOST_EVENTS} events in all and {MOST_TASKS} tasks\n");
        return Err(refused(limits));
    }
    let tasks: Result<Vec<_>, StartError> = (0..tasks)
        .map(|n| bench.tracker.task(format!("{prefix}-{n}")).start())
        .collect();
    let tasks = tasks.map_err(|error| refused(format!("{error}\n")))?;
    let begun = Instant::now();
    let mut published = 0_u64;
    for seq in 0..events {
        for task in &tasks {
            if rate > 0.0 {
                sleep_until(begun + Duration::from_secs_f64(published as f64 / rate)).await;
            } else if published % 256 == 255 {
                tokio::task::yield_now().await;
            }
            let event = BenchEvent::new(seq);
            let told = match kind.as_str() {
                "state" => task.emit(BenchState(event)),
                _ => task.emit(event),
            };
            told.map_err(|error| refused(format!("{error}\n")))?;
            published += 1;
        }
    }
    let mut runs = bench.runs.lock().unwrap_or_else(PoisonError::into_inner);
    runs.push_back(tasks);
    if runs.len() > RUNS {
        runs.pop_front();
    }
    Ok(format!("{published} events in {:?}\n", begun.elapsed()))
}

/// An event of some 300 bytes, with the time at which it was published.
#[derive(Debug, Serialize)]
struct BenchEvent {
    seq: u64,
    ts_ns: u64,
    status: &'static str,
    progress: f64,
    current: u64,
    total: u64,
    message: &'static str,
    worker: &'static str,
}

impl BenchEvent {
    fn new(seq: u64) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            seq,
            ts_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            status: "running",
            progress: 0.4321,
            current: 4_321,
            total: 10_000,
            message: "Processing batch 4321 of 10000: embedding documents",
            worker: "worker-07",
        }
    }
}

impl EventPayload for BenchEvent {
    const EVENT_TYPE: &'static str = "bench";
}

#[derive(Debug, Serialize)]
struct BenchState(BenchEvent);

impl EventPayload for BenchState {
    const EVENT_TYPE: &'static str = "bench_state";

    fn key(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some("present".into())
    }
}

/// Runs whose tasks stay live.
const RUNS: usize = 4;
const MOST_EVENTS: u64 = 10_000_000;
const MOST_TASKS: u64 = 100_000;
