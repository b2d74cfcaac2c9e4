//! The worker in Python, who knows nothing of ours but one function in Redis.

mod support;

use serde_json::{Value, json};

use self::support::{
    System,
    client::{Client, of},
    signal,
};

fn wish(scenes: u32, failures: u32, worker: &str) -> Value {
    json!({"title": "Rain", "scenes": scenes, "failures": failures, "worker": worker})
}

/// What a job is told with, as far as it does not depend on who does it.
fn told(frames: &[Value]) -> Value {
    let all = |event_type: &str, fields: &[&str]| -> Vec<Value> {
        let of_it = of(frames, event_type).into_iter();
        of_it
            .map(|frame| {
                fields
                    .iter()
                    .map(|field| frame["data"][field].clone())
                    .collect()
            })
            .collect()
    };
    let errors = of(frames, "error");
    let fields = |error: &&Value| -> Vec<String> {
        error["data"].as_object().unwrap().keys().cloned().collect()
    };
    json!({
        "stages": all("stage_change", &["previous_stage", "current_stage"]),
        "logs": all("log", &["n", "level", "stage"]),
        "errors": all("error", &["code", "message", "stage", "retry_count", "max_retries", "is_retryable",
            "retry_after_ms", "details", "solutions"]),
        "error_fields": errors.iter().map(fields).collect::<Vec<_>>(),
        "end": all("complete", &["status", "progress"]),
    })
}

#[tokio::test]
async fn a_worker_in_python_tells_the_same_as_one_in_rust() {
    let system = System::start_with(&["--workers", "1", "--python-workers", "1"]).await;
    let mut said = Vec::new();
    for worker in ["rust", "python"] {
        let task = system.project(&system.axum(), &wish(2, 1, worker)).await;
        let frames = Client::watch(&system.warp(), &task)
            .await
            .up_to("complete")
            .await;
        let mut last = 0.0;
        for update in of(&frames, "progress_update") {
            let percent = update["data"]["progress"].as_f64().unwrap();
            assert!(percent >= last && percent < 100.0, "{last}, then {update}");
            last = percent;
        }
        said.push(told(&frames));
    }
    assert_eq!(said[0], said[1]);
}

#[tokio::test]
async fn a_worker_in_python_goes_on_with_the_job_of_one_that_was_killed() {
    let flags = ["--python-workers", "1", "--pace", "40ms"];
    let system = System::start_with(&flags).await;
    let task = system.project(&system.axum(), &wish(4, 0, "python")).await;
    let mut client = Client::watch(&system.warp(), &task).await;
    while client.next_of("progress_update").await["data"]["stage"] != "render" {}
    let worker = system.all("worker").pop().unwrap();
    signal("-KILL", &worker.pid).await;
    let again = system.came_up("worker", 2).await;
    // The task has no owner that could be missing: it is the same run, and nothing goes backwards.
    let frames = client.up_to("complete").await;
    assert!(of(&frames, "reset").is_empty());
    let end = &frames.last().unwrap()["data"];
    assert_eq!(end["status"], "completed");
    assert_eq!(
        end["result"]["worker"],
        format!("{}-{}", again.name, again.pid)
    );
    let mut last = 0.0;
    for update in of(&frames, "progress_update") {
        let percent = update["data"]["progress"].as_f64().unwrap();
        assert!(percent >= last, "{last}, then {update}");
        last = percent;
    }
}

#[tokio::test]
async fn a_worker_in_python_outlasts_redis() {
    let flags = ["--python-workers", "1", "--pace", "40ms"];
    let system = System::start_with(&flags).await;
    let task = system.project(&system.axum(), &wish(4, 0, "python")).await;
    let mut client = Client::watch(&system.warp(), &task).await;
    while client.next_of("progress_update").await["data"]["stage"] != "render" {}
    signal("-KILL", &system.all("redis")[0].pid).await;
    system.came_up("redis", 2).await;
    let frames = client.up_to("complete").await;
    assert_eq!(frames.last().unwrap()["data"]["status"], "completed");
    assert!(of(&frames, "reset").is_empty() && of(&frames, "gap").is_empty());
    let stages = of(&frames, "stage_change");
    assert_eq!(stages.len(), 2, "thumbnail and upload, once each");
}

#[tokio::test]
async fn a_worker_in_python_is_asked_to_stop_from_any_node() {
    let flags = ["--python-workers", "1", "--pace", "40ms"];
    let system = System::start_with(&flags).await;
    let task = system.project(&system.axum(), &wish(4, 0, "python")).await;
    let mut client = Client::watch(&system.axum(), &task).await;
    client.next_of("progress_update").await;
    let url = format!("{}/tasks/{task}/cancel", system.warp());
    let (status, _) = system.post(&url, &json!({})).await;
    assert_eq!(status, 202);
    let end = client.next_of("complete").await;
    assert_eq!(end["data"]["status"], "cancelled");
    // And it takes the next job.
    let task = system.project(&system.axum(), &wish(1, 0, "python")).await;
    let mut client = Client::watch(&system.warp(), &task).await;
    assert_eq!(
        client.next_of("complete").await["data"]["status"],
        "completed"
    );
}
