//! A web node serves tasks that run on another node, and says so when it cannot.

use blackbox::{kind, mark, within};
use progress_core::{ProgressTracker, testing::MemoryBus};

use crate::Server;

fn node(bus: &MemoryBus) -> (ProgressTracker, progress_core::testing::MemoryTransport) {
    let wire = bus.connect();
    let tracker = ProgressTracker::builder().transport(wire.clone()).build();
    (tracker, wire)
}

#[tokio::test]
async fn any_node_serves_any_task() {
    let bus = MemoryBus::new();
    let (worker, _) = node(&bus);
    let (web, _) = node(&bus);
    let server = Server::over(web, |gateway| gateway).await;
    let task = worker.task("a").start_confirmed().await.unwrap();
    mark(&task, 3);
    let mut sse = server.sse("/sse/progress/a").await;
    let connected = sse.frame().await;
    assert_eq!(kind(&connected), "connected");
    assert_eq!(connected["data"]["resume"], "fresh");
    assert_eq!(connected["data"]["snapshot"]["state"], "running");
    let epoch = task.head().epoch();
    task.complete(()).unwrap();
    let mut last = String::new();
    while let Some(block) = within("the end", sse.block()).await {
        last = block.id.unwrap_or(last);
    }
    assert_eq!(last, format!("{epoch}:5"));
    let again = server.sse_after("/sse/progress/a", &last).await;
    assert_eq!(again.status, 204, "nothing is to come");
    let snapshot = server.get("/tasks/a").await.json();
    assert_eq!(snapshot["state"], "completed");
    let list = server.get("/tasks").await.json();
    assert_eq!(list["tasks"][0]["task_id"], "a");
}

#[tokio::test]
async fn without_the_broker_a_task_of_elsewhere_is_not_unknown() {
    let bus = MemoryBus::new();
    let (web, wire) = node(&bus);
    let _mine = web.task("mine").start().unwrap();
    wire.disconnect();
    let server = Server::over(web, |gateway| gateway).await;
    for path in ["/tasks/a", "/tasks/a/history", "/sse/progress/a", "/tasks"] {
        let answer = server.get(path).await;
        answer.error(503, "TRANSPORT_DOWN");
        assert_eq!(answer.header("retry-after"), "1", "{path}");
    }
    let mut ws = server.ws("/ws/progress/a").await;
    let (frames, close) = ws.until_close().await;
    assert_eq!(kind(&frames[0]), "rejected");
    assert_eq!(close, (4014, "TRANSPORT_DOWN".to_owned()));
    // What is held here is served all the same.
    assert_eq!(server.get("/tasks/mine").await.json()["state"], "running");
}
