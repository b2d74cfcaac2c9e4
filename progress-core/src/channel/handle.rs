//! Publishing into a channel without a task.

use std::sync::Arc;

use crate::{
    channel::{ChannelBody, ChannelName, IntoChannelName},
    error::{ChannelError, PublishError},
    event::{Custom, EventPayload},
    position::Position,
    subscription::{ChannelSubscription, SubscribeError, SubscribeOptions},
    task::to_custom,
    tracker::TrackerShared,
};

/// A channel to publish into: a cheap clone of a name and its tracker.
///
/// ```
/// use progress_core::{EventPayload, ProgressTracker};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct DiskFull {
///     free_bytes: u64,
/// }
///
/// impl EventPayload for DiskFull {
///     const EVENT_TYPE: &'static str = "disk_full";
/// }
///
/// let tracker = ProgressTracker::new();
/// tracker.channel("system").emit(DiskFull { free_bytes: 0 })?;
/// # Ok::<(), progress_core::PublishError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Channel {
    pub(super) tracker: Arc<TrackerShared>,
    pub(super) name: Result<ChannelName, ChannelError>,
}

impl Channel {
    pub(crate) fn new(tracker: Arc<TrackerShared>, name: impl IntoChannelName) -> Self {
        Self {
            tracker,
            name: name.into_channel_name().map_err(ChannelError::Invalid),
        }
    }

    /// Publishes an event of no task. With a transport it is handed over and sent as soon as the
    /// broker can be reached, in order.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the channel's name, the event's type, key or size is out of bounds, or
    /// with a transport too many events wait for the broker.
    #[expect(clippy::needless_pass_by_value, reason = "an event is given away")]
    pub fn emit<T: EventPayload>(&self, event: T) -> Result<(), PublishError> {
        let (name, custom) = self.check(&event)?;
        match &self.tracker.link {
            Some(link) => {
                link.ensure_running(&self.tracker);
                link.emit(name, custom, self.tracker.now())
            }
            None => self.append(&name, custom).map(drop),
        }
    }

    /// Publishes an event of no task and waits until it is numbered.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), and [`PublishError::Unavailable`] if the broker cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the event is published.
    pub async fn emit_confirmed<T: EventPayload>(
        &self,
        event: T,
    ) -> Result<Position, PublishError> {
        let (name, custom) = self.check(&event)?;
        match &self.tracker.link {
            Some(link) => {
                link.submit_to_channel(name, custom, self.tracker.now())
                    .await
            }
            None => self.append(&name, custom),
        }
    }

    /// Watches the channel; see
    /// [`subscribe_channel`](crate::ProgressTracker::subscribe_channel).
    #[must_use]
    pub fn subscribe(&self, options: SubscribeOptions) -> ChannelSubscription {
        match &self.name {
            Ok(name) => self.tracker.subscribe_channel(name.clone(), options),
            Err(error) => ChannelSubscription::rejected(SubscribeError::Channel(error.clone())),
        }
    }

    fn check<T: EventPayload>(&self, event: &T) -> Result<(ChannelName, Custom), PublishError> {
        let name = self.checked_name()?;
        Ok((name, to_custom(event, &self.tracker.limits)?))
    }

    fn append(&self, name: &ChannelName, custom: Custom) -> Result<Position, PublishError> {
        let channel = self.tracker.channel(name).map_err(PublishError::Channel)?;
        let body = ChannelBody::Own {
            custom: Box::new(custom),
            timestamp: self.tracker.now(),
        };
        let mut wakers = Vec::new();
        let appended = channel.append(body, &mut wakers);
        for wakers in wakers {
            drop(wakers.wake());
        }
        appended.map_err(PublishError::from)
    }
}
