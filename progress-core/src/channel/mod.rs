//! Channels: logs that the events of many tasks are copied into, and events of no task.

mod event;
mod handle;
mod name;
mod publish;
mod shared;

pub(crate) use self::shared::{ChannelShared, Channels, Feeds};
pub use self::{
    event::{ChannelBody, ChannelEvent},
    handle::Channel,
    name::{ChannelName, IntoChannelName, InvalidChannelName},
};
