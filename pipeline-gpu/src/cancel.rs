//! The flag by which one item's work is told to stop.

use tokio_util::sync::CancellationToken;

/// Tells the work on one item to stop. Clones share one flag; a child stops with its parent, not the
/// other way round.
#[derive(Clone, Debug, Default)]
pub struct Cancel(CancellationToken);

impl Cancel {
    /// Makes a flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a flag that is set with this one, or by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Sets the flag. Setting it again does nothing.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Tells whether the work should stop: one atomic load, cheap enough for an inner loop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the flag is set.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }
}
