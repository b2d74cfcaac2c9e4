//! Iterators.

use progress_core::{StageState, Track};

use crate::{
    common::{a_tick, ready, types, updates},
    counted, stage, started,
};

#[tokio::test(start_paused = true)]
async fn an_iterator_of_known_length_sets_the_total() {
    let (_tracker, task) = started();
    let doubled: Vec<_> = (0..10).map(|n| n * 2).track(&task.stage("s")).collect();
    assert_eq!(doubled, (0..10).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(counted(&task).await, (Some(10), Some(10)));
    assert_eq!(stage(&task).await.state, StageState::Completed);
    assert_eq!(stage(&task).await.unit, None);
}

#[tokio::test(start_paused = true)]
async fn an_iterator_counts_by_the_item_from_both_ends() {
    let (_tracker, task) = started();
    let mut items = (0..10).track(&task.stage("s"));
    assert_eq!((items.next(), items.next_back()), (Some(0), Some(9)));
    assert_eq!(items.len(), 8);
    assert_eq!(items.nth(2), Some(3));
    assert_eq!(counted(&task).await, (Some(5), Some(10)));
    assert_eq!(items.by_ref().rev().take(2).collect::<Vec<_>>(), [8, 7]);
    assert_eq!(counted(&task).await, (Some(7), Some(10)));
    // What is done past the adapter is not reported.
    assert_eq!(items.into_inner(), 4..7);
    assert_eq!(counted(&task).await, (Some(7), Some(10)));
}

#[tokio::test(start_paused = true)]
async fn a_total_that_is_set_stays() {
    let (_tracker, task) = started();
    let reporter = task.stage("s").total(100).unit("files");
    assert_eq!((0..10).track(&reporter).count(), 10);
    assert_eq!(counted(&task).await, (Some(10), Some(100)));
    assert_eq!(stage(&task).await.unit.as_deref(), Some("files"));
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_before_is_part_of_the_total() {
    let (_tracker, task) = started();
    let reporter = task.stage("s");
    // Forty were done in an earlier run, sixty are left.
    reporter.inc(40);
    let mut rest = (0..60).track(&reporter);
    rest.next();
    assert_eq!(counted(&task).await, (Some(41), Some(100)));
    assert_eq!(rest.count(), 59);
    assert_eq!(counted(&task).await, (Some(100), Some(100)));
}

#[tokio::test(start_paused = true)]
async fn an_iterator_of_unknown_length_has_no_total() {
    let (_tracker, task) = started();
    assert_eq!(
        (0..10)
            .filter(|n| n % 2 == 0)
            .track(&task.stage("s"))
            .count(),
        5
    );
    assert_eq!(counted(&task).await, (Some(5), None));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reported_before_use_and_an_empty_iterator_is_done() {
    let (tracker, task) = started();
    let mut watcher = tracker.subscribe("t");
    let mut none = std::iter::empty::<u8>().track(&task.stage("s"));
    a_tick().await;
    assert_eq!(types(&ready(&mut watcher)), ["started"]);
    assert_eq!(none.next(), None);
    assert_eq!(none.next(), None);
    assert_eq!(
        types(&ready(&mut watcher)),
        ["stage_change", "progress_update"]
    );
    assert_eq!(counted(&task).await, (Some(0), Some(0)));
    assert_eq!(stage(&task).await.state, StageState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_long_loop_makes_one_event_a_tick() {
    let (tracker, task) = started();
    for _ in (0..1_000_000).track(&task.stage("s")) {}
    a_tick().await;
    let counts: Vec<_> = updates(&ready(&mut tracker.subscribe("t")))
        .iter()
        .map(|update| update.current)
        .collect();
    assert_eq!(counts, [Some(0), Some(1_000_000)]);
}

#[tokio::test(start_paused = true)]
async fn a_reporter_that_stands_for_nothing_is_as_good() {
    let (_tracker, task) = started();
    let nothing = task.stage("not//a/path");
    assert_eq!((0..3).track(&nothing).sum::<i32>(), 3);
    assert!(task.snapshot().stages.is_empty());
    let shown = format!("{:?}", (0..3).track(&nothing));
    assert!(shown.contains("0..3"), "{shown}");
}
