//! What a publisher says, made into the events that say the same of the task: partial updates are
//! merged into the whole present value of their key, and what only the tracker knows is filled in.
//!
//! Pure functions: who numbers the events, and where, is no concern of theirs.

use std::sync::Arc;

use crate::{
    error::{PublishError, StageError},
    event::{
        Complete, Data, Event, Metadata, Note, ProgressUpdate, StageChange, StageDecl, Started,
        Status, TaskState,
    },
    limits::Limits,
    position::{Position, Seq},
    shared::{
        input::InvalidInput,
        said::{End, Said, Update},
        whole::{Whole, parents},
    },
    snapshot::{Fold, Snapshot, StageSnapshot, StageState},
    task::{BELOW_DONE, round, stage_percent},
    time::Timestamp,
};

/// The task as it stands when a publisher speaks.
#[derive(Debug)]
pub(crate) struct Present<'a> {
    pub(crate) fold: &'a Fold,
    /// The present value of the task's own key.
    pub(crate) own: Option<&'a ProgressUpdate>,
    /// Milliseconds since it started.
    pub(crate) elapsed_ms: u64,
    pub(crate) now: Timestamp,
    pub(crate) limits: &'a Limits,
}

/// The events that an input makes: what it implies, then what it says.
#[derive(Debug)]
pub(crate) struct Authored {
    pub(crate) before: Vec<Data>,
    pub(crate) main: Data,
}

/// Makes the events that a publisher's words stand for.
///
/// # Errors
///
/// [`PublishError`] if they are too large once merged, or there are too many stages.
pub(crate) fn author(said: Said, present: &Present<'_>) -> Result<Authored, PublishError> {
    let snapshot = present.fold.snapshot();
    let mut before = Vec::new();
    if snapshot.state == TaskState::Stalled && !matches!(said, Said::Complete(_)) {
        before.push(Data::Recovered(Note::default()));
    }
    if snapshot.started_at.is_none() && !matches!(said, Said::Complete(_)) {
        before.push(Data::Started(Arc::new(started(snapshot, present.now))));
    }
    let main = match said {
        Said::Update(update) => return progress(&update, present, before),
        Said::StageChange(path) => {
            with_stage(present, &path)?;
            Data::StageChange(Box::new(stage_change(present, path)))
        }
        Said::Log(line) => Data::Log(line),
        Said::Error(error) => Data::Error(error),
        Said::Paused(note) => Data::Paused(note),
        Said::Resumed(note) => Data::Resumed(note),
        Said::Complete(end) => Data::Complete(Box::new(complete(*end, present))),
        Said::Custom(custom) => Data::Custom(custom),
    };
    finish(before, main, present.limits)
}

/// What `started` says, from what was said when the task was queued.
fn started(snapshot: &Snapshot, now: Timestamp) -> Started {
    let stages = snapshot.stages.iter();
    Started {
        name: snapshot.name.clone(),
        kind: snapshot.kind.clone(),
        labels: Arc::clone(&snapshot.labels),
        parent: snapshot.parent.clone(),
        stages: stages
            .map(|stage| StageDecl {
                path: Arc::clone(&stage.path),
                label: Arc::clone(&stage.label),
                weight: stage.weight,
                total: stage.total,
                unit: stage.unit.clone(),
            })
            .collect(),
        attempt: snapshot.attempt,
        started_at: now,
    }
}

fn stage_change(present: &Present<'_>, path: Arc<str>) -> StageChange {
    let snapshot = present.fold.snapshot();
    StageChange {
        previous_stage: snapshot.stage.clone(),
        current_stage: path,
        progress: snapshot.progress,
        elapsed_ms: present.elapsed_ms,
    }
}

fn complete(end: End, present: &Present<'_>) -> Complete {
    Complete {
        progress: match end.status {
            Status::Completed => 100.0,
            _ => present.fold.snapshot().progress,
        },
        status: end.status,
        result: end.result,
        error: end.error,
        cause: end.cause,
        duration_ms: present.elapsed_ms,
    }
}

fn progress(
    update: &Update,
    present: &Present<'_>,
    mut before: Vec<Data>,
) -> Result<Authored, PublishError> {
    let snapshot = present.fold.snapshot();
    let reported = update.progress.is_some() || present.fold.is_reported();
    let display = |fraction: Option<f64>| {
        let percent = match (update.progress, fraction) {
            (Some(percent), _) => percent.clamp(0.0, 100.0),
            (None, Some(fraction)) if !reported => fraction * 100.0,
            (None, _) => snapshot.progress,
        };
        snapshot.progress.max(round(percent).min(BELOW_DONE))
    };
    let Some(path) = &update.stage else {
        let mut main = merge(present.own.cloned().unwrap_or_default(), update, present)?;
        let stages = Whole::of(&snapshot.stages).fraction;
        main.progress = display(stages.or_else(|| counted(main.current, main.total)));
        main.reported = reported;
        return finish(before, Data::ProgressUpdate(Box::new(main)), present.limits);
    };
    let (mut stages, index) = with_stage(present, path)?;
    if stages[index].state == StageState::Pending {
        let change = stage_change(present, Arc::clone(&stages[index].path));
        before.push(Data::StageChange(Box::new(change)));
    }
    let mut main = merge(value_of(&stages[index]), update, present)?;
    let fraction = match update.stage_progress {
        Some(percent) => Some(percent.clamp(0.0, 100.0) / 100.0),
        None if update.current.is_some() || update.total.is_some() => {
            counted(main.current, main.total)
        }
        None => None,
    };
    if let Some(fraction) = fraction {
        stages[index].progress = stage_percent(fraction, fraction >= 1.0);
        main.stage_progress = Some(stages[index].progress);
    }
    let whole = Whole::of(&stages);
    if let Some(percent) = &mut main.stage_progress {
        *percent = percent.max(whole.stages[index]);
    }
    let progress = display(whole.fraction);
    // The stages above it that have moved with it.
    let parents = parents(&stages);
    let mut at = parents[index];
    while let Some(above) = at {
        let percent = whole.stages[above];
        if percent > stages[above].progress {
            before.push(Data::ProgressUpdate(Box::new(ProgressUpdate {
                progress,
                reported,
                stage_progress: Some(percent),
                elapsed_ms: present.elapsed_ms,
                eta_ms: remaining(update, present),
                ..value_of(&stages[above])
            })));
        }
        at = parents[above];
    }
    main.progress = progress;
    main.reported = reported;
    finish(before, Data::ProgressUpdate(Box::new(main)), present.limits)
}

/// The stages, with one more if it is mentioned for the first time: as the fold makes it.
fn with_stage(
    present: &Present<'_>,
    path: &Arc<str>,
) -> Result<(Vec<StageSnapshot>, usize), PublishError> {
    let find = |stages: &[StageSnapshot]| stages.iter().position(|stage| stage.path == *path);
    let snapshot = present.fold.snapshot();
    if let Some(index) = find(&snapshot.stages) {
        return Ok((snapshot.stages.clone(), index));
    }
    let mut fold = present.fold.clone();
    fold.apply(&Arc::new(Event::numbered(
        snapshot.task_id.clone(),
        Position::new(snapshot.epoch, Seq::new(snapshot.seq.get() + 1)),
        Seq::ZERO,
        present.now,
        Data::StageChange(Box::new(stage_change(present, Arc::clone(path)))),
    )));
    let mut stages = fold.snapshot().stages.clone();
    let limit = present.limits.stages;
    let too_many = || InvalidInput::Stage(StageError::TooMany { limit });
    if stages.len() > limit {
        return Err(too_many().into());
    }
    let index = find(&stages).ok_or_else(too_many)?;
    stages[index].state = StageState::Pending;
    Ok((stages, index))
}

/// A stage's present value.
fn value_of(stage: &StageSnapshot) -> ProgressUpdate {
    ProgressUpdate {
        stage: Some(Arc::clone(&stage.path)),
        // Nothing was said of it, as far as can be told.
        stage_progress: (stage.progress > 0.0).then_some(stage.progress),
        current: stage.current,
        total: stage.total,
        unit: stage.unit.clone(),
        message: stage.message.clone(),
        metadata: stage.metadata.clone(),
        ..ProgressUpdate::default()
    }
}

/// Puts what has changed into the present value of its key.
fn merge(
    mut value: ProgressUpdate,
    update: &Update,
    present: &Present<'_>,
) -> Result<ProgressUpdate, PublishError> {
    value.current = update.current.or(value.current);
    value.total = update.total.or(value.total);
    value.unit = update.unit.clone().or(value.unit);
    value.message = update.message.clone().or(value.message);
    value.eta_ms = remaining(update, present);
    value.stage_eta_ms = update.stage_eta_ms;
    value.elapsed_ms = present.elapsed_ms;
    merge_metadata(&mut value.metadata, &update.metadata, present.limits)?;
    Ok(value)
}

/// The publisher's estimate: the newest it gave, less the time since.
fn remaining(update: &Update, present: &Present<'_>) -> Option<u64> {
    update.eta_ms.or_else(|| {
        let snapshot = present.fold.snapshot();
        let since = present.elapsed_ms.saturating_sub(snapshot.elapsed_ms);
        snapshot.eta_ms?.checked_sub(since)
    })
}

fn merge_metadata(
    metadata: &mut Metadata,
    newer: &Metadata,
    limits: &Limits,
) -> Result<(), PublishError> {
    metadata.merge(newer);
    let (len, limit) = (metadata.size(), limits.metadata());
    if len > limit {
        return Err(PublishError::PayloadTooLarge {
            field: "metadata",
            len,
            limit,
        });
    }
    Ok(())
}

/// The fraction that counts say.
fn counted(current: Option<u64>, total: Option<u64>) -> Option<f64> {
    match (current, total) {
        (_, Some(0)) => Some(1.0),
        (Some(current), Some(total)) => Some((current as f64 / total as f64).min(1.0)),
        _ => None,
    }
}

fn finish(before: Vec<Data>, main: Data, limits: &Limits) -> Result<Authored, PublishError> {
    let limit = limits.payload;
    let len = main.size();
    if len > limit {
        return Err(PublishError::PayloadTooLarge {
            field: "data",
            len,
            limit,
        });
    }
    Ok(Authored { before, main })
}

#[cfg(test)]
mod tests;
