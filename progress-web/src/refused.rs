//! What the tracker refuses, as the wire has it.

use std::{error::Error, time::Duration};

use progress_core::{
    CancelError, ChannelError, InvalidChannelName, InvalidEventType, InvalidInput, Limits,
    PublishError, RemoveError, StageError, StartError, TaskId,
};

use crate::error::{ApiError, Code};

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        let message = said(&error);
        match error {
            StartError::InvalidTaskId(error) => error.into(),
            StartError::AlreadyExists(_) => Self::new(Code::AlreadyExists, message),
            StartError::TooManyTasks { limit } => Self::new(Code::TooManyTasks, message)
                .detail("limit", limit)
                .retry_after(Duration::from_secs(5)),
            StartError::Stage(error) => limited(invalid("stages", message), &error),
            StartError::Channel(error) => error.into(),
            StartError::TooManyChannels { limit } => {
                invalid("channels", message).detail("limit", limit)
            }
            StartError::TooManyLabels { limit } => {
                invalid("labels", message).detail("limit", limit)
            }
            StartError::TooLong { field, limit, .. } => {
                let field = match field {
                    "label name" | "label value" => "labels",
                    "stage label" | "stage unit" => "stages",
                    field => field,
                };
                invalid(field, message).detail("limit", limit)
            }
            StartError::Draining => {
                Self::new(Code::Draining, message).retry_after(Duration::from_secs(1))
            }
            StartError::Unavailable(_) => Self::transport_down(AWAY),
            _ => Self::new(Code::Internal, message),
        }
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        let message = said(&error);
        match error {
            PublishError::AlreadyComplete => Self::new(Code::AlreadyComplete, message),
            PublishError::Owned => Self::new(Code::TaskOwned, message),
            PublishError::Superseded => Self::new(Code::Superseded, message),
            PublishError::NotFound => Self::new(Code::TaskNotFound, message),
            PublishError::TooManyKeys { limit } => {
                Self::new(Code::TooManyKeys, message).detail("limit", limit)
            }
            PublishError::HistoryFull { limit } => {
                Self::new(Code::PayloadTooLarge, message).detail("limit", limit)
            }
            PublishError::PayloadTooLarge { field, limit, .. } => {
                Self::new(Code::PayloadTooLarge, message)
                    .field(field)
                    .detail("limit", limit)
            }
            PublishError::TooDeep { field, limit } => Self::new(Code::InvalidEvent, message)
                .field(field)
                .detail("limit", limit),
            PublishError::KeyTooLong { .. } => Self::new(Code::InvalidEvent, message)
                .field("key")
                .detail("limit", Limits::NAME_LEN),
            PublishError::InvalidEventType(error) => Self::new(
                match error {
                    InvalidEventType::Reserved => Code::ReservedEventType,
                    _ => Code::InvalidEvent,
                },
                message,
            )
            .field("event_type"),
            PublishError::InvalidInput(error) => input(&error, message),
            PublishError::InvalidTaskId(error) => error.into(),
            PublishError::Channel(error) => error.into(),
            PublishError::Unavailable(_) => Self::transport_down(AWAY),
            PublishError::QueueFull { limit } => {
                Self::transport_down(message).detail("limit", limit)
            }
            // Why is for operators: the tracker's link has logged it.
            PublishError::Refused { .. } => {
                Self::new(Code::Refused, "the broker refused the event")
            }
            // What only who holds a handle can meet.
            _ => Self::new(Code::Internal, message),
        }
    }
}

impl From<ChannelError> for ApiError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Invalid(error) => error.into(),
            ChannelError::TooMany { limit } => {
                Self::new(Code::TooManyChannels, error.to_string()).detail("limit", limit)
            }
            error => Self::new(Code::Internal, error.to_string()),
        }
    }
}

impl From<InvalidChannelName> for ApiError {
    fn from(error: InvalidChannelName) -> Self {
        Self::new(Code::InvalidChannel, error.to_string())
            .field("channel")
            .detail("limit", TaskId::MAX_LEN)
    }
}

impl From<CancelError> for ApiError {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::Lookup(error) => error.into(),
            error @ CancelError::AlreadyComplete(_) => {
                Self::new(Code::AlreadyComplete, error.to_string())
            }
            error => Self::new(Code::Internal, error.to_string()),
        }
    }
}

impl From<RemoveError> for ApiError {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Lookup(error) => error.into(),
            error @ RemoveError::StillRunning(_) => {
                Self::new(Code::StillRunning, error.to_string())
            }
            error => Self::new(Code::Internal, error.to_string()),
        }
    }
}

/// A field of a body is wrong.
pub(crate) fn invalid(field: &str, message: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidBody, message).field(field)
}

fn input(error: &InvalidInput, message: String) -> ApiError {
    let refused = ApiError::new(Code::InvalidEvent, message);
    match error {
        InvalidInput::NotAnObject | InvalidInput::NothingToSay => refused.field("data"),
        InvalidInput::Missing { field } | InvalidInput::Field { field, .. } => refused.field(field),
        InvalidInput::Length { field, limit, .. } => refused.field(field).detail("limit", *limit),
        InvalidInput::Stage(error) => limited(refused.field("stage"), error),
        _ => refused,
    }
}

/// Adds the limit that a stage is past, if it is.
fn limited(refused: ApiError, error: &StageError) -> ApiError {
    match error {
        StageError::TooLong { .. } => refused.detail("limit", Limits::NAME_LEN),
        StageError::TooDeep { .. } => refused.detail("limit", Limits::STAGE_DEPTH),
        StageError::TooMany { limit } => refused.detail("limit", *limit),
        StageError::Weight => refused.detail("limit", Limits::LARGEST_WEIGHT),
        _ => refused,
    }
}

/// What a broker's error says is for operators, and may hold addresses.
const AWAY: &str = "the broker cannot be reached";

/// An error and what it is due to, in one line.
fn said(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", said(cause)),
        None => error.to_string(),
    }
}
