//! What the benches share: the events that they publish, the baselines beside them, and the scenes
//! that both the criterion benches and `validate` measure.
#![forbid(unsafe_code)]

pub mod events;
pub mod fanout;
pub mod inc;
pub mod rounds;
pub mod table;

use std::time::Duration;

use criterion::Criterion;

pub use self::events::{MESSAGE, PhotoApproved, PhotoScore, PlainEvent};

/// Short enough that the whole suite runs within two minutes.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args()
}
