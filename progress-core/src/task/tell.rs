//! Milestones and ends, told to operators through `tracing`.
//!
//! A subscriber is user code, so it is called without any lock. Of the threads that publish at a
//! time one tells for all, so that the events of a task are told in their order.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tracing::{Level, level_filters::LevelFilter};

use crate::{
    event::{Data, Event, Status, TaskState},
    log::Class,
    task::shared::TaskShared,
};

/// What is still to be told of a task; nothing at all while nobody may listen.
#[derive(Debug, Default)]
pub(super) struct Untold(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    events: Vec<Arc<Event>>,
    /// Whether somebody is telling, who will tell these too.
    busy: bool,
}

impl Untold {
    /// Takes note of an event, if anybody may listen.
    #[inline]
    pub(super) fn note(&mut self, class: Class, event: &Arc<Event>) {
        if matches!(class, Class::Milestone | Class::Terminal)
            && LevelFilter::current() >= LevelFilter::INFO
        {
            let queue = self.0.get_or_insert_default();
            queue.events.push(Arc::clone(event));
        }
    }

    /// Tells whether the caller is to tell, once it has released the lock.
    pub(super) fn begin(&mut self) -> bool {
        match &mut self.0 {
            Some(queue) if !queue.busy && !queue.events.is_empty() => {
                queue.busy = true;
                true
            }
            _ => false,
        }
    }

    /// Takes what there is to tell; with nothing left, telling is over.
    fn take(&mut self) -> Vec<Arc<Event>> {
        let Some(queue) = &mut self.0 else {
            return Vec::new();
        };
        let events = std::mem::take(&mut queue.events);
        queue.busy = !events.is_empty();
        events
    }
}

impl TaskShared {
    /// Tells what there is to tell, and what comes meanwhile.
    #[cold]
    pub(super) fn tell(&self) {
        loop {
            let (events, kind, trace_id, attempt) = {
                let mut inner = self.inner.lock();
                let events = inner.untold.take();
                if events.is_empty() {
                    return;
                }
                let about = &inner.about;
                let trace_id = about.labels.get(TRACE_ID).cloned();
                (events, about.kind.clone(), trace_id, about.attempt)
            };
            for event in events {
                // A subscriber that panics is no business of who reports.
                let _told = catch_unwind(AssertUnwindSafe(|| {
                    tell(&event, kind.as_deref(), trace_id.as_deref(), attempt);
                }));
            }
        }
    }
}

fn tell(event: &Event, task_kind: Option<&str>, trace_id: Option<&str>, attempt: u32) {
    let (status, error, duration_ms) = match event.data() {
        Data::Complete(end) => (Some(end.status), end.error.as_ref(), Some(end.duration_ms)),
        Data::Error(error) => (None, Some(error), None),
        _ => (None, None, None),
    };
    macro_rules! tell {
        ($level:expr, $message:literal) => {
            tracing::event!(
                target: "progress",
                $level,
                task = %event.task_id(),
                kind = event.event_type(),
                seq = event.seq().get(),
                attempt,
                task_kind,
                status = status.map(|status| TaskState::from(status).as_str()),
                duration_ms,
                error = error.map(tracing::field::display),
                trace_id = error.and_then(|error| error.trace()).or(trace_id),
                $message
            )
        };
    }
    match status {
        None => tell!(Level::INFO, "milestone"),
        Some(Status::Completed | Status::Cancelled) => tell!(Level::INFO, "end"),
        Some(Status::Abandoned) => tell!(Level::WARN, "end"),
        Some(Status::Failed) => tell!(Level::ERROR, "end"),
    }
}

/// The label that holds a task's trace.
pub(super) const TRACE_ID: &str = "trace_id";
