//! Channels that several nodes publish into: the broker numbers them.

use std::{sync::Arc, time::Duration};

use progress_core::{
    ChannelFrame, ChannelName, ChannelSubscription, Data, EventInput, EventPayload, PublishError,
    Resume, SubscribeError, SubscribeOptions,
    testing::{Faults, MemoryBus},
};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::support::{PATIENCE, node};

#[derive(Serialize)]
struct Approved {
    photo: u64,
}

impl EventPayload for Approved {
    const EVENT_TYPE: &'static str = "approved";
}

async fn next(events: &mut ChannelSubscription) -> ChannelFrame {
    timeout(PATIENCE, events.next())
        .await
        .expect("nothing came")
        .expect("the stream has ended")
}

/// Reads so many events; every range begins where the one before ended.
async fn events(subscription: &mut ChannelSubscription, count: usize) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    let mut last = None;
    while seen.len() < count {
        match next(subscription).await {
            ChannelFrame::Event(delivered) => {
                let seq = delivered.event.seq().get();
                if let Some(last) = last {
                    assert_eq!(delivered.from.get(), last + 1);
                }
                last = Some(seq);
                let text = delivered.event.to_json(delivered.event.seq());
                seen.push((seq, String::from_utf8_lossy(&text).into_owned()));
            }
            ChannelFrame::Verdict(_) => {}
            other => panic!("{other:?}"),
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn g1_every_node_sees_a_channels_events_at_the_same_seq_whatever_goes_wrong() {
    for seed in 1..=5 {
        let bus = MemoryBus::new();
        let (first, second) = (node(&bus), node(&bus));
        let mut there = second
            .tracker
            .subscribe_channel("jobs", SubscribeOptions::new());
        let mut here = first
            .tracker
            .subscribe_channel("jobs", SubscribeOptions::new());
        for wire in [&first.wire, &second.wire] {
            let faults = Faults::none().drop(0.2).duplicate(0.2).reorder(0.3);
            wire.faults(faults.delay(Duration::from_millis(10)), seed);
        }
        let task = first.tracker.task("a").channel("jobs").start().unwrap();
        for photo in 0..20 {
            first
                .tracker
                .channel("jobs")
                .emit(Approved { photo })
                .unwrap();
            second
                .tracker
                .channel("jobs")
                .emit(Approved { photo: 100 + photo })
                .unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        task.complete(()).unwrap();
        let (here, there) = (events(&mut here, 42).await, events(&mut there, 42).await);
        assert_eq!(here, there);
        assert_eq!(
            here.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
            (1..=42).collect::<Vec<_>>()
        );
        // What one node published came in its order, and each once.
        let of = |from: u64| {
            here.iter().filter_map(move |(_, text)| {
                let value: serde_json::Value = serde_json::from_str(text).unwrap();
                value["event"]["data"]["photo"]
                    .as_u64()
                    .filter(|photo| (from..from + 100).contains(photo))
            })
        };
        assert!(of(0).eq(0..20));
        assert!(of(100).eq(100..120));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_resumes_on_another_node() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let mut here = first
        .tracker
        .subscribe_channel("jobs", SubscribeOptions::new());
    for photo in 0..3 {
        first
            .tracker
            .channel("jobs")
            .emit_confirmed(Approved { photo })
            .await
            .unwrap();
    }
    events(&mut here, 3).await;
    let position = here.position().unwrap();
    drop((here, first));
    second
        .tracker
        .channel("jobs")
        .emit(Approved { photo: 3 })
        .unwrap();
    let mut there = second
        .tracker
        .subscribe_channel("jobs", SubscribeOptions::new().after(position));
    match next(&mut there).await {
        ChannelFrame::Verdict(verdict) => assert_eq!(verdict.resume, Resume::Resumed),
        other => panic!("{other:?}"),
    }
    assert_eq!(events(&mut there, 1).await[0].0, 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_emitted_while_the_broker_is_away_waits_within_a_bound() {
    let bus = MemoryBus::new();
    let web = node(&bus);
    let mut reader = web
        .tracker
        .subscribe_channel("jobs", SubscribeOptions::new());
    next(&mut reader).await;
    web.wire.disconnect();
    let channel = web.tracker.channel("jobs");
    let mut waiting = 0;
    let refused = loop {
        match channel.emit(Approved { photo: waiting }) {
            Ok(()) => waiting += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(
        refused,
        PublishError::QueueFull {
            limit: waiting as usize
        }
    );
    assert!(matches!(
        channel
            .emit_confirmed(Approved { photo: 0 })
            .await
            .unwrap_err(),
        PublishError::Unavailable(_)
    ));
    web.wire.reconnect();
    web.tracker
        .flush(tokio::time::Instant::now() + PATIENCE)
        .await
        .unwrap();
    // More than a channel keeps: what is gone is declared, all that is kept comes.
    let (mut kept, mut gaps) = (0, 0);
    loop {
        match next(&mut reader).await {
            ChannelFrame::Gap(_) => gaps += 1,
            ChannelFrame::Event(delivered) => {
                kept += 1;
                if delivered.event.seq().get() == waiting {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(kept >= 1_024 && gaps >= 1, "{kept} kept, {gaps} gaps");
    channel.emit(Approved { photo: 0 }).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_channel_the_broker_forgot_begins_again_with_a_reset() {
    let bus = MemoryBus::new();
    let web = node(&bus);
    let mut reader = web
        .tracker
        .subscribe_channel("jobs", SubscribeOptions::new());
    let channel = web.tracker.channel("jobs");
    channel.emit_confirmed(Approved { photo: 0 }).await.unwrap();
    events(&mut reader, 1).await;
    bus.forget();
    channel.emit_confirmed(Approved { photo: 1 }).await.unwrap();
    loop {
        match next(&mut reader).await {
            ChannelFrame::Reset(_) => break,
            ChannelFrame::Event(_) => panic!("an event of another run"),
            _ => {}
        }
    }
    assert_eq!(events(&mut reader, 1).await[0].0, 1);
}

#[tokio::test(start_paused = true)]
async fn without_the_broker_a_channel_is_refused() {
    let bus = MemoryBus::new();
    let web = node(&bus);
    web.wire.disconnect();
    let mut reader = web
        .tracker
        .subscribe_channel("jobs", SubscribeOptions::new());
    assert!(matches!(
        next(&mut reader).await,
        ChannelFrame::Rejected(SubscribeError::Unavailable)
    ));
}

#[tokio::test(start_paused = true)]
async fn what_comes_from_outside_is_numbered_and_a_repetition_is_published_once() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let input = |n: u64| EventInput::new("approved", &n).unwrap().id(n.to_string());
    let batch = || {
        let bad = EventInput::new("complete", &()).unwrap();
        vec![input(1), bad, input(2)]
    };
    let here = first
        .tracker
        .channel("jobs")
        .publish(batch())
        .await
        .unwrap();
    let there = second
        .tracker
        .channel("jobs")
        .publish(batch())
        .await
        .unwrap();
    assert_eq!((here.accepted, here.errors.len()), (2, 1));
    assert_eq!(here.errors[0].0, 1);
    assert_eq!(here, there);
    let more = second.tracker.channel("jobs").publish(vec![input(3)]).await;
    assert_eq!(more.unwrap().last.unwrap().seq().get(), 3);
    let mut reader = first
        .tracker
        .subscribe_channel("jobs", SubscribeOptions::new());
    let seqs: Vec<u64> = events(&mut reader, 3)
        .await
        .iter()
        .map(|(seq, _)| *seq)
        .collect();
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn the_live_list_is_told_of_state_once_a_second() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let mut list = web
        .tracker
        .subscribe_channel(ChannelName::TASKS, SubscribeOptions::new().buffer(1_000));
    assert!(matches!(list.next().await, Some(ChannelFrame::Verdict(_))));
    let task = worker.tracker.task("a").start_confirmed().await.unwrap();
    for n in 1..=50 {
        task.progress(f64::from(n));
        sleep(Duration::from_millis(100)).await;
        if n == 25 {
            task.pause("lunch");
            task.resume();
        }
    }
    let mut seen = Vec::new();
    let told = timeout(Duration::from_secs(3), async {
        loop {
            let Some(ChannelFrame::Event(delivered)) = list.next().await else {
                panic!("a closed list");
            };
            let event = Arc::clone(delivered.event.event().unwrap());
            seen.push(event);
            if let Data::ProgressUpdate(update) = seen[seen.len() - 1].data()
                && update.progress == 50.0
            {
                break;
            }
        }
    });
    told.await.expect("the newest comes");
    assert!(seen.is_sorted_by_key(|event| event.seq()), "{seen:?}");
    let states = seen
        .iter()
        .filter(|event| event.event_type() == "progress_update");
    // One a second, and one before the pause.
    assert!((5..=8).contains(&states.count()), "{seen:?}");
    let paused = seen.iter().position(|event| event.event_type() == "paused");
    let before = &seen[paused.expect("it is told") - 1];
    assert!(matches!(before.data(), Data::ProgressUpdate(update) if update.progress == 25.0));
}
