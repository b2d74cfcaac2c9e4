//! Events that their owner has numbered.

use super::{
    Bench,
    node::{
        Node, Run, complete, draft, events_of, gauge, generation, line, mark, page, seqs_of,
        started, update,
    },
};
use crate::{
    id::TaskId,
    position::{Epoch, Seq},
    transport::{AppendError, Topic},
};

/// What is appended can be read as it was written, in its order, and the head is its newest.
pub async fn events_are_kept_in_their_order(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    let events = [started(), mark(1), update(10.0), line(1), gauge("a", 1)];
    let events = events.map(|data| run.event(data));
    node.appends(events[..2].to_vec()).await;
    node.appends(events[2..].to_vec()).await;
    let page = page(&node, &run.topic()).await;
    assert_eq!((page.epoch, page.head.get()), (run.epoch, 5));
    assert_eq!(page.floor, Seq::ZERO);
    for (read, written) in events_of(&page).iter().zip(&events) {
        assert_eq!(read, written);
        assert_eq!(read.prev(), written.prev());
    }
    assert_eq!(page.records.len(), events.len());
}

/// Events that are there already are accepted again, also beside new ones and after the end.
pub async fn events_appended_again_change_nothing(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    let events = [started(), mark(1), mark(2), complete()].map(|data| run.event(data));
    node.appends(events[..2].to_vec()).await;
    node.appends(events[..3].to_vec()).await;
    node.appends(events.clone()).await;
    node.appends(events.clone()).await;
    let page = page(&node, &run.topic()).await;
    assert_eq!(events_of(&page), events);
}

/// An event of a run that another has followed is refused, with that run.
pub async fn an_event_of_a_superseded_run_is_refused(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    node.appends([run.event(started()), run.event(complete())])
        .await;
    let by = generation();
    let claim = node.claim(&run.task, by, node.to_restart()).await;
    assert_eq!(claim, Ok(by));
    let late = node.append_one(run.event(mark(0))).await;
    assert_eq!(late, Err(AppendError::Superseded { by }));
    assert_eq!(page(&node, &run.topic()).await.head.get(), 0);
}

/// An event of a run that was never claimed is refused: of an unknown task, and of a later run than
/// the present one.
pub async fn an_event_of_a_run_that_was_never_claimed_is_refused(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut unknown = Run::new(&TaskId::random(), generation());
    let refused = node.append_one(unknown.event(started())).await;
    assert_eq!(refused, Err(AppendError::Unknown));
    assert!(matches!(node.read(&unknown.topic(), None).await, Ok(None)));

    let run = node.run().await;
    let mut later = Run::new(&run.task, Epoch::new(run.epoch.generation() + 1));
    let refused = node.append_one(later.event(started())).await;
    assert_eq!(refused, Err(AppendError::Unknown));
    assert_eq!(page(&node, &run.topic()).await.head.get(), 0);
}

/// An end is the last event of its run.
pub async fn nothing_follows_the_end(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    node.appends([run.event(started()), run.event(complete())])
        .await;
    let late = node.append_one(run.event(mark(0))).await;
    assert_eq!(late, Err(AppendError::AlreadyComplete));
    let late = node.append_one(run.event(complete())).await;
    assert_eq!(late, Err(AppendError::AlreadyComplete));
    assert_eq!(seqs_of(&page(&node, &run.topic()).await), [1, 2]);
}

/// Once an event is refused, those of the same run behind it are not appended; those of other runs
/// are, of the same task too.
pub async fn events_behind_a_failed_one_are_not_appended(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut before = node.run().await;
    node.appends([before.event(complete())]).await;
    let by = generation();
    let claim = node.claim(&before.task, by, node.to_restart()).await;
    assert_eq!(claim, Ok(by));
    let mut run = Run::new(&before.task, by);
    let mut other = node.run().await;
    let events = vec![
        other.event(started()),
        before.event(mark(0)),
        run.event(started()),
        before.event(mark(1)),
        other.event(complete()),
        other.event(mark(0)),
        run.event(mark(0)),
        other.event(mark(1)),
    ];
    let answers = node.append(events).await;
    let superseded = || Err(AppendError::Superseded { by });
    let ended = || Err(AppendError::AlreadyComplete);
    let (yes, no) = (Ok(()), ended());
    let expected = [
        yes.clone(),
        superseded(),
        yes.clone(),
        superseded(),
        yes.clone(),
        no,
        yes,
        ended(),
    ];
    assert_eq!(answers, expected);
    assert_eq!(page(&node, &run.topic()).await.head.get(), 2);
    assert_eq!(page(&node, &other.topic()).await.head.get(), 2);
}

/// An owner that was away sends what its log still holds: numbers between are State or log lines
/// that something after them supersedes, which is no loss.
pub async fn numbers_may_be_missing(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    let first = run.event(started());
    let [_, _, third] = [update(1.0), line(1), update(2.0)].map(|data| run.event(data));
    node.appends([first]).await;
    node.appends([third]).await;
    let page = page(&node, &run.topic()).await;
    assert_eq!((seqs_of(&page), page.head.get()), (vec![1, 4], 4));
    assert_eq!(page.floor, Seq::ZERO);
}

/// An event whose `prev` the broker does not have tells of a milestone that is lost for good.
pub async fn a_milestone_that_never_came_raises_the_floor(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    let [first, _, lost, newest] =
        [started(), update(1.0), mark(0), update(2.0)].map(|data| run.event(data));
    node.appends([first]).await;
    node.appends([newest]).await;
    let page = page(&node, &run.topic()).await;
    assert_eq!(page.floor, lost.seq());
    assert_eq!(seqs_of(&page), [1, 4]);
}

/// A task is never both: what comes with a number is refused while the broker numbers the task.
pub async fn the_events_of_a_shared_task_are_not_appended(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let (task, epoch) = node.share().await;
    let topic = Topic::Task(task.clone());
    node.submits(&topic, [draft(started())]).await;
    let mut run = Run::new(&task, epoch);
    let events = run.marks(2);
    let refused = node.append_one(events[1].clone()).await;
    assert!(matches!(refused, Err(AppendError::Refused { .. })));
    assert_eq!(page(&node, &topic).await.head.get(), 1);
}
