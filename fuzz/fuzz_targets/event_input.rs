//! Any lines as events from outside: what a task in this process makes of them, one at a broker
//! makes too, and every event that comes of it can be told on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_core::{
    Event, EventInput, Frame, ProgressTracker, Published, Replay, Seq, SubscribeOptions,
    testing::MemoryBus,
};
use serde_json::Value;
use tokio::runtime::Builder;

fuzz_target!(|bytes: &[u8]| {
    let inputs: Vec<EventInput> = bytes
        .split(|byte| *byte == b'\n')
        .take(64)
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    if inputs.is_empty() {
        return;
    }
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("there is a clock").block_on(async {
        let here = ProgressTracker::new();
        let bus = MemoryBus::new();
        let there = ProgressTracker::builder().transport(bus.connect()).build();
        let (told_here, of_here) = publish(&here, inputs.clone()).await;
        let (told_there, of_there) = publish(&there, inputs).await;
        assert_eq!(told_here, told_there);
        assert_eq!(of_here, of_there);
    });
});

/// Publishes all at once; returns the answer, and the snapshot without what tells the runs apart.
async fn publish(tracker: &ProgressTracker, inputs: Vec<EventInput>) -> (String, Value) {
    let task = tracker.task("fuzzed").share().await.expect("it is new");
    let mut events = tracker.subscribe_with("fuzzed", SubscribeOptions::new().replay(Replay::All));
    let answer = task.publish(inputs).await.expect("the task is there");
    let last = answer.last.map_or(Seq::ZERO, |last| last.seq());
    while events
        .position()
        .is_none_or(|position| position.seq() < last)
    {
        let frame = events.next().await.expect("all of it is to come");
        if let Frame::Event(delivered) = frame {
            let event = delivered.event;
            let text = event.to_json(event.seq(), 0);
            let again = Event::from_json(&text).expect("it is told on");
            assert_eq!(again, *event, "{}", String::from_utf8_lossy(&text));
        }
    }
    let snapshot = tracker.snapshot("fuzzed").await.expect("it is retained");
    let mut snapshot = serde_json::to_value(snapshot).expect("it has a JSON form");
    timeless(&mut snapshot);
    (told(&answer), snapshot)
}

fn told(answer: &Published) -> String {
    let last = answer.last.map(|last| last.seq());
    format!("{} {last:?} {:?}", answer.accepted, answer.errors)
}

fn timeless(value: &mut Value) {
    let Value::Object(object) = value else { return };
    for name in ["epoch", "started_at", "updated_at", "elapsed_ms", "eta_ms"] {
        object.remove(name);
    }
    if let Some(Value::Array(stages)) = object.get_mut("stages") {
        stages.iter_mut().for_each(timeless);
    }
}
