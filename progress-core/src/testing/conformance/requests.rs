//! What is asked of a task's owner.

use super::{
    Bench,
    node::{Node, Run, complete, draft, generation, page, started},
};
use crate::{
    id::TaskId,
    transport::{Request, RequestError, Topic, TransportEvent},
};

fn stop() -> Request {
    Request::Cancel {
        reason: Some("no longer needed".into()),
    }
}

/// A request reaches the owner by itself, though it watches nothing.
pub async fn a_request_is_handed_to_the_owner(bench: &dyn Bench) {
    let (mut owner, node) = (Node::new(bench).await, Node::new(bench).await);
    let run = owner.run().await;
    assert_eq!(node.request(&run.task, stop()).await, Ok(()));
    loop {
        match owner.event().await {
            TransportEvent::Request(task, request) => {
                assert_eq!((task, request), (run.task, stop()));
                return;
            }
            TransportEvent::Record(record) => panic!("nothing is watched, but {record:?} came"),
            _ => {}
        }
    }
}

/// A request is stored with the task: its owner, and nobody else, is told of it at every renewal until
/// the task has ended, in case it did not reach it.
pub async fn a_request_is_stored_and_told_at_every_renewal(bench: &dyn Bench) {
    let (owner, node) = (Node::new(bench).await, Node::new(bench).await);
    let (mut run, _other) = (owner.run().await, owner.run().await);
    assert_eq!(node.request(&run.task, stop()).await, Ok(()));
    for _ in 0..2 {
        let told = owner.renew(&owner.id, bench.moment()).await;
        assert_eq!(told, Ok(vec![(run.task.clone(), stop())]));
        let told = node.renew(&node.id, bench.moment()).await;
        assert_eq!(told, Ok(Vec::new()));
    }
    assert_eq!(page(&node, &run.topic()).await.request, Some(stop()));
    owner
        .appends([run.event(started()), run.event(complete())])
        .await;
    let told = owner.renew(&owner.id, bench.moment()).await;
    assert_eq!(told, Ok(Vec::new()));
}

/// A shared task has no owner to tell: who reads it, as every publisher does, finds the request.
pub async fn a_request_stands_on_the_page_of_a_shared_task(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let (task, _) = node.share().await;
    assert_eq!(other.request(&task, stop()).await, Ok(()));
    let page = page(&node, &Topic::Task(task)).await;
    assert_eq!(page.request, Some(stop()));
}

/// There is nobody to ask.
pub async fn a_request_to_an_unknown_task_is_refused(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let refused = node.request(&TaskId::random(), stop()).await;
    assert_eq!(refused, Err(RequestError::Unknown));
}

/// What has ended cannot be stopped.
pub async fn a_request_after_the_end_is_refused(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    node.appends([run.event(started()), run.event(complete())])
        .await;
    let refused = node.request(&run.task, stop()).await;
    assert_eq!(refused, Err(RequestError::AlreadyComplete));
    let (task, _) = node.share().await;
    let topic = Topic::Task(task.clone());
    node.submits(&topic, [draft(complete())]).await;
    let refused = node.request(&task, stop()).await;
    assert_eq!(refused, Err(RequestError::AlreadyComplete));
}

/// A request is of one run: the next was not asked to stop.
pub async fn a_new_run_has_no_request(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    assert_eq!(node.request(&run.task, stop()).await, Ok(()));
    node.appends([run.event(started()), run.event(complete())])
        .await;
    let next = Run::new(&run.task, generation());
    let claim = node.claim(&next.task, next.epoch, node.to_restart()).await;
    assert_eq!(claim, Ok(next.epoch));
    assert_eq!(page(&node, &next.topic()).await.request, None);
    let told = node.renew(&node.id, bench.moment()).await;
    assert_eq!(told, Ok(Vec::new()));
}
