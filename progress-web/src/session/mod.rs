//! A session: one client's connection, from subscriptions to frames.
//!
//! [`machine`] is the state machine, which takes `now` and does no I/O; [`stream`] is the small
//! shell that polls subscriptions and a timer and feeds it.

mod machine;
mod stream;

pub use self::{
    machine::{Close, Output},
    stream::Session,
};
pub(crate) use self::{
    machine::{Pace, Shape},
    stream::Topic,
};
