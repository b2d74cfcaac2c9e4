//! `POST /api/agent/analyze-media`: many files in one request.

use axum::{
    Json,
    extract::{Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use demo::{
    analysis::{Kind, Source},
    multipart::{self, Arriving, Intake},
    refusal::Refusal,
};
use progress_core::{TaskError, TaskId};
use progress_web::TaskUrls;
use serde::{Deserialize, Serialize};
use tempfile::TempPath;

use crate::{
    batch::{Batch, Listed},
    item::{Arrived, Incoming},
    server::App,
};

#[derive(Debug, Deserialize)]
pub(crate) struct Parameters {
    /// The id that the batch is to have, or that of an open one to join.
    batch: Option<String>,
}

#[derive(Debug, Serialize)]
struct Accepted {
    media_ids: Vec<TaskId>,
    media: Vec<AcceptedMedia>,
    batch: TaskUrls,
    stream_url: String,
}

#[derive(Debug, Serialize)]
struct AcceptedMedia {
    media_id: TaskId,
    name: String,
    #[serde(flatten)]
    urls: TaskUrls,
}

/// What a client may announce before its files: they are then all there as `pending` at once, under
/// ids of the client's making, so that they can be watched before the upload is through.
#[derive(Debug, Deserialize)]
struct Announced {
    name: Option<String>,
    size: Option<u64>,
    id: Option<String>,
}

pub(crate) async fn analyze_media(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    request: Request,
) -> Result<Response, Refusal> {
    let limits = app.upload_limits();
    let id = multipart::chosen_id("batch", parameters.batch.as_deref())?;
    multipart::announced_length(&request, limits)?;
    let Ok(_place) = app.uploads_under_way().try_acquire() else {
        return Err(limits.too_many());
    };
    let mut upload = Upload {
        app: &app,
        id,
        batch: None,
        announced: Vec::new(),
        listed: Vec::new(),
    };
    let read = multipart::read(request, limits, app.folder(), &mut upload).await;
    if let Err(refusal) = read {
        for incoming in upload.announced.into_iter().flatten() {
            incoming.fail(refusal.as_seen_by_watchers());
        }
        return Err(refusal);
    }
    let gateway = app.gateway();
    let media_ids: Vec<_> = upload
        .listed
        .iter()
        .map(|item| item.task_id.clone())
        .collect();
    let accepted = Accepted {
        stream_url: app.stream_url(&media_ids),
        batch: gateway.urls(&upload.id),
        media: upload
            .listed
            .into_iter()
            .map(|item| AcceptedMedia {
                urls: gateway.urls(&item.task_id),
                media_id: item.task_id,
                name: item.name,
            })
            .collect(),
        media_ids,
    };
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

/// An upload under way. Dropped, as when the client goes away, what has not arrived ends `failed`.
struct Upload<'a> {
    app: &'a App,
    id: TaskId,
    batch: Option<Batch>,
    /// Those that are still to come, in order.
    announced: Vec<Option<Incoming>>,
    listed: Vec<Listed>,
}

impl Upload<'_> {
    fn add(&mut self, item: Listed, kind: Kind) -> Result<Incoming, Refusal> {
        let batch = match &self.batch {
            Some(batch) => batch,
            None => self.batch.insert(self.app.batches().join(&self.id)?),
        };
        let incoming = batch.add(item.clone(), kind)?;
        self.listed.push(item);
        Ok(incoming)
    }
}

impl Intake for Upload<'_> {
    type File = Receiving;

    fn manifest(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let announced: Vec<Announced> = serde_json::from_slice(text).map_err(|error| {
            let why = format!("manifest is not a list of {{name, size, id}}: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, "INVALID_MANIFEST", why)
                .detail("field", "manifest")
        })?;
        if announced.len() > self.app.upload_limits().files {
            let limit = self.app.upload_limits().files;
            let why = format!("The manifest has more than {limit} files");
            return Err(
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_MANY_FILES", why)
                    .detail("limit", limit),
            );
        }
        for (at, file) in announced.into_iter().enumerate() {
            let name = multipart::file_name(file.name.as_deref(), at + 1);
            let kind = Kind::detect(&name, None, &[]);
            let item = Listed {
                task_id: multipart::chosen_id("manifest.id", file.id.as_deref())?,
                name,
                size: file.size,
                chunked: false,
            };
            let incoming = self.add(item, kind)?;
            self.announced.push(Some(incoming));
        }
        Ok(())
    }

    fn file(&mut self, number: usize, name: &str, kind: Kind) -> Result<Receiving, Refusal> {
        let announced = self.announced.get_mut(number - 1).and_then(Option::take);
        let incoming = match announced {
            Some(incoming) => incoming,
            None => {
                let item = Listed {
                    task_id: TaskId::random(),
                    name: name.to_owned(),
                    size: None,
                    chunked: false,
                };
                self.add(item, kind)?
            }
        };
        incoming.begin();
        Ok(Receiving(Some(incoming)))
    }

    fn received(&mut self, _bytes: u64) {}

    fn arrived(&mut self, file: Receiving, source: Source, kept: TempPath) {
        if let Some(incoming) = file.0 {
            incoming.arrived(Arrived {
                source,
                kept,
                sha256: None,
            });
        }
    }
}

/// A file on its way.
struct Receiving(Option<Incoming>);

impl Arriving for Receiving {
    fn received(&mut self, bytes: u64) {
        if let Some(incoming) = &self.0 {
            incoming.upload().inc(bytes);
        }
    }

    fn refuse(&mut self, error: TaskError) {
        if let Some(incoming) = self.0.take() {
            incoming.fail(error);
        }
    }

    fn is_unwanted(&self) -> bool {
        self.0.as_ref().is_none_or(Incoming::is_over)
    }
}
