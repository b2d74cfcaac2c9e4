//! What happens to a task beside its work: requests to stop, pauses, stalls.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::PublishError,
    event::{Data, Note, TaskState},
    log::Class,
    task::{inner::Inner, reporter::shorten, shared::TaskShared},
};

impl TaskShared {
    /// Publishes `cancel_requested` and tells the workers, once.
    pub(crate) fn ask_to_stop(self: &Arc<Self>, note: &Note) -> Result<(), PublishError> {
        let asked = self.change(|inner, now| {
            if inner.log.is_ended() {
                return Err(PublishError::AlreadyComplete);
            }
            if inner.asked().is_none() {
                inner.rare().asked = Some(note.clone());
                let published = inner.publish_request(self, note, now);
                // It was asked for all the same.
                inner.refuse(published.err());
            }
            Ok(())
        });
        self.stop.raise();
        asked
    }

    /// Publishes `paused`, unless the task has not begun, is paused already or has ended.
    pub(super) fn pause(self: &Arc<Self>, reason: Option<&str>) {
        let paused = self.change(|inner, now| {
            if !matches!(inner.state(), TaskState::Running | TaskState::Stalled) {
                return Ok(());
            }
            let note = Note {
                reason: reason.map(|reason| shorten(reason, self.limits.message())),
            };
            inner.append(self, Class::Milestone, Data::Paused(note), now)?;
            inner.rare().paused_since = Some(now);
            Ok(())
        });
        self.note_refusal(paused);
    }

    /// Publishes `resumed`, if the task is paused.
    pub(super) fn resume(self: &Arc<Self>) {
        let resumed = self.change(|inner, now| {
            if inner.state() != TaskState::Paused {
                return Ok(());
            }
            inner.append(self, Class::Milestone, Data::Resumed(Note::default()), now)?;
            let paused = inner.paused(now);
            let rare = inner.rare();
            rare.paused = paused;
            rare.paused_since = None;
            Ok(())
        });
        self.note_refusal(resumed);
    }

    /// Publishes `stalled` if the task runs and has shown no change for too long; tells when to
    /// look again, never once it has ended.
    pub(crate) fn check_stall(self: &Arc<Self>) -> Option<Instant> {
        if self.unowned {
            return self.check_silence();
        }
        let after = self.stall_after?;
        let mut again = None;
        let checked = self.change(|inner, now| {
            if inner.log.is_ended() {
                return Ok(());
            }
            let mut next = now + after;
            let mut published = Ok(());
            if inner.state() == TaskState::Running {
                if inner.has_moved() {
                    // The sampler has yet to show it.
                    inner.changed = Some(now);
                }
                let changed = inner.changed.unwrap_or(now);
                next = changed + after;
                if next <= now {
                    published = inner.stall(self, Note::default(), now);
                    next = now + after;
                }
            }
            // Looked at all the time it lives, so that nothing need be done when it goes on:
            // whatever was set from an earlier change comes early enough for a later one.
            again = Some(next);
            published
        });
        self.note_refusal(checked);
        again
    }

    /// The request to stop, if there was one.
    pub(crate) fn request_to_stop(&self) -> Option<Note> {
        self.inner.lock().asked().cloned()
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
    /// Where the task stands.
    fn state(&self) -> TaskState {
        self.fold.state()
    }

    fn asked(&self) -> Option<&Note> {
        self.rare.as_ref()?.asked.as_ref()
    }

    /// How long the task has been paused in all.
    pub(super) fn paused(&self, now: Instant) -> Duration {
        let Some(rare) = &self.rare else {
            return Duration::ZERO;
        };
        let this_time = rare
            .paused_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        rare.paused + this_time
    }

    fn publish_request(
        &mut self,
        shared: &TaskShared,
        note: &Note,
        now: Instant,
    ) -> Result<(), PublishError> {
        self.append_from_outside(shared, Data::CancelRequested(note.clone()), now)
    }

    pub(super) fn stall(
        &mut self,
        shared: &TaskShared,
        note: Note,
        now: Instant,
    ) -> Result<(), PublishError> {
        self.append_from_outside(shared, Data::Stalled(note), now)?;
        self.stalled = true;
        Ok(())
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// When the work last did anything that shows, if it ever did.
    pub(super) fn changed(&self) -> Option<Instant> {
        self.changed
    }

    /// Takes note of a sign of life, which is about to be published; ends a stall.
    #[inline]
    pub(super) fn note_change(
        &mut self,
        shared: &TaskShared,
        now: Instant,
    ) -> Result<(), PublishError> {
        self.changed = Some(now);
        if self.stalled {
            self.recover(shared, now)?;
        }
        Ok(())
    }

    #[cold]
    fn recover(&mut self, shared: &TaskShared, now: Instant) -> Result<(), PublishError> {
        self.stalled = false;
        let recovered = Data::Recovered(Note::default());
        self.append(shared, Class::Milestone, recovered, now)
            .map(drop)
    }

    /// An end needs no recovery before it.
    pub(super) fn forgive_stall(&mut self) {
        self.stalled = false;
    }

    /// Appends a milestone that is no sign of life.
    fn append_from_outside(
        &mut self,
        shared: &TaskShared,
        data: Data,
        now: Instant,
    ) -> Result<(), PublishError> {
        let (changed, stalled) = (self.changed, self.stalled);
        self.stalled = false;
        let appended = self.append(shared, Class::Milestone, data, now);
        self.changed = changed;
        self.stalled = stalled;
        appended.map(drop)
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
