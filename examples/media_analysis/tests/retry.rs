//! An analysis that fails is repeated, if it may succeed then.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use demo::analysis::{Analysis, Observer, Source};
use media_analysis::{server::Settings, studio::see};
use progress_core::{Data, TaskState, batch::RetryPolicy};
use serde_json::Value;

use self::support::{Host, png, unreadable};

/// Fails so many times before it succeeds; counts the attempts.
fn failing(failures: usize, made: &Arc<AtomicUsize>) -> Settings {
    let made = Arc::clone(made);
    Settings::default()
        .retries(RetryPolicy::default().first_delay(Duration::from_millis(125)))
        .analyser(
            move |source: &Source, file: Analysis, observer: &mut dyn Observer| match made
                .fetch_add(1, Ordering::Relaxed)
                < failures
            {
                true => Err(unreadable(file)),
                false => see(source, file, observer),
            },
        )
}

async fn one(host: &Host) -> Value {
    let accepted = host.analyse(&[("photo.png", png(1))]).await;
    accepted["media_ids"][0].clone()
}

#[tokio::test]
async fn none_on_success() {
    let made = Arc::default();
    let host = Host::start(failing(0, &made)).await;
    let id = one(&host).await;
    let waits = host.waits(&id).await;
    assert_eq!(host.ended(&id).await.state, TaskState::Completed);
    assert_eq!((waits.len(), made.load(Ordering::Relaxed)), (0, 1));
}

#[tokio::test]
async fn one_failure_then_success() {
    let made = Arc::default();
    let host = Host::start(failing(1, &made)).await;
    let id = one(&host).await;
    let waits = host.waits(&id).await;
    let ended = host.ended(&id).await;
    assert_eq!(ended.state, TaskState::Completed);
    assert_eq!(waits, [125]);
    assert_eq!(made.load(Ordering::Relaxed), 2);
    let media = host
        .json(&format!("/api/media/{}", id.as_str().unwrap()))
        .await;
    assert_eq!(media["status"], "completed");
    assert_eq!(
        media["last_error"]["retry_count"], 1,
        "the attempt can be seen: {media}"
    );
}

#[tokio::test]
async fn a_transient_failure_succeeds_within_three_retries() {
    let made = Arc::default();
    let host = Host::start(failing(3, &made)).await;
    let id = one(&host).await;
    assert_eq!(host.waits(&id).await, [125, 250, 500]);
    assert_eq!(host.ended(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn limit_exceeded() {
    let made = Arc::default();
    let host = Host::start(failing(usize::MAX, &made)).await;
    let id = one(&host).await;
    let events = host.events(&id).await;
    let counts: Vec<_> = events
        .iter()
        .filter_map(|event| match event.data() {
            Data::Error(error) => {
                let error = serde_json::to_value(error).unwrap();
                Some((error["retry_count"].as_u64(), error["max_retries"].as_u64()))
            }
            _ => None,
        })
        .collect();
    let counted = |retry| (Some(retry), Some(3));
    assert_eq!(counts, [counted(1), counted(2), counted(3), counted(3)]);
    assert_eq!(made.load(Ordering::Relaxed), 4);
    let ended = host.ended(&id).await;
    let error = ended.error.unwrap();
    assert_eq!(
        (ended.state, error.code()),
        (TaskState::Failed, "FILE_READ_FAILED")
    );
    assert!(!error.solutions().is_empty());
}

#[tokio::test]
async fn an_error_that_will_stay_is_not_repeated() {
    let host = Host::start(Settings::default()).await;
    let accepted = host.analyse(&[("torn.png", b"no picture".to_vec())]).await;
    let id = &accepted["media_ids"][0];
    assert!(host.waits(id).await.is_empty());
    let error = host.ended(id).await.error.unwrap();
    assert_eq!(error.code(), "IMAGE_DECODE_FAILED");
}

#[tokio::test]
async fn cancelled_while_it_waits_for_its_next_attempt() {
    let made = Arc::default();
    let wait = Duration::from_secs(300);
    let retries = RetryPolicy::default().first_delay(wait).longest_delay(wait);
    let host = Host::start(failing(usize::MAX, &made).retries(retries)).await;
    let id = one(&host).await;
    let mut frames = host.tracker.subscribe(id.as_str().unwrap());
    while let Some(frame) = frames.next().await {
        match frame.event().map(|event| event.data()) {
            Some(Data::Error(error)) => {
                assert_eq!(error.retry_after_ms(), Some(300_000));
                let path = format!("/tasks/{}/cancel", id.as_str().unwrap());
                let asked = host
                    .post(&path)
                    .json(&serde_json::json!({"reason": "user"}));
                assert_eq!(asked.send().await.unwrap().status(), 202);
            }
            Some(Data::Complete(end)) => {
                assert_eq!(end.cause.as_deref(), Some("user"));
                assert!(end.duration_ms < 100_000, "it waited for the next attempt");
            }
            _ => {}
        }
    }
    assert_eq!(host.ended(&id).await.state, TaskState::Cancelled);
    assert_eq!(made.load(Ordering::Relaxed), 1);
    host.nothing_is_left().await;
}
