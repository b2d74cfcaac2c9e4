//! A session: one client's connection, from subscriptions to frames.
//!
//! [`machine`] is the state machine, which takes `now` and does no I/O: frames, messages and time
//! go in, output and effects come out. Its parts are [`door`], [`frames`], [`commands`] and [`vector`].
//! [`stream`] is the small shell that polls subscriptions, answers and a timer and feeds it.

mod command;
mod commands;
mod door;
mod flight;
mod frames;
mod linger;
mod machine;
mod open;
mod output;
mod places;
mod rate;
mod source;
mod stream;
mod topic;
mod vector;
mod writer;

pub(crate) use self::{
    command::Registration,
    machine::{Pace, Shape},
    open::expiry,
    rate::MessageRate,
    topic::Name,
};
pub use self::{
    output::{Close, Output},
    stream::Session,
};
