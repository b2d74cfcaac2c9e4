//! A job from its submission to its video.

use std::{path::Path, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use super::{
    call::{MAX_MESSAGE, retry_after},
    error::RemoteError,
    link::ResultLink,
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
    /// How often it was asked, from 0 after the submission.
    pub polls: u32,
    /// The time since it is waited on.
    pub elapsed: Duration,
}

impl Renderer {
    /// Waits for a job's end; gives where its video lies. `told` hears of every poll.
    ///
    /// The renderer is asked after growing times, or after as long as its `Retry-After` says.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Failed`] or [`RemoteError::Rejected`] if it comes to nothing,
    /// [`RemoteError::Timeout`] after the [job's time](super::RendererBuilder::job_timeout),
    /// [`RemoteError::Cancelled`] once the flag is set. The job stays: [`delete`](Self::delete) it.
    ///
    /// # Cancel safety
    ///
    /// The job goes on if the future is dropped, and can be waited on again.
    pub async fn wait(
        &self,
        id: &str,
        cancel: &Cancel,
        mut told: impl FnMut(&RenderUpdate),
    ) -> Result<ResultLink, RemoteError> {
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
    /// A job that is given up, as by the flag or for its time, is deleted at the renderer, so that it
    /// costs no more than it has to.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit), [`wait`](Self::wait) and [`download`](Self::download).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the job goes on at the renderer. Set the flag instead.
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
        // Not cut short by the flag: a job whose id is not known could not be deleted.
        let talk = self.create(body).await?;
        told(&RenderUpdate {
            id: talk.id.clone(),
            status: talk.status,
            polls: 0,
            elapsed: Duration::ZERO,
        });
        let link = match self.wait(&talk.id, cancel, told).await {
            Ok(link) => link,
            Err(error) => {
                if matches!(error, RemoteError::Cancelled | RemoteError::Timeout { .. }) {
                    self.give_up(&talk.id).await;
                }
                return Err(error);
            }
        };
        self.download(&link, file, cancel, |_, _| {}).await
    }

    async fn poll(
        &self,
        id: &str,
        started: Instant,
        told: &mut impl FnMut(&RenderUpdate),
    ) -> Result<ResultLink, RemoteError> {
        let settings = self.settings();
        let mut delay = settings.first_poll;
        let mut asked = None;
        let mut polls = 0u32;
        loop {
            sleep(asked.unwrap_or(delay)).await;
            let answer = self.ask(id).await?;
            let talk: Talk = answer.json()?;
            polls = polls.saturating_add(1);
            told(&RenderUpdate {
                id: talk.id.clone(),
                status: talk.status,
                polls,
                elapsed: started.elapsed(),
            });
            if talk.status.is_final() {
                return ended(talk);
            }
            asked = retry_after(&answer.headers).map(|asked| asked.min(settings.max_retry_after));
            delay = delay
                .mul_f64(1.5)
                .min(settings.longest_poll.max(settings.first_poll));
        }
    }

    /// Deletes what nobody waits on any more. That it fails changes nothing for who gave up.
    async fn give_up(&self, id: &str) {
        if let Err(error) = self.delete(id).await {
            tracing::warn!(
                code = error.code(),
                "a job that was given up is not deleted"
            );
        }
    }
}

fn ended(talk: Talk) -> Result<ResultLink, RemoteError> {
    let TalkError { kind, description } = talk.error.unwrap_or_default();
    let cut = |text: String, or: &str| match text.chars().take(MAX_MESSAGE).collect::<String>() {
        text if text.is_empty() => or.to_owned(),
        text => text,
    };
    let message = cut(description, "no reason given");
    match talk.status {
        TalkStatus::Rejected => Err(RemoteError::Rejected { message }),
        TalkStatus::Error => Err(RemoteError::Failed {
            kind: cut(kind, "unknown"),
            message,
        }),
        _ => talk.result_url.ok_or_else(|| RemoteError::Answer {
            reason: "the job is done, and there is no result".to_owned(),
        }),
    }
}
