//! Reading a multipart upload: its files go to disk as they come, and an [`Intake`] makes of them what
//! it will.

use std::{path::Path, time::Duration};

use axum::{
    extract::{
        FromRequest, Request,
        multipart::{Field, Multipart, MultipartError},
    },
    http::{StatusCode, header},
};
use progress_core::{TaskError, TaskId};
use tempfile::TempPath;
use tokio::{
    io::AsyncWriteExt,
    time::{error::Elapsed, timeout},
};

use crate::{
    analysis::{Kind, Source},
    refusal::Refusal,
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

impl UploadLimits {
    /// What is said where no place is free.
    #[must_use]
    pub fn too_many(&self) -> Refusal {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "TOO_MANY_UPLOADS",
            format!("More than {} uploads are under way", self.uploads),
        )
    }
}

/// What becomes of the files of an upload.
pub trait Intake {
    /// A file on its way. Dropped, it did not arrive.
    type File: Arriving;

    /// Takes the text of the field `manifest`, in which a client may say what is to come; at most
    /// 256 KiB, and only before the first file.
    ///
    /// # Errors
    ///
    /// Ends the upload.
    fn manifest(&mut self, text: &[u8]) -> Result<(), Refusal>;

    /// Takes note that a file begins, the `number`th from 1.
    ///
    /// # Errors
    ///
    /// Ends the upload.
    fn file(&mut self, number: usize, name: &str, kind: Kind) -> Result<Self::File, Refusal>;

    /// Takes note of bytes of any file.
    fn received(&mut self, bytes: u64);

    /// Takes a file that is there; on disk it goes away with `kept`.
    fn arrived(&mut self, file: Self::File, source: Source, kept: TempPath);
}

/// A file on its way.
pub trait Arriving {
    /// Takes note of bytes of it.
    fn received(&mut self, bytes: u64);

    /// It cannot be taken; the rest of it is read and forgotten.
    fn refuse(&mut self, error: TaskError);

    /// Whether nobody wants it any more, so that its bytes need not be kept.
    fn is_unwanted(&self) -> bool;
}

/// Reads an upload to its end and returns how many files it had. They are written into `folder`, one
/// after another; the memory that it takes is that of a chunk of the body.
///
/// # Errors
///
/// Whatever is wrong with the upload or is asked by `intake`. The file that was on its way is dropped.
///
/// # Cancel safety
///
/// Dropping the future drops the file that was on its way.
pub async fn read(
    request: Request,
    limits: &UploadLimits,
    folder: &Path,
    intake: &mut impl Intake,
) -> Result<usize, Refusal> {
    let multipart = Multipart::from_request(request, &()).await?;
    let mut reading = Reading {
        limits,
        folder,
        files: 0,
    };
    reading.read(multipart, intake).await?;
    if reading.files == 0 {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "NO_FILES",
            "The upload has no file",
        )
        .solution("Send at least one part with the field name \"files\""));
    }
    Ok(reading.files)
}

/// Refuses a request that says itself that it is too large.
///
/// # Errors
///
/// 413 `PAYLOAD_TOO_LARGE`.
pub fn announced_length(request: &Request, limits: &UploadLimits) -> Result<Option<u64>, Refusal> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok());
    match length {
        Some(length) if length > limits.request => {
            Err(Refusal::too_large("The upload", limits.request))
        }
        length => Ok(length),
    }
}

/// The id that a client chose, or else a random one.
///
/// # Errors
///
/// 400 `INVALID_TASK_ID` if it can be guessed.
pub fn chosen_id(field: &str, asked: Option<&str>) -> Result<TaskId, Refusal> {
    let Some(text) = asked else {
        return Ok(TaskId::random());
    };
    match text.parse::<TaskId>() {
        Ok(id) if id.is_random() => Ok(id),
        _ => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_TASK_ID",
            format!("{field} is not a UUIDv4 in its hyphenated form"),
        )
        .detail("field", field)),
    }
}

/// The last segment of what the client calls the file, to a length that people can read.
#[must_use]
pub fn file_name(name: Option<&str>, number: usize) -> String {
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

struct Reading<'a> {
    limits: &'a UploadLimits,
    folder: &'a Path,
    files: usize,
}

impl Reading<'_> {
    async fn read<I: Intake>(
        &mut self,
        mut multipart: Multipart,
        intake: &mut I,
    ) -> Result<(), Refusal> {
        let idle = self.limits.idle;
        while let Some(mut field) = self.patiently(multipart.next_field()).await? {
            match field.name() {
                Some("files") => self.file(field, intake).await?,
                Some("manifest") if self.files == 0 => {
                    let text = whole(field, "The manifest", LARGEST_MANIFEST, idle).await?;
                    intake.manifest(&text)?;
                }
                // Unknown fields are ignored, as a form may have others.
                _ => while patiently(idle, field.chunk()).await?.is_some() {},
            }
        }
        Ok(())
    }

    async fn file<I: Intake>(
        &mut self,
        mut field: Field<'_>,
        intake: &mut I,
    ) -> Result<(), Refusal> {
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
        let first = self.patiently(field.chunk()).await?;
        let head = first.as_deref().unwrap_or_default();
        let kind = Kind::detect(&name, content_type.as_deref(), head);
        let mut arriving = Some(intake.file(self.files, &name, kind)?);

        let kept = tempfile::NamedTempFile::new_in(self.folder)
            .map_err(|error| Refusal::internal(&error))?;
        let (file, path) = kept.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let mut length = 0;
        let mut chunk = first;
        while let Some(bytes) = chunk {
            length += bytes.len() as u64;
            if length > self.limits.file
                && let Some(mut arriving) = arriving.take()
            {
                // Its place is for others; the rest is read and forgotten, for they stand.
                arriving.refuse(Refusal::too_large("The file", self.limits.file).into_error());
            }
            if arriving.as_ref().is_some_and(Arriving::is_unwanted) {
                arriving = None;
            }
            if let Some(arriving) = &mut arriving {
                file.write_all(&bytes)
                    .await
                    .map_err(|error| Refusal::internal(&error))?;
                arriving.received(bytes.len() as u64);
            }
            intake.received(bytes.len() as u64);
            chunk = self.patiently(field.chunk()).await?;
        }
        let Some(arriving) = arriving else {
            return Ok(());
        };
        file.flush()
            .await
            .map_err(|error| Refusal::internal(&error))?;
        let mut source = Source::new(path.to_path_buf(), name);
        if let Some(content_type) = content_type {
            source = source.content_type(content_type);
        }
        intake.arrived(arriving, source, path);
        Ok(())
    }

    async fn patiently<T>(
        &self,
        read: impl Future<Output = Result<T, MultipartError>>,
    ) -> Result<T, Refusal> {
        patiently(self.limits.idle, read).await
    }
}

/// Reads a field that is small enough for memory; `what` it is called in a refusal.
///
/// # Errors
///
/// 413 `PAYLOAD_TOO_LARGE` above `limit` bytes, 408 `UPLOAD_STALLED`, or whatever is wrong with the upload.
pub async fn whole(
    mut field: Field<'_>,
    what: &str,
    limit: usize,
    idle: Duration,
) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(chunk) = patiently(idle, field.chunk()).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            return Err(Refusal::too_large(what, limit as u64));
        }
    }
    Ok(bytes)
}

/// Reads, but waits no longer than `idle`.
///
/// # Errors
///
/// 408 `UPLOAD_STALLED`, or whatever is wrong with the upload.
pub async fn patiently<T>(
    idle: Duration,
    read: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, Refusal> {
    let read: Result<_, Elapsed> = timeout(idle, read).await;
    Ok(read.map_err(|_| Refusal::stalled(idle))??)
}

const LARGEST_MANIFEST: usize = 256 * 1024;
const LONGEST_NAME: usize = 120;
