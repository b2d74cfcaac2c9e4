//! Topics of no task.

use super::{
    Bench,
    node::{
        Node, Run, complete, draft, gauge, line, mark, page, seqs_of, some_channel, started, update,
    },
};
use crate::{
    channel::ChannelBody,
    event::Data,
    position::Position,
    transport::{AppendError, Draft, Owner, Record},
};

/// The records of a channel: whether each is of a task, and its type.
fn told(page: &crate::transport::Page) -> Vec<(bool, String)> {
    page.records
        .iter()
        .map(|record| match record {
            Record::Channel(event) => (
                matches!(event.body(), ChannelBody::Task(_)),
                event.event_type().to_owned(),
            ),
            Record::Task(event) => panic!("{event:?} is of no channel"),
        })
        .collect()
}

/// Nobody starts a channel: it is there when it is read, empty, and its run is the one that is
/// written to later.
pub async fn a_channel_is_there_when_it_is_asked_for(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let topic = some_channel();
    let empty = page(&node, &topic).await;
    assert_eq!((empty.head.get(), empty.owner), (0, Owner::Shared));
    let first = other.submit_one(&topic, draft(mark(0))).await;
    let first = first.expect("nothing is wrong");
    assert_eq!((first.epoch(), first.seq().get()), (empty.epoch, 1));
}

/// Of a task's State a channel keeps the newest alone, of whatever key; all else of it is a
/// milestone, log lines included.
pub async fn in_a_channel_the_state_of_a_task_has_one_key(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = some_channel();
    let (mut run, mut other) = (node.run().await, node.run().await);
    let copies = [started(), update(1.0), gauge("a", 1), line(1), update(2.0)];
    let mut drafts: Vec<_> = copies
        .into_iter()
        .map(|data| Draft::copy_of(run.event(data)))
        .collect();
    drafts.push(Draft::copy_of(other.event(update(3.0))));
    node.submits(&topic, drafts).await;
    let page = page(&node, &topic).await;
    // `started` and the line, and each task's newest.
    assert_eq!((seqs_of(&page), page.head.get()), (vec![1, 4, 5, 6], 6));
    assert_eq!(page.floor.get(), 0);
}

/// When a task has ended its State in a channel is no longer kept: its end says more.
pub async fn the_end_of_a_task_retires_its_state_in_a_channel(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = some_channel();
    for n in 0..3 {
        let mut run = node.run().await;
        let copies = [started(), update(1.0), complete()];
        let drafts = copies.map(|data| Draft::copy_of(run.event(data)));
        node.submits(&topic, drafts).await;
        let page = page(&node, &topic).await;
        // A channel has no end.
        assert_eq!(page.head.get(), 3 * (n + 1));
        let kept = told(&page);
        assert!(
            kept.iter()
                .all(|(of_task, kind)| *of_task && kind != "progress_update")
        );
        assert_eq!(kept.len() as u64, 2 * (n + 1));
    }
}

/// A copy is told by the position of its event: copied by two nodes it is there once.
pub async fn an_event_is_copied_into_a_channel_once(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let topic = some_channel();
    let mut run = node.run().await;
    let copies = run.marks(2).into_iter().map(Draft::copy_of);
    let copies: Vec<_> = copies.collect();
    assert_eq!(node.submits(&topic, copies.clone()).await, [1, 2]);
    assert_eq!(other.submits(&topic, copies).await, [1, 2]);
    // The same number of another run is another event.
    let mut next = Run::new(&run.task, super::node::generation());
    let copies = next.marks(1).into_iter().map(Draft::copy_of);
    assert_eq!(node.submits(&topic, copies).await, [3]);
}

/// Of two nodes that publish on a task one may be late with its copies: State of which something later
/// is there takes no number, a milestone is there all the same.
pub async fn a_late_copy_does_not_take_the_place_of_a_later_one(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let topic = some_channel();
    let mut run = node.run().await;
    let drafts = [started(), update(1.0), mark(1), update(2.0), complete()]
        .map(|data| Draft::copy_of(run.event(data)));
    let [started, earlier, mark, later, complete] = drafts;
    let first = vec![started, later.clone()];
    assert_eq!(node.submits(&topic, first).await, [1, 2]);
    let late = vec![earlier.clone(), mark];
    assert_eq!(other.submits(&topic, late).await, [2, 3]);
    assert_eq!(seqs_of(&page(&node, &topic).await), [1, 2, 3]);
    assert_eq!(node.submits(&topic, vec![complete]).await, [4]);
    // The end says more than any State before it.
    assert_eq!(other.submits(&topic, vec![earlier, later]).await, [4, 2]);
    assert_eq!(seqs_of(&page(&node, &topic).await), [1, 3, 4]);
}

/// An event of no task is State if it has a key, else a milestone, and keeps its time.
pub async fn an_event_of_no_task_is_state_or_a_milestone(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = some_channel();
    let drafts = [
        gauge("a", 1),
        mark(1),
        gauge("b", 1),
        gauge("a", 2),
        mark(2),
    ]
    .map(draft);
    node.submits(&topic, drafts.clone()).await;
    let page = page(&node, &topic).await;
    assert_eq!(seqs_of(&page), [2, 3, 4, 5]);
    let Some(Record::Channel(newest)) = page.records.last() else {
        panic!("a channel has no other records");
    };
    match newest.body() {
        ChannelBody::Own { custom, timestamp } => {
            assert_eq!(*timestamp, drafts[4].timestamp);
            assert_eq!(Data::Custom((**custom).clone()), mark(2));
        }
        ChannelBody::Task(event) => panic!("{event:?}"),
    }
}

/// What is of a task and comes without it is refused, as is an event with a number.
pub async fn what_is_no_event_of_a_channel_is_refused(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = some_channel();
    for data in [started(), line(1), update(1.0), complete()] {
        let refused = node.submit_one(&topic, draft(data)).await;
        assert!(matches!(refused, Err(AppendError::Refused { .. })));
    }
    assert_eq!(page(&node, &topic).await.head.get(), 0);
}

/// Generations of a channel rise: one that was removed begins again above, from 1, and empty.
pub async fn a_channel_that_was_removed_begins_again_later(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = some_channel();
    let first = node.submit_one(&topic, draft(mark(0)).id("1")).await;
    let first = first.expect("nothing is wrong");
    node.remove(&topic).await.expect("nothing is wrong");
    let again = node.submit_one(&topic, draft(mark(0)).id("1")).await;
    let again: Position = again.expect("nothing is wrong");
    assert!(again.epoch() > first.epoch());
    assert_eq!(again.seq().get(), 1);
    assert_eq!(seqs_of(&page(&node, &topic).await), [1]);
}
