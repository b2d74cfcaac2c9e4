//! `POST /api/jobs`: a multipart upload, each file its own task.

use axum::{
    Json,
    extract::{Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use progress_core::{Reporter, TaskError, TaskId};
use progress_web::TaskUrls;
use serde::{Deserialize, Serialize};
use tempfile::TempPath;

use crate::{
    analysis::{Kind, Source},
    batch::{Batch, Pending, upload_aborted},
    multipart::{self, Arriving, Intake},
    refusal::Refusal,
    server::App,
};

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
) -> Result<Response, Refusal> {
    let accepted = receive(&app, &parameters, request).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

async fn receive(
    app: &App,
    parameters: &Parameters,
    request: Request,
) -> Result<Accepted, Refusal> {
    let limits = app.upload_limits();
    let id = multipart::chosen_id("batch", parameters.batch.as_deref())?;
    let announced = multipart::announced_length(&request, limits)?;
    let Ok(_place) = app.uploads().try_acquire() else {
        return Err(limits.too_many());
    };
    let mut upload = Upload {
        app,
        id,
        announced,
        batch: None,
        arrived: 0,
        received: 0,
        sizes: Vec::new(),
    };
    let read = multipart::read(request, limits, app.folder(), &mut upload).await;
    match read {
        Ok(files) => upload.accept(files),
        Err(refusal) => {
            if let Some(batch) = upload.batch {
                batch.abort(refusal.as_seen_by_watchers());
            }
            Err(refusal)
        }
    }
}

/// An upload under way. Dropped with its batch, as when the client goes away, it aborts that.
struct Upload<'a> {
    app: &'a App,
    id: TaskId,
    announced: Option<u64>,
    batch: Option<Batch>,
    arrived: usize,
    received: u64,
    sizes: Vec<Announced>,
}

impl Upload<'_> {
    fn batch(&mut self) -> Result<&mut Batch, Refusal> {
        Ok(match &mut self.batch {
            Some(batch) => batch,
            none => {
                let batch = self.app.workshop().start(self.id.clone(), true)?;
                if let Some(length) = self.announced {
                    batch.receiving().unit("bytes").set_total(length);
                }
                none.insert(batch)
            }
        })
    }

    fn accept(self, files: usize) -> Result<Accepted, Refusal> {
        let batch = self.batch.expect("a batch begins with its first file");
        batch.receiving().set_total(self.received);
        batch.receiving().finish();
        batch.expect(files);
        if self.arrived == 0 {
            let refusal = Refusal::too_large("Each file", self.app.upload_limits().file);
            batch.abort(refusal.error().clone());
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

impl Intake for Upload<'_> {
    type File = Receiving;

    fn manifest(&mut self, text: &[u8]) -> Result<(), Refusal> {
        // It only makes progress more exact, so one that cannot be read is as good as none.
        self.sizes = serde_json::from_slice(text).unwrap_or_default();
        Ok(())
    }

    fn file(&mut self, number: usize, name: &str, kind: Kind) -> Result<Receiving, Refusal> {
        let expected = match self.sizes.len() {
            // Not announced: until the end of the upload there may always be one more.
            0 => number + 1,
            announced => announced.max(number),
        };
        let size = self.sizes.get(number - 1).and_then(|file| file.size);
        let batch = self.batch()?;
        batch.expect(expected);
        let pending = batch.add(name, kind, true)?;
        let reporter = pending.receiving();
        if let Some(size) = size {
            reporter.set_total(size);
        }
        Ok(Receiving {
            pending: Some(pending),
            reporter,
        })
    }

    fn received(&mut self, bytes: u64) {
        self.received += bytes;
        if let Some(batch) = &self.batch {
            batch.receiving().inc(bytes);
        }
    }

    fn arrived(&mut self, mut file: Receiving, source: Source, kept: TempPath) {
        file.reporter.finish();
        if let (Some(batch), Some(pending)) = (&self.batch, file.pending.take()) {
            self.arrived += 1;
            batch.hand_over(pending, source, Some(kept));
        }
    }
}

/// A file on its way. Dropped before it has arrived, its task ends `failed`.
struct Receiving {
    pending: Option<Pending>,
    reporter: Reporter,
}

impl Arriving for Receiving {
    fn received(&mut self, bytes: u64) {
        self.reporter.inc(bytes);
    }

    fn refuse(&mut self, error: TaskError) {
        if let Some(pending) = self.pending.take() {
            pending.fail(error);
        }
    }

    fn is_unwanted(&self) -> bool {
        self.pending.is_none()
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.refuse(upload_aborted());
    }
}
