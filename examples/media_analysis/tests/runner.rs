//! Many at a time, but never more than five.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use demo::analysis::{Analysis, Observer, Source};
use media_analysis::{server::Settings, studio::see};
use progress_core::TaskState;
use serde_json::{Value, json};

use self::support::{Host, gated, png, text, until};

fn pictures(number: u8) -> Vec<(&'static str, Vec<u8>)> {
    (0..number).map(|seed| ("photo.png", png(seed))).collect()
}

async fn waiting(host: &Host, ids: &[Value]) -> usize {
    let mut waiting = 0;
    for id in ids {
        let snapshot = host.tracker.snapshot(text(id)).await.unwrap();
        waiting += usize::from(snapshot.metadata.get("waiting") == Some(&json!(true)));
    }
    waiting
}

#[tokio::test]
async fn five_run_in_parallel_and_never_more() {
    let gate = Arc::default();
    let host = Host::start(gated(&gate)).await;
    let accepted = host.analyse(&pictures(12)).await;
    let ids = accepted["media_ids"].as_array().unwrap();
    until("five are at work and the others wait", async || {
        gate.at() == 5 && waiting(&host, ids).await == 7
    })
    .await;
    gate.open();
    for id in ids {
        assert_eq!(host.ended(id).await.state, TaskState::Completed);
    }
    assert_eq!((gate.most(), gate.passed()), (5, 12));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_partial_failure_leaves_the_others_and_the_batch_completes() {
    let host = Host::start(Settings::default()).await;
    let mut files = pictures(3);
    files.push(("torn.png", b"no picture".to_vec()));
    let accepted = host.analyse(&files).await;
    let batch = host.ended(&accepted["batch"]["task_id"]).await;
    assert_eq!(batch.state, TaskState::Completed);
    let counts: Value = batch.result.unwrap().decode().unwrap();
    assert_eq!(
        (&counts["completed"], &counts["failed"]),
        (&json!(3), &json!(1))
    );
    let torn = host.ended(&accepted["media_ids"][3]).await;
    assert_eq!(torn.state, TaskState::Failed);
}

#[tokio::test]
async fn the_batch_fails_if_all_fail() {
    let host = Host::start(Settings::default()).await;
    let torn = |number: u8| ("torn.png", vec![number; 20]);
    let accepted = host.analyse(&[torn(1), torn(2), torn(3)]).await;
    let batch = host.ended(&accepted["batch"]["task_id"]).await;
    assert_eq!(batch.state, TaskState::Failed);
    assert_eq!(batch.error.unwrap().code(), "CHILDREN_FAILED");
}

#[tokio::test]
async fn a_cancelled_batch_stops_what_runs_and_what_waits() {
    let gate = Arc::default();
    let host = Host::start(gated(&gate)).await;
    let accepted = host.analyse(&pictures(8)).await;
    until("five are at work", async || gate.at() == 5).await;
    let batch = &accepted["batch"]["task_id"];
    host.tracker.cancel(text(batch), "user").await.unwrap();
    assert_eq!(host.ended(batch).await.state, TaskState::Cancelled);
    for id in accepted["media_ids"].as_array().unwrap() {
        let item = host.ended(id).await;
        assert_eq!(
            (item.state, item.cause.as_deref()),
            (TaskState::Cancelled, Some("user"))
        );
    }
    // Also those whose thread was at the gate let their places go.
    until("nobody is at work", async || gate.at() == 0).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn the_same_content_is_analysed_once() {
    let gate = Arc::default();
    let host = Host::start(gated(&gate)).await;
    let twice = [("one.png", png(7)), ("other.png", png(7))];
    let together = host.analyse(&twice).await;
    until("one of them is at work", async || gate.at() == 1).await;
    gate.open();
    let mut cached = Vec::new();
    for id in together["media_ids"].as_array().unwrap() {
        let result: Value = host.ended(id).await.result.unwrap().decode().unwrap();
        assert_eq!(result["image"]["width"], 64);
        cached.push(result["cached"] == true);
    }
    cached.sort_unstable();
    assert_eq!((cached, gate.passed()), (vec![false, true], 1));

    let later = host
        .analyse(&[("again.png", png(7)), ("new.png", png(8))])
        .await;
    let again = host.ended(&later["media_ids"][0]).await.result.unwrap();
    let again: Value = again.decode().unwrap();
    assert_eq!(
        (&again["cached"], &again["name"]),
        (&json!(true), &json!("again.png"))
    );
    let new = host.ended(&later["media_ids"][1]).await.result.unwrap();
    assert_eq!(new.decode::<Value>().unwrap()["cached"], false);
    assert_eq!(gate.passed(), 2);
}

#[tokio::test]
async fn who_waits_for_the_same_content_goes_on_where_the_first_is_cancelled() {
    let gate = Arc::default();
    let host = Host::start(gated(&gate)).await;
    let first = host.analyse(&[("first.png", png(7))]).await;
    until("it is at work", async || gate.at() == 1).await;
    let second = host.analyse(&[("second.png", png(7))]).await;
    let first = &first["media_ids"][0];
    host.tracker.cancel(text(first), "user").await.unwrap();
    assert_eq!(host.ended(first).await.state, TaskState::Cancelled);
    gate.open();
    let second = host.ended(&second["media_ids"][0]).await;
    assert_eq!(second.state, TaskState::Completed);
}

#[tokio::test]
async fn a_worker_that_died_ends_its_item() {
    let died = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&died);
    let settings = Settings::default().analyser(
        move |source: &Source, file: Analysis, observer: &mut dyn Observer| {
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                panic!("as a decoder with a fault may");
            }
            see(source, file, observer)
        },
    );
    let host = Host::start(settings).await;
    let accepted = host.analyse(&[("photo.png", png(1))]).await;
    let item = host.ended(&accepted["media_ids"][0]).await;
    assert_eq!(
        (item.state, item.error.unwrap().code()),
        (TaskState::Failed, "INTERNAL")
    );
    // Its place is free, and the content is nobody's.
    let again = host.analyse(&[("photo.png", png(1))]).await;
    assert_eq!(
        host.ended(&again["media_ids"][0]).await.state,
        TaskState::Completed
    );
    host.nothing_is_left().await;
}
