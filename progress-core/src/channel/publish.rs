//! Publishing into a channel what came from outside.

use std::{borrow::Cow, sync::Arc};

use crate::{
    channel::{Channel, ChannelBody, ChannelName, InvalidChannelName},
    error::{ChannelError, PublishError},
    event::{Custom, check_event_type},
    limits::Limits,
    link::Link,
    position::Position,
    shared::{EventInput, Published, check_envelope},
    transport::TransportError,
};

impl Channel {
    /// Publishes events of no task that came from outside, one after the other; what is refused
    /// does not keep the others from being published. All of them are custom events.
    ///
    /// An event with an [`id`](EventInput::id) is published once: sent again it is answered with
    /// its first position. The newest 1 024 ids of each channel are remembered.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if nothing was published for a reason that concerns all of it:
    /// [`Channel`](PublishError::Channel), [`Unavailable`](PublishError::Unavailable). What
    /// concerns single events is in [`Published::errors`].
    ///
    /// # Cancel safety
    ///
    /// With a transport, dropping the future leaves it open what was published. Without one it
    /// takes effect at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use progress_core::{EventInput, ProgressTracker};
    /// use serde_json::json;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let tracker = ProgressTracker::new();
    /// let full = EventInput::new("disk_full", &json!({"free_bytes": 0}))?;
    /// let published = tracker.channel("system").publish(vec![full]).await?;
    /// assert_eq!(published.accepted, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn publish(&self, events: Vec<EventInput>) -> Result<Published, PublishError> {
        let name = self.checked_name()?;
        let limits = &self.tracker.limits;
        let mut published = Published::none();
        let Some(link) = &self.tracker.link else {
            let channel = self.tracker.channel(&name).map_err(PublishError::Channel)?;
            let mut wakers = Vec::new();
            for (index, event) in events.into_iter().enumerate() {
                let position = to_custom(&event, limits).and_then(|custom| {
                    let body = ChannelBody::Own {
                        custom: Box::new(custom),
                        timestamp: self.tracker.now(),
                    };
                    let position = channel.append_once(body, event.id.as_ref(), &mut wakers);
                    position.map_err(PublishError::from)
                });
                published.note(index, position);
            }
            for wakers in wakers {
                drop(wakers.wake());
            }
            return published.or_whole();
        };
        link.ensure_running(&self.tracker);
        for (chunk, events) in events.chunks(EVENTS_AT_ONCE).enumerate() {
            let positions = self.submit(link, &name, events).await;
            for (index, position) in positions.into_iter().enumerate() {
                published.note(chunk * EVENTS_AT_ONCE + index, position);
            }
        }
        published.or_whole()
    }

    /// Has the broker number some events; an answer for each.
    async fn submit(
        &self,
        link: &Link,
        name: &ChannelName,
        events: &[EventInput],
    ) -> Vec<Result<Position, PublishError>> {
        let now = self.tracker.now();
        let mut taken = Vec::new();
        let refused: Vec<_> = events
            .iter()
            .map(|event| {
                let custom = to_custom(event, &self.tracker.limits)?;
                taken.push((custom, event.id.clone()));
                Ok(())
            })
            .collect();
        let mut answers = match taken.is_empty() {
            true => Vec::new(),
            false => link.submit_all_to_channel(name, taken, now).await,
        }
        .into_iter();
        let unanswered = || {
            let error = TransportError::new("the broker gave no answer");
            Err(PublishError::Unavailable(error))
        };
        refused
            .into_iter()
            .map(|checked| checked.and_then(|()| answers.next().unwrap_or_else(unanswered)))
            .collect()
    }

    pub(super) fn checked_name(&self) -> Result<ChannelName, PublishError> {
        let name = self.name.clone().map_err(PublishError::Channel)?;
        match name.is_reserved() {
            true => Err(PublishError::Channel(ChannelError::Invalid(
                InvalidChannelName::Reserved,
            ))),
            false => Ok(name),
        }
    }
}

fn to_custom(event: &EventInput, limits: &Limits) -> Result<Custom, PublishError> {
    check_envelope(event, limits)?;
    check_event_type(&event.event_type).map_err(PublishError::InvalidEventType)?;
    Ok(Custom {
        event_type: Cow::Owned(event.event_type.clone()),
        key: event.key.as_ref().map(Arc::clone),
        data: event.data.clone(),
    })
}

/// Sent to the broker together.
const EVENTS_AT_ONCE: usize = 256;
