//! A job from its submission to its video.

use std::{mem, path::Path, time::Duration};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use tracing::Instrument as _;

use super::{
    call::retry_after,
    error::RemoteError,
    link::{ResultLink, said},
    renderer::Renderer,
    request::RenderRequest,
    talk::{Talk, TalkError, TalkStatus},
};
use crate::Cancel;

/// How far a job is, told each time that it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenderUpdate {
    /// The job's id.
    pub id: String,
    /// What the renderer says.
    pub status: TalkStatus,
    /// How often it has answered, from 0 after the submission.
    pub polls: u32,
    /// The time since it is waited on.
    pub elapsed: Duration,
}

impl Renderer {
    /// Waits for a job's end; gives where its video lies. `told` hears of every poll.
    ///
    /// The renderer is asked after growing times, after as long as its `Retry-After` says (no sooner than
    /// the first [poll](super::RendererBuilder::polls), no later than
    /// [this](super::RendererBuilder::max_retry_after)), or sooner if there is a [hint](Self::hint), as of
    /// a [webhook](super::Webhook). A job that runs is paid for: where the renderer cannot be reached, is out of order or has had too many
    /// requests, it is asked again until the job's time is over, and where its answer makes no sense
    /// as often as [attempts](super::RendererBuilder::attempts) are made. `told` does not hear of these.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Failed`] or [`RemoteError::Rejected`] if it comes to nothing,
    /// [`RemoteError::Timeout`] after the [job's time](super::RendererBuilder::job_timeout),
    /// [`RemoteError::Cancelled`] once the flag is set, and what the renderer refuses, as
    /// [`RemoteError::Unauthorized`]. The job stays: [`delete`](Self::delete) it.
    ///
    /// # Cancel safety
    ///
    /// The job goes on if the future is dropped, and can be waited on again.
    pub async fn wait(
        &self,
        id: &str,
        cancel: &Cancel,
        told: impl FnMut(&RenderUpdate),
    ) -> Result<ResultLink, RemoteError> {
        ended(self.end(id, cancel, told).await?)
    }

    /// Waits until nothing more comes.
    async fn end(
        &self,
        id: &str,
        cancel: &Cancel,
        mut told: impl FnMut(&RenderUpdate),
    ) -> Result<Talk, RemoteError> {
        let started = Instant::now();
        let limit = self.settings().job_timeout;
        let waited = timeout_at(started + limit, self.poll(id, started, &mut told));
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(RemoteError::Cancelled),
            result = waited => result.unwrap_or(Err(RemoteError::Timeout {
                what: "the render",
                limit,
            })),
        }
    }

    /// Submits a job, waits for its end and writes its video to a file; gives the video's size in
    /// bytes.
    ///
    /// A job that is given up before its end, be it by the flag, for its time or for an error, is
    /// deleted at the renderer, so that it costs no more than it has to.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit), [`wait`](Self::wait) and [`download`](Self::download).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, a job that has not ended is deleted by a task of its own, also one
    /// whose submission is still to be answered. Only the end of the runtime comes before it.
    pub async fn render(
        &self,
        request: &RenderRequest,
        file: &Path,
        cancel: &Cancel,
        mut told: impl FnMut(&RenderUpdate),
    ) -> Result<u64, RemoteError> {
        let body = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(RemoteError::Cancelled),
            body = self.prepare(request) => body?,
        };
        let (job, status) = Job::make(self, body, cancel).await?;
        told(&RenderUpdate {
            id: job.id.clone(),
            status,
            polls: 0,
            elapsed: Duration::ZERO,
        });
        let talk = match self.end(&job.id, cancel, told).await {
            Ok(talk) => talk,
            Err(error) => {
                job.give_up().await;
                return Err(error);
            }
        };
        job.has_ended();
        let link = ended(talk)?;
        self.download(&link, file, cancel, |_, _| {}).await
    }

    async fn poll(
        &self,
        id: &str,
        started: Instant,
        told: &mut impl FnMut(&RenderUpdate),
    ) -> Result<Talk, RemoteError> {
        let settings = self.settings();
        let mut delay = settings.first_poll;
        let mut asked = None;
        let mut polls = 0u32;
        let mut strange = 0;
        let mut waiter = self.waiting().enter(id);
        let mut is_told_off = false;
        loop {
            tokio::select! {
                () = sleep(asked.unwrap_or(delay)) => {}
                () = waiter.hinted(), if !is_told_off => {}
            }
            waiter.asks();
            let answer = self.ask(id).await;
            let answer = answer.and_then(|answer| Ok((answer.json::<Talk>()?, answer.headers)));
            let wait = match answer {
                Ok((talk, headers)) => {
                    is_told_off = false;
                    strange = 0;
                    polls = polls.saturating_add(1);
                    told(&RenderUpdate {
                        id: talk.id.clone(),
                        status: talk.status,
                        polls,
                        elapsed: started.elapsed(),
                    });
                    if talk.status.is_final() {
                        return Ok(talk);
                    }
                    retry_after(&headers)
                }
                Err(error) => {
                    // Some proxy's page is no answer either, unless it is all that ever comes.
                    let is_strange = matches!(error, RemoteError::Answer { .. });
                    strange += usize::from(is_strange);
                    let may_pass = is_strange && strange < settings.attempts;
                    if !error.is_retryable() && !may_pass {
                        return Err(error);
                    }
                    tracing::debug!(code = error.code(), "the renderer was asked in vain");
                    is_told_off = error.retry_after().is_some();
                    error.retry_after()
                }
            };
            // As late as it asks, in bounds; a wait of nothing would be no back-off.
            let least = settings.first_poll.min(settings.max_retry_after);
            asked = wait.map(|asked| asked.clamp(least, settings.max_retry_after));
            delay = delay
                .mul_f64(1.5)
                .min(settings.longest_poll.max(settings.first_poll));
        }
    }
}

/// A job at the renderer that somebody waits on: dropped before its end, it is deleted there.
struct Job {
    id: String,
    renderer: Renderer,
    /// Where it is deleted, wherever it is dropped.
    runtime: Handle,
    is_over: bool,
}

impl Job {
    /// Makes a job that is deleted even if nobody waits any more when the renderer answers. The request
    /// is not cut short: a job whose id is not known could not be deleted.
    async fn make(
        renderer: &Renderer,
        body: Bytes,
        cancel: &Cancel,
    ) -> Result<(Self, TalkStatus), RemoteError> {
        let nobody = SetOnDrop(cancel.child());
        let (give, made) = oneshot::channel();
        let (renderer, runtime, stop) = (renderer.clone(), Handle::current(), nobody.0.clone());
        let making = async move {
            let made = renderer.create(body, &stop).await.map(|talk| {
                let job = Self {
                    id: talk.id,
                    renderer,
                    runtime,
                    is_over: false,
                };
                (job, talk.status)
            });
            // What nobody takes is dropped here, and with it the job deleted.
            drop(give.send(made));
        };
        tokio::spawn(making.in_current_span());
        // It ends without an answer only with the runtime.
        made.await.unwrap_or(Err(RemoteError::Unsure))
    }

    fn has_ended(mut self) {
        self.is_over = true;
    }

    /// Deletes it, which goes on if the future is dropped.
    async fn give_up(mut self) {
        if let Some(deleted) = self.delete() {
            // Only the end of the runtime cuts it short.
            let _ = deleted.await;
        }
    }

    /// That it fails changes nothing for who gave up.
    fn delete(&mut self) -> Option<JoinHandle<()>> {
        if mem::replace(&mut self.is_over, true) {
            return None;
        }
        let (renderer, id) = (self.renderer.clone(), mem::take(&mut self.id));
        let deleting = async move {
            if let Err(error) = renderer.delete(&id).await {
                tracing::warn!(
                    code = error.code(),
                    "a job that was given up is not deleted"
                );
            }
        };
        Some(self.runtime.spawn(deleting.in_current_span()))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        drop(self.delete());
    }
}

/// Sets a flag when it is dropped.
struct SetOnDrop(Cancel);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn ended(talk: Talk) -> Result<ResultLink, RemoteError> {
    let TalkError { kind, description } = talk.error.unwrap_or_default();
    let told = |text: String, or: &str| match said(&text) {
        text if text.is_empty() => or.to_owned(),
        text => text,
    };
    let message = told(description, "no reason given");
    match talk.status {
        TalkStatus::Rejected => Err(RemoteError::Rejected { message }),
        TalkStatus::Error => Err(RemoteError::Failed {
            kind: told(kind, "unknown"),
            message,
        }),
        _ => talk.result_url.ok_or_else(|| RemoteError::Answer {
            reason: "the job is done, and there is no result".to_owned(),
        }),
    }
}
