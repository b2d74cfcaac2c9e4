//! Channels: the events of many tasks in one log, and events of none.

mod common;

use std::borrow::Cow;

use progress_core::{
    Channel, ChannelError, ChannelFrame, ChannelSubscription, EventPayload, InvalidChannelName,
    Level, Limits, ProgressTracker, PublishError, Replay, Resume, StartError, SubscribeError,
    SubscribeOptions, log::LogLimits,
};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Approved {
    photo: u64,
}

impl EventPayload for Approved {
    const EVENT_TYPE: &'static str = "approved";
}

#[derive(Serialize)]
struct Load {
    percent: u8,
}

impl EventPayload for Load {
    const EVENT_TYPE: &'static str = "load";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("cpu"))
    }
}

fn all() -> SubscribeOptions {
    SubscribeOptions::new()
}

/// What is there to read, without waiting for more.
fn read(events: &mut ChannelSubscription) -> Vec<ChannelFrame> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut frames = Vec::new();
    while let std::task::Poll::Ready(1..) = events.poll_batch(&mut cx, &mut frames) {}
    frames
}

/// The frames' event types, with the range that each stands for.
fn types(frames: &[ChannelFrame]) -> Vec<(String, u64, u64)> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            ChannelFrame::Event(delivered) => Some((
                delivered.event.event_type().to_owned(),
                delivered.from.get(),
                delivered.event.seq().get(),
            )),
            _ => None,
        })
        .collect()
}

fn json_of(frame: &ChannelFrame) -> Value {
    match frame {
        ChannelFrame::Event(delivered) => serde_json::from_slice(&delivered.to_json()).unwrap(),
        other => panic!("no event but {other:?}"),
    }
}

#[test]
fn a_tasks_events_come_into_its_channels_in_their_order() {
    let tracker = ProgressTracker::new();
    let mut jobs = tracker.subscribe_channel("jobs", all());
    let task = tracker
        .task("a")
        .channel("jobs")
        .channel("jobs")
        .start()
        .unwrap();
    task.emit(Approved { photo: 9 }).unwrap();
    task.log(Level::INFO, "one");
    task.complete(json!({"url": "/a"})).unwrap();
    let frames = read(&mut jobs);
    let ChannelFrame::Verdict(verdict) = &frames[0] else {
        panic!("{:?}", frames[0]);
    };
    assert_eq!(verdict.resume, Resume::Fresh);
    assert_eq!(
        types(&frames),
        ["started", "approved", "log", "complete"]
            .iter()
            .zip(1..)
            .map(|(name, seq)| ((*name).to_owned(), seq, seq))
            .collect::<Vec<_>>()
    );
    let frame = json_of(&frames[2]);
    assert_eq!(frame["channel"], "jobs");
    assert_eq!(frame["channel_epoch"], verdict.head.epoch().to_string());
    assert_eq!(frame["channel_seq"], 2);
    assert_eq!(frame.get("channel_from"), None);
    assert_eq!(frame["event"]["task_id"], "a");
    assert_eq!(frame["event"]["seq"], 2);
    assert_eq!(frame["event"]["data"], json!({"photo": 9}));
}

#[test]
fn events_of_no_task_are_published_and_kept_by_key() {
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().channel_log(LogLimits::default().window(1)))
        .build();
    let system = tracker.channel("system");
    for percent in [10, 20, 30] {
        system.emit(Load { percent }).unwrap();
    }
    system.emit(Approved { photo: 1 }).unwrap();
    let frames = read(&mut system.subscribe(all()));
    assert_eq!(
        types(&frames),
        [("load".to_owned(), 1, 3), ("approved".to_owned(), 4, 4)]
    );
    let load = json_of(&frames[1]);
    assert_eq!(load["channel_from"], 1);
    assert_eq!(load["event"]["key"], "cpu");
    assert_eq!(load["event"]["data"], json!({"percent": 30}));
    assert_eq!(load["event"].get("task_id"), None);
    assert!(load["event"]["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test(start_paused = true)]
async fn the_list_of_tasks_shows_every_life_and_no_lines() {
    let tracker = ProgressTracker::new();
    let mut list = tracker.subscribe_channel("_tasks", all());
    let task = tracker.task("a").stage("render", 1.0).start().unwrap();
    task.log(Level::INFO, "not shown");
    task.emit(Approved { photo: 1 }).unwrap();
    task.stage("render").progress(40.0);
    task.pause("waiting");
    task.resume();
    task.complete(()).unwrap();
    let seen: Vec<_> = types(&read(&mut list))
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(
        seen,
        [
            "started",
            "stage_change",
            "progress_update",
            "paused",
            "resumed",
            "complete"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn one_state_of_each_task_is_kept_until_its_end() {
    let limits = LogLimits::default().window(1).keys(2);
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().channel_log(limits))
        .build();
    // More tasks than there can be keys at a time, one after the other.
    for id in ["a", "b", "c", "d"] {
        let task = tracker
            .task(id)
            .channel("jobs")
            .stage("one", 1.0)
            .stage("two", 1.0)
            .start()
            .unwrap();
        task.stage("one").progress(10.0);
        task.stage("two").progress(20.0);
        if id != "d" {
            task.complete(()).unwrap();
            continue;
        }
        let kept = types(&read(&mut tracker.subscribe_channel("jobs", all())));
        let updates = kept.iter().filter(|(name, ..)| name == "progress_update");
        assert_eq!(updates.count(), 1, "{kept:?}");
    }
    assert_eq!(tracker.stats().refused, 0);
}

#[test]
fn a_reader_resumes_where_it_was() {
    let tracker = ProgressTracker::new();
    let channel = tracker.channel("jobs");
    let mut events = channel.subscribe(all());
    for photo in 0..3 {
        channel.emit(Approved { photo }).unwrap();
    }
    read(&mut events);
    let position = events.position().unwrap();
    for photo in 3..5 {
        channel.emit(Approved { photo }).unwrap();
    }
    let frames = read(&mut channel.subscribe(all().after(position)));
    assert!(
        matches!(&frames[0], ChannelFrame::Verdict(verdict) if verdict.resume == Resume::Resumed)
    );
    assert_eq!(types(&frames).len(), 2);
    let frames = read(&mut channel.subscribe(all().replay(Replay::None)));
    assert_eq!(types(&frames).len(), 0);
    let other = "1:2".parse::<progress_core::Position>().unwrap();
    let frames = read(&mut channel.subscribe(all().after(other)));
    assert!(
        matches!(&frames[0], ChannelFrame::Verdict(verdict) if verdict.resume == Resume::Reset)
    );
    assert_eq!(types(&frames).len(), 5);
}

#[test]
fn a_channel_wakes_its_readers() {
    let tracker = ProgressTracker::new();
    let channel = tracker.channel("jobs");
    let mut events = tokio_test::task::spawn(channel.subscribe(all()));
    assert!(
        events
            .enter(|cx, mut events| events.poll_batch(cx, &mut Vec::new()))
            .is_ready()
    );
    assert!(
        events
            .enter(|cx, mut events| events.poll_batch(cx, &mut Vec::new()))
            .is_pending()
    );
    assert!(!events.is_woken());
    channel.emit(Approved { photo: 1 }).unwrap();
    assert!(events.is_woken());
    assert!(
        events
            .enter(|cx, mut events| events.poll_batch(cx, &mut Vec::new()))
            .is_ready()
    );
    // Who publishes through a handle keeps the tracker.
    assert!(
        events
            .enter(|cx, mut events| events.poll_batch(cx, &mut Vec::new()))
            .is_pending()
    );
    drop((channel, tracker));
    assert!(events.is_woken(), "nothing more is to come");
    assert!(matches!(
        events.enter(|cx, mut events| events.poll_batch(cx, &mut Vec::new())),
        std::task::Poll::Ready(0)
    ));
}

#[test]
fn g7_names_numbers_and_sizes_are_bounded() {
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().channels(2).payload(64))
        .build();
    let refused = |channel: Channel| channel.emit(Approved { photo: 1 }).unwrap_err();
    let invalid = |error| PublishError::Channel(ChannelError::Invalid(error));
    assert_eq!(
        refused(tracker.channel("_tasks")),
        invalid(InvalidChannelName::Reserved)
    );
    assert_eq!(
        refused(tracker.channel("_mine")),
        invalid(InvalidChannelName::Reserved)
    );
    assert_eq!(
        refused(tracker.channel("")),
        invalid(InvalidChannelName::Malformed { len: 0 })
    );
    assert_eq!(
        refused(tracker.channel("no spaces")),
        invalid(InvalidChannelName::Malformed { len: 9 })
    );
    tracker.channel("one").emit(Approved { photo: 1 }).unwrap();
    tracker.channel("two").emit(Approved { photo: 1 }).unwrap();
    let too_many = ChannelError::TooMany { limit: 2 };
    assert_eq!(
        refused(tracker.channel("three")),
        PublishError::Channel(too_many.clone())
    );
    assert_eq!(
        tracker.task("a").channel("three").start().unwrap_err(),
        StartError::Channel(too_many.clone())
    );
    let frames = read(&mut tracker.subscribe_channel("three", all()));
    assert!(matches!(
        &frames[..],
        [ChannelFrame::Rejected(SubscribeError::Channel(error))] if *error == too_many
    ));
    let many = (0..17).fold(tracker.task("b"), |task, n| task.channel(format!("c{n}")));
    assert_eq!(
        many.start().unwrap_err(),
        StartError::TooManyChannels {
            limit: Limits::TASK_CHANNELS
        }
    );
    assert_eq!(tracker.stats().channels, 2);
}

#[test]
fn readers_alone_make_no_channels() {
    let tracker = ProgressTracker::new();
    for n in 0..3_000 {
        drop(tracker.subscribe_channel(format!("c{n}"), all()));
    }
    assert_eq!(tracker.stats().channels, 0);
    let held = tracker.subscribe_channel("held", all());
    drop(tracker.subscribe_channel("held", all()));
    tracker.channel("held").emit(Approved { photo: 1 }).unwrap();
    drop(held);
    assert_eq!(tracker.stats().channels, 1);
}
