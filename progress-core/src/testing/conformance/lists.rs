//! The list of tasks, and what leaves it.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::{
    Bench,
    node::{Node, Run, complete, draft, generation, page, started_as, to_share, update},
};
use crate::{
    event::{Started, TaskState},
    id::TaskId,
    tracker::TaskFilter,
    transport::{Claim, ClaimError, Topic, TransportEvent},
};

/// A kind that no other task has.
fn some_kind() -> Arc<str> {
    format!("kind-{}", uuid::Uuid::new_v4().simple()).into()
}

fn about(kind: &Arc<str>) -> Started {
    Started {
        kind: Some(Arc::clone(kind)),
        ..Started::default()
    }
}

async fn started(node: &Node, about: Started) -> Run {
    let mut run = node.run().await;
    node.appends([run.event(started_as(about))]).await;
    run
}

async fn listed(node: &Node, filter: TaskFilter) -> Vec<TaskId> {
    let page = node.tasks(&filter).await.expect("nothing is wrong");
    page.tasks.into_iter().map(|task| task.task_id).collect()
}

/// All tasks are listed, owned and shared, live and ended, the newest first; a page holds as many as
/// were asked for, and leads to the next, also while others start.
pub async fn tasks_are_listed_the_newest_first_page_by_page(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let kind = some_kind();
    let mut expected = Vec::new();
    for n in 0..5 {
        let task = if n == 2 {
            let task = TaskId::random();
            let claim = node.claim(&task, generation(), to_share(None)).await;
            claim.expect("the id is new");
            let topic = Topic::Task(task.clone());
            node.submits(&topic, [draft(started_as(about(&kind)))])
                .await;
            task
        } else {
            let mut run = started(if n % 2 == 0 { &node } else { &other }, about(&kind)).await;
            if n == 3 {
                other.appends([run.event(complete())]).await;
            }
            run.task
        };
        expected.insert(0, task);
    }
    let filter = TaskFilter::new().kind(&*kind).limit(2);
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = node.tasks(&filter.clone().after(cursor)).await;
        let page = page.expect("nothing is wrong");
        assert!(page.tasks.len() <= 2);
        seen.extend(page.tasks.into_iter().map(|task| task.task_id));
        started(&node, about(&kind)).await;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

/// A filter sees tasks as they stand: their state, kind, labels and parent.
pub async fn a_filter_lets_through_what_it_says(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let (kind, parent) = (some_kind(), TaskId::random());
    let mut labelled = about(&kind);
    labelled.labels = Arc::new(BTreeMap::from([("user".to_owned(), "7".to_owned())]));
    let mut child = about(&kind);
    child.parent = Some(parent.clone());
    let (labelled, child) = (started(&node, labelled).await, started(&node, child).await);
    let mut ended = started(&node, about(&kind)).await;
    node.appends([ended.event(update(50.0)), ended.event(complete())])
        .await;
    let filter = || TaskFilter::new().kind(&*kind);
    for (filter, expected) in [
        (filter().label("user", "7"), vec![&labelled]),
        (filter().label("user", "8"), vec![]),
        (filter().parent(parent), vec![&child]),
        (filter().state(TaskState::Completed), vec![&ended]),
        (filter().active(), vec![&child, &labelled]),
        (TaskFilter::new().kind("no such kind"), vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|run| run.task.clone()).collect();
        assert_eq!(listed(&node, filter.clone()).await, expected, "{filter:?}");
    }
}

/// A task that another node ends stays where it is in the list, so that who reads page by page does
/// not miss it; it stands there as it was known, and as abandoned when that is told.
pub async fn a_task_keeps_its_place_in_the_list_when_it_is_ended(bench: &dyn Bench) {
    let (owner, node) = (Node::new(bench).await, Node::new(bench).await);
    let kind = some_kind();
    owner.lives(bench).await;
    let run = started(&owner, about(&kind)).await;
    let newer = started(&owner, about(&kind)).await;
    bench.pass(bench.moment() * 2).await;
    let epoch = node.end(&run).await.expect("its owner is dead");
    let filter = TaskFilter::new().kind(&*kind);
    let expected = [newer.task, run.task.clone()];
    assert_eq!(listed(&node, filter.clone()).await, expected);
    let mut end = Run::new(&run.task, epoch);
    node.appends([end.event(complete())]).await;
    assert_eq!(listed(&node, filter.clone()).await, expected);
    let ended = listed(&node, filter.state(TaskState::Completed)).await;
    assert_eq!(ended, expected[1..]);
}

/// What was removed is unknown on every node, and can be removed again.
pub async fn a_removed_task_is_gone_and_its_id_free(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let kind = some_kind();
    let mut run = started(&node, about(&kind)).await;
    node.appends([run.event(complete())]).await;
    for _ in 0..2 {
        assert_eq!(other.remove(&run.topic()).await, Ok(()));
    }
    assert!(matches!(node.read(&run.topic(), None).await, Ok(None)));
    assert!(
        listed(&node, TaskFilter::new().kind(&*kind))
            .await
            .is_empty()
    );
    let next = node.start(&run.task).await;
    assert_eq!(page(&node, &next.topic()).await.head.get(), 0);
}

/// An owner that was away cannot tell of a task again that was removed meanwhile; it and those who watch
/// the task are told.
pub async fn a_removed_run_cannot_be_claimed_again(bench: &dyn Bench) {
    let (mut node, mut other) = (Node::new(bench).await, Node::new(bench).await);
    let mut run = node.run().await;
    let events = [started_as(Started::default()), complete()];
    node.appends(events.map(|data| run.event(data))).await;
    other.watch(&run.topic()).await.expect("nothing is wrong");
    let third = Node::new(bench).await;
    third.remove(&run.topic()).await.expect("nothing is wrong");
    for node in [&mut node, &mut other] {
        let (task, up_to) = loop {
            if let TransportEvent::Removed(task, up_to) = node.event().await {
                break (task, up_to);
            }
        };
        assert_eq!((&task, up_to), (&run.task, run.epoch));
    }
    let removed = Err(ClaimError::Removed { up_to: run.epoch });
    let again = node.claim(&run.task, run.epoch, node.to_start()).await;
    assert_eq!(again, removed);
    let again = other.claim(&run.task, run.epoch, other.to_restart()).await;
    assert_eq!(again, removed);
}

/// What a call has handed over is with the broker when `flush` has returned.
pub async fn what_was_handed_over_is_there_after_a_flush(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let task = TaskId::random();
    let claim = Claim::Start {
        node: node.id.clone(),
        channels: Vec::new(),
    };
    let mut run = Run::new(&task, generation());
    node.claim(&task, run.epoch, claim)
        .await
        .expect("the id is new");
    node.appends(run.marks(20)).await;
    let deadline = Instant::now() + std::time::Duration::from_secs(10);
    assert_eq!(node.flush(deadline).await, Ok(()));
    assert_eq!(page(&other, &run.topic()).await.head.get(), 20);
}
