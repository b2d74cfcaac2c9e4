//! What the benches share.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use criterion::Criterion;

/// An event as a hand-made channel of them sends it: the baselines' side of a comparison.
#[derive(Debug)]
pub struct PlainEvent {
    /// The task.
    pub task_id: Arc<str>,
    /// Its number.
    pub seq: u64,
    /// When it happened.
    pub timestamp: SystemTime,
    /// What happened.
    pub message: Box<str>,
}

impl PlainEvent {
    /// Makes an event that happens now.
    #[must_use]
    pub fn now(task_id: &Arc<str>, seq: u64) -> Arc<Self> {
        Arc::new(Self {
            task_id: Arc::clone(task_id),
            seq,
            timestamp: SystemTime::now(),
            message: MESSAGE.into(),
        })
    }
}

/// What all events say.
pub const MESSAGE: &str = "the render service is busy";

/// Short enough that the whole suite runs within two minutes.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args()
}
