//! What is counted, and how it is told.
//!
//! Each series is told twice ([`series`]): to the gateway's own recorder, which `GET /metrics`
//! renders, so that two gateways of a process do not mix; and to the recorder of the process, if the
//! service has installed one, so that the series stand beside the service's own.
//!
//! [`counts`] holds what the gateway counts itself, [`tracker`] takes over what its tracker has
//! counted. What happens once a frame is no affair of theirs: a session keeps a [`Tally`] of plain
//! numbers and hands it in with every batch.

mod counts;
mod delivery;
mod series;
mod tracker;

pub(crate) use self::{
    counts::{Counted, Metrics},
    delivery::Tally,
    tracker::keep_current,
};
