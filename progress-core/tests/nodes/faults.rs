//! The guarantees across two nodes, whatever happens on the way between them.

use std::{collections::BTreeMap, time::Duration};

use progress_core::{
    Data, EventPayload, Frame, Level, Position, ProgressTracker, Resume, Snapshot, Status,
    SubscribeError, SubscribeOptions,
    testing::{Faults, MemoryBus},
};
use serde::Serialize;
use tokio::time::Instant;

use super::support::{Node, PATIENCE, node, until};

#[derive(Serialize)]
struct Approved {
    photo: u64,
}

impl EventPayload for Approved {
    const EVENT_TYPE: &'static str = "approved";
}

/// What a watcher has seen, held against the promises as it comes.
#[derive(Default)]
struct Seen {
    position: Option<Position>,
    events: BTreeMap<u64, String>,
    milestones: Vec<u64>,
    gaps: usize,
    resets: usize,
    ends: Vec<Status>,
    last: Option<Snapshot>,
}

impl Seen {
    fn take(&mut self, frame: &Frame) {
        match frame {
            Frame::Verdict(verdict) => {
                if verdict.resume == Resume::Reset {
                    self.begin_again();
                }
                self.last = verdict.snapshot.as_deref().cloned();
            }
            Frame::Reset(reset) => {
                self.resets += 1;
                self.begin_again();
                self.position = Some(reset.position());
            }
            Frame::Gap(_) => self.gaps += 1,
            Frame::Event(delivered) => {
                let event = &delivered.event;
                let seq = event.seq().get();
                let last = self.position.map_or(0, |position| position.seq().get());
                // G1, G2: in order, nothing twice, and every range begins where the last ended.
                assert_eq!(delivered.from.get(), last + 1, "{event:?}");
                assert!(seq > last);
                self.position = Some(event.position());
                let text = String::from_utf8_lossy(&event.to_json(event.seq(), 0)).into_owned();
                self.events.insert(seq, text);
                match event.data() {
                    Data::Custom(_) => self.milestones.push(seq),
                    Data::Complete(end) => self.ends.push(end.status),
                    _ => {}
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn begin_again(&mut self) {
        self.position = None;
        self.events.clear();
        self.milestones.clear();
    }
}

/// Watches to the end; tells what was seen. Refused because the broker seems away, it comes again,
/// as clients do.
async fn watch(tracker: ProgressTracker) -> Seen {
    let mut seen = Seen::default();
    let watching = async {
        while seen.ends.is_empty() {
            let options = SubscribeOptions::new().after(seen.position);
            let mut events = tracker.subscribe_with("video", options);
            while let Some(frame) = events.next().await {
                if !matches!(frame, Frame::Rejected(SubscribeError::Unavailable)) {
                    seen.take(&frame);
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, watching)
        .await
        .expect("no end came");
    seen
}

/// Works on a task while `meanwhile` happens; both nodes watch, one of them from the middle.
async fn under(worker: &Node, web: &Node, meanwhile: impl AsyncFn(u32)) -> (Seen, Seen, Seen) {
    let task = worker
        .tracker
        .task("video")
        .stage("render", 1.0)
        .start_confirmed()
        .await
        .unwrap();
    let here = tokio::spawn(watch(worker.tracker.clone()));
    let there = tokio::spawn(watch(web.tracker.clone()));
    let render = task.stage("render").total(60);
    let mut late = None;
    for step in 0..60 {
        render.inc(1);
        task.log(Level::INFO, format!("step {step}"));
        if step % 4 == 0 {
            task.emit(Approved { photo: step.into() }).unwrap();
        }
        meanwhile(step).await;
        if step == 30 {
            late = Some(tokio::spawn(watch(web.tracker.clone())));
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    task.complete(()).unwrap();
    let late = late.expect("it came at step 30");
    (
        here.await.unwrap(),
        there.await.unwrap(),
        late.await.unwrap(),
    )
}

/// The promises that hold whatever was lost on the way: the same events at the same numbers, all
/// milestones, one end, no gap.
fn check(here: &Seen, others: &[&Seen]) {
    assert_eq!(here.milestones.len(), 15);
    assert_eq!(here.ends, [Status::Completed]);
    for seen in others {
        assert_eq!(seen.milestones, here.milestones);
        assert_eq!(seen.ends, [Status::Completed]);
        assert_eq!(seen.gaps, 0);
        for (seq, text) in &seen.events {
            assert_eq!(Some(text), here.events.get(seq), "seq {seq}");
        }
    }
}

macro_rules! under_faults {
    ($($name:ident: $faults:expr;)+) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            for seed in 1..=5 {
                let bus = MemoryBus::new();
                let (worker, web) = (node(&bus), node(&bus));
                web.wire.faults($faults, seed);
                worker.wire.faults($faults, seed + 100);
                let (here, there, late) = under(&worker, &web, async |_| {}).await;
                check(&here, &[&there, &late]);
            }
        }
    )+};
}

under_faults! {
    g1_to_g4_hold_when_nothing_goes_wrong: Faults::none();
    g1_to_g4_hold_when_records_are_lost: Faults::none().drop(0.3);
    g1_to_g4_hold_when_records_are_late: Faults::none().delay(Duration::from_millis(150));
    g1_to_g4_hold_when_records_come_twice: Faults::none().duplicate(0.5);
    g1_to_g4_hold_when_records_overtake_each_other: Faults::none().reorder(0.5).delay(Duration::from_millis(20));
    g1_to_g4_hold_when_answers_are_lost: Faults::none().lose_answer(0.2);
    g1_to_g4_hold_when_all_of_it_goes_wrong: Faults::none().drop(0.2).duplicate(0.2).reorder(0.3)
        .delay(Duration::from_millis(30)).lose_answer(0.1);
}

#[tokio::test(start_paused = true)]
async fn g6_the_owner_goes_on_while_the_broker_is_away_and_tells_all_of_it_later() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let (here, there, late) = under(&worker, &web, async |step| match step {
        10 => worker.wire.disconnect(),
        // Within the lease.
        50 => worker.wire.reconnect(),
        _ => {}
    })
    .await;
    check(&here, &[&there, &late]);
}

#[tokio::test(start_paused = true)]
async fn g2_a_watching_node_that_was_away_is_told_all_of_it() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let (here, there, late) = under(&worker, &web, async |step| match step {
        10 => web.wire.disconnect(),
        28 => web.wire.reconnect(),
        _ => {}
    })
    .await;
    check(&here, &[&there, &late]);
}

#[tokio::test(start_paused = true)]
async fn g2_a_broker_that_forgot_is_told_again_under_the_same_ids() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let (here, there, late) = under(&worker, &web, async |step| {
        if step == 20 {
            bus.forget();
        }
    })
    .await;
    check(&here, &[&there, &late]);
}

#[tokio::test(start_paused = true)]
async fn g8_a_node_without_the_broker_refuses_to_guess() {
    let bus = MemoryBus::new();
    let web = node(&bus);
    web.wire.disconnect();
    let mut events = web.tracker.subscribe("video");
    let first = tokio::time::timeout(PATIENCE, events.next()).await.unwrap();
    assert!(
        matches!(first, Some(Frame::Rejected(SubscribeError::Unavailable))),
        "{first:?}"
    );
    let refused = web.tracker.snapshot("video").await.unwrap_err();
    assert!(
        matches!(refused, progress_core::LookupError::Unavailable(_)),
        "{refused:?}"
    );
    assert!(!web.tracker.is_connected());
    // And its own work goes on.
    let task = web.tracker.task("mine").start().unwrap();
    task.complete(()).unwrap();
    web.wire.reconnect();
    web.tracker.flush(Instant::now() + PATIENCE).await.unwrap();
    assert!(web.tracker.is_connected());
}

#[tokio::test(start_paused = true)]
async fn g2_a_reader_moves_to_another_node_with_its_position() {
    let bus = MemoryBus::new();
    let (worker, web, other) = (node(&bus), node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    let mut events = web.tracker.subscribe("video");
    let mut seen = Seen::default();
    for photo in 0..5 {
        task.emit(Approved { photo }).unwrap();
    }
    while seen.milestones.len() < 5 {
        seen.take(&events.next().await.unwrap());
    }
    drop((events, web));
    for photo in 5..10 {
        task.emit(Approved { photo }).unwrap();
    }
    let mut events = other
        .tracker
        .subscribe_with("video", SubscribeOptions::new().after(seen.position));
    task.complete(()).unwrap();
    while let Some(frame) = events.next().await {
        if let Frame::Verdict(verdict) = &frame {
            assert_eq!(verdict.resume, Resume::Resumed);
        }
        seen.take(&frame);
    }
    assert_eq!(seen.milestones.len(), 10);
    assert_eq!(seen.ends, [Status::Completed]);
    until(async || bus.live_tasks() == 0).await;
}
