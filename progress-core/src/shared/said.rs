//! An input, read and checked: what its publisher says.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{
    error::PublishError,
    event::{
        Custom, InvalidEventType, Level, LogLine, Metadata, Note, Payload, Status, TaskError,
        check_event_type, check_text_depth,
    },
    limits::Limits,
    shared::{
        foreign::{self, Names},
        input::{EventInput, InvalidInput},
    },
    task::{check_stage_path, shorten},
};

/// What a publisher says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Update(Box<Update>),
    StageChange(Arc<str>),
    Log(Box<LogLine>),
    Error(TaskError),
    Paused(Note),
    Resumed(Note),
    Complete(Box<End>),
    Custom(Custom),
}

/// What has changed of the task, or of one of its stages.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Update {
    pub(crate) stage: Option<Arc<str>>,
    pub(crate) progress: Option<f64>,
    pub(crate) stage_progress: Option<f64>,
    pub(crate) current: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) unit: Option<Arc<str>>,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) metadata: Metadata,
    pub(crate) eta_ms: Option<u64>,
    pub(crate) stage_eta_ms: Option<u64>,
}

/// How the task ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) result: Option<Payload>,
    pub(crate) error: Option<TaskError>,
    pub(crate) cause: Option<Arc<str>>,
}

impl Said {
    /// Reads an input.
    pub(crate) fn read(input: &EventInput, limits: &Limits) -> Result<Self, PublishError> {
        check_envelope(input, limits)?;
        Ok(match input.event_type.as_str() {
            "progress_update" => {
                let fields = Fields::of(input)?.renamed(foreign::OF_UPDATES);
                Self::Update(Box::new(update(&fields, limits)?))
            }
            "stage_change" => {
                let path: Arc<str> = Fields::of(input)?.needed("current_stage")?;
                check_stage_path(&path).map_err(InvalidInput::from)?;
                Self::StageChange(path)
            }
            "log" => Self::Log(Box::new(line(&Fields::of(input)?, limits)?)),
            "error" => Self::Error(error(Fields::of(input)?, "data")?),
            "paused" => Self::Paused(note(&Fields::of(input)?, limits)?),
            "resumed" => Self::Resumed(note(&Fields::of(input)?, limits)?),
            "complete" => Self::Complete(Box::new(end(&Fields::of(input)?, limits)?)),
            custom => {
                check_event_type(custom).map_err(PublishError::InvalidEventType)?;
                Self::Custom(Custom {
                    event_type: Cow::Owned(custom.to_owned()),
                    key: input.key.clone(),
                    data: input.data.clone(),
                })
            }
        })
    }
}

/// Checks what every event has, whatever its type.
pub(crate) fn check_envelope(input: &EventInput, limits: &Limits) -> Result<(), PublishError> {
    let (len, limit) = (input.data.len(), limits.payload);
    if len > limit {
        return Err(PublishError::PayloadTooLarge {
            field: "data",
            len,
            limit,
        });
    }
    check_text_depth("data", input.data.json())?;
    if let Some(id) = &input.id
        && !(1..=EventInput::ID_LEN).contains(&id.len())
    {
        return Err(InvalidInput::Length {
            field: "id",
            len: id.len(),
            limit: EventInput::ID_LEN,
        }
        .into());
    }
    let Some(key) = &input.key else {
        return Ok(());
    };
    if key.len() > Limits::NAME_LEN {
        return Err(PublishError::KeyTooLong { len: key.len() });
    }
    match check_event_type(&input.event_type) {
        Err(InvalidEventType::Reserved) => Err(InvalidInput::Field {
            field: "key",
            reason: "only custom events have one".to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}

fn update(fields: &Fields<'_>, limits: &Limits) -> Result<Update, PublishError> {
    let update = Update {
        stage: fields.stage("stage")?,
        progress: fields.take("progress")?,
        stage_progress: fields.take("stage_progress")?,
        current: fields.take("current")?,
        total: fields.take("total")?,
        unit: fields.text("unit", Limits::NAME_LEN)?,
        message: fields.text("message", limits.message())?,
        metadata: fields.take("metadata")?.unwrap_or_default(),
        eta_ms: match fields.take("eta_ms")? {
            None => fields
                .json("estimated_remaining")
                .and_then(foreign::seconds),
            ms => ms,
        },
        stage_eta_ms: fields.take("stage_eta_ms")?,
    };
    let of_a_stage = update.stage_progress.is_some() || update.stage_eta_ms.is_some();
    if of_a_stage && update.stage.is_none() {
        return Err(InvalidInput::Missing { field: "stage" }.into());
    }
    let nothing = Update {
        stage: update.stage.clone(),
        ..Update::default()
    };
    if update == nothing {
        return Err(InvalidInput::NothingToSay.into());
    }
    Ok(update)
}

fn line(fields: &Fields<'_>, limits: &Limits) -> Result<LogLine, PublishError> {
    let message: Arc<str> = fields.needed("message")?;
    Ok(LogLine {
        n: 0,
        level: fields.word("level", foreign::level)?.unwrap_or(Level::Info),
        message: (*shorten(&message, limits.payload / 2)).into(),
        stage: fields.stage("stage")?,
        fields: fields.take("fields")?.unwrap_or_default(),
    })
}

fn note(fields: &Fields<'_>, limits: &Limits) -> Result<Note, PublishError> {
    Ok(Note {
        reason: fields.text("reason", limits.message())?,
    })
}

fn end(fields: &Fields<'_>, limits: &Limits) -> Result<End, PublishError> {
    let status = fields.word("status", foreign::status)?;
    let status = status.ok_or(InvalidInput::Missing { field: "status" })?;
    let error = match fields.json("error") {
        Some(json) => {
            let inner = Fields::read(json).ok_or_else(|| InvalidInput::Field {
                field: "error",
                reason: "it is no object".to_owned(),
            })?;
            Some(error(inner, "error")?)
        }
        None if status != Status::Completed => foreign::error(|field| fields.json(field)),
        None => None,
    };
    Ok(End {
        status,
        result: fields.take("result")?,
        error,
        cause: fields.text("cause", limits.message())?,
    })
}

fn error(fields: Fields<'_>, field: &'static str) -> Result<TaskError, PublishError> {
    let fields = fields.renamed(foreign::OF_ERRORS);
    let _code: Arc<str> = fields.needed("code")?;
    let _message: Arc<str> = fields.needed("message")?;
    let object = serde_json::to_string(&fields.0);
    let read = object.and_then(|object| serde_json::from_str(&object));
    read.map_err(|error| invalid(field, &error))
}

/// The fields of an object. One that is null is not there.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    fn of(input: &'a EventInput) -> Result<Self, PublishError> {
        let json = match input.data.json() {
            "null" => "{}",
            json => json,
        };
        Self::read(json).ok_or_else(|| InvalidInput::NotAnObject.into())
    }

    fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok().map(Self)
    }

    /// Under our names, where other systems have others and ours are not there.
    fn renamed(mut self, names: Names) -> Self {
        for (theirs, ours) in names {
            if self.json(ours).is_none()
                && let Some(value) = self.0.remove(*theirs)
                && value.get() != EMPTY
            {
                self.0.insert((*ours).to_owned(), value);
            }
        }
        self
    }

    fn json(&self, field: &str) -> Option<&'a str> {
        let json = self.0.get(field)?.get();
        (json != "null").then_some(json)
    }

    fn take<T: DeserializeOwned>(&self, field: &'static str) -> Result<Option<T>, PublishError> {
        self.json(field)
            .map(|json| serde_json::from_str(json).map_err(|error| invalid(field, &error)))
            .transpose()
    }

    fn needed<T: DeserializeOwned>(&self, field: &'static str) -> Result<T, PublishError> {
        self.take(field)?
            .ok_or_else(|| InvalidInput::Missing { field }.into())
    }

    /// One of several words.
    fn word<T>(
        &self,
        field: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, PublishError> {
        let Some(text) = self.take::<String>(field)? else {
            return Ok(None);
        };
        let word = read(&text).ok_or_else(|| InvalidInput::Field {
            field,
            reason: format!("{} is none of its words", shorten(&text, Limits::NAME_LEN)),
        })?;
        Ok(Some(word))
    }

    /// Text; longer than `limit` bytes it is cut.
    fn text(&self, field: &'static str, limit: usize) -> Result<Option<Arc<str>>, PublishError> {
        let text: Option<Arc<str>> = self.take(field)?;
        Ok(text.map(|text| match text.len() > limit {
            true => shorten(&text, limit),
            false => text,
        }))
    }

    fn stage(&self, field: &'static str) -> Result<Option<Arc<str>>, PublishError> {
        let path: Option<Arc<str>> = self.take(field)?;
        if let Some(path) = &path {
            check_stage_path(path).map_err(InvalidInput::from)?;
        }
        Ok(path)
    }
}

/// A text of which nothing is said.
const EMPTY: &str = "\"\"";

fn invalid(field: &'static str, error: &serde_json::Error) -> PublishError {
    InvalidInput::Field {
        field,
        reason: error.to_string(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "data is written in place")]
    fn read(event_type: &str, data: Value) -> Result<Said, PublishError> {
        Said::read(
            &EventInput::new(event_type, &data).unwrap(),
            &Limits::default(),
        )
    }

    fn refused(event_type: &str, data: Value) -> InvalidInput {
        match read(event_type, data) {
            Err(PublishError::InvalidInput(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = |field| InvalidInput::Missing { field };
        assert_eq!(refused("stage_change", json!({})), missing("current_stage"));
        assert_eq!(refused("log", json!({"level": "INFO"})), missing("message"));
        assert_eq!(refused("error", json!({"message": "m"})), missing("code"));
        assert_eq!(refused("error", json!({"code": "C"})), missing("message"));
        assert_eq!(refused("complete", json!({"result": 1})), missing("status"));
        assert_eq!(
            refused(
                "complete",
                json!({"status": "failed", "error": {"code": "C"}})
            ),
            missing("message")
        );
        assert_eq!(
            refused("progress_update", json!({"stage_progress": 4})),
            missing("stage")
        );
        for data in [
            json!({}),
            json!({"stage": "a"}),
            json!({"message": null}),
            json!(null),
        ] {
            assert_eq!(refused("progress_update", data), InvalidInput::NothingToSay);
        }
        assert_eq!(refused("log", json!("text")), InvalidInput::NotAnObject);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let field = |refused: InvalidInput| match refused {
            InvalidInput::Field { field, .. } => field,
            other => panic!("{other:?}"),
        };
        let update =
            |name: &str, value: Value| field(refused("progress_update", json!({ name: value })));
        assert_eq!(update("progress", json!("half")), "progress");
        assert_eq!(update("current", json!(-1)), "current");
        assert_eq!(update("total", json!(1.5)), "total");
        assert_eq!(update("metadata", json!([1])), "metadata");
        assert_eq!(
            field(refused("complete", json!({"status": "stopped"}))),
            "status"
        );
        assert_eq!(
            field(refused("complete", json!({"status": "failed", "error": 1}))),
            "error"
        );
        assert_eq!(
            field(refused("log", json!({"message": "m", "level": "LOUD"}))),
            "level"
        );
        assert_eq!(
            refused("stage_change", json!({"current_stage": "a//b"})),
            InvalidInput::Stage(crate::error::StageError::Empty)
        );
    }

    #[test]
    fn words_of_other_systems_are_read_where_ours_are_not_said() {
        let Said::Update(update) = read(
            "progress_update",
            json!({"status": "PROCESSING", "progress": 41, "current_stage": "render", "estimated_remaining": 5.4}),
        )
        .unwrap() else {
            panic!("no update");
        };
        assert_eq!(update.stage.as_deref(), Some("render"));
        assert_eq!((update.progress, update.eta_ms), (Some(41.0), Some(5_400)));
        let Said::Update(update) = read(
            "progress_update",
            json!({"stage": "a", "current_stage": "b", "progress": 1, "eta_ms": 7, "estimated_remaining": 5}),
        )
        .unwrap() else {
            panic!("no update");
        };
        assert_eq!(update.stage.as_deref(), Some("a"));
        assert_eq!(update.eta_ms, Some(7));

        let data = json!({"error_code": "GPU_LOST", "error_message": "the GPU is gone", "retryable": true, "details": {"gpu": 1}});
        let Said::Error(error) = read("error", data).unwrap() else {
            panic!("no error");
        };
        assert_eq!(
            (error.code(), error.message()),
            ("GPU_LOST", "the GPU is gone")
        );
        assert!(error.is_retryable());
        assert_eq!(error.details().get("gpu").unwrap(), 1);

        for (text, status) in [
            ("COMPLETED", Status::Completed),
            ("Failed", Status::Failed),
            ("CANCELED", Status::Cancelled),
        ] {
            let said = read("complete", json!({"status": text}));
            assert!(
                matches!(said, Ok(Said::Complete(end)) if end.status == status),
                "{text}"
            );
        }
        let data =
            json!({"status": "FAILED", "error_code": "GPU_LOST", "message": "the GPU is gone"});
        let Said::Complete(end) = read("complete", data).unwrap() else {
            panic!("no end");
        };
        assert_eq!(end.error.unwrap().code(), "GPU_LOST");

        for (text, level) in [
            ("WARNING", Level::Warn),
            ("info", Level::Info),
            ("CRITICAL", Level::Error),
        ] {
            let said = read("log", json!({"message": "m", "level": text}));
            assert!(
                matches!(said, Ok(Said::Log(line)) if line.level == level),
                "{text}"
            );
        }
    }

    #[test]
    fn words_of_other_systems_that_mean_nothing_here_lose_nothing_else() {
        for left in [json!(-1), json!(1e300), json!("5 min"), json!(null)] {
            let data = json!({"progress": 7, "current_stage": "", "estimated_remaining": left});
            let Said::Update(update) = read("progress_update", data).unwrap() else {
                panic!("no update");
            };
            assert_eq!((update.stage, update.eta_ms), (None, None));
            assert_eq!(update.progress, Some(7.0));
        }
        let end = |data: Value| match read("complete", data).unwrap() {
            Said::Complete(end) => end.error.map(|error| error.message().to_owned()),
            other => panic!("{other:?}"),
        };
        let failed = |fields: Value| {
            let mut data = json!({"status": "FAILED"});
            data.as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            end(data)
        };
        assert_eq!(failed(json!({"error_code": "E"})).as_deref(), Some("E"));
        let both = json!({"error_code": "E", "error_message": "it broke"});
        assert_eq!(failed(both).as_deref(), Some("it broke"));
        for code in [json!(0), json!(""), json!(null)] {
            assert_eq!(failed(json!({ "error_code": code })), None);
        }
        assert_eq!(
            end(json!({"status": "completed", "error_code": "OK"})),
            None
        );
    }

    #[test]
    fn what_only_the_tracker_says_is_reserved() {
        for event_type in [
            "queued",
            "started",
            "stalled",
            "recovered",
            "cancel_requested",
            "connected",
            "gap",
        ] {
            assert_eq!(
                read(event_type, json!({})),
                Err(PublishError::InvalidEventType(InvalidEventType::Reserved))
            );
        }
        assert_eq!(
            read("Photo", json!({})),
            Err(PublishError::InvalidEventType(InvalidEventType::Malformed))
        );
    }

    #[test]
    fn sizes_are_bounded() {
        let limits = Limits::default().payload(64);
        let read = |input: EventInput| Said::read(&input, &limits);
        let note = |text: &str| EventInput::new("note", text).unwrap();
        assert!(read(note(&"x".repeat(62))).is_ok());
        assert_eq!(
            read(note(&"x".repeat(63))),
            Err(PublishError::PayloadTooLarge {
                field: "data",
                len: 65,
                limit: 64
            })
        );
        assert!(read(note("").key("k".repeat(128))).is_ok());
        assert_eq!(
            read(note("").key("k".repeat(129))),
            Err(PublishError::KeyTooLong { len: 129 })
        );
        assert!(read(note("").id("i".repeat(128))).is_ok());
        for len in [0, 129] {
            assert_eq!(
                read(note("").id("i".repeat(len))),
                Err(PublishError::InvalidInput(InvalidInput::Length {
                    field: "id",
                    len,
                    limit: 128
                }))
            );
        }
        let keyed = EventInput::new("paused", &json!({})).unwrap().key("k");
        assert!(matches!(
            read(keyed),
            Err(PublishError::InvalidInput(InvalidInput::Field {
                field: "key",
                ..
            }))
        ));
    }

    #[test]
    fn a_result_keeps_its_text() {
        let input: EventInput = serde_json::from_str(
            r#"{"event_type":"complete","data":{"status":"completed","result":{"z":1.50,"a":[ 1 ]}}}"#,
        )
        .unwrap();
        let Said::Complete(end) = Said::read(&input, &Limits::default()).unwrap() else {
            panic!("no end");
        };
        assert_eq!(end.result.unwrap().json(), r#"{"z":1.50,"a":[ 1 ]}"#);
    }
}
