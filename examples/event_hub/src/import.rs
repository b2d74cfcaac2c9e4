//! The work of a job: pictures in, facts and thumbnails out.

use std::{path::Path, sync::Arc, time::Instant};

use demo::analysis::{AnalysisError, Limits, Observer, Source, Step, analyse};
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader};
use progress_core::{Reporter, Task, TaskError};

use crate::{
    hub::{Arrived, Found, Hub, Work},
    refusal::Refusal,
    store::{Store, Stored},
};

/// Does one job after the other.
pub(crate) async fn work(hub: Hub, worker: usize) {
    loop {
        let (id, work) = hub.next_job(worker).await;
        run(&hub, worker, &id, work).await;
    }
}

async fn run(hub: &Hub, worker: usize, id: &str, work: Work) {
    let began = Instant::now();
    let Work {
        session_id,
        task,
        files,
        ..
    } = work;
    // It can only have ended by a cancellation, which is seen below.
    let _begun = task.begin();
    let pictures = task
        .stage("import")
        .total(files.len() as u64)
        .unit("pictures");
    let mut imported = 0;
    let mut last = None;
    let mut is_cut_short = false;
    for file in files {
        if task.is_cancelled() {
            is_cut_short = true;
            break;
        }
        let name = file.name.clone();
        let error = import(hub, id, &session_id, file, &task).await.err();
        if error.is_some() && task.is_cancelled() {
            is_cut_short = true;
            break;
        }
        imported += u32::from(error.is_none());
        hub.job_went_on(id, worker, error.is_some());
        pictures.inc(1);
        if let Some(error) = error {
            hub.tell_error(&name, error.clone());
            last = Some(error);
        }
    }
    // Some pictures that are none leave the others what they are.
    let error = match is_cut_short {
        true => Some(TaskError::new(CANCELLED, "the import was cancelled")),
        false => last.filter(|_| imported == 0),
    };
    end(task, error.clone());
    hub.job_ended(id, began, error);
}

fn end(task: Task, error: Option<TaskError>) {
    let ended = match error {
        None => task.complete(()),
        Some(error) if error.code() == CANCELLED => {
            let reason = task.cancel_reason();
            task.cancel(reason.as_deref().unwrap_or("cancel_requested"))
        }
        Some(error) => task.fail(error),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a job's task had ended");
    }
}

async fn import(
    hub: &Hub,
    job: &str,
    session: &str,
    Arrived { name, file }: Arrived,
    task: &Task,
) -> Result<(), TaskError> {
    let (photo, file) = hub.import_photo(job, session, &name, file);
    let reporter = task.reporter();
    let store = hub.store().clone();
    let found = tokio::task::spawn_blocking(move || look(&store, &file, &name, reporter)).await;
    let found = found.unwrap_or_else(|panic| {
        tracing::error!(%panic, "an analysis panicked");
        let message = "the analysis broke down on this file";
        Err(TaskError::new("INTERNAL", message))
    });
    let analyzed = found.and_then(|found| {
        let analyzed = hub.analyzed(&photo, found);
        analyzed.map_err(Refusal::into_error)
    });
    if analyzed.is_err() {
        hub.discard(&photo);
    }
    analyzed
}

/// Finds out what is in a file. It blocks.
fn look(
    store: &Store,
    file: &Arc<Stored>,
    name: &str,
    reporter: Reporter,
) -> Result<Found, TaskError> {
    let source = Source::new(file.path(), name);
    let analysis = analyse(&source, &Limits::default(), &mut Asked(reporter));
    let analysis = analysis.map_err(|error| to_task_error(&error))?;
    let Some(facts) = analysis.image else {
        let error = TaskError::new("NOT_A_PICTURE", "the file is not a picture");
        return Err(error.solution("Import PNG or JPEG files"));
    };
    Ok(Found {
        sha256: analysis.sha256,
        facts,
        thumbnail: thumbnail(store, file.path())?,
    })
}

/// Has an analysis stop where its job is to.
struct Asked(Reporter);

impl Observer for Asked {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

fn to_task_error(error: &AnalysisError) -> TaskError {
    let mut object =
        TaskError::new(error.code(), error.to_string()).retryable(error.is_retryable());
    object = object.stage(Step::name(error.step()));
    error
        .solutions()
        .into_iter()
        .fold(object, |object, solution| object.solution(solution))
}

/// A small JPEG, upright.
fn thumbnail(store: &Store, path: &Path) -> Result<Stored, TaskError> {
    let failed = |error: image::ImageError| {
        tracing::debug!(%error, "no thumbnail");
        TaskError::new(
            "IMAGE_DECODE_FAILED",
            "the picture could not be made smaller",
        )
    };
    let small = small(path).map_err(failed)?;
    let file = store.file().map_err(Refusal::into_error)?;
    small
        .write_to(&mut file.as_file(), ImageFormat::Jpeg)
        .map_err(failed)?;
    store.keep(file).map_err(Refusal::into_error)
}

fn small(path: &Path) -> image::ImageResult<image::RgbImage> {
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    if picture.width().max(picture.height()) > THUMBNAIL {
        picture = picture.thumbnail(THUMBNAIL, THUMBNAIL);
    }
    picture.apply_orientation(orientation);
    Ok(picture.to_rgb8())
}

const CANCELLED: &str = "CANCELLED";
/// Pixels: what the analysis takes at most.
const LARGEST_SIDE: u32 = 16_384;
/// Pixels of a thumbnail's longer side.
const THUMBNAIL: u32 = 320;
