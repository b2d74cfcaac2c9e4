//! The flag by which one item's work is told to stop.

use tokio_util::sync::CancellationToken;

/// Tells the work on one item to stop. Clones share one flag; a child stops with its parent, not the other way round.
#[derive(Clone, Debug, Default)]
pub struct Cancel(CancellationToken);

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that is set with this one, or by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Sets the flag. Setting it again does nothing.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether the work should stop: one atomic load, cheap enough for an inner loop.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the flag is set. Cancel safe.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }
}
