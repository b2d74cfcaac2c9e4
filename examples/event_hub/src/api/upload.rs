//! `POST /api/jobs`: pictures, by multipart, streamed to disk.

use std::time::Duration;

use axum::{
    Json,
    extract::{
        FromRequest as _, Request, State,
        multipart::{Field, Multipart, MultipartError},
    },
    http::StatusCode,
};
use progress_core::TaskId;
use progress_web::{ApiError, Code, TaskUrls};
use serde::Serialize;
use tokio::time::timeout;

use super::{App, Operator};
use crate::{hub::Arrived, record::Job, refusal::Refusal};

/// The job, and where its progress can be watched.
#[derive(Debug, Serialize)]
pub(super) struct Accepted {
    #[serde(flatten)]
    job: Job,
    #[serde(flatten)]
    urls: TaskUrls,
}

/// Takes `session_id` and `priority`, then `files`.
pub(super) async fn create_job(
    State(app): State<App>,
    _: Operator,
    request: Request,
) -> Result<(StatusCode, Json<Accepted>), Refusal> {
    let bounds = app.hub.bounds();
    let Ok(_place) = app.uploads.try_acquire() else {
        let message = "there are as many uploads under way as there can be";
        let limit = bounds.uploads as u64;
        return Err(Refusal::full("TOO_MANY_UPLOADS", limit, message));
    };
    let multipart = Multipart::from_request(request, &()).await;
    let mut multipart = multipart.map_err(|error| malformed(&error.body_text()))?;
    let mut upload = Upload {
        app: &app,
        session: None,
        priority: USUAL_PRIORITY,
        files: Vec::new(),
    };
    while let Some(field) = patiently(bounds.stalled, multipart.next_field()).await? {
        upload.take(field).await?;
    }
    let job = upload.accept()?;
    let id: TaskId = job.job_id.parse().map_err(ApiError::from)?;
    let urls = app.gateway.urls(&id);
    Ok((StatusCode::ACCEPTED, Json(Accepted { job, urls })))
}

struct Upload<'a> {
    app: &'a App,
    session: Option<String>,
    priority: u8,
    files: Vec<Arrived>,
}

impl Upload<'_> {
    async fn take(&mut self, mut field: Field<'_>) -> Result<(), Refusal> {
        match field.name() {
            Some("session_id") => self.session = Some(self.text("session_id", field).await?),
            Some("priority") => {
                let text = self.text("priority", field).await?;
                let priority = text.trim().parse();
                self.priority = priority
                    .map_err(|_not| Refusal::field("priority", "priority is not 0 to 9"))?;
            }
            Some("files") => self.file(field).await?,
            // Unknown fields are ignored, as a form may have others.
            _ => while self.chunk(&mut field).await?.is_some() {},
        }
        Ok(())
    }

    async fn file(&mut self, mut field: Field<'_>) -> Result<(), Refusal> {
        let bounds = self.app.hub.bounds();
        if self.files.is_empty() {
            // Before anything is written for somebody whom it will be refused.
            self.app.hub.check_job(self.session()?, self.priority)?;
        }
        if self.files.len() >= bounds.files {
            return Err(Refusal::too_many_files(bounds.files));
        }
        let name = file_name(field.file_name(), self.files.len() + 1);
        let mut incoming = self.app.hub.store().receive()?;
        let mut length = 0;
        while let Some(bytes) = self.chunk(&mut field).await? {
            length += bytes.len() as u64;
            if length > bounds.file {
                return Err(Refusal::too_large("files", bounds.file));
            }
            incoming.write(&bytes).await?;
        }
        let file = incoming.finish().await?;
        self.files.push(Arrived { name, file });
        Ok(())
    }

    async fn text(&self, name: &'static str, mut field: Field<'_>) -> Result<String, Refusal> {
        let mut text = Vec::new();
        while let Some(chunk) = self.chunk(&mut field).await? {
            text.extend_from_slice(&chunk);
            if text.len() > LONGEST_FIELD {
                return Err(Refusal::too_large(name, LONGEST_FIELD as u64));
            }
        }
        String::from_utf8(text).map_err(|_not| Refusal::field(name, format!("{name} is no text")))
    }

    async fn chunk(&self, field: &mut Field<'_>) -> Result<Option<bytes::Bytes>, Refusal> {
        patiently(self.app.hub.bounds().stalled, field.chunk()).await
    }

    fn session(&self) -> Result<&str, Refusal> {
        let session = self.session.as_deref();
        session.ok_or_else(|| {
            Refusal::field("session_id", "session_id is missing, or comes after files")
        })
    }

    fn accept(self) -> Result<Job, Refusal> {
        let session = self.session()?.to_owned();
        if self.files.is_empty() {
            return Err(Refusal::field("files", "there is no picture"));
        }
        let hub = &self.app.hub;
        hub.create_job(&session, self.priority, self.files)
    }
}

async fn patiently<T>(
    patience: Duration,
    read: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, Refusal> {
    match timeout(patience, read).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(ApiError::new(Code::PayloadTooLarge, "the upload is too large").into())
        }
        Ok(Err(error)) => Err(malformed(&error.body_text())),
        Err(_) => Err(Refusal::stalled(patience)),
    }
}

fn malformed(why: &str) -> Refusal {
    let message = format!("the upload is not well-formed multipart: {why}");
    ApiError::new(Code::InvalidBody, message)
        .solution("Send multipart/form-data: session_id, then files")
        .into()
}

/// The last segment of what the client calls the file, to a length that people can read.
fn file_name(name: Option<&str>, number: usize) -> String {
    let name = name.unwrap_or_default();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = name.chars().filter(|c| !c.is_control());
    match shown.take(LONGEST_NAME).collect::<String>() {
        name if name.is_empty() => format!("picture {number}"),
        name => name,
    }
}

const USUAL_PRIORITY: u8 = 5;
/// Bytes.
const LONGEST_FIELD: usize = 256;
/// Characters.
const LONGEST_NAME: usize = 120;
