//! Stages below stages: fractions, weights, states, and what is published of them.

mod common;

#[path = "stage_tree/fed.rs"]
mod fed;
#[path = "stage_tree/model.rs"]
mod model;
#[path = "stage_tree/published.rs"]
mod published;

use progress_core::{
    Limits, ProgressTracker, StageDecl, StageError, StageSnapshot, StageState, StartError, Task,
    TaskBuilder,
};

use crate::common::a_tick;

fn builder() -> TaskBuilder {
    ProgressTracker::new().task("t")
}

async fn shown(task: &Task) -> f64 {
    a_tick().await;
    task.snapshot().progress
}

async fn stage(task: &Task, path: &str) -> StageSnapshot {
    a_tick().await;
    task.snapshot().stage(path).unwrap().clone()
}

fn weights(task: &Task) -> Vec<(String, f64)> {
    task.snapshot()
        .stages
        .iter()
        .map(|stage| (stage.path.to_string(), stage.weight))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_stage_is_at_the_weighted_mean_of_its_child_stages() {
    let task = builder()
        .stage("render", 3.0)
        .stage("render/left", 4.0)
        .stage("render/right", 1.0)
        .stage("upload", 1.0)
        .start()
        .unwrap();
    task.stage("render/left").total(10).inc(5);
    assert_eq!(stage(&task, "render").await.progress, 40.0);
    assert_eq!(shown(&task).await, 30.0);
    task.stage("render/right").progress(50.0);
    assert_eq!(stage(&task, "render").await.progress, 50.0);
    assert_eq!(shown(&task).await, 37.5);
    // Three levels: a stage below a stage that has said nothing itself.
    task.stage("upload/part/1").progress(50.0);
    assert_eq!(stage(&task, "upload/part").await.progress, 50.0);
    assert_eq!(shown(&task).await, 50.0);
}

#[tokio::test(start_paused = true)]
async fn stages_declared_by_their_paths_alone_weigh_in_the_whole_as_declared() {
    let task = builder()
        .stage("a/x", 4.0)
        .stage("a/y", 1.0)
        .stage("b", 5.0)
        .start()
        .unwrap();
    for (path, done) in [("a/y", 10.0), ("a/x", 50.0), ("b", 100.0)] {
        let before = shown(&task).await;
        task.stage(path).finish();
        assert_eq!(
            shown(&task).await.min(99.9) - before,
            (done - before).min(99.9 - before)
        );
    }
}

#[test]
fn a_stage_that_is_only_implied_weighs_as_much_as_those_below_it() {
    let task = builder()
        .stage("a/x/1", 2.0)
        .stage("a/x/2", 3.0)
        .stage("a/y", 1.0)
        .stage("b/z", 7.0)
        .start()
        .unwrap();
    let expected = [
        ("a", 6.0),
        ("a/x", 5.0),
        ("a/x/1", 2.0),
        ("a/x/2", 3.0),
        ("a/y", 1.0),
        ("b", 7.0),
        ("b/z", 7.0),
    ];
    assert_eq!(
        weights(&task),
        expected.map(|(path, weight)| (path.to_owned(), weight))
    );
    assert_eq!(&*task.snapshot().stage("a/x/1").unwrap().label, "1");
    assert_eq!(&*task.snapshot().stage("a/x").unwrap().label, "x");
}

#[test]
fn a_declared_parent_keeps_its_weight_wherever_it_is_declared() {
    let task = builder()
        .stage("a/x/1", 2.0)
        .stage("a/x", 10.0)
        .stage("a/y/1", 3.0)
        .start()
        .unwrap();
    let expected = [
        ("a", 13.0),
        ("a/x", 10.0),
        ("a/x/1", 2.0),
        ("a/y", 3.0),
        ("a/y/1", 3.0),
    ];
    assert_eq!(
        weights(&task),
        expected.map(|(path, weight)| (path.to_owned(), weight))
    );
}

#[tokio::test(start_paused = true)]
async fn an_undeclared_stage_weighs_0_beside_declared_siblings_else_1() {
    let task = builder().stage("a/x", 4.0).stage("b", 4.0).start().unwrap();
    for path in ["a/new", "b/one", "b/two", "c/one"] {
        task.stage(path).progress(50.0);
    }
    a_tick().await;
    let of = |path: &str| task.snapshot().stage(path).unwrap().weight;
    assert_eq!((of("a/new"), of("c")), (0.0, 0.0));
    assert_eq!((of("b/one"), of("b/two"), of("c/one")), (1.0, 1.0, 1.0));
    // So does the owner count them.
    assert_eq!(stage(&task, "a").await.progress, 0.0);
    assert_eq!(stage(&task, "b").await.progress, 50.0);
    assert_eq!(stage(&task, "c").await.progress, 50.0);
    assert_eq!(shown(&task).await, 25.0);
}

#[tokio::test(start_paused = true)]
async fn what_a_stage_says_itself_beats_its_child_stages() {
    let task = builder().stage("a/x", 1.0).start().unwrap();
    task.stage("a/x").progress(80.0);
    assert_eq!(stage(&task, "a").await.progress, 80.0);
    let own = task.stage("a").total(10);
    assert_eq!(
        stage(&task, "a").await.progress,
        80.0,
        "a total says nothing yet"
    );
    own.inc(9);
    assert_eq!(stage(&task, "a").await.progress, 90.0);
    task.stage("a/x").finish();
    assert_eq!(stage(&task, "a").await.progress, 90.0);
    assert_eq!(stage(&task, "a").await.state, StageState::Running);
    assert_eq!(shown(&task).await, 90.0);
}

#[tokio::test(start_paused = true)]
async fn a_parent_stage_is_completed_when_all_its_children_are() {
    let task = builder()
        .stage("a/x", 0.1)
        .stage("a/y", 0.2)
        .stage("a/z", 0.7)
        .start()
        .unwrap();
    assert_eq!(stage(&task, "a").await.state, StageState::Pending);
    task.stage("a/x").finish();
    assert_eq!(stage(&task, "a").await.state, StageState::Running);
    task.stage("a/y").finish();
    task.stage("a/z").progress(99.999);
    // Neither by rounding …
    let parent = stage(&task, "a").await;
    assert_eq!(
        (parent.state, parent.progress),
        (StageState::Running, 99.99)
    );
    assert_eq!(stage(&task, "a/z").await.state, StageState::Running);
    // … nor for want of weight.
    task.stage("a/extra").progress(10.0);
    task.stage("a/z").finish();
    let parent = stage(&task, "a").await;
    assert_eq!(
        (parent.state, parent.progress),
        (StageState::Running, 99.99)
    );
    task.stage("a/extra").finish();
    let parent = stage(&task, "a").await;
    assert_eq!(
        (parent.state, parent.progress),
        (StageState::Completed, 100.0)
    );
    // There is more to do after all.
    task.stage("a/late").message("one more");
    assert_eq!(stage(&task, "a").await.state, StageState::Running);
}

#[test]
fn stages_are_bounded_with_those_that_they_imply() {
    let limited = |stages| {
        ProgressTracker::builder()
            .limits(Limits::default().stages(stages))
            .build()
            .task("t")
            .stage("a/b/c", 1.0)
            .stage("a/b/d", 1.0)
            .start()
    };
    let refused = limited(3).unwrap_err();
    assert_eq!(refused, StartError::Stage(StageError::TooMany { limit: 3 }));
    let task = limited(6).unwrap();
    // Two more: not three.
    task.stage("e/f/g").inc(1);
    assert_eq!(task.snapshot().stages.len(), 4);
    task.stage("e/f").inc(1);
    assert_eq!(task.snapshot().stages.len(), 6);
    task.stage("h").inc(1);
    assert_eq!(task.snapshot().stages.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_tree_may_be_as_deep_as_its_paths() {
    let deepest = ["s"; Limits::STAGE_DEPTH].join("/");
    let task = builder().stage(deepest.as_str(), 2.0).start().unwrap();
    task.stage(&deepest).progress(30.0);
    a_tick().await;
    let stages = task.snapshot().stages;
    assert_eq!(stages.len(), Limits::STAGE_DEPTH);
    assert!(
        stages
            .iter()
            .all(|stage| (stage.weight, stage.progress) == (2.0, 30.0))
    );
    assert_eq!(shown(&task).await, 30.0);
    let refused = builder().stage(format!("{deepest}/s"), 1.0).start();
    assert_eq!(
        refused.unwrap_err(),
        StartError::Stage(StageError::TooDeep {
            depth: Limits::STAGE_DEPTH + 1
        })
    );
}

#[test]
fn what_is_declared_of_a_stage_is_kept_by_the_next_run() {
    let tracker = ProgressTracker::new();
    let tile = StageDecl::new("render/tile", 2.0)
        .label("Tile")
        .total(7)
        .unit("rows");
    let above = StageDecl::new("render", 5.0).label("Rendering");
    // Declared below before above.
    let task = tracker.task("film").declare(tile).declare(above).start();
    task.unwrap().complete(()).unwrap();
    let again = tracker.task("film").restart().unwrap().snapshot();
    let told: Vec<_> = again
        .stages
        .iter()
        .map(|stage| {
            (
                &*stage.path,
                &*stage.label,
                stage.weight,
                stage.total,
                stage.unit.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("render", "Rendering", 5.0, None, None),
            ("render/tile", "Tile", 2.0, Some(7), Some("rows")),
        ]
    );
    let long = StageDecl::new("a", 1.0).unit("u".repeat(129));
    let refused = tracker.task("other").declare(long).start();
    assert!(matches!(
        refused,
        Err(StartError::TooLong {
            field: "stage unit",
            ..
        })
    ));
}
