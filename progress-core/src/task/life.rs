//! What comes to a task from outside its work: a request to stop.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    error::PublishError,
    event::{Data, Note},
    log::Class,
    task::{inner::Inner, shared::TaskShared},
};

/// The part of a task's inside that this file is about.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// The request to stop.
    asked: Option<Note>,
}

impl TaskShared {
    /// Publishes `cancel_requested` and tells the workers, once.
    pub(crate) fn ask_to_stop(self: &Arc<Self>, note: &Note) -> Result<(), PublishError> {
        let asked = self.change(|inner, now| {
            if inner.log.is_ended() {
                return Err(PublishError::AlreadyComplete);
            }
            if inner.life.asked.is_none() {
                inner.life.asked = Some(note.clone());
                let published = inner.publish_request(self, note, now);
                // It was asked for all the same.
                inner.refused.extend(published.err());
            }
            Ok(())
        });
        self.stop.raise();
        asked
    }

    /// The request to stop, if there was one.
    pub(crate) fn request_to_stop(&self) -> Option<Note> {
        self.inner.lock().life.asked.clone()
    }

    /// Passes on to a new child what its parent was asked before it was there.
    pub(super) fn inherit_request(self: &Arc<Self>) {
        if let Some(parent) = &self.parent
            && parent.task.stop.is_raised()
            && let Some(note) = parent.task.request_to_stop()
        {
            // An end that came first is an end.
            let _asked = self.ask_to_stop(&note);
        }
    }
}

impl Inner {
    fn publish_request(
        &mut self,
        shared: &TaskShared,
        note: &Note,
        now: Instant,
    ) -> Result<(), PublishError> {
        let data = Data::CancelRequested(note.clone());
        self.append(shared, Class::Milestone, data, now).map(drop)
    }
}

/// Asks all live tasks below one, the nearest first: a loop, so that deep families do not exhaust
/// the stack. Children that come later ask for themselves: see [`TaskShared::inherit_request`].
pub(crate) fn ask_descendants(task: &TaskShared, note: &Note) {
    let mut waiting = task.inner.lock().family.live();
    while let Some(child) = waiting.pop() {
        let _asked = child.ask_to_stop(note);
        waiting.extend(child.inner.lock().family.live());
    }
}
