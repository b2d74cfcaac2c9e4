//! A broker that is away, and one that comes back without its memory.

use tokio::time::Instant;

use super::{
    Bench,
    node::{
        Node, Run, draft, generation, mark, not_shown, page, seqs_of, some_channel, started, within,
    },
};
use crate::{
    id::TaskId,
    tracker::TaskFilter,
    transport::{AppendError, ClaimError, Request, RequestError, Topic, TransportEvent},
};

/// While the broker cannot be reached every call says so, in a time that can be waited for.
pub async fn every_call_fails_while_the_broker_is_away(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    let topic = run.topic();
    if !bench.cut().await {
        return not_shown("every_call_fails_while_the_broker_is_away");
    }
    let calls = async {
        let task = TaskId::random();
        let claim = node.claim(&task, generation(), node.to_start());
        assert!(matches!(claim.await, Err(ClaimError::Unavailable(_))));
        let answers = node.append(run.marks(3)).await;
        assert_eq!(answers.len(), 3);
        for answer in answers {
            assert!(matches!(answer, Err(AppendError::Unavailable(_))));
        }
        let answers = node.submit(&topic, vec![draft(mark(0)), draft(mark(1))]);
        let answers = answers.await;
        assert_eq!(answers.len(), 2);
        for answer in answers {
            assert!(matches!(answer, Err(AppendError::Unavailable(_))));
        }
        assert!(node.read(&topic, None).await.is_err());
        assert!(node.watch(&topic).await.is_err());
        let stop = Request::Cancel { reason: None };
        let request = node.request(&run.task, stop).await;
        assert!(matches!(request, Err(RequestError::Unavailable(_))));
        assert!(node.renew(&node.id, bench.moment()).await.is_err());
        assert!(node.expired(1).await.is_err());
        assert!(node.once("key", bench.moment()).await.is_err());
        assert!(node.tasks(&TaskFilter::new()).await.is_err());
        assert!(node.remove(&topic).await.is_err());
        assert!(node.flush(Instant::now() + bench.moment()).await.is_err());
    };
    within("every call has failed", calls).await;
    bench.mend().await;
}

/// The transport tells when the broker is back; what was watched is watched then without being asked
/// for again.
pub async fn what_was_watched_is_watched_when_the_broker_is_back(bench: &dyn Bench) {
    let (owner, mut node) = (Node::new(bench).await, Node::new(bench).await);
    // A channel, which is there also if the broker comes back with nothing.
    let topic = some_channel();
    node.watch(&topic).await.expect("nothing is wrong");
    owner.submits(&topic, [draft(mark(0))]).await;
    node.gets(&topic, [1]).await;
    if !bench.cut().await {
        return not_shown("what_was_watched_is_watched_when_the_broker_is_back");
    }
    bench.mend().await;
    while !matches!(node.event().await, TransportEvent::Up) {}
    let written = async {
        loop {
            // The other node may come back later.
            match owner.submit_one(&topic, draft(mark(1))).await {
                Ok(position) => return position.seq().get(),
                Err(_) => bench.pass(bench.moment() / 10).await,
            }
        }
    };
    let seq = within("the other node is back", written).await;
    node.gets(&topic, [seq]).await;
}

/// A broker that has lost what it held says so of everything, and takes it again under the numbers
/// that it had.
pub async fn a_broker_that_forgot_is_told_again_under_the_same_ids(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run: Run = node.run().await;
    let events = [started(), mark(1), mark(2)].map(|data| run.event(data));
    node.appends(events[..2].to_vec()).await;
    let shared = Topic::Task(node.share().await.0);
    if !bench.forget().await {
        return not_shown("a_broker_that_forgot_is_told_again_under_the_same_ids");
    }
    let lost = node.append_one(events[2].clone()).await;
    assert_eq!(lost, Err(AppendError::Unknown));
    assert!(matches!(node.read(&run.topic(), None).await, Ok(None)));
    let lost = node.submit_one(&shared, draft(mark(0))).await;
    assert_eq!(lost, Err(AppendError::Unknown));
    let claim = node.claim(&run.task, run.epoch, node.to_start()).await;
    assert_eq!(claim, Ok(run.epoch));
    assert!(!node.is_expired(&run.task).await);
    node.appends(events).await;
    assert_eq!(seqs_of(&page(&node, &run.topic()).await), [1, 2, 3]);
}

/// A channel that was lost is there again when it is asked for, as a run above the one that was.
pub async fn a_broker_that_forgot_a_channel_begins_a_later_run_of_it(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let topic = some_channel();
    let first = node.submit_one(&topic, draft(mark(0))).await;
    let first = first.expect("nothing is wrong");
    if !bench.forget().await {
        return not_shown("a_broker_that_forgot_a_channel_begins_a_later_run_of_it");
    }
    let again = page(&node, &topic).await;
    assert!(again.epoch > first.epoch());
    assert_eq!(again.head.get(), 0);
}
