//! Progress out of the spans and events of `tracing`.

mod fields;
mod scope;

use std::{cell::Cell, fmt, sync::atomic::Ordering};

use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::{LookupSpan, SpanRef},
};

use self::{
    fields::{Seen, names_progress},
    scope::{Place, Stage, TaskSpan},
};
use crate::{
    error::PublishError,
    event::{Level, TaskError},
    tracker::ProgressTracker,
};

/// A layer of `tracing` that reports spans as tasks and stages, and events as log lines.
///
/// | Field | On | Means |
/// | --- | --- | --- |
/// | `progress.task` | a span | it is a task of this id, named like the span |
/// | `progress.stage` | a span within it | it is a stage of this name; `true`: named like the span |
/// | `progress.total` | both, events | how many units there are |
/// | `progress.inc`, `progress.set` | both, events | how many units were done, are done |
/// | `progress.message` | both, events | what is being done, for people |
/// | `progress.fail` | an event | the task fails when it closes, with this code (`true`: `TASK_FAILED`) and the event's message, which its watchers see |
/// | `progress.complete` | an event | the task completes when it closes; see [`explicit_end`](Self::explicit_end) |
///
/// - A task lives as long as its span: to the last clone of it, on whatever thread, and the last
///   span within it. Then it completes, unless it was failed; while its thread unwinds, it ends
///   `abandoned` (`panicked`).
/// - Stages nest by path: `tile` in `render` is `render/tile`. A stage begins when its span is made
///   and is done when its last span closes, unless it has a total: then it is done by its count. A
///   span without these fields is part of the one around it.
/// - A task span within another is a child task. It feeds the stage around it, or one named like
///   itself.
/// - Events within a task that have a message and are at least as important as
///   [`log_level`](Self::log_level) are lines of its log. Those of this library are not.
/// - Values may be recorded later, as long as the span has declared the field.
/// - What is refused (an id that is taken, a number that is none, a field `progress.` something
///   else) costs the span or event its meaning here and nothing else; it is counted in
///   [`TrackerStats::refused`](crate::TrackerStats::refused).
///
/// The layer keeps the tracker alive.
///
/// ```
/// use progress_core::{ProgressTracker, TaskState, tracing_layer::ProgressLayer};
/// use tracing_subscriber::layer::SubscriberExt;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let tracker = ProgressTracker::new();
/// let subscriber = tracing_subscriber::registry().with(ProgressLayer::new(&tracker));
/// tracing::subscriber::with_default(subscriber, || {
///     let _task = tracing::info_span!("talking_video", progress.task = "video-42").entered();
///     let _stage = tracing::info_span!("detect", progress.stage = true, progress.total = 2).entered();
///     for person in 0..2 {
///         tracing::info!(person, progress.inc = 1, "found");
///     }
/// });
///
/// let video = tracker.snapshot("video-42").await?;
/// assert_eq!(video.state, TaskState::Completed);
/// assert_eq!(video.name.as_deref(), Some("talking_video"));
/// assert_eq!(video.stage("detect").map(|detect| detect.current), Some(Some(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ProgressLayer {
    tracker: ProgressTracker,
    log_level: Level,
    explicit_end: bool,
}

impl ProgressLayer {
    /// Makes a layer that reports to a tracker.
    #[must_use]
    pub fn new(tracker: &ProgressTracker) -> Self {
        Self {
            tracker: tracker.clone(),
            log_level: Level::Info,
            explicit_end: false,
        }
    }

    /// Sets from which level on events are log lines (default [`Level::Info`]).
    #[must_use]
    pub fn log_level(mut self, least: Level) -> Self {
        self.log_level = least;
        self
    }

    /// Sets whether a task completes only after an event with `progress.complete`, and ends
    /// `abandoned` without one (default `false`: it completes when its span closes).
    ///
    /// A span does not tell whether a future was finished or dropped: where futures are cancelled,
    /// set this.
    #[must_use]
    pub fn explicit_end(mut self, explicit: bool) -> Self {
        self.explicit_end = explicit;
        self
    }

    /// Makes of a span what its fields say, and reports what else they say.
    fn take<S: for<'a> LookupSpan<'a>>(&self, span: &SpanRef<'_, S>, seen: Seen) {
        self.refuse_all(&seen);
        if let Some(place) = Place::of(span) {
            drive(&place, seen);
        } else if let Some(place) = self.open(span, &seen) {
            // First, so that its first update tells its total.
            drive(&place, seen);
            place.begin();
        }
    }

    /// Makes a span a task or a stage, if its fields say so.
    fn open<S: for<'a> LookupSpan<'a>>(&self, span: &SpanRef<'_, S>, seen: &Seen) -> Option<Place> {
        let around = span.parent().and_then(|parent| Place::around(&parent));
        if let Some(id) = &seen.task {
            let task = match &around {
                Some(place) => {
                    let stage = place.path().unwrap_or_else(|| span.name());
                    place.reporter().child(id.as_str(), stage)
                }
                None => self.tracker.task(id.as_str()),
            };
            return match task.name(span.name()).start() {
                Ok(task) => {
                    let place = Place::task(&task);
                    let mut extensions = span.extensions_mut();
                    extensions.insert(TaskSpan::new(task));
                    extensions.insert(place.clone());
                    Some(place)
                }
                Err(error) => {
                    self.refuse(&error);
                    None
                }
            };
        }
        // A stage of no task is nothing.
        let (stage, around) = (seen.stage.as_ref()?, around?);
        let place = around.stage(match stage {
            Stage::Named(name) => name,
            Stage::LikeItsSpan => span.name(),
        });
        if place.reporter().task_id().is_none() {
            self.refuse(&PublishError::Detached);
        }
        span.extensions_mut().insert(place.clone());
        Some(place)
    }

    fn end(&self, task: TaskSpan) {
        let TaskSpan {
            task,
            failed,
            completed,
        } = task;
        if std::thread::panicking() {
            // Its drop says so.
            drop(task);
            return;
        }
        let ended = match failed {
            Some(error) => task.fail(error),
            None if completed || !self.explicit_end => task.complete(()),
            None => {
                drop(task);
                return;
            }
        };
        // One that was ended meanwhile has its end.
        if let Err(error) = ended
            && *error.reason() != PublishError::AlreadyComplete
        {
            self.refuse(error.reason());
        }
    }

    fn refuse_all(&self, seen: &Seen) {
        for refusal in &seen.refused {
            self.refuse(refusal);
        }
    }

    /// Counts and tells what a span or event cannot be told.
    fn refuse(&self, error: &dyn fmt::Display) {
        let refused = &self.tracker.shared().refused;
        refused.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%error, "not reported");
    }

    /// The longest text that is taken of a value, in bytes.
    fn longest_text(&self) -> usize {
        self.tracker.shared().limits.payload / 8
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ProgressLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !names_progress(attributes.metadata()) {
            return;
        }
        let (Some(_inside), Some(span)) = (Inside::enter(), context.span(id)) else {
            return;
        };
        let mut seen = Seen::new(self.longest_text());
        attributes.record(&mut seen);
        self.take(&span, seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if !names_progress(span.metadata()) {
            return;
        }
        let Some(_inside) = Inside::enter() else {
            return;
        };
        let mut seen = Seen::new(self.longest_text());
        values.record(&mut seen);
        self.take(&span, seen);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if is_own(event.metadata().target()) {
            return;
        }
        let level = level(*event.metadata().level());
        let drives = names_progress(event.metadata());
        if level < self.log_level && !drives {
            return;
        }
        let (Some(_inside), Some(span)) = (Inside::enter(), context.event_span(event)) else {
            return;
        };
        let Some(place) = Place::around(&span) else {
            return;
        };
        let mut seen = Seen::new(self.longest_text());
        event.record(&mut seen);
        self.refuse_all(&seen);
        if seen.fail.is_some() || seen.complete {
            TaskSpan::note(&span, seen.complete, to_error(&seen, &place));
        }
        if level >= self.log_level
            && let Some(text) = &seen.text
        {
            let fields = std::mem::take(&mut seen.fields);
            place.reporter().log_with(level, text, fields);
        }
        drive(&place, seen);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        if !names_progress(span.metadata()) {
            return;
        }
        // Not under the extensions' lock: what follows wakes readers.
        let (task, place) = {
            let mut extensions = span.extensions_mut();
            (
                extensions.remove::<TaskSpan>(),
                extensions.remove::<Place>(),
            )
        };
        let _inside = Inside::enter();
        match (task, place) {
            (Some(task), _) => self.end(task),
            (None, Some(place)) => place.finish(),
            (None, None) => {}
        }
    }
}

impl fmt::Debug for ProgressLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressLayer")
            .field("tracker", &self.tracker)
            .field("log_level", &self.log_level)
            .field("explicit_end", &self.explicit_end)
            .finish()
    }
}

/// Reports what fields say of a task or stage.
fn drive(place: &Place, seen: Seen) {
    let reporter = place.reporter();
    if let Some(units) = seen.total {
        reporter.set_total(units);
    }
    if let Some(units) = seen.set {
        reporter.set(units);
    }
    if let Some(units) = seen.inc {
        reporter.inc(units);
    }
    if let Some(text) = seen.message {
        reporter.message(text);
    }
}

fn to_error(seen: &Seen, place: &Place) -> Option<TaskError> {
    let code = seen.fail.as_deref()?;
    let message = seen.text.as_deref().unwrap_or("the task failed");
    let error = TaskError::new(code, message);
    Some(match place.path() {
        Some(path) => error.in_stage(path),
        None => error,
    })
}

/// Whether an event comes from this library, which would report on its own reports.
fn is_own(target: &str) -> bool {
    let root = target.split("::").next();
    target == "progress" || root == Some(env!("CARGO_CRATE_NAME"))
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::TRACE => Level::Trace,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::INFO => Level::Info,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::ERROR => Level::Error,
    }
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// This thread is at work here: what it traces meanwhile is not looked at, or it would never end.
struct Inside;

impl Inside {
    fn enter() -> Option<Self> {
        // While the thread ends there is nothing to note it in; then nothing is looked at.
        let before = INSIDE.try_with(|inside| inside.replace(true)).ok()?;
        (!before).then_some(Self)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Gone with its thread: fine.
        let _ = INSIDE.try_with(|inside| inside.set(false));
    }
}
