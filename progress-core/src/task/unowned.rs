//! A task without an owner in a process that stands alone: its tracker numbers what is published.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::PublishError,
    event::{Complete, Data, Event, Note, ProgressUpdate, Queued, Retention, Status},
    log::{Class, Keys},
    position::Position,
    shared::{Present, Said, Seen, author},
    sync::atomic::AtomicU8,
    task::{
        inner::Inner,
        shared::{FREE, TaskShared},
    },
};

/// How long a task without an owner may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence {
    /// Until it counts as stalled.
    pub(crate) stalled: Duration,
    /// Until it is ended.
    pub(crate) abandoned: Duration,
}

/// What such a task's tracker knows besides its log.
#[derive(Debug)]
pub(super) struct Unowned {
    silence: Silence,
    keys: Keys,
    seen: Seen,
}

impl Unowned {
    fn new(silence: Silence) -> Self {
        Self {
            silence,
            keys: Keys::default(),
            seen: Seen::default(),
        }
    }
}

impl TaskShared {
    /// Makes it a task without an owner. Call it before anybody else has the task.
    pub(crate) fn disown(&mut self, silence: Silence) {
        self.unowned = true;
        self.hold = AtomicU8::new(FREE);
        self.inner.get_mut().rare().unowned = Some(Box::new(Unowned::new(silence)));
    }

    /// Tells whether it has no owner, and its events are numbered here.
    pub(crate) fn is_unowned(&self) -> bool {
        self.unowned
    }

    /// Publishes the first event, and has the task looked at when it could be too silent.
    pub(crate) fn open(self: &Arc<Self>, queued: bool) -> Result<(), PublishError> {
        let opened = self.change(|inner, now| {
            let Some(silence) = inner.silence() else {
                return Err(PublishError::Owned);
            };
            let mut about = (*inner.about).clone();
            let data = if queued {
                Data::Queued(Queued {
                    position: None,
                    about: Some(Box::new(about)),
                })
            } else {
                about.started_at = self.clock.at(now).max(inner.newest);
                Data::Started(Arc::new(about))
            };
            inner.append_unowned(self, data, now)?;
            Ok(now + silence.stalled.min(silence.abandoned))
        });
        if let (Ok(first), Some(tracker)) = (&opened, self.tracker.upgrade()) {
            tracker.watch_for_stall(self, *first);
        }
        opened.map(drop)
    }

    /// Publishes what somebody says of the task. A repetition is answered with the first one's
    /// position.
    pub(crate) fn publish_said(
        self: &Arc<Self>,
        said: Said,
        id: Option<&Arc<str>>,
    ) -> Result<Position, PublishError> {
        let published = self.change(|inner, now| inner.publish_said(self, said, id, now));
        if published.is_ok() && self.is_ended() {
            self.stop.raise();
        }
        published
    }

    /// Publishes `stalled`, or the end, if nothing was published for too long; tells when to look
    /// again, never once it has ended.
    pub(super) fn check_silence(self: &Arc<Self>) -> Option<Instant> {
        let mut again = None;
        let mut ended = false;
        let checked = self.change(|inner, now| {
            let Some(silence) = inner.silence().filter(|_| !inner.log.is_ended()) else {
                return Ok(());
            };
            let since = inner.changed().unwrap_or(now);
            let (stall, end) = (since + silence.stalled, since + silence.abandoned);
            if end <= now {
                inner.forgive_stall();
                let data = inner.abandoned(now);
                let published = inner.append_unowned(self, data, now).map(drop);
                ended = published.is_ok();
                again = published.is_err().then_some(now + silence.abandoned);
                return published;
            }
            again = Some(if stall > now { stall.min(end) } else { end });
            if stall <= now && !inner.is_stalled() {
                let note = Note {
                    reason: Some(Arc::from(SILENT)),
                };
                inner.stall(self, note, now)?;
            }
            Ok(())
        });
        self.note_refusal(checked);
        if ended {
            self.stop.raise();
        }
        again
    }
}

impl Inner {
    fn silence(&self) -> Option<Silence> {
        let unowned = self.rare.as_ref()?.unowned.as_ref()?;
        Some(unowned.silence)
    }

    fn publish_said(
        &mut self,
        shared: &TaskShared,
        said: Said,
        id: Option<&Arc<str>>,
        now: Instant,
    ) -> Result<Position, PublishError> {
        let Some(unowned) = self.unowned() else {
            return Err(PublishError::Owned);
        };
        if let Some(first) = id.and_then(|id| unowned.seen.position(id)) {
            return Ok(first);
        }
        if self.log.is_ended() {
            return Err(PublishError::AlreadyComplete);
        }
        let own = self.own_update();
        let elapsed_ms = self.elapsed_ms(now);
        let newest = self.newest;
        let present = Present {
            fold: self.full_fold(),
            own: own.as_deref().and_then(update_of),
            elapsed_ms,
            now: shared.clock.at(now).max(newest),
            limits: &shared.limits,
        };
        let authored = author(said, &present)?;
        // Its recovery is among what was authored.
        self.forgive_stall();
        for data in authored.before {
            self.append_unowned(shared, data, now)?;
        }
        let position = self.append_unowned(shared, authored.main, now)?;
        if let (Some(unowned), Some(id)) = (self.unowned(), id) {
            unowned.seen.remember(id, position);
        }
        Ok(position)
    }

    /// The newest event of the task's own key, of a task whose keys go by name.
    pub(crate) fn own_update(&self) -> Option<Arc<Event>> {
        let rare = self.rare.as_ref()?;
        let unowned = rare.unowned.as_ref().map(|unowned| &unowned.keys);
        let keys = unowned.or_else(|| rare.mirror.as_ref().map(|mirror| &mirror.keys))?;
        let Retention::State(own) = Data::ProgressUpdate(Box::default()).retention() else {
            return None;
        };
        self.log.newest_of(keys.find(&own)?).cloned()
    }

    fn abandoned(&mut self, now: Instant) -> Data {
        Data::Complete(Box::new(Complete {
            status: Status::Abandoned,
            result: None,
            error: None,
            cause: Some(Arc::from(SILENT)),
            progress: self.full_fold().snapshot().progress,
            duration_ms: self.elapsed_ms(now),
        }))
    }

    /// Appends an event whose State key goes by its name.
    fn append_unowned(
        &mut self,
        shared: &TaskShared,
        mut data: Data,
        now: Instant,
    ) -> Result<Position, PublishError> {
        let retention = data.retention();
        let class = match (&retention, self.unowned()) {
            (Retention::State(name), Some(unowned)) => Class::State(unowned.keys.number(name)),
            (Retention::State(_), None) => return Err(PublishError::Owned),
            (Retention::Milestone, _) => Class::Milestone,
            (Retention::Log, _) => Class::Log,
            (Retention::Terminal, _) => Class::Terminal,
        };
        if let Data::Log(line) = &mut data {
            line.n = self.log_lines + 1;
        }
        let starts = matches!(data, Data::Started(_));
        let position = self.append(shared, class, data, now)?;
        match (retention, class, self.unowned()) {
            (Retention::State(name), Class::State(key), Some(unowned)) => {
                unowned.keys.keep(name, key);
            }
            (Retention::Log, ..) => self.log_lines += 1,
            _ if starts => self.started = Some(now),
            _ => {}
        }
        let shown = self.full_fold().snapshot().progress;
        self.work().percent.show(shown);
        Ok(position)
    }
}

/// What an event says of the present of a task or stage.
pub(crate) fn update_of(event: &Event) -> Option<&ProgressUpdate> {
    match event.data() {
        Data::ProgressUpdate(update) => Some(update),
        _ => None,
    }
}

const SILENT: &str = "silent";
