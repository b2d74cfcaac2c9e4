//! What supersedes an event and how long it is kept.

use crate::event::Data;

/// What supersedes an event and how long it is kept: its class, with the key of State.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the four classes decide everything"
)]
pub enum Retention {
    /// Superseded by the next of the same key.
    State(String),
    /// Never superseded.
    Milestone,
    /// Never superseded, kept in a ring of its own.
    Log,
    /// The last of its run.
    Terminal,
}

impl Data {
    /// Tells what supersedes such an event and how long it is kept. The key of State is that of
    /// its event type and its stage or key; it means something only within one task.
    #[must_use]
    pub fn retention(&self) -> Retention {
        match self {
            Self::ProgressUpdate(update) => Retention::State(match &update.stage {
                Some(stage) => format!("progress_update {stage}"),
                None => "progress_update".to_owned(),
            }),
            Self::Custom(custom) => match &custom.key {
                Some(key) => Retention::State(format!("{} {key}", custom.event_type)),
                None => Retention::Milestone,
            },
            Self::Log(_) => Retention::Log,
            Self::Complete(_) => Retention::Terminal,
            Self::Queued(_)
            | Self::Started(_)
            | Self::StageChange(_)
            | Self::Error(_)
            | Self::Paused(_)
            | Self::Resumed(_)
            | Self::Stalled(_)
            | Self::Recovered(_)
            | Self::CancelRequested(_) => Retention::Milestone,
        }
    }

    /// Tells whether the live list of tasks shows it.
    pub(crate) fn is_listed(&self) -> bool {
        !matches!(self, Self::Log(_) | Self::Error(_) | Self::Custom(_))
    }
}
