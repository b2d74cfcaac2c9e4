//! Ends of runs whose owner is gone.

use futures_util::future::join;

use super::{
    Bench,
    node::{Node, Run, complete, events_of, generation, mark, page, seqs_of, started, update},
};
use crate::{
    position::Epoch,
    transport::{AppendError, Claim, ClaimError, ExpiredCause, Owner},
};

/// A run of a node that has stopped renewing.
async fn dead_run(bench: &dyn Bench) -> (Node, Run) {
    let owner = Node::new(bench).await;
    owner.lives(bench).await;
    let mut run = owner.run().await;
    owner
        .appends([run.event(started()), run.event(update(40.0))])
        .await;
    bench.pass(bench.moment() * 2).await;
    (owner, run)
}

fn superseded(by: Epoch) -> Result<Epoch, ClaimError> {
    Err(ClaimError::Superseded { by })
}

/// Of two nodes that would end the same run one may, under a generation above it; the other is told
/// of that one.
pub async fn a_dead_nodes_task_is_ended_by_one_of_two_that_race(bench: &dyn Bench) {
    let (_owner, run) = dead_run(bench).await;
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let (winner, epoch, refused) = match join(node.end(&run), other.end(&run)).await {
        (Ok(epoch), refused) => (&node, epoch, refused),
        (refused, granted) => (&other, granted.expect("one of them may"), refused),
    };
    assert!(epoch > run.epoch);
    assert_eq!(refused, superseded(epoch));
    let page = page(&node, &run.topic()).await;
    assert_eq!((page.epoch, page.head.get()), (epoch, 0));
    assert_eq!(page.owner, Owner::Node(winner.id.clone()));
    let mut end = Run::new(&run.task, epoch);
    winner.appends([end.event(complete())]).await;
}

/// Whoever has claimed an end, and may not have had the answer, is answered the same again until the
/// end is told; then there is nothing more to end.
pub async fn an_end_that_was_claimed_may_be_claimed_again_by_the_same_node(bench: &dyn Bench) {
    let (_owner, run) = dead_run(bench).await;
    let node = Node::new(bench).await;
    let epoch = node.end(&run).await.expect("its owner is dead");
    assert_eq!(node.end(&run).await, Ok(epoch));
    let mut end = Run::new(&run.task, epoch);
    node.appends([end.event(complete())]).await;
    assert_eq!(node.end(&run).await, superseded(epoch));
    assert_eq!(seqs_of(&page(&node, &run.topic()).await), [1]);
}

/// The page of a run that ends another holds what was kept of that, in its order, and its channels.
pub async fn an_end_holds_what_the_run_before_held(bench: &dyn Bench) {
    let owner = Node::new(bench).await;
    owner.lives(bench).await;
    let mut run = Run::new(&crate::TaskId::random(), generation());
    let claim = Claim::Start {
        node: owner.id.clone(),
        channels: vec!["jobs".parse().expect("a name by its form")],
    };
    assert_eq!(
        owner.claim(&run.task, run.epoch, claim).await,
        Ok(run.epoch)
    );
    let events = [started(), update(40.0), mark(0), update(41.0)].map(|data| run.event(data));
    owner.appends(events.clone()).await;
    bench.pass(bench.moment() * 2).await;

    let node = Node::new(bench).await;
    let epoch = node.end(&run).await.expect("its owner is dead");
    let [started, _, mark, newest] = &events;
    let mut end = Run::new(&run.task, epoch);
    for told in [false, true] {
        let page = page(&node, &run.topic()).await;
        assert_eq!(page.ended_run, [started, mark, newest].map(Clone::clone));
        assert_eq!(page.channels[0].as_str(), "jobs");
        let snapshot = page.snapshot().expect("the run before had events");
        assert_eq!(snapshot.progress, if told { 100.0 } else { 41.0 });
        if !told {
            node.appends([end.event(complete())]).await;
        }
    }
}

/// The owner that was thought dead learns that its run was ended, whatever it does.
pub async fn the_owner_of_a_run_that_was_ended_is_superseded(bench: &dyn Bench) {
    let (owner, mut run) = dead_run(bench).await;
    let node = Node::new(bench).await;
    let epoch = node.end(&run).await.expect("its owner is dead");
    let mut end = Run::new(&run.task, epoch);
    node.appends([end.event(complete())]).await;
    let late = owner.append_one(run.event(complete())).await;
    assert_eq!(late, Err(AppendError::Superseded { by: epoch }));
    let claim = owner.claim(&run.task, run.epoch, owner.to_start()).await;
    assert_eq!(claim, Err(ClaimError::AlreadyExists { epoch }));
    let renewed = owner.renew(&owner.id, bench.moment()).await;
    assert_eq!(renewed, Ok(Vec::new()));
    let page = page(&owner, &run.topic()).await;
    assert_eq!((page.epoch, seqs_of(&page)), (epoch, vec![1]));
}

/// Whether an owner is dead is judged when its run is ended: one that has renewed since it was found
/// expired lives.
pub async fn the_end_of_a_run_is_refused_while_its_owners_lease_lasts(bench: &dyn Bench) {
    let (owner, mut run) = dead_run(bench).await;
    let node = Node::new(bench).await;
    assert!(node.is_expired(&run.task).await);
    owner.lives(bench).await;
    let refused = node.end(&run).await;
    let live = ClaimError::AlreadyExists { epoch: run.epoch };
    assert_eq!(refused, Err(live));
    owner.appends([run.event(mark(0))]).await;
    assert!(!node.is_expired(&run.task).await);
}

/// A run that has ended needs no other end.
pub async fn the_end_of_a_run_that_has_ended_is_refused(bench: &dyn Bench) {
    let (owner, mut run) = dead_run(bench).await;
    owner.appends([run.event(complete())]).await;
    let node = Node::new(bench).await;
    assert_eq!(node.end(&run).await, superseded(run.epoch));
    assert_eq!(page(&node, &run.topic()).await.head.get(), 3);
}

/// Only the present run can be ended: not one before it, and none of an unknown task; not by the owner
/// of the present run either, which may have tried before.
pub async fn the_end_of_another_run_is_refused(bench: &dyn Bench) {
    let (owner, run) = dead_run(bench).await;
    let node = Node::new(bench).await;
    let mut before = owner.run().await;
    owner.appends([before.event(complete())]).await;
    let next = Run::new(&before.task, generation());
    let claim = node.claim(&next.task, next.epoch, node.to_restart()).await;
    assert_eq!(claim, Ok(next.epoch));
    assert_eq!(node.end(&before).await, superseded(next.epoch));
    let mut other = run.clone();
    other.epoch = Epoch::new(run.epoch.generation() - 1);
    assert_eq!(node.end(&other).await, superseded(run.epoch));
    let unknown = Run::new(&crate::TaskId::random(), run.epoch);
    assert_eq!(node.end(&unknown).await, superseded(run.epoch));
}

/// A shared run has no owner that could be gone: its end is submitted.
pub async fn the_end_of_a_shared_run_is_refused(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let (task, epoch) = node.share().await;
    bench.pass(bench.moment() * 2).await;
    let refused = node.end(&Run::new(&task, epoch)).await;
    assert_eq!(refused, Err(ClaimError::AlreadyExists { epoch }));
}

/// A node that has claimed an end and died before it told it is itself found expired, and what the
/// first run held is not lost with it.
pub async fn an_end_whose_claimer_died_is_ended_by_another(bench: &dyn Bench) {
    let (_owner, run) = dead_run(bench).await;
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    node.lives(bench).await;
    let first = node.end(&run).await.expect("its owner is dead");
    bench.pass(bench.moment() * 2).await;
    let expired = other.expired(super::node::EXPIRED).await;
    let expired = expired.expect("nothing is wrong");
    let found = expired.iter().find(|expired| expired.task == run.task);
    let found = found.expect("its claimer is dead too");
    assert_eq!((found.epoch, found.cause), (first, ExpiredCause::Lease));

    let second = other.end(&Run::new(&run.task, first)).await;
    let second = second.expect("its claimer is dead");
    assert!(second > first);
    let page = page(&other, &run.topic()).await;
    assert_eq!(page.ended_run.len(), 2);
    assert_eq!(page.snapshot().map(|task| task.progress), Some(40.0));
    assert!(events_of(&page).is_empty());
}
