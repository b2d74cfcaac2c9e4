//! What a broker keeps, and how it is read.

use futures_util::future::join;

use super::{
    Bench,
    node::{
        Node, complete, draft, events_of, gauge, generation, line, mark, page, page_after, seqs_of,
        started, update,
    },
};
use crate::{
    event::Data,
    id::TaskId,
    position::{Position, Seq},
    transport::Topic,
};

/// A task that is not known has no page.
pub async fn an_unknown_task_is_none(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let page = node.read(&Topic::Task(TaskId::random()), None).await;
    assert!(matches!(page, Ok(None)), "{page:?}");
}

/// Without a position a page holds all that is kept, on whatever node it is read.
pub async fn all_that_is_kept_is_read_without_a_position(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let mut run = node.run().await;
    node.appends(run.marks(300)).await;
    let page = page(&other, &run.topic()).await;
    assert!(seqs_of(&page).into_iter().eq(1..=300));
}

/// After a position a page holds what is kept and follows it, and tells the head in any case.
pub async fn only_what_follows_a_position_is_read(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    node.appends(run.marks(10)).await;
    for (after, expected) in [(0, 1..11), (7, 8..11), (10, 11..11), (99, 11..11)] {
        let after = Position::new(run.epoch, Seq::new(after));
        let page = page_after(&node, &run.topic(), Some(after)).await;
        assert!(seqs_of(&page).into_iter().eq(expected), "{after}: {page:?}");
        assert_eq!((page.epoch, page.head.get()), (run.epoch, 10));
    }
}

/// A position of another run, earlier or later, is as good as none.
pub async fn all_that_is_kept_is_read_after_a_position_of_another_run(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let before = generation();
    let mut run = node.run().await;
    node.appends(run.marks(3)).await;
    for epoch in [before, generation()] {
        let after = Position::new(epoch, Seq::new(2));
        let page = page_after(&node, &run.topic(), Some(after)).await;
        assert_eq!((page.epoch, seqs_of(&page)), (run.epoch, vec![1, 2, 3]));
    }
}

/// Of each key the newest State is kept, whole, however long ago it was, and none before it.
pub async fn of_each_key_the_newest_state_is_kept_and_no_other(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    let mut events = vec![run.event(started()), run.event(gauge("once", 0))];
    for n in 0..200_u32 {
        events.push(run.event(update(n.into())));
        events.push(run.event(gauge("a", n.into())));
        events.push(run.event(gauge("b", n.into())));
    }
    let kept = [&events[..2], &events[events.len() - 3..]].concat();
    node.appends(events).await;
    let topic = Topic::Task(node.share().await.0);
    let drafts = [gauge("a", 1), update(1.0), gauge("a", 2), update(2.0)];
    node.submits(&topic, drafts.map(draft)).await;

    assert_eq!(events_of(&page(&node, &run.topic()).await), kept);
    assert_eq!(seqs_of(&page(&node, &topic).await), [3, 4]);
}

/// Milestones are kept, to 1 024 of them at least.
pub async fn all_milestones_are_kept(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    for _ in 0..4 {
        let mut events = run.marks(256);
        events.push(run.event(update(1.0)));
        node.appends(events).await;
    }
    let page = page(&node, &run.topic()).await;
    let milestones = events_of(&page);
    let milestones = milestones
        .iter()
        .filter(|event| matches!(event.data(), Data::Custom(_)));
    assert_eq!(milestones.count(), 1_024);
    assert_eq!(page.floor, Seq::ZERO);
}

/// Past a cap, which a broker may have, the oldest milestones go, and the floor is the newest of those that have
/// gone.
pub async fn past_their_cap_the_oldest_milestones_go_and_the_floor_rises(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    for _ in 0..6 {
        node.appends(run.marks(256)).await;
    }
    let page = page(&node, &run.topic()).await;
    let floor = page.floor.get();
    assert!(floor <= 1_536 - 1_024, "{floor}");
    assert!(seqs_of(&page).into_iter().eq(floor + 1..=1_536));
}

/// The newest log lines are kept, 200 of them at least.
pub async fn the_newest_log_lines_are_kept(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    let lines: Vec<_> = (1..=300).map(|n| run.event(line(n))).collect();
    node.appends(lines).await;
    let kept: Vec<u64> = events_of(&page(&node, &run.topic()).await)
        .iter()
        .filter_map(|event| match event.data() {
            Data::Log(line) => Some(line.n),
            _ => None,
        })
        .collect();
    assert!(kept.len() >= 200, "{}", kept.len());
    let first = kept[0];
    assert!(kept.into_iter().eq(first..=300));
}

/// An end can be read, with all that was kept before it.
pub async fn the_end_is_kept(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    let events = [started(), update(50.0), complete()].map(|data| run.event(data));
    node.appends(events.clone()).await;
    let page = page(&node, &run.topic()).await;
    assert_eq!(events_of(&page), events);
    let snapshot = page.snapshot().expect("it has events");
    assert!(snapshot.state.is_ended());
}

/// A page is of one instant: while others write it holds all up to its head, and nothing beyond.
pub async fn a_page_is_of_one_instant(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let topic = Topic::Task(node.share().await.0);
    let writing = async {
        for n in 0..50 {
            let drafts = [mark(n), gauge("a", n), gauge("b", n), update(n as f64)];
            node.submits(&topic, drafts.map(draft)).await;
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        loop {
            let page = page(&other, &topic).await;
            let held = events_of(&page);
            assert_eq!(
                held.last().map_or(0, |last| last.seq().get()),
                page.head.get()
            );
            let marks = held.iter().filter(
                |event| matches!(event.data(), Data::Custom(custom) if custom.key.is_none()),
            );
            assert_eq!(marks.count() as u64, page.head.get().div_ceil(4));
            if page.head.get() == 200 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    super::node::within("all is written and read", join(writing, reading)).await;
}
