//! What the renderer says of a job.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::link::{ResultLink, said};

/// A job, as the renderer tells it when asked and to webhooks. Fields that are not here are passed
/// over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Talk {
    /// What to ask for it by.
    pub id: String,
    /// How far it is.
    pub status: TalkStatus,
    /// Where the video lies, once it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_url: Option<ResultLink>,
    /// Why it failed or was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TalkError>,
    /// How long the video is, in seconds, once it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// What came with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TalkStatus {
    /// It waits.
    Created,
    /// It is being rendered.
    Started,
    /// It is done, and there is a result.
    Done,
    /// It failed.
    Error,
    /// It will not be rendered, for what it shows or says.
    Rejected,
    /// Something that is not known here; it is waited on.
    #[serde(other)]
    Other,
}

impl TalkStatus {
    /// Whether nothing more comes.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Error | Self::Rejected)
    }
}

impl fmt::Display for TalkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Done => "done",
            Self::Error => "error",
            Self::Rejected => "rejected",
            Self::Other => "other",
        })
    }
}

/// Why a job came to nothing, in the renderer's words.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TalkError {
    /// What kind of error it is, as `FaceError`.
    #[serde(default)]
    pub kind: String,
    /// What happened.
    #[serde(default)]
    pub description: String,
}

impl fmt::Debug for TalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may repeat links that are signed.
        f.debug_struct("TalkError")
            .field("kind", &said(&self.kind))
            .field("description", &said(&self.description))
            .finish()
    }
}
