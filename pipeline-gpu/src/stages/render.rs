//! Has a video rendered elsewhere.

use std::{path::PathBuf, time::Duration};

use progress_core::TaskError;

use crate::{
    context::Context,
    remote::{RenderRequest, RenderUpdate, Renderer, TalkStatus},
    stage::Stage,
};

/// What is to be rendered, and where to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RenderJob {
    /// What is asked of the renderer.
    pub request: RenderRequest,
    /// The file that the video is written to; one that is there is replaced.
    pub file: PathBuf,
}

impl RenderJob {
    /// A job whose video is written to `file`.
    pub fn new(request: RenderRequest, file: impl Into<PathBuf>) -> Self {
        Self {
            request,
            file: file.into(),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Video {
    /// Where it is.
    pub file: PathBuf,
    /// How large it is.
    pub bytes: u64,
}

/// Has a video rendered by a remote renderer, and fetches it.
///
/// Watchers are told each time that the renderer says something else. Metadata: `render_id`, `render_status`, and the `bytes` of
/// the video. Renderers do not say how far they are, so progress is [estimated](Stage::opaque) where there is a prior.
///
/// What can be tried again is, by the [renderer](crate::remote): there is no need of [`retry`](Stage::retry), which would submit the
/// job anew. A job that has not ended is deleted at the renderer when its item is cancelled or has no time left, which is waited for
/// for ten seconds, and goes on after them.
#[derive(Debug, Clone)]
pub struct Render {
    renderer: Renderer,
    jobs: usize,
}

impl Render {
    /// Renders with this renderer, four jobs at a time.
    #[must_use]
    pub fn new(renderer: &Renderer) -> Self {
        Self {
            renderer: renderer.clone(),
            jobs: 4,
        }
    }

    /// Sets how many jobs there are at a time at the renderer (default 4).
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }
}

impl Stage<RenderJob, Video> for Render {
    async fn run(&self, cx: Context, job: RenderJob) -> Result<Video, TaskError> {
        let reporter = cx.reporter();
        reporter.message("Handing it over to the renderer");
        let mut last = None;
        let told = |update: &RenderUpdate| {
            if last.replace(update.status) == Some(update.status) {
                return;
            }
            reporter.metadata("render_id", &update.id);
            reporter.metadata("render_status", update.status.to_string());
            reporter.message(match update.status {
                TalkStatus::Created => "The renderer has it in its queue",
                TalkStatus::Done => "Fetching the video",
                TalkStatus::Error | TalkStatus::Rejected => "The renderer gives up",
                _ => "The renderer is at work",
            });
        };
        let bytes = self
            .renderer
            .render(&job.request, &job.file, cx.cancel(), told)
            .await?;
        reporter.metadata("bytes", bytes);
        reporter.message("The video is here");
        Ok(Video {
            file: job.file,
            bytes,
        })
    }

    fn concurrency(&self) -> usize {
        self.jobs
    }

    fn grace(&self) -> Duration {
        TO_DELETE
    }

    fn is_opaque(&self) -> bool {
        true
    }
}

/// For the renderer to be told that nobody waits any more.
const TO_DELETE: Duration = Duration::from_secs(10);
