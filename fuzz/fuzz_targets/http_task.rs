//! Any body as the description of a task: it is refused in our error object and there is no task,
//! or there is one as it was described.

#![no_main]

use http::{Request, request::Parts};
use libfuzzer_sys::fuzz_target;
use progress_core::{ProgressTracker, TaskId};
use progress_web::{Gateway, Open};
use serde_json::Value;
use tokio::runtime::Builder;

fuzz_target!(|bytes: &[u8]| {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("there is a clock").block_on(async {
        let gateway = Gateway::builder(ProgressTracker::new())
            .authorizer(Open::new().publishing().channels())
            .build();
        let response = gateway.create_task(&post(), bytes.to_vec().into()).await;
        let answer: Value = serde_json::from_slice(response.body()).expect("it is JSON");
        let tasks = gateway.tracker().stats().tasks;
        if response.status() != 201 {
            assert!(response.status().is_client_error(), "{answer}");
            assert!(answer["error"]["code"].is_string(), "{answer}");
            assert_eq!(tasks, 0);
            return;
        }
        assert_eq!(tasks, 1);
        let id: TaskId = answer["task_id"]
            .as_str()
            .expect("it is said")
            .parse()
            .expect("it is an id");
        let task = gateway.tracker().snapshot(&id).await.expect("it is there");
        // Fields that mean nothing are not looked into, and may hold a number beyond all bounds.
        let Ok(asked) = serde_json::from_slice::<Value>(bytes) else {
            return;
        };
        assert_eq!(task.name.as_deref(), asked["name"].as_str());
        assert_eq!(task.kind.as_deref(), asked["kind"].as_str());
        assert_eq!(
            task.parent.as_ref().map(TaskId::as_str),
            asked["parent"].as_str()
        );
        for stage in asked["stages"].as_array().into_iter().flatten() {
            let path = stage["path"].as_str().expect("it was taken");
            assert!(task.stage(path).is_some());
        }
    });
});

fn post() -> Parts {
    let request = Request::post("/").body(());
    request.expect("it is a request").into_parts().0
}
