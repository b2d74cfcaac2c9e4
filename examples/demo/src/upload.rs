//! `POST /api/jobs`: a multipart upload, streamed to disk, each file its own task.

use std::time::Duration;

use axum::{
    Json,
    extract::{
        FromRequest, Query, Request, State,
        multipart::{Field, Multipart, MultipartError},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use progress_core::{StartError, TaskError, TaskId};
use progress_web::TaskUrls;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, time::timeout};

use crate::{
    analysis::{Kind, Source},
    batch::{Batch, Pending, upload_aborted},
    server::App,
};

/// Bounds of an upload.
#[derive(Debug, Clone)]
pub struct UploadLimits {
    /// Bytes of one file (default 100 MiB).
    pub file: u64,
    /// Bytes of a whole request (default 1 GiB).
    pub request: u64,
    /// Files of one request (default 1 000).
    pub files: usize,
    /// Requests at a time (default 16).
    pub uploads: usize,
    /// How long a client may send nothing (default 30 s).
    pub idle: Duration,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            file: 100 * 1024 * 1024,
            request: 1024 * 1024 * 1024,
            files: 1_000,
            uploads: 16,
            idle: Duration::from_secs(30),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Parameters {
    /// The id that the batch is to have, so that it can be watched before its upload is through.
    batch: Option<String>,
}

#[derive(Debug, Serialize)]
struct Accepted {
    #[serde(flatten)]
    batch: TaskUrls,
    files: Vec<AcceptedFile>,
}

#[derive(Debug, Serialize)]
struct AcceptedFile {
    name: String,
    #[serde(flatten)]
    task: TaskUrls,
}

/// What a client may announce before its files, so that totals are known early.
#[derive(Debug, Deserialize)]
struct Announced {
    #[serde(default)]
    size: Option<u64>,
}

pub(crate) async fn create_job(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    request: Request,
) -> Response {
    match receive(&app, parameters, request).await {
        Ok(accepted) => (StatusCode::ACCEPTED, Json(accepted)).into_response(),
        Err(refusal) => {
            tracing::info!(error = %refusal.error, "an upload was refused");
            let body = serde_json::json!({ "error": refusal.error });
            let mut response = (refusal.status, Json(body)).into_response();
            if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
                let wait = header::HeaderValue::from_static("5");
                response.headers_mut().insert(header::RETRY_AFTER, wait);
            }
            response
        }
    }
}

/// Why an upload was not taken.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    error: TaskError,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let retryable = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
        Self {
            status,
            error: TaskError::new(code, message).retryable(retryable),
        }
    }

    fn too_large(what: &str, limit: u64) -> Self {
        let mut refusal = Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            format!("{what} is larger than {} MiB", limit / (1024 * 1024)),
        );
        refusal.error = refusal.error.detail("limit", limit);
        refusal
    }

    fn internal(error: &std::io::Error) -> Self {
        tracing::error!(%error, "an upload could not be kept");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "The upload could not be kept",
        )
    }
}

impl From<MultipartError> for Refusal {
    fn from(error: MultipartError) -> Self {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "PAYLOAD_TOO_LARGE",
                "The upload is larger than allowed",
            );
        }
        Self::new(
            StatusCode::BAD_REQUEST,
            "INVALID_MULTIPART",
            format!(
                "The upload is not well-formed multipart: {}",
                error.body_text()
            ),
        )
        .solution("Send multipart/form-data with the field \"files\"")
    }
}

impl Refusal {
    fn solution(mut self, text: &str) -> Self {
        self.error = self.error.solution(text);
        self
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        match error {
            StartError::AlreadyExists(_) => Self::new(
                StatusCode::CONFLICT,
                "ALREADY_EXISTS",
                "There is a batch of this id already",
            ),
            error => {
                tracing::warn!(%error, "a task could not be started");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "TOO_MANY_TASKS",
                    "The server is too busy to take this",
                )
            }
        }
    }
}

async fn receive(app: &App, parameters: Parameters, request: Request) -> Result<Accepted, Refusal> {
    let limits = app.upload_limits().clone();
    let id = batch_id(parameters.batch.as_deref())?;
    let announced = content_length(&request);
    if announced.is_some_and(|length| length > limits.request) {
        return Err(Refusal::too_large("The upload", limits.request));
    }
    let Ok(_place) = app.uploads().try_acquire() else {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "TOO_MANY_UPLOADS",
            format!("More than {} uploads are under way", limits.uploads),
        ));
    };
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "INVALID_MULTIPART",
                rejection.body_text(),
            )
            .solution("Send multipart/form-data with the field \"files\"")
        })?;
    let mut upload = Upload {
        app,
        id,
        limits,
        announced,
        batch: None,
        files: 0,
        arrived: 0,
        received: 0,
        sizes: Vec::new(),
    };
    match upload.read(&mut multipart).await {
        Ok(()) => upload.accept(),
        Err(refusal) => {
            if let Some(batch) = upload.batch {
                batch.abort(refusal.as_seen_by_watchers());
            }
            Err(refusal)
        }
    }
}

impl Refusal {
    /// A broken connection looks like bad multipart to the parser; watchers are told what it is.
    fn as_seen_by_watchers(&self) -> TaskError {
        match self.error.code() {
            "INVALID_MULTIPART" | "UPLOAD_STALLED" => upload_aborted(),
            _ => self.error.clone(),
        }
    }
}

/// An upload under way. Dropped with its batch, as when the client goes away, it aborts that.
struct Upload<'a> {
    app: &'a App,
    id: TaskId,
    limits: UploadLimits,
    announced: Option<u64>,
    batch: Option<Batch>,
    files: usize,
    arrived: usize,
    received: u64,
    sizes: Vec<Announced>,
}

impl Upload<'_> {
    async fn read(&mut self, multipart: &mut Multipart) -> Result<(), Refusal> {
        let idle = self.limits.idle;
        while let Some(mut field) = patiently(idle, multipart.next_field()).await? {
            match field.name() {
                Some("files") => self.file(field).await?,
                Some("manifest") if self.batch.is_none() => self.manifest(field).await?,
                // Unknown fields are ignored, as a form may have others.
                _ => while patiently(idle, field.chunk()).await?.is_some() {},
            }
        }
        Ok(())
    }

    async fn manifest(&mut self, mut field: Field<'_>) -> Result<(), Refusal> {
        let mut text = Vec::new();
        while let Some(chunk) = patiently(self.limits.idle, field.chunk()).await? {
            text.extend_from_slice(&chunk);
            if text.len() > LARGEST_MANIFEST {
                return Err(Refusal::too_large("The manifest", LARGEST_MANIFEST as u64));
            }
        }
        // It only makes progress more exact, so one that cannot be read is as good as none.
        self.sizes = serde_json::from_slice(&text).unwrap_or_default();
        Ok(())
    }

    async fn file(&mut self, mut field: Field<'_>) -> Result<(), Refusal> {
        if self.files >= self.limits.files {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "TOO_MANY_FILES",
                format!("The upload has more than {} files", self.limits.files),
            ));
        }
        self.files += 1;
        let name = file_name(field.file_name(), self.files);
        let content_type = field.content_type().map(str::to_owned);
        // The task starts with the part; its first bytes tell whether it is an image.
        let first = patiently(self.limits.idle, field.chunk()).await?;
        let head = first.as_deref().unwrap_or_default();
        let kind = Kind::detect(&name, content_type.as_deref(), head);
        let size = self.sizes.get(self.files - 1).and_then(|file| file.size);
        let pending = self.start_file(&name, kind)?;
        let receiving = pending.receiving();
        let mut pending = Receiving(Some(pending));
        if let Some(size) = size {
            receiving.set_total(size);
        }

        let kept = tempfile::NamedTempFile::new_in(self.app.folder())
            .map_err(|error| Refusal::internal(&error))?;
        let (file, path) = kept.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let mut length = 0;
        let mut chunk = first;
        while let Some(bytes) = chunk {
            length += bytes.len() as u64;
            if length <= self.limits.file {
                file.write_all(&bytes)
                    .await
                    .map_err(|error| Refusal::internal(&error))?;
                receiving.inc(bytes.len() as u64);
            }
            if length > self.limits.file {
                // Its place is for others; the rest is read and forgotten, for they stand.
                pending.fail(Refusal::too_large("The file", self.limits.file).error);
            }
            self.count(bytes.len());
            chunk = patiently(self.limits.idle, field.chunk()).await?;
        }
        let Some(pending) = pending.0.take() else {
            return Ok(());
        };
        file.flush()
            .await
            .map_err(|error| Refusal::internal(&error))?;
        receiving.finish();
        self.arrived += 1;
        let mut source = Source::new(path.to_path_buf(), name);
        if let Some(content_type) = content_type {
            source = source.content_type(content_type);
        }
        if let Some(batch) = &self.batch {
            batch.hand_over(pending, source, Some(path));
        }
        Ok(())
    }

    fn start_file(&mut self, name: &str, kind: Kind) -> Result<Pending, Refusal> {
        let batch = match &mut self.batch {
            Some(batch) => batch,
            none => {
                let batch = self.app.workshop().start(self.id.clone(), true)?;
                if let Some(length) = self.announced {
                    batch.receiving().unit("bytes").set_total(length);
                }
                none.insert(batch)
            }
        };
        batch.expect(match self.sizes.len() {
            // Not announced: until the end of the upload there may always be one more.
            0 => self.files + 1,
            announced => announced.max(self.files),
        });
        Ok(batch.add(name, kind, true)?)
    }

    fn count(&mut self, bytes: usize) {
        self.received += bytes as u64;
        if let Some(batch) = &self.batch {
            batch.receiving().inc(bytes as u64);
        }
    }

    fn accept(self) -> Result<Accepted, Refusal> {
        let Some(batch) = self.batch else {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "NO_FILES",
                "The upload has no file",
            )
            .solution("Send at least one part with the field name \"files\""));
        };
        batch.receiving().set_total(self.received);
        batch.receiving().finish();
        batch.expect(self.files);
        if self.arrived == 0 {
            let refusal = Refusal::too_large("Each file", self.limits.file);
            batch.abort(refusal.error.clone());
            return Err(refusal);
        }
        let gateway = self.app.gateway();
        let accepted = Accepted {
            batch: gateway.urls(batch.id()),
            files: batch
                .listed()
                .iter()
                .map(|file| AcceptedFile {
                    name: file.name.clone(),
                    task: gateway.urls(&file.task_id),
                })
                .collect(),
        };
        batch.close();
        Ok(accepted)
    }
}

/// A file on its way. Dropped before it has arrived, its task ends `failed`.
struct Receiving(Option<Pending>);

impl Receiving {
    fn fail(&mut self, error: TaskError) {
        if let Some(pending) = self.0.take() {
            pending.fail(error);
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.fail(upload_aborted());
    }
}

async fn patiently<T>(
    idle: Duration,
    read: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, Refusal> {
    match timeout(idle, read).await {
        Ok(read) => Ok(read?),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "UPLOAD_STALLED",
            format!("Nothing was received for {} s", idle.as_secs()),
        )),
    }
}

fn batch_id(asked: Option<&str>) -> Result<TaskId, Refusal> {
    let Some(text) = asked else {
        return Ok(TaskId::random());
    };
    match text.parse::<TaskId>() {
        Ok(id) if id.is_random() => Ok(id),
        _ => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_TASK_ID",
            "batch is not a UUIDv4 in its hyphenated form",
        )),
    }
}

fn content_length(request: &Request) -> Option<u64> {
    request
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The last segment of what the client calls the file, to a length that people can read.
fn file_name(name: Option<&str>, number: usize) -> String {
    let name = name.unwrap_or_default();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_NAME)
        .collect();
    if name.is_empty() {
        format!("file {number}")
    } else {
        name
    }
}

const LARGEST_MANIFEST: usize = 256 * 1024;
const LONGEST_NAME: usize = 120;
