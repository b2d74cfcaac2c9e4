//! What a span stands for, kept in its extensions.

use std::{collections::HashMap, sync::Arc};

use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::{
    event::TaskError,
    sync::Mutex,
    task::{Reporter, Task},
};

/// How a stage is called.
#[derive(Debug, PartialEq)]
pub(super) enum Stage {
    Named(String),
    LikeItsSpan,
}

/// The task that a span is, and how it is to end.
pub(super) struct TaskSpan {
    pub(super) task: Task,
    pub(super) failed: Option<TaskError>,
    pub(super) completed: bool,
}

impl TaskSpan {
    pub(super) fn new(task: Task) -> Self {
        Self {
            task,
            failed: None,
            completed: false,
        }
    }

    /// Notes how the task around a span is to end; the newest word counts.
    pub(super) fn note<S: for<'a> LookupSpan<'a>>(
        span: &SpanRef<'_, S>,
        completed: bool,
        failed: Option<TaskError>,
    ) {
        for span in span.scope() {
            if let Some(task) = span.extensions_mut().get_mut::<Self>() {
                task.completed = completed;
                task.failed = failed;
                return;
            }
        }
    }
}

/// Where in a task a span is.
#[derive(Clone)]
pub(super) struct Place {
    reporter: Reporter,
    /// None for the task itself.
    path: Option<Arc<str>>,
    /// How many spans each stage of the task has open.
    open: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

impl Place {
    pub(super) fn task(task: &Task) -> Self {
        Self {
            reporter: task.reporter(),
            path: None,
            open: Arc::default(),
        }
    }

    /// What a span stands for by itself.
    pub(super) fn of<S: for<'a> LookupSpan<'a>>(span: &SpanRef<'_, S>) -> Option<Self> {
        span.extensions().get::<Self>().cloned()
    }

    /// What it is or is part of.
    pub(super) fn around<S: for<'a> LookupSpan<'a>>(span: &SpanRef<'_, S>) -> Option<Self> {
        span.scope().find_map(|span| Self::of(&span))
    }

    /// A stage within it.
    pub(super) fn stage(&self, name: &str) -> Self {
        let path: Arc<str> = match &self.path {
            Some(path) => Arc::from(format!("{path}/{name}")),
            None => Arc::from(name),
        };
        Self {
            reporter: self.reporter.stage(&path),
            path: Some(path),
            open: Arc::clone(&self.open),
        }
    }

    pub(super) fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Notes that a span of the stage was made.
    pub(super) fn begin(&self) {
        if let Some(path) = &self.path {
            *self.open.lock().entry(Arc::clone(path)).or_default() += 1;
            self.reporter.open();
        }
    }

    /// Notes that a span of the stage was closed.
    pub(super) fn finish(&self) {
        let Some(path) = &self.path else { return };
        let last = {
            let mut open = self.open.lock();
            match open.get_mut(path) {
                Some(spans) if *spans > 1 => {
                    *spans -= 1;
                    false
                }
                _ => open.remove(path).is_some(),
            }
        };
        // What was interrupted is not done.
        if last && !std::thread::panicking() {
            self.reporter.close();
        }
    }
}
