//! Any bytes as a message to a task, as a worker publishes one at a broker: what is read names no
//! other task, and what a task takes of it can be told on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_core::{Event, EventInput, InvalidMessage, ProgressTracker, TaskId};
use serde_json::Value;
use tokio::runtime::Builder;

fuzz_target!(|bytes: &[u8]| {
    let task: TaskId = "fuzzed".parse().expect("an id");
    let json = serde_json::from_slice::<Value>(bytes).ok();
    let event = match EventInput::from_message(&task, bytes) {
        Ok(event) => event,
        Err(error) => {
            let names = json.as_ref().and_then(|json| json.get("task_id"));
            if error == InvalidMessage::OtherTask {
                assert!(names.is_some_and(|name| name != "fuzzed"));
            }
            return;
        }
    };
    if let Some(Value::Object(message)) = &json {
        let named = message.get("task_id").filter(|name| !name.is_null());
        assert!(named.is_none_or(|name| name == "fuzzed"));
    }
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("there is a clock").block_on(async {
        let tracker = ProgressTracker::new();
        let fits = tracker.check(&event).is_ok();
        let shared = tracker.task(&task).share().await.expect("it is new");
        let answer = shared.publish(vec![event]).await.expect("it is there");
        // What passes the check may still be too large once it is merged, and nothing else.
        assert!(fits || answer.accepted == 0);
        let history = tracker.history(&task, None, 64).await.expect("it is kept");
        for delivered in history.events {
            let event = delivered.event;
            let text = event.to_json(event.seq(), 0);
            let again = Event::from_json(&text).expect("it is told on");
            assert_eq!(again, *event, "{}", String::from_utf8_lossy(&text));
        }
    });
});
