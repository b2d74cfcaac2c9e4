//! The present of a task, folded from its events.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    event::{
        Children, Complete, Data, Event, Metadata, Payload, ProgressUpdate, Started, TaskError,
        TaskState, stage_label,
    },
    id::TaskId,
    position::{Epoch, Position, Seq},
    stage_index::{StageIndex, push_exact},
    time::Timestamp,
};

/// A task as it stands at one position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Snapshot {
    /// The task.
    pub task_id: TaskId,
    /// Its run.
    pub epoch: Epoch,
    /// The newest event that the snapshot takes account of.
    pub seq: Seq,
    /// A name for people.
    pub name: Option<Arc<str>>,
    /// What sort of task it is, for programs.
    pub kind: Option<Arc<str>>,
    /// Labels to filter by.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The task that this one is a child of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// Its own children, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Children>,
    /// Where it stands.
    pub state: TaskState,
    /// Percent of the whole, 0 to 100; under 100 until completed.
    pub progress: f64,
    /// The current stage.
    pub stage: Option<Arc<str>>,
    /// What is being done, for people.
    pub message: Option<Arc<str>>,
    /// Values by name, of the task and its stages together.
    pub metadata: Metadata,
    /// Milliseconds until it is done, once that means something.
    pub eta_ms: Option<u64>,
    /// Milliseconds since it started, up to its end.
    pub elapsed_ms: u64,
    /// When it started; none while queued.
    pub started_at: Option<Timestamp>,
    /// When the newest event happened.
    pub updated_at: Timestamp,
    /// Which run this is, from 1.
    pub attempt: u32,
    /// Its stages.
    pub stages: Vec<StageSnapshot>,
    /// The newest data of each key of the custom events with one.
    #[serde(default)]
    pub custom: BTreeMap<Arc<str>, Payload>,
    /// The newest error that it went on after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<TaskError>,
    /// What came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Payload>,
    /// What it ended with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// Whether somebody has asked for its cancellation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// What ended it, if it was not its own handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Arc<str>>,
    /// Log lines that are no longer kept.
    pub dropped_logs: u64,
}

/// A stage as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StageSnapshot {
    /// Its path, such as `render/tile-3`.
    pub path: Arc<str>,
    /// A name for people.
    pub label: Arc<str>,
    /// Its share of the whole, relative to the other stages'.
    pub weight: f64,
    /// Where it stands; a stage that ran when its task ended shares the task's end.
    pub state: StageState,
    /// Percent, 0 to 100.
    pub progress: f64,
    /// Units done.
    pub current: Option<u64>,
    /// Units in all.
    pub total: Option<u64>,
    /// What is counted.
    pub unit: Option<Arc<str>>,
    /// What is being done, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Arc<str>>,
    /// Values by name.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Milliseconds until it is done, once that means something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
    /// Milliseconds since it began, up to its end.
    pub elapsed_ms: u64,
}

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StageState {
    /// It has not begun.
    Pending,
    /// It runs.
    Running,
    /// It is done.
    Completed,
    /// Its task failed meanwhile.
    Failed,
    /// Its task was cancelled meanwhile.
    Cancelled,
    /// Its task was abandoned meanwhile.
    Abandoned,
}

impl Snapshot {
    /// Returns the snapshot's position.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.epoch, self.seq)
    }

    /// Folds the events of one run that are kept, in order; none if there are none. A run that holds
    /// nothing but the end of another is told by the events of both, one after the other.
    #[must_use]
    pub fn of_events(events: impl IntoIterator<Item = Arc<Event>>) -> Option<Self> {
        let mut events = events.into_iter();
        let first = events.next()?;
        let mut fold = Fold::new(first.task_id().clone(), first.epoch(), first.timestamp());
        for event in std::iter::once(first).chain(events) {
            fold.apply(&event);
        }
        Some(fold.to_snapshot())
    }

    /// Returns the milliseconds since the task started, at a moment while it runs.
    pub(crate) fn elapsed_at(&self, now: Timestamp) -> u64 {
        self.started_at.map_or(0, |started| {
            u64::try_from(now.as_millis() - started.as_millis()).unwrap_or(0)
        })
    }

    /// Returns a stage by its path.
    #[must_use]
    pub fn stage(&self, path: &str) -> Option<&StageSnapshot> {
        self.stages.iter().find(|stage| &*stage.path == path)
    }
}

/// Folds events into a [`Snapshot`]: a pure function of the events, so that every node that has
/// read the same events has the same snapshot.
///
/// It holds after conflation too: State is the whole present value of its key, so that what a
/// skipped event said is said again by one that was not.
#[derive(Debug, Clone)]
pub(crate) struct Fold {
    snapshot: Snapshot,
    stages: StageIndex,
    /// Whether stages were declared, so that others at the top get no weight.
    declared: bool,
    /// One for each stage.
    nodes: Vec<Node>,
    /// The newest `error` event.
    last_error: Option<Arc<Event>>,
    /// Whether the percent is as reported: see [`ProgressUpdate::reported`].
    reported: bool,
}

/// What a snapshot does not show of a stage.
#[derive(Debug, Clone, Default)]
struct Node {
    parent: Option<usize>,
    /// Whether child stages were declared, so that others get no weight.
    declared: bool,
    /// Elapsed milliseconds of the task when it began, or the first stage below it.
    begun: Option<u64>,
}

impl Fold {
    pub(crate) fn new(task_id: TaskId, epoch: Epoch, now: Timestamp) -> Self {
        Self {
            snapshot: Snapshot {
                task_id,
                epoch,
                seq: Seq::ZERO,
                name: None,
                kind: None,
                labels: Arc::default(),
                parent: None,
                children: None,
                state: TaskState::Queued,
                progress: 0.0,
                stage: None,
                message: None,
                metadata: Metadata::default(),
                eta_ms: None,
                elapsed_ms: 0,
                started_at: None,
                updated_at: now,
                attempt: 1,
                stages: Vec::new(),
                custom: BTreeMap::new(),
                last_error: None,
                result: None,
                error: None,
                cancel_requested: false,
                cause: None,
                dropped_logs: 0,
            },
            stages: StageIndex::default(),
            declared: false,
            nodes: Vec::new(),
            last_error: None,
            reported: false,
        }
    }

    /// The snapshot but for `last_error`; see [`Fold::to_snapshot`].
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.reported
    }

    /// The snapshot, whole. The newest error is copied here, and not whenever there is one.
    pub(crate) fn to_snapshot(&self) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        if let Some(event) = &self.last_error
            && let Data::Error(error) = event.data()
        {
            snapshot.last_error = Some(error.clone());
        }
        snapshot
    }

    /// Says where the snapshot stands, when what it was folded from is of another run.
    pub(crate) fn stand_at(&mut self, position: Position) {
        self.snapshot.epoch = position.epoch();
        self.snapshot.seq = position.seq();
    }

    /// What is known of a task before it starts.
    pub(crate) fn describe(&mut self, about: &Started) {
        self.snapshot.name.clone_from(&about.name);
        self.snapshot.kind.clone_from(&about.kind);
        self.snapshot.labels = Arc::clone(&about.labels);
        self.snapshot.parent.clone_from(&about.parent);
        self.snapshot.attempt = about.attempt;
        self.declared = !about.stages.is_empty();
        for stage in &about.stages {
            let index = self.stage_index(&stage.path);
            if let Some(parent) = self.nodes[index].parent {
                self.nodes[parent].declared = true;
            }
            let known = &mut self.snapshot.stages[index];
            known.label = Arc::clone(&stage.label);
            known.weight = stage.weight;
            known.total = stage.total.or(known.total);
            known.unit = stage.unit.clone().or_else(|| known.unit.take());
        }
    }

    /// The index of a stage, which is made at its first mention, as are those above it.
    fn stage_index(&mut self, path: &Arc<str>) -> usize {
        if let Some(index) = self.stages.get(path) {
            return *index;
        }
        let parent = path
            .rsplit_once('/')
            .map(|(above, _)| match self.stages.get(above) {
                Some(index) => *index,
                None => self.stage_index(&Arc::from(above)),
            });
        let declared = parent.map_or(self.declared, |parent| self.nodes[parent].declared);
        let weight = if declared { 0.0 } else { 1.0 };
        let index = self.snapshot.stages.len();
        self.stages.insert(Arc::clone(path), index);
        let node = Node {
            parent,
            ..Node::default()
        };
        push_exact(&mut self.nodes, node);
        let stage = StageSnapshot {
            path: Arc::clone(path),
            label: stage_label(path),
            weight,
            state: StageState::Pending,
            progress: 0.0,
            current: None,
            total: None,
            unit: None,
            message: None,
            metadata: Metadata::default(),
            eta_ms: None,
            elapsed_ms: 0,
        };
        push_exact(&mut self.snapshot.stages, stage);
        index
    }

    pub(crate) fn apply(&mut self, event: &Arc<Event>) {
        let snapshot = &mut self.snapshot;
        snapshot.epoch = event.epoch();
        snapshot.seq = event.seq();
        snapshot.updated_at = event.timestamp();
        match event.data() {
            Data::Queued(queued) => {
                snapshot.state = TaskState::Queued;
                if let Some(about) = &queued.about {
                    self.describe(about);
                }
            }
            Data::Started(about) => {
                snapshot.state = TaskState::Running;
                snapshot.started_at = Some(about.started_at);
                self.describe(about);
            }
            Data::StageChange(change) => {
                snapshot.stage = Some(Arc::clone(&change.current_stage));
                snapshot.progress = change.progress;
                self.begin_stage(&change.current_stage, change.elapsed_ms);
            }
            Data::ProgressUpdate(update) => self.update(update),
            Data::Error(_) => self.last_error = Some(Arc::clone(event)),
            Data::Paused(_) => snapshot.state = TaskState::Paused,
            Data::Stalled(_) => snapshot.state = TaskState::Stalled,
            Data::Resumed(_) | Data::Recovered(_) => snapshot.state = TaskState::Running,
            Data::Complete(end) => self.end(end),
            Data::Custom(custom) => {
                if let Some(key) = &custom.key {
                    let data = custom.data.clone();
                    match snapshot.custom.get_mut(key) {
                        Some(old) => *old = data,
                        None => drop(snapshot.custom.insert(Arc::clone(key), data)),
                    }
                }
            }
            Data::CancelRequested(_) => snapshot.cancel_requested = true,
            Data::Log(_) => {}
        }
    }

    fn update(&mut self, update: &ProgressUpdate) {
        let snapshot = &mut self.snapshot;
        snapshot.progress = update.progress;
        self.reported |= update.reported;
        snapshot.eta_ms = update.eta_ms;
        snapshot.elapsed_ms = update.elapsed_ms;
        if update.message.is_some() {
            snapshot.message.clone_from(&update.message);
        }
        if update.children.is_some() {
            snapshot.children.clone_from(&update.children);
        }
        snapshot.metadata.merge(&update.metadata);
        let Some(path) = &update.stage else {
            return;
        };
        let index = self.begin_stage(path, update.elapsed_ms);
        let begun = self.nodes[index].begun.unwrap_or(update.elapsed_ms);
        let stage = &mut self.snapshot.stages[index];
        stage.elapsed_ms = update.elapsed_ms.saturating_sub(begun);
        stage.progress = update.stage_progress.unwrap_or(stage.progress);
        stage.current = update.current;
        stage.total = update.total;
        stage.unit.clone_from(&update.unit);
        stage.message.clone_from(&update.message);
        stage.metadata = update.metadata.clone();
        stage.eta_ms = update.stage_eta_ms;
        stage.state = if stage.progress >= 100.0 {
            StageState::Completed
        } else {
            StageState::Running
        };
    }

    /// A stage runs from its first sign of life on, and those above it from the first below them.
    fn begin_stage(&mut self, path: &Arc<str>, elapsed_ms: u64) -> usize {
        let index = self.stage_index(path);
        let mut at = Some(index);
        while let Some(stage) = at
            && self.nodes[stage].begun.is_none()
        {
            self.nodes[stage].begun = Some(elapsed_ms);
            self.snapshot.stages[stage].state = StageState::Running;
            at = self.nodes[stage].parent;
        }
        index
    }

    fn end(&mut self, end: &Complete) {
        let snapshot = &mut self.snapshot;
        snapshot.state = end.status.into();
        snapshot.progress = end.progress;
        snapshot.result.clone_from(&end.result);
        snapshot.error.clone_from(&end.error);
        snapshot.cause.clone_from(&end.cause);
        snapshot.eta_ms = None;
        snapshot.elapsed_ms = end.duration_ms;
        for (stage, node) in snapshot.stages.iter_mut().zip(&self.nodes) {
            stage.eta_ms = None;
            if stage.state == StageState::Running {
                stage.elapsed_ms = end
                    .duration_ms
                    .saturating_sub(node.begun.unwrap_or(end.duration_ms));
                stage.state = match snapshot.state {
                    TaskState::Completed => StageState::Completed,
                    TaskState::Failed => StageState::Failed,
                    TaskState::Cancelled => StageState::Cancelled,
                    _ => StageState::Abandoned,
                };
            }
        }
    }
}
