//! Where a subscription begins and how far it may fall behind.

use crate::{log::OnLag, position::Position};

/// Where a subscription begins if it has no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "the wire's three words for it")]
pub enum Replay {
    /// With the first event that is still kept.
    #[default]
    All,
    /// With the newest event; the snapshot holds the rest.
    Latest,
    /// With the next event; the snapshot holds the rest. On a task that has ended, with its end.
    None,
}

/// Where a subscription begins, how far it may fall behind, and what happens then.
///
/// ```
/// use progress_core::{OnLag, Replay, SubscribeOptions};
///
/// let options = SubscribeOptions::new().replay(Replay::Latest).buffer(64).on_lag(OnLag::Close);
/// # drop(options);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    pub(crate) after: Option<Position>,
    pub(crate) replay: Replay,
    pub(crate) buffer: Option<usize>,
    pub(crate) on_lag: OnLag,
}

impl SubscribeOptions {
    /// Makes the options that [`subscribe`](crate::ProgressTracker::subscribe) uses.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the position that the reader has reached (default none): it goes on after it, whatever
    /// [`replay`](Self::replay) says, unless the task has been run anew since.
    #[must_use]
    pub fn after(mut self, position: impl Into<Option<Position>>) -> Self {
        self.after = position.into();
        self
    }

    /// Sets where to begin without a position (default [`Replay::All`]).
    #[must_use]
    pub fn replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    /// Bounds how many events the subscriber may fall behind (default: the log's window, 256).
    /// What the log held when it subscribed is replay and does not count. With
    /// [`OnLag::Conflate`] and no buffer set, only what left the window is skipped.
    #[must_use]
    pub fn buffer(mut self, events: usize) -> Self {
        self.buffer = Some(events);
        self
    }

    /// Sets what happens past the buffer (default [`OnLag::Conflate`]).
    #[must_use]
    pub fn on_lag(mut self, on_lag: OnLag) -> Self {
        self.on_lag = on_lag;
        self
    }
}
