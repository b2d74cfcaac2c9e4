//! Watching a task from within the process.

mod begin;
mod channel;
mod frame;
#[cfg(all(test, loom))]
mod loom_tests;
mod options;
mod sink;
mod sleepers;
mod stream;

pub(crate) use self::sleepers::{Place, Sleepers, Wakers};
pub use self::{
    channel::{ChannelDelivered, ChannelFrame, ChannelSubscription, ChannelVerdict},
    frame::{Delivered, Frame, GapFrame, ResetFrame, ResetReason, Resume, SubscribeError, Verdict},
    options::{Replay, SubscribeOptions},
    stream::Subscription,
};
