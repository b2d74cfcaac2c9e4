//! Describing a task before it starts.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    error::{StageError, StartError},
    event::{StageDecl, Started, stage_label},
    id::{IntoTaskId, TaskId},
    limits::Limits,
    task::{
        Task,
        children::{ChildPolicy, Family, Parent},
        shared::TaskShared,
        tree::ancestors,
    },
    time::Timestamp,
    tracker::TrackerShared,
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
    policy: ChildPolicy,
    name: Option<Arc<str>>,
    kind: Option<Arc<str>>,
    labels: BTreeMap<String, String>,
    stages: Vec<(String, f64)>,
}

impl TaskBuilder {
    pub(crate) fn new(tracker: Option<Arc<TrackerShared>>, id: impl IntoTaskId) -> Self {
        Self {
            tracker,
            id: id.into_task_id().map_err(StartError::InvalidTaskId),
            parent: None,
            policy: ChildPolicy::default(),
            name: None,
            kind: None,
            labels: BTreeMap::new(),
            stages: Vec::new(),
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
    pub fn stage(mut self, path: impl Into<String>, weight: f64) -> Self {
        self.stages.push((path.into(), weight));
        self
    }

    /// Sets how [`Task::finish`] picks the end by those of the children (default
    /// [`ChildPolicy::All`]).
    pub fn children(mut self, policy: ChildPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Makes the task and publishes `started`.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the id or a description is bad, the id is taken, or a limit is reached.
    pub fn start(self) -> Result<Task, StartError> {
        let (task, tracker) = self.make()?;
        // Nothing but an end could refuse it, and nobody has the handle yet; only a parent that
        // ends at this very moment can have ended it, which the next publish tells.
        let begun = task.begin();
        task.note_refusal(begun);
        Ok(Task::new(task, tracker))
    }

    /// Makes the task in state `queued`; [`Task::begin`] starts it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn queue(self) -> Result<Task, StartError> {
        let (task, tracker) = self.make()?;
        let queued = task.queued(None);
        task.note_refusal(queued);
        Ok(Task::new(task, tracker))
    }

    fn make(self) -> Result<(Arc<TaskShared>, Arc<TrackerShared>), StartError> {
        let id = self.id?;
        let tracker = self.tracker.ok_or(StartError::TrackerGone)?;
        let limits = &tracker.limits;
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
        if self.labels.len() > limits.labels {
            return Err(StartError::TooManyLabels {
                limit: limits.labels,
            });
        }
        for (name, value) in &self.labels {
            short("label name", Some(name), Limits::NAME_LEN)?;
            short("label value", Some(value), Limits::NAME_LEN)?;
        }
        let about = Started {
            name: self.name,
            kind: self.kind,
            labels: Arc::new(self.labels),
            parent: self.parent.as_ref().map(|(parent, _)| parent.id.clone()),
            stages: declare(&self.stages, limits)?,
            attempt: 1,
            started_at: Timestamp::from_millis(0),
        };
        let parent = match self.parent {
            None => None,
            Some((task, stage)) => {
                // Before the parent gets a stage for a child that cannot be.
                tracker.check_start(&id, Some(&task))?;
                let (stage, counter) = task.stage_to_feed(&stage)?;
                Some(Parent {
                    task,
                    stage,
                    counter,
                })
            }
        };
        let task = tracker.create(id, parent, Family::new(self.policy), about)?;
        Ok((task, tracker))
    }
}

/// The declared stages and those above them, each behind the one above it. A stage that is only
/// implied weighs as much as the stages right below it together, so that stages declared by their
/// paths alone weigh in the whole as they were declared.
fn declare(stages: &[(String, f64)], limits: &Limits) -> Result<Vec<StageDecl>, StageError> {
    let limit = limits.stages;
    if stages.len() > limit {
        return Err(StageError::TooMany { limit });
    }
    let mut weights: HashMap<&str, f64> = HashMap::new();
    for (path, weight) in stages {
        check_stage_path(path)?;
        if !(0.0..=Limits::LARGEST_WEIGHT).contains(weight) {
            return Err(StageError::Weight);
        }
        if weights.insert(path, *weight).is_some() {
            return Err(StageError::Duplicate);
        }
    }
    let mut implied: HashMap<&str, f64> = HashMap::new();
    for (path, weight) in stages {
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
    for (path, _) in stages {
        let mut lineage: Vec<_> = std::iter::once(path.as_str())
            .chain(ancestors(path))
            .collect();
        lineage.reverse();
        for path in lineage {
            // Each once: those declared already are no longer there.
            let Some(weight) = weights.remove(path) else {
                continue;
            };
            let path: Arc<str> = Arc::from(path);
            declared.push(StageDecl {
                label: stage_label(&path),
                path,
                weight,
                total: None,
                unit: None,
            });
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
