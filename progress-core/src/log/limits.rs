//! How much a log keeps.

/// Bounds of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLimits {
    pub(super) window: usize,
    pub(super) milestones: usize,
    pub(super) logs: usize,
    pub(super) keys: u32,
    pub(super) bytes: usize,
}

impl LogLimits {
    /// Returns how many of the newest items are all kept.
    #[must_use]
    pub fn window_len(&self) -> usize {
        self.window
    }

    pub(crate) fn byte_budget(&self) -> usize {
        self.bytes
    }

    /// Sets how many of the newest items are all kept (default 256, at least 1).
    #[must_use]
    pub fn window(mut self, items: usize) -> Self {
        self.window = items.max(1);
        self
    }

    /// Sets how many milestones are kept below the window (default 1 024).
    #[must_use]
    pub fn milestones(mut self, items: usize) -> Self {
        self.milestones = items;
        self
    }

    /// Sets how many log lines are kept below the window (default 200).
    #[must_use]
    pub fn logs(mut self, items: usize) -> Self {
        self.logs = items;
        self
    }

    /// Sets how many State keys there can be (default 4 096).
    #[must_use]
    pub fn keys(mut self, keys: u32) -> Self {
        self.keys = keys;
        self
    }

    /// Sets the byte budget (default 1 MiB): past it the window shrinks first, then log lines go,
    /// then milestones. It can be exceeded by the newest item alone.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            window: 256,
            milestones: 1_024,
            logs: 200,
            keys: 4_096,
            bytes: 1024 * 1024,
        }
    }
}
