//! The seven channels.

use std::fmt;

/// Where an event goes: what a client subscribes to, and what a role may hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Work: what is taken, how far it is, how it ended.
    Jobs,
    /// Pictures, from their import to the word of a reviewer.
    Photos,
    /// Sessions: the shoots that pictures belong to.
    Sessions,
    /// The machine, and what went wrong on it.
    System,
    /// What waits for a worker, in which order.
    Queue,
    /// What waits for a reviewer.
    Approval,
    /// Archives of approved pictures.
    Export,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Jobs,
        Self::Photos,
        Self::Sessions,
        Self::System,
        Self::Queue,
        Self::Approval,
        Self::Export,
    ];

    /// Returns the name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Photos => "photos",
            Self::Sessions => "sessions",
            Self::System => "system",
            Self::Queue => "queue",
            Self::Approval => "approval",
            Self::Export => "export",
        }
    }

    /// Finds one by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == name)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
