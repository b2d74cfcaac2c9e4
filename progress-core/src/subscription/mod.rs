//! Watching a task from within the process.

mod frame;
mod options;
mod sleepers;
mod stream;

pub(crate) use self::sleepers::{Place, Sleepers, Wakers};
pub use self::{
    frame::{Delivered, Frame, GapFrame, ResetFrame, ResetReason, Resume, SubscribeError, Verdict},
    options::{Replay, SubscribeOptions},
    stream::Subscription,
};
