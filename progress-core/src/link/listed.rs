//! State of this node's tasks, on its way into the live list of tasks: of each task the newest, once
//! a second. A list of thousands of tasks shows no more, and a broker has each of its events to number.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{event::Event, id::TaskId, sync::Mutex};

/// What waits: at most one event of each task.
#[derive(Debug, Default)]
pub(super) struct Listed(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    newest: HashMap<TaskId, Arc<Event>>,
    /// When what waits may go; before that it has not been a second.
    due: Option<Instant>,
}

impl Listed {
    /// Has State wait, in the place of what is older of its task.
    pub(super) fn put(&self, event: &Arc<Event>) {
        let mut waiting = self.0.lock();
        let known = waiting.newest.get(event.task_id());
        let place = |event: &Event| (event.epoch(), event.seq());
        if known.is_none_or(|known| place(known) < place(event)) {
            let task = event.task_id().clone();
            waiting.newest.insert(task, Arc::clone(event));
        }
    }

    /// Takes what waits of one task: something of it that does not wait comes behind it.
    pub(super) fn take(&self, task: &TaskId) -> Option<Arc<Event>> {
        self.0.lock().newest.remove(task)
    }

    /// Takes what may go by now, up to `limit`; all of it with no regard to the time if `now` is none.
    pub(super) fn take_due(&self, now: Option<Instant>, limit: usize) -> Vec<Arc<Event>> {
        let mut waiting = self.0.lock();
        if let (Some(now), Some(due)) = (now, waiting.due)
            && now < due
        {
            return Vec::new();
        }
        let tasks: Vec<_> = waiting.newest.keys().take(limit).cloned().collect();
        let taken = tasks.iter().filter_map(|task| waiting.newest.remove(task));
        let taken: Vec<_> = taken.collect();
        // The rest of many goes as soon as there is room.
        if let Some(now) = now
            && waiting.newest.is_empty()
            && !taken.is_empty()
        {
            waiting.due = Some(now + EVERY);
        }
        taken
    }

    /// When something may go; none if nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        let waiting = self.0.lock();
        let now = Instant::now();
        (!waiting.newest.is_empty()).then(|| waiting.due.map_or(now, |due| due.max(now)))
    }
}

const EVERY: Duration = Duration::from_secs(1);
