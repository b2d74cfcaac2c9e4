//! Drafts that the broker numbers.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};

use super::{
    Bench,
    node::{
        Node, complete, draft, events_of, generation, line, mark, page, seqs_of, some_channel,
        started, to_share_again, update,
    },
};
use crate::{
    event::Data,
    id::TaskId,
    position::{Position, Seq},
    transport::{AppendError, Draft, Record, Topic},
};

/// Drafts are numbered 1, 2, 3… in the order in which they were submitted, whoever submits them, and
/// keep what they say and when they happened; so are those of the next run.
pub async fn drafts_are_numbered_from_1_without_holes(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let (task, epoch) = node.share().await;
    let topic = Topic::Task(task.clone());
    let drafts = [draft(started()), draft(mark(1)), draft(update(1.0))];
    assert_eq!(node.submits(&topic, drafts.clone()).await, [1, 2, 3]);
    let position = other.submit_one(&topic, draft(mark(2))).await;
    assert_eq!(position, Ok(Position::new(epoch, Seq::new(4))));
    let held = events_of(&page(&node, &topic).await);
    for (event, draft) in held.iter().zip(&drafts) {
        assert_eq!(event.position().epoch(), epoch);
        assert_eq!(event.timestamp(), draft.timestamp);
        let crate::transport::DraftBody::Data(data) = &draft.body else {
            unreachable!("they were made above")
        };
        assert_eq!(event.data(), data);
    }
    assert_eq!(node.submits(&topic, [draft(complete())]).await, [5]);
    let again = node.claim(&task, generation(), to_share_again()).await;
    let again = again.expect("the run has ended");
    let first = node.submit_one(&topic, draft(started())).await;
    assert_eq!(first, Ok(Position::new(again, Seq::new(1))));
}

/// Publishers on several nodes at the same time make one order without holes, in which each finds its
/// own drafts in their order.
pub async fn drafts_of_many_publishers_are_numbered_without_holes(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    for topic in [Topic::Task(node.share().await.0), some_channel()] {
        let answers = join_all((0..20).map(|n| {
            let publisher = if n % 2 == 0 { &node } else { &other };
            publisher.submits(&topic, [draft(mark(2 * n)), draft(mark(2 * n + 1))])
        }));
        let answers = answers.await;
        assert!(answers.iter().all(|pair| pair[0] < pair[1]));
        let numbers: BTreeSet<u64> = answers.into_iter().flatten().collect();
        assert!(numbers.iter().copied().eq(1..=40), "{numbers:?}");
        let held = seqs_of(&page(&other, &topic).await);
        assert!(held.iter().copied().eq(1..=40), "{held:?}");
    }
}

/// A draft whose id was seen before is answered with its first position and not appended: on another
/// node, within one call, among others.
pub async fn a_draft_with_a_known_id_is_answered_with_its_first_position(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    for topic in [Topic::Task(node.share().await.0), some_channel()] {
        let known = draft(mark(1)).id("worker-3/1");
        let first = node.submits(&topic, [known.clone(), known.clone()]).await;
        assert_eq!(first, [1, 1]);
        let drafts = [
            draft(mark(2)),
            known.clone(),
            draft(mark(3)).id("worker-3/2"),
        ];
        assert_eq!(other.submits(&topic, drafts).await, [2, 1, 3]);
        assert_eq!(seqs_of(&page(&node, &topic).await), [1, 2, 3]);
    }
    // An id means something only within its topic, and its run.
    let (task, _) = node.share().await;
    let topic = Topic::Task(task.clone());
    let known = draft(mark(1)).id("worker-3/1");
    assert_eq!(node.submits(&topic, [known.clone()]).await, [1]);
    assert_eq!(node.submits(&topic, [draft(complete())]).await, [2]);
    let again = node.claim(&task, generation(), to_share_again()).await;
    let again = again.expect("the run has ended");
    let first = node.submit_one(&topic, known).await;
    assert_eq!(first, Ok(Position::new(again, Seq::new(1))));
}

/// A repetition is answered with its first position also after the end; the end's own too.
pub async fn a_known_id_is_answered_also_after_the_end(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = Topic::Task(node.share().await.0);
    let drafts = [draft(mark(1)).id("1"), draft(complete()).id("end")];
    assert_eq!(node.submits(&topic, drafts.clone()).await, [1, 2]);
    assert_eq!(node.submits(&topic, drafts).await, [1, 2]);
}

/// Two nodes that submit the same id at once say it once.
pub async fn a_draft_submitted_twice_at_once_is_appended_once(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let topic = Topic::Task(node.share().await.0);
    let draft = draft(mark(1)).id("1");
    let both = join(
        node.submit_one(&topic, draft.clone()),
        other.submit_one(&topic, draft),
    );
    let (one, two) = both.await;
    assert!(one.is_ok());
    assert_eq!(one, two);
    assert_eq!(page(&node, &topic).await.head.get(), 1);
}

/// Of each topic the newest 1 024 ids at least are remembered.
pub async fn a_thousand_ids_are_remembered(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = Topic::Task(node.share().await.0);
    let drafts: Vec<Draft> = (0..1_024)
        .map(|n| draft(update(n as f64 / 100.0)).id(n.to_string()))
        .collect();
    node.submits(&topic, drafts.clone()).await;
    let first = node.submits(&topic, [drafts[0].clone()]).await;
    assert_eq!(first, [1]);
    assert_eq!(page(&node, &topic).await.head.get(), 1_024);
}

/// A task is never both: drafts for one with an owner are refused.
pub async fn a_draft_for_a_task_with_an_owner_is_refused(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let run = node.run().await;
    for publisher in [&node, &other] {
        let refused = publisher.submit_one(&run.topic(), draft(mark(0))).await;
        assert_eq!(refused, Err(AppendError::Owned));
    }
    assert_eq!(page(&node, &run.topic()).await.head.get(), 0);
}

/// A draft makes no task.
pub async fn a_draft_for_an_unknown_task_is_refused(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = Topic::Task(TaskId::random());
    let refused = node.submit_one(&topic, draft(started())).await;
    assert_eq!(refused, Err(AppendError::Unknown));
    assert!(matches!(node.read(&topic, None).await, Ok(None)));
}

/// What follows the end is refused, in the same call and later.
pub async fn a_draft_after_the_end_is_refused(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = Topic::Task(node.share().await.0);
    let drafts = vec![draft(started()), draft(complete()), draft(mark(0))];
    let answers = node.submit(&topic, drafts).await;
    assert!(answers[0].is_ok() && answers[1].is_ok());
    assert_eq!(answers[2], Err(AppendError::AlreadyComplete));
    let late = node.submit_one(&topic, draft(complete())).await;
    assert_eq!(late, Err(AppendError::AlreadyComplete));
    assert_eq!(seqs_of(&page(&node, &topic).await), [1, 2]);
}

/// A draft that is refused takes no number, and those behind it are appended.
pub async fn a_draft_that_is_refused_keeps_no_other_from_being_appended(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    let foreign = Draft::copy_of(run.event(started()));
    let topic = Topic::Task(node.share().await.0);
    let drafts = vec![draft(started()), foreign, draft(mark(1))];
    let answers = node.submit(&topic, drafts).await;
    assert!(matches!(answers[1], Err(AppendError::Refused { .. })));
    let taken = [&answers[0], &answers[2]].map(|answer| match answer {
        Ok(position) => position.seq().get(),
        Err(error) => panic!("{error}"),
    });
    assert_eq!(taken, [1, 2]);
}

/// Each log line has its running number, whatever the draft says.
pub async fn log_lines_are_numbered(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = Topic::Task(node.share().await.0);
    let known = draft(line(1)).id("1");
    let drafts = [draft(started()), known.clone(), known, draft(mark(0))];
    node.submits(&topic, drafts).await;
    node.submits(&topic, [draft(line(2)), draft(line(3))]).await;
    let numbers: Vec<u64> = events_of(&page(&node, &topic).await)
        .iter()
        .filter_map(|event| match event.data() {
            Data::Log(line) => Some(line.n),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
}

/// Every record carries the number of the newest milestone before it.
pub async fn a_draft_knows_the_milestone_before_it(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    for topic in [Topic::Task(node.share().await.0), some_channel()] {
        let gauge = |n| draft(super::node::gauge("a", n));
        let drafts = [draft(mark(1)), gauge(1), gauge(2), draft(mark(2)), gauge(3)];
        node.submits(&topic, drafts).await;
        let prevs: Vec<(u64, u64)> = page(&node, &topic)
            .await
            .records
            .iter()
            .map(|record: &Record| (record.position().seq().get(), record.prev().get()))
            .collect();
        assert_eq!(prevs, [(1, 0), (4, 1), (5, 4)]);
    }
}
