//! Describing a task before it starts.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::{
    channel::{ChannelName, IntoChannelName, InvalidChannelName},
    error::{ChannelError, StageError, StartError},
    event::{StageDecl, Started},
    id::{IntoTaskId, TaskId},
    limits::Limits,
    shared::SharePlan,
    task::{
        Task,
        children::{ChildPolicy, Family, Parent},
        shared::TaskShared,
        tell::TRACE_ID,
        tree::ancestors,
    },
    time::Timestamp,
    tracker::{Run, TrackerShared},
};

/// Describes a task; [`start`](Self::start) or [`queue`](Self::queue) makes it.
///
/// Errors in what it is given come out there.
#[derive(Debug)]
#[must_use = "a task exists only once it is started or queued"]
pub struct TaskBuilder {
    tracker: Option<Arc<TrackerShared>>,
    id: Result<TaskId, StartError>,
    parent: Option<(Arc<TaskShared>, String)>,
    /// A parent that it names and has no part in.
    named_parent: Option<Result<TaskId, StartError>>,
    policy: ChildPolicy,
    name: Option<Arc<str>>,
    kind: Option<Arc<str>>,
    labels: BTreeMap<String, String>,
    stages: Vec<StageDecl>,
    /// None: as the tracker has it.
    stall_after: Option<Option<Duration>>,
    channels: Vec<Result<ChannelName, InvalidChannelName>>,
    restart: bool,
    /// The run that this one follows.
    previous: Option<Arc<TaskShared>>,
    queued: bool,
    /// None: as the tracker has it.
    silence: Option<Duration>,
}

impl TaskBuilder {
    pub(crate) fn new(tracker: Option<Arc<TrackerShared>>, id: impl IntoTaskId) -> Self {
        Self {
            tracker,
            id: id.into_task_id().map_err(StartError::InvalidTaskId),
            parent: None,
            named_parent: None,
            policy: ChildPolicy::default(),
            name: None,
            kind: None,
            labels: BTreeMap::new(),
            stages: Vec::new(),
            stall_after: None,
            channels: Vec::new(),
            restart: false,
            previous: None,
            queued: false,
            silence: None,
        }
    }

    pub(crate) fn child_of(mut self, parent: Arc<TaskShared>, stage: &str) -> Self {
        self.parent = Some((parent, stage.to_owned()));
        self
    }

    /// Sets a name for people (default none).
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = Some(Arc::from(name.as_ref()));
        self
    }

    /// Sets what sort of task it is, for programs (default none; to [`Limits::NAME_LEN`] bytes).
    pub fn kind(mut self, kind: impl AsRef<str>) -> Self {
        self.kind = Some(Arc::from(kind.as_ref()));
        self
    }

    /// Adds a label to filter by (default none; name and value to [`Limits::NAME_LEN`] bytes).
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Sets the trace that the task is part of (default none): the label `trace_id`, which is also
    /// a field of the task's [`tracing` events](crate::ProgressTracker#tracing).
    pub fn trace_id(self, id: impl Into<String>) -> Self {
        self.label(TRACE_ID, id)
    }

    /// Declares a stage: its path (segments parted by `/`, to [`Limits::STAGE_DEPTH`] of them) and
    /// its weight relative to its siblings' (default: no stages).
    ///
    /// `render/tile-3` is a child of `render`. A stage is as far as it says itself, else as far as
    /// its child stages are in their weighted mean; the task is as far as its top stages are. A
    /// stage that is only implied by those below it weighs as much as they do together; one that
    /// turns up later weighs 0 beside declared siblings, else 1.
    ///
    /// ```
    /// use progress_core::ProgressTracker;
    ///
    /// let tracker = ProgressTracker::new();
    /// let task = tracker
    ///     .task("film-7")
    ///     .stage("render/left", 4.0)
    ///     .stage("render/right", 1.0)
    ///     .stage("upload", 5.0)
    ///     .start()?;
    /// task.stage("render/left").finish();
    ///
    /// let film = task.snapshot();
    /// assert_eq!(film.progress, 40.0);
    /// let render = film.stage("render").ok_or("implied")?;
    /// assert_eq!((render.weight, render.progress), (5.0, 80.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stage(self, path: impl AsRef<str>, weight: f64) -> Self {
        self.declare(StageDecl::new(path, weight))
    }

    /// Declares a [stage](Self::stage) of which more is known than path and weight.
    ///
    /// ```
    /// use progress_core::{ProgressTracker, StageDecl};
    ///
    /// let tracker = ProgressTracker::new();
    /// let render = StageDecl::new("render", 1.0).label("Rendering").total(120).unit("frames");
    /// let task = tracker.task("film-7").declare(render).start()?;
    /// assert_eq!(task.snapshot().stages[0].total, Some(120));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn declare(mut self, stage: StageDecl) -> Self {
        self.stages.push(stage);
        self
    }

    /// Names a task, which need not be held here, as the parent of one that has no part in it: it
    /// feeds no stage of it, and does not end with it (default none). One that does is a
    /// [child](crate::Reporter::child), and stays it.
    pub fn parent(mut self, id: impl IntoTaskId) -> Self {
        self.named_parent = Some(id.into_task_id().map_err(StartError::InvalidTaskId));
        self
    }

    /// Has the task's events copied into a channel too (default none but the live list of tasks;
    /// to [`Limits::TASK_CHANNELS`]).
    pub fn channel(mut self, name: impl IntoChannelName) -> Self {
        self.channels.push(name.into_channel_name());
        self
    }

    /// Sets after how long without a change a running task is `stalled`, or with `None` that it
    /// never is (default: as [the tracker](crate::TrackerBuilder::stall_after) has it; at least a
    /// millisecond).
    ///
    /// A change is any event of the task's work or a counter that moved. The first one after a
    /// stall publishes `recovered` before it. A task that is queued or paused does not stall.
    pub fn stall_after(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.stall_after = Some(silence.into().map(Limits::stall_after));
        self
    }

    /// Sets how [`Task::finish`] picks the end by those of the children (default
    /// [`ChildPolicy::All`]).
    pub fn children(mut self, policy: ChildPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Has the task begin in state `queued` (default: it starts at once). [`start`](Self::start)
    /// is then [`queue`](Self::queue); a task that is [shared](Self::share) starts with the first
    /// event that is published to it.
    pub fn queued(mut self) -> Self {
        self.queued = true;
        self
    }

    /// Sets after how long without a publication a [shared](Self::share) task is `stalled`
    /// (default: as [the tracker](crate::TrackerBuilder::shared_silence) has it; at least a
    /// millisecond). A task with an owner is not concerned.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = Some(Limits::stall_after(silence));
        self
    }

    /// Makes the task and publishes `started`.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the id or a description is bad, the id is taken, or a limit is reached.
    pub fn start(self) -> Result<Task, StartError> {
        if self.queued {
            return self.queue();
        }
        self.make(|task| {
            // Nothing but an end could refuse it, and nobody has the handle yet; only a parent that
            // ends at this very moment can have ended it, which the next publish tells.
            let begun = task.begin();
            task.note_refusal(begun);
        })
    }

    /// Starts the task and waits until the broker has confirmed that the id is this node's; at once
    /// without a transport. While the broker cannot be reached it waits.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); [`StartError::AlreadyExists`] also if another node was first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the task `abandoned`.
    pub async fn start_confirmed(self) -> Result<Task, StartError> {
        confirmed(self.start()?).await
    }

    /// Starts the next run of a task wherever the run before was, and waits until the broker has
    /// confirmed it; see [`restart`](Self::restart), which knows only of runs that this node has
    /// had or watched.
    ///
    /// # Errors
    ///
    /// As [`start_confirmed`](Self::start_confirmed).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the task `abandoned`, if it was started.
    pub async fn restart_confirmed(self) -> Result<Task, StartError> {
        if let (Ok(id), Some(tracker)) = (&self.id, &self.tracker) {
            // If there is none, or the broker is away, the claim will tell.
            let _known = tracker.locate(id).await;
        }
        confirmed(self.restart()?).await
    }

    /// Makes the task in state `queued`; [`Task::begin`] starts it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn queue(self) -> Result<Task, StartError> {
        self.enqueue(None)
    }

    /// Makes the task in state `queued`, at a place that is known.
    #[cfg(feature = "batch")]
    pub(crate) fn queue_at(self, place: u64) -> Result<Task, StartError> {
        self.enqueue(Some(place))
    }

    fn enqueue(self, place: Option<u64>) -> Result<Task, StartError> {
        self.make(|task| {
            let queued = task.queued(place);
            task.note_refusal(queued);
        })
    }

    /// Starts the next run of a task that has ended: a new epoch, `attempt` one higher. If there is
    /// no such task, or no longer, it is the first.
    ///
    /// The run is as described here; name, kind, labels and stages that are not given are those of
    /// the run before. Readers of that run read it to its end; who comes with a position in it gets
    /// [`Resume::Reset`](crate::Resume::Reset). The tracker itself keeps the newest run only.
    ///
    /// A child that is restarted under the same stage of the same parent takes the place of its
    /// run before: it is still one child, and its end is the one that counts.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); [`StartError::AlreadyExists`] while the task has not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use progress_core::{ProgressTracker, TaskError};
    ///
    /// let tracker = ProgressTracker::new();
    /// let task = tracker.task("video-42").name("Talking video").start()?;
    /// task.fail(TaskError::new("OUT_OF_MEMORY", "There was not enough memory"))?;
    ///
    /// let again = tracker.task("video-42").restart()?;
    /// assert_eq!(again.snapshot().attempt, 2);
    /// assert_eq!(again.snapshot().name.as_deref(), Some("Talking video"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restart(mut self) -> Result<Task, StartError> {
        self.restart = true;
        if let (Ok(id), Some(tracker)) = (&self.id, &self.tracker)
            && let Some(previous) = tracker.find(id)
        {
            if !previous.is_ended() {
                return Err(StartError::AlreadyExists(id.clone()));
            }
            self = self.like(&previous.about());
            self.previous = Some(previous);
        }
        self.start()
    }

    /// Takes over what it was not given.
    fn like(mut self, about: &Started) -> Self {
        self.name = self.name.or_else(|| about.name.clone());
        self.kind = self.kind.or_else(|| about.kind.clone());
        if self.labels.is_empty() {
            self.labels.clone_from(&about.labels);
        }
        if self.stages.is_empty() {
            self.stages.clone_from(&about.stages);
        }
        self
    }

    /// Checks what it was given for a task without an owner.
    pub(crate) fn plan(mut self) -> Result<SharePlan, StartError> {
        let id = self.id.clone()?;
        let tracker = self.tracker.clone().ok_or(StartError::TrackerGone)?;
        let about = self.describe(&tracker.limits)?;
        Ok(SharePlan {
            tracker,
            id,
            about,
            channels: channels(self.channels)?,
            queued: self.queued,
            silence: self.silence,
        })
    }

    fn make(mut self, open: impl FnOnce(&Arc<TaskShared>)) -> Result<Task, StartError> {
        let id = self.id.clone()?;
        let tracker = self.tracker.clone().ok_or(StartError::TrackerGone)?;
        let about = self.describe(&tracker.limits)?;
        let parent = match self.parent {
            None => None,
            Some((task, stage)) => {
                // Before the parent gets a stage for a child that cannot be.
                tracker.check_start(&id, Some(&task), self.previous.as_ref())?;
                let (stage, counter) = task.stage_to_feed(&stage)?;
                Some(Parent {
                    task,
                    stage,
                    counter,
                })
            }
        };
        let run = Run {
            stall_after: self.stall_after.unwrap_or(tracker.stall_after),
            channels: channels(self.channels)?,
            restart: self.restart,
            previous: self.previous,
            silence: None,
        };
        let family = (parent, Family::new(self.policy));
        let task = tracker.create(id, family, about, run, open)?;
        task.inherit_request();
        Ok(Task::new(task, tracker))
    }

    /// Checks the description of the task, and takes it out.
    fn describe(&mut self, limits: &Limits) -> Result<Started, StartError> {
        let short = |field, text: Option<&str>, limit| match text {
            Some(text) if text.len() > limit => Err(StartError::TooLong {
                field,
                len: text.len(),
                limit,
            }),
            _ => Ok(()),
        };
        short("name", self.name.as_deref(), limits.payload / 2)?;
        short("kind", self.kind.as_deref(), Limits::NAME_LEN)?;
        // The trace is what a service adds by itself: it must not cost its callers one of theirs.
        let of_callers = self.labels.len() - usize::from(self.labels.contains_key(TRACE_ID));
        if of_callers > limits.labels {
            return Err(StartError::TooManyLabels {
                limit: limits.labels,
            });
        }
        for (name, value) in &self.labels {
            short("label name", Some(name), Limits::NAME_LEN)?;
            short("label value", Some(value), Limits::NAME_LEN)?;
        }
        // Paths first: a label that nobody gave is the end of one.
        let stages = declare(&self.stages, limits)?;
        for stage in &stages {
            short("stage label", Some(&stage.label), Limits::NAME_LEN)?;
            short("stage unit", stage.unit.as_deref(), Limits::NAME_LEN)?;
        }
        let named_parent = self.named_parent.take().transpose()?;
        Ok(Started {
            name: self.name.take(),
            kind: self.kind.take(),
            labels: shared_labels(std::mem::take(&mut self.labels)),
            parent: match &self.parent {
                Some((parent, _)) => Some(parent.id.clone()),
                None => named_parent,
            },
            stages,
            attempt: match &self.previous {
                Some(previous) => previous.about().attempt.saturating_add(1),
                None => 1,
            },
            started_at: Timestamp::from_millis(0),
        })
    }
}

/// Labels to share; those of all tasks without any are the same.
fn shared_labels(labels: BTreeMap<String, String>) -> Arc<BTreeMap<String, String>> {
    static NONE: LazyLock<Arc<BTreeMap<String, String>>> = LazyLock::new(Arc::default);
    match labels.is_empty() {
        true => Arc::clone(&NONE),
        false => Arc::new(labels),
    }
}

async fn confirmed(task: Task) -> Result<Task, StartError> {
    match task.confirmed().await {
        true => Ok(task),
        false => Err(StartError::AlreadyExists(task.id().clone())),
    }
}

fn channels(
    names: Vec<Result<ChannelName, InvalidChannelName>>,
) -> Result<Vec<ChannelName>, StartError> {
    let mut channels = Vec::new();
    for name in names {
        let name = name.map_err(ChannelError::Invalid)?;
        if name.is_reserved() {
            return Err(ChannelError::Invalid(InvalidChannelName::Reserved).into());
        }
        if channels.contains(&name) {
            continue;
        }
        if channels.len() == Limits::TASK_CHANNELS {
            return Err(StartError::TooManyChannels {
                limit: Limits::TASK_CHANNELS,
            });
        }
        channels.push(name);
    }
    Ok(channels)
}

/// The declared stages and those above them, each behind the one above it. A stage that is only
/// implied weighs as much as the stages right below it together, so that stages declared by their
/// paths alone weigh in the whole as they were declared.
fn declare(stages: &[StageDecl], limits: &Limits) -> Result<Vec<StageDecl>, StageError> {
    let limit = limits.stages;
    if stages.len() > limit {
        return Err(StageError::TooMany { limit });
    }
    let mut weights: HashMap<&str, f64> = HashMap::new();
    for stage in stages {
        check_stage_path(&stage.path)?;
        if !(0.0..=Limits::LARGEST_WEIGHT).contains(&stage.weight) {
            return Err(StageError::Weight);
        }
        if weights.insert(&stage.path, stage.weight).is_some() {
            return Err(StageError::Duplicate);
        }
    }
    let mut implied: HashMap<&str, f64> = HashMap::new();
    for StageDecl { path, weight, .. } in stages {
        // Up to the nearest that has a weight of its own.
        for above in ancestors(path).take_while(|above| !weights.contains_key(above)) {
            *implied.entry(above).or_default() += weight;
        }
    }
    weights.extend(implied);
    if weights.len() > limit {
        return Err(StageError::TooMany { limit });
    }
    let mut declared = Vec::with_capacity(weights.len());
    for stage in stages {
        let mut above: Vec<_> = ancestors(&stage.path).collect();
        above.reverse();
        // Each once: those declared already are no longer there.
        for path in above {
            if let Some(weight) = weights.remove(path) {
                declared.push(match stages.iter().find(|stage| *stage.path == *path) {
                    Some(stage) => stage.clone(),
                    None => StageDecl::new(path, weight),
                });
            }
        }
        if weights.remove(&*stage.path).is_some() {
            declared.push(stage.clone());
        }
    }
    Ok(declared)
}

pub(crate) fn check_stage_path(path: &str) -> Result<(), StageError> {
    if path.len() > Limits::NAME_LEN {
        return Err(StageError::TooLong { len: path.len() });
    }
    if path.chars().any(char::is_control) {
        return Err(StageError::Character);
    }
    if path.split('/').any(str::is_empty) {
        return Err(StageError::Empty);
    }
    match path.split('/').count() {
        depth if depth > Limits::STAGE_DEPTH => Err(StageError::TooDeep { depth }),
        _ => Ok(()),
    }
}
