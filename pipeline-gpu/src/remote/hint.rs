//! Who waits on a job, to be told that it is worth asking for.

use std::{collections::HashMap, future::pending, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{renderer::Renderer, talk::Talk};
use crate::sync::Mutex;

impl Renderer {
    /// Has whoever [waits](Self::wait) on this job ask for it now, not when the next time has come;
    /// gives whether anybody does, of this renderer and its clones.
    ///
    /// What the message says is not believed, only asked for, and no more than once a second, however
    /// many hints there are. A `Retry-After` of a renderer that is out of order or has had too many
    /// requests is waited for all the same. Nothing is kept: a hint of a job that nobody waits on does
    /// nothing, and there are as many entries as jobs that are waited on.
    ///
    /// ```
    /// use http::HeaderMap;
    /// use pipeline_gpu::remote::{Renderer, Webhook, WebhookError};
    ///
    /// /// What is called with each message that is posted to the webhook.
    /// fn posted(
    ///     renderer: &Renderer,
    ///     webhook: &Webhook,
    ///     headers: &HeaderMap,
    ///     body: &[u8],
    /// ) -> Result<(), WebhookError> {
    ///     renderer.hint(&webhook.verify(headers, body)?);
    ///     Ok(())
    /// }
    /// ```
    pub fn hint(&self, talk: &Talk) -> bool {
        match self.waiting().0.lock().get(&talk.id) {
            Some(hints) => hints.send(()).is_ok(),
            None => false,
        }
    }
}

/// The jobs that are waited on. An entry goes with the last who waits.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashMap<String, watch::Sender<()>>>);

impl Waiting {
    pub(super) fn enter(&self, id: &str) -> Waiter<'_> {
        let mut jobs = self.0.lock();
        let hints = jobs.entry(id.to_owned()).or_default().subscribe();
        drop(jobs);
        Waiter {
            waiting: self,
            id: id.to_owned(),
            hints: Some(hints),
            asked: None,
        }
    }
}

/// Somebody who waits on a job.
pub(super) struct Waiter<'a> {
    waiting: &'a Waiting,
    id: String,
    /// `None` only while it is dropped.
    hints: Option<watch::Receiver<()>>,
    asked: Option<Instant>,
}

impl Waiter<'_> {
    /// Says that the renderer is asked now.
    pub(super) fn asks(&mut self) {
        self.asked = Some(Instant::now());
    }

    /// Waits for a hint that has not been told, also one that came while the renderer was asked.
    pub(super) async fn hinted(&mut self) {
        let is_hint = match &mut self.hints {
            Some(hints) => hints.changed().await.is_ok(),
            None => false,
        };
        if !is_hint {
            pending::<()>().await;
        }
        if let Some(asked) = self.asked {
            sleep_until(asked + LEAST).await;
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut jobs = self.waiting.0.lock();
        self.hints = None;
        if jobs
            .get(&self.id)
            .is_some_and(|hints| hints.receiver_count() == 0)
        {
            jobs.remove(&self.id);
        }
    }
}

/// The least time between asking and asking for a hint: messages can be sent again by whoever heard
/// them.
const LEAST: Duration = Duration::from_secs(1);
