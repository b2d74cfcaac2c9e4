//! Reporting: counters, stages and percent, events, and what they look like on the wire.

mod common;

#[path = "reporting/counters.rs"]
mod counters;
#[path = "reporting/fold.rs"]
mod fold;
#[path = "reporting/present.rs"]
mod present;
#[path = "reporting/stages.rs"]
mod stages;
#[path = "reporting/wire.rs"]
mod wire;
