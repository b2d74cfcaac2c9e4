use proptest::{collection::vec, option, prelude::*, test_runner::TestCaseError};
use serde_json::{Value, json};

use super::*;
use crate::{
    event::StageDecl,
    position::Epoch,
    shared::{EventInput, said::Said},
};

/// A task whose events are authored and folded, and nothing else.
struct Task {
    fold: Fold,
    own: Option<ProgressUpdate>,
    limits: Limits,
    elapsed_ms: u64,
}

impl Task {
    fn new(stages: &[(&str, f64)]) -> Self {
        let mut fold = Fold::new(
            "t".parse().unwrap(),
            Epoch::new(7),
            Timestamp::from_millis(0),
        );
        let stages = stages.iter().map(|(path, weight)| StageDecl {
            path: Arc::from(*path),
            label: Arc::from(*path),
            weight: *weight,
            total: None,
            unit: None,
        });
        fold.describe(&Started {
            name: Some(Arc::from("a name")),
            stages: stages.collect(),
            attempt: 3,
            ..Started::default()
        });
        Self {
            fold,
            own: None,
            limits: Limits::default(),
            elapsed_ms: 0,
        }
    }

    /// One that runs.
    fn started(stages: &[(&str, f64)]) -> Self {
        let mut task = Self::new(stages);
        task.say("log", json!({"message": "begin"}));
        task
    }

    #[expect(clippy::needless_pass_by_value, reason = "data is written in place")]
    fn try_say(&mut self, event_type: &str, data: Value) -> Result<Vec<Data>, PublishError> {
        let input = EventInput::new(event_type, &data).unwrap();
        let present = Present {
            fold: &self.fold,
            own: self.own.as_ref(),
            elapsed_ms: self.elapsed_ms,
            now: Timestamp::from_millis(i64::try_from(self.elapsed_ms).unwrap()),
            limits: &self.limits,
        };
        let Authored { before, main } = author(Said::read(&input, &self.limits)?, &present)?;
        let mut said = before;
        said.push(main);
        for data in &said {
            self.apply(data.clone());
        }
        Ok(said)
    }

    fn say(&mut self, event_type: &str, data: Value) -> Vec<Data> {
        self.try_say(event_type, data).unwrap()
    }

    /// Says an update; gives what came of it.
    fn update(&mut self, data: Value) -> ProgressUpdate {
        match self.say("progress_update", data).pop() {
            Some(Data::ProgressUpdate(update)) => *update,
            other => panic!("{other:?}"),
        }
    }

    fn apply(&mut self, data: Data) {
        let snapshot = self.fold.snapshot();
        let event = Arc::new(Event::numbered(
            snapshot.task_id.clone(),
            Position::new(snapshot.epoch, Seq::new(snapshot.seq.get() + 1)),
            Seq::ZERO,
            Timestamp::from_millis(i64::try_from(self.elapsed_ms).unwrap()),
            data,
        ));
        self.fold.apply(&event);
        if let Data::ProgressUpdate(update) = event.data()
            && update.stage.is_none()
        {
            self.own = Some((**update).clone());
        }
    }

    fn snapshot(&self) -> &Snapshot {
        self.fold.snapshot()
    }
}

fn types(said: &[Data]) -> Vec<&str> {
    said.iter().map(Data::event_type).collect()
}

#[test]
fn the_first_event_starts_a_queued_task_as_it_was_described() {
    let mut task = Task::new(&[("a", 2.0)]);
    task.elapsed_ms = 5;
    let said = task.say("log", json!({"message": "m"}));
    assert_eq!(types(&said), ["started", "log"]);
    let Data::Started(started) = &said[0] else {
        panic!("{said:?}");
    };
    assert_eq!(started.name.as_deref(), Some("a name"));
    assert_eq!(started.attempt, 3);
    assert_eq!(started.stages[0].weight, 2.0);
    assert_eq!(started.started_at, Timestamp::from_millis(5));
    assert_eq!(types(&task.say("log", json!({"message": "m"}))), ["log"]);
}

#[test]
fn an_end_needs_neither_start_nor_recovery() {
    let mut task = Task::new(&[]);
    let said = task.say("complete", json!({"status": "cancelled"}));
    assert_eq!(types(&said), ["complete"]);
    let mut task = Task::started(&[]);
    task.apply(Data::Stalled(Note::default()));
    let said = task.say("complete", json!({"status": "completed"}));
    assert_eq!(types(&said), ["complete"]);
}

#[test]
fn what_is_said_after_a_stall_ends_it() {
    let mut task = Task::started(&[]);
    task.apply(Data::Stalled(Note::default()));
    let said = task.say("paused", json!({"reason": "lunch"}));
    assert_eq!(types(&said), ["recovered", "paused"]);
    assert_eq!(task.snapshot().state, TaskState::Paused);
}

#[test]
fn the_first_mention_of_a_stage_makes_it_the_current_one() {
    let mut task = Task::started(&[("a", 1.0), ("b", 1.0)]);
    let said = task.say("progress_update", json!({"stage": "a", "message": "m"}));
    assert_eq!(types(&said), ["stage_change", "progress_update"]);
    let said = task.say("progress_update", json!({"stage": "a", "current": 1}));
    assert_eq!(types(&said), ["progress_update"]);
    task.elapsed_ms = 9;
    let said = task.say("stage_change", json!({"current_stage": "b"}));
    let Data::StageChange(change) = &said[0] else {
        panic!("{said:?}");
    };
    assert_eq!(change.previous_stage.as_deref(), Some("a"));
    assert_eq!(change.elapsed_ms, 9);
    let said = task.say("progress_update", json!({"stage": "b", "current": 1}));
    assert_eq!(types(&said), ["progress_update"]);
}

#[test]
fn updates_are_merged_into_the_whole_value_of_their_key() {
    let mut task = Task::started(&[("a", 1.0)]);
    task.update(json!({"stage": "a", "current": 3, "total": 4, "unit": "tiles"}));
    task.update(json!({"stage": "a", "metadata": {"x": 1, "y": 1}}));
    task.update(json!({"message": "of the task", "metadata": {"t": true}}));
    let stage = task.update(json!({"stage": "a", "message": "m", "metadata": {"y": 2}}));
    assert_eq!(
        (stage.current, stage.total, stage.unit.as_deref()),
        (Some(3), Some(4), Some("tiles"))
    );
    assert_eq!(stage.stage_progress, Some(75.0));
    assert_eq!(stage.message.as_deref(), Some("m"));
    assert_eq!(stage.metadata.get("x"), Some(&json!(1)));
    assert_eq!(stage.metadata.get("y"), Some(&json!(2)));
    assert_eq!(stage.metadata.get("t"), None);
    let own = task.update(json!({"current": 1}));
    assert_eq!(own.message.as_deref(), Some("of the task"));
    assert_eq!(own.metadata.get("t"), Some(&json!(true)));
    assert_eq!((own.current, own.total), (Some(1), None));
}

#[test]
fn stages_weigh_in_and_a_reported_percent_replaces_them() {
    let mut task = Task::started(&[("a", 1.0), ("b", 4.0)]);
    assert_eq!(
        task.update(json!({"stage": "a", "stage_progress": 100}))
            .progress,
        20.0
    );
    let b = task.update(json!({"stage": "b", "current": 1, "total": 2}));
    assert_eq!((b.progress, b.stage_progress), (60.0, Some(50.0)));
    // It weighs nothing beside those that were declared.
    let other = task.update(json!({"stage": "c", "stage_progress": 100}));
    assert_eq!((other.progress, other.reported), (60.0, false));
    // What was said last of a stage is what counts.
    assert_eq!(
        task.update(json!({"stage": "b", "stage_progress": 75}))
            .progress,
        80.0
    );
    let reported = task.update(json!({"progress": 81.5}));
    assert_eq!((reported.progress, reported.reported), (81.5, true));
    let b = task.update(json!({"stage": "b", "current": 2}));
    assert_eq!((b.stage_progress, b.progress), (Some(100.0), 81.5));
    assert!(b.reported);
    assert_eq!(task.update(json!({"progress": 20})).progress, 81.5);
}

#[test]
fn counts_of_the_task_itself_count_where_there_are_no_stages() {
    let mut task = Task::started(&[]);
    assert_eq!(task.update(json!({"current": 30})).progress, 0.0);
    assert_eq!(task.update(json!({"total": 120})).progress, 25.0);
    assert_eq!(task.update(json!({"current": 150})).progress, 99.9);
    assert_eq!(task.update(json!({"current": 1})).progress, 99.9);
    let said = task.say("complete", json!({"status": "failed"}));
    let Data::Complete(end) = &said[0] else {
        panic!("{said:?}");
    };
    assert_eq!(end.progress, 99.9);
    let said = Task::started(&[]).say("complete", json!({"status": "completed"}));
    assert!(matches!(&said[0], Data::Complete(end) if end.progress == 100.0));
}

#[test]
fn a_stage_above_others_moves_with_them() {
    let mut task = Task::started(&[("render", 1.0), ("render/a", 1.0), ("render/b", 3.0)]);
    let said = task.say(
        "progress_update",
        json!({"stage": "render/b", "stage_progress": 50}),
    );
    assert_eq!(
        types(&said),
        ["stage_change", "progress_update", "progress_update"]
    );
    let Data::ProgressUpdate(render) = &said[1] else {
        panic!("{said:?}");
    };
    assert_eq!(render.stage.as_deref(), Some("render"));
    assert_eq!((render.stage_progress, render.progress), (Some(37.5), 37.5));
    // What it says of itself counts where it is further.
    let render = task.update(json!({"stage": "render", "stage_progress": 60}));
    assert_eq!((render.stage_progress, render.progress), (Some(60.0), 60.0));
    task.say(
        "progress_update",
        json!({"stage": "render/a", "stage_progress": 100}),
    );
    assert_eq!(task.snapshot().stage("render").unwrap().progress, 62.5);
    assert_eq!(task.snapshot().progress, 62.5);
}

#[test]
fn a_stage_is_done_when_all_below_it_are() {
    let mut task = Task::started(&[("a", 1.0), ("a/b", 1.0)]);
    task.update(json!({"stage": "a/late", "message": "weighs nothing"}));
    task.update(json!({"stage": "a/b", "stage_progress": 100}));
    assert_eq!(task.snapshot().stage("a").unwrap().progress, 99.99);
    task.update(json!({"stage": "a/late", "stage_progress": 100}));
    assert_eq!(task.snapshot().stage("a").unwrap().progress, 100.0);
    assert_eq!(
        task.snapshot().stage("a").unwrap().state,
        StageState::Completed
    );
}

#[test]
fn an_estimate_grows_old() {
    let mut task = Task::started(&[]);
    assert_eq!(task.update(json!({"eta_ms": 1_000})).eta_ms, Some(1_000));
    task.elapsed_ms = 300;
    assert_eq!(task.update(json!({"message": "m"})).eta_ms, Some(700));
    task.elapsed_ms = 2_000;
    assert_eq!(task.update(json!({"message": "m"})).eta_ms, None);
}

#[test]
fn what_no_longer_fits_once_merged_is_refused() {
    let mut task = Task::started(&[]);
    task.limits = Limits::default().payload(1_024).stages(1);
    let text = "x".repeat(400);
    task.update(json!({"metadata": {"a": text}}));
    let refused = task.try_say("progress_update", json!({"metadata": {"b": text}}));
    assert!(matches!(
        refused,
        Err(PublishError::PayloadTooLarge {
            field: "metadata",
            ..
        })
    ));
    task.say("stage_change", json!({"current_stage": "a"}));
    for (event_type, data) in [
        ("stage_change", json!({"current_stage": "b"})),
        ("progress_update", json!({"stage": "b", "current": 1})),
    ] {
        assert_eq!(
            task.try_say(event_type, data),
            Err(PublishError::InvalidInput(InvalidInput::Stage(
                StageError::TooMany { limit: 1 }
            )))
        );
    }
}

/// Part of an update: what a worker may say at one time.
#[derive(Debug, Clone)]
struct Part {
    stage: Option<&'static str>,
    progress: Option<f64>,
    stage_progress: Option<f64>,
    current: Option<u64>,
    total: Option<u64>,
    message: Option<String>,
    metadata: Option<(String, u32)>,
}

fn part() -> impl Strategy<Value = Part> {
    let stage = option::of(prop::sample::select(vec!["a", "b", "b/c", "b/d", "e/f/g"]));
    let percent = || option::weighted(0.3, -10.0..150.0);
    (
        stage,
        option::weighted(0.05, -10.0..150.0),
        percent(),
        option::of(0_u64..50),
        option::weighted(0.3, 0_u64..40),
        option::weighted(0.3, "[a-z]{1,4}"),
        option::weighted(0.3, ("[a-c]", any::<u32>())),
    )
        .prop_map(
            |(stage, progress, stage_progress, current, total, message, metadata)| Part {
                stage,
                progress,
                stage_progress: stage.and(stage_progress),
                current,
                total,
                message,
                metadata,
            },
        )
}

impl Part {
    fn to_json(&self) -> Value {
        let metadata = self.metadata.as_ref();
        json!({
            "stage": self.stage,
            "progress": self.progress,
            "stage_progress": self.stage_progress,
            "current": self.current,
            "total": self.total,
            "message": self.message,
            "metadata": metadata.map(|(name, value)| json!({ name: value })),
        })
    }

    fn says_nothing(&self) -> bool {
        let Self {
            stage: _,
            progress,
            stage_progress,
            current,
            total,
            message,
            metadata,
        } = self;
        progress.is_none()
            && stage_progress.is_none()
            && current.is_none()
            && total.is_none()
            && message.is_none()
            && metadata.is_none()
    }
}

/// What was said of one key, kept whole.
#[derive(Debug, Clone, Default)]
struct Known {
    current: Option<u64>,
    total: Option<u64>,
    message: Option<String>,
    metadata: std::collections::BTreeMap<String, u32>,
}

fn check(known: &mut Known, part: &Part, said: &ProgressUpdate) -> Result<(), TestCaseError> {
    known.current = part.current.or(known.current);
    known.total = part.total.or(known.total);
    known.message = part.message.clone().or_else(|| known.message.take());
    known.metadata.extend(part.metadata.clone());
    prop_assert_eq!(said.current, known.current);
    prop_assert_eq!(said.total, known.total);
    prop_assert_eq!(said.message.as_deref(), known.message.as_deref());
    for (name, value) in &known.metadata {
        prop_assert_eq!(said.metadata.get(name), Some(&json!(value)));
    }
    prop_assert_eq!(said.metadata.iter().count(), known.metadata.len());
    Ok(())
}

proptest! {
    #[test]
    fn percent_never_falls_is_below_100_and_nothing_said_is_lost(
        declared in any::<bool>(),
        parts in vec(part(), 1..40),
    ) {
        let stages: &[_] = match declared {
            true => &[("a", 2.0), ("b", 3.0), ("b/c", 1.0)],
            false => &[],
        };
        let mut task = Task::started(stages);
        let mut known = std::collections::HashMap::<_, Known>::new();
        let mut last = 0.0;
        let mut reported = false;
        for part in parts {
            if part.says_nothing() {
                prop_assert!(task.try_say("progress_update", part.to_json()).is_err());
                continue;
            }
            let all = task.say("progress_update", part.to_json());
            reported |= part.progress.is_some();
            for data in &all {
                let (progress, said) = match data {
                    Data::ProgressUpdate(said) => (said.progress, Some(said)),
                    Data::StageChange(change) => (change.progress, None),
                    other => panic!("{other:?}"),
                };
                prop_assert!((last..100.0).contains(&progress), "{} after {}", progress, last);
                last = progress;
                if let Some(said) = said {
                    prop_assert_eq!(said.reported, reported);
                    prop_assert!((0.0..=100.0).contains(&said.stage_progress.unwrap_or(0.0)));
                }
            }
            let Some(Data::ProgressUpdate(said)) = all.last() else {
                panic!("{all:?}");
            };
            prop_assert_eq!(said.stage.as_deref(), part.stage);
            check(known.entry(part.stage).or_default(), &part, said)?;
            prop_assert_eq!(task.snapshot().progress, last);
        }
        let end = task.say("complete", json!({"status": "completed"}));
        prop_assert!(matches!(&end[0], Data::Complete(end) if end.progress == 100.0));
    }
}
