//! Claims of runs: who gets a task.

use futures_util::future::join;

use super::{
    Bench,
    node::{
        Node, Run, complete, draft, generation, not_shown, page, seqs_of, started, to_share,
        to_share_again,
    },
};
use crate::{
    id::TaskId,
    position::Epoch,
    transport::{Claim, ClaimError, Owner, Topic},
};

fn already_exists(epoch: Epoch) -> Result<Epoch, ClaimError> {
    Err(ClaimError::AlreadyExists { epoch })
}

/// A claim of a new task is answered with the generation that was proposed; the task is there, with
/// its owner and channels, before it has an event.
pub async fn a_start_is_granted_under_the_generation_that_was_minted(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let (task, epoch) = (TaskId::random(), generation());
    let claim = Claim::Start {
        node: node.id.clone(),
        channels: vec!["jobs".parse().expect("a name by its form")],
    };
    assert_eq!(node.claim(&task, epoch, claim).await, Ok(epoch));
    let page = page(&node, &Topic::Task(task)).await;
    assert_eq!((page.epoch, page.head.get()), (epoch, 0));
    assert_eq!(page.owner, Owner::Node(node.id.clone()));
    assert_eq!(page.channels[0].as_str(), "jobs");
}

/// A second start is refused, with the run that is there: another node's, and the same node's under
/// another generation.
pub async fn a_start_is_refused_while_the_task_is_live(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let mut run = node.run().await;
    for again in [&other, &node] {
        let claim = again.claim(&run.task, generation(), again.to_start());
        assert_eq!(claim.await, already_exists(run.epoch));
    }
    // Two nodes may mint the same in the same millisecond.
    let same = other.claim(&run.task, run.epoch, other.to_start()).await;
    assert_eq!(same, already_exists(run.epoch));
    node.appends([run.event(started())]).await;
    assert_eq!(page(&other, &run.topic()).await.head.get(), 1);
}

/// A start is refused as long as an end of the id is retained.
pub async fn a_start_is_refused_while_an_end_is_retained(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let mut run = node.run().await;
    node.appends([run.event(started()), run.event(complete())])
        .await;
    let claim = other.claim(&run.task, generation(), other.to_start()).await;
    assert_eq!(claim, already_exists(run.epoch));
}

/// Once a task's retention is over it is unknown, and its id free.
pub async fn a_start_is_granted_again_when_the_end_is_forgotten(bench: &dyn Bench) {
    let Some(retention) = bench.retention() else {
        return not_shown("a_start_is_granted_again_when_the_end_is_forgotten");
    };
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    node.appends([run.event(started()), run.event(complete())])
        .await;
    bench.pass(retention + bench.moment()).await;
    assert!(matches!(node.read(&run.topic(), None).await, Ok(None)));
    node.start(&run.task).await;
}

/// Of two nodes that start the same task at once one gets it, and the other is told so.
pub async fn of_two_nodes_that_start_the_same_task_one_gets_it(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let task = TaskId::random();
    let (one, two) = (generation(), generation());
    let claims = join(
        node.claim(&task, one, node.to_start()),
        other.claim(&task, two, other.to_start()),
    );
    match claims.await {
        (Ok(epoch), refused) => {
            assert_eq!((epoch, refused), (one, already_exists(one)));
        }
        (refused, granted) => {
            assert_eq!((refused, granted), (already_exists(two), Ok(two)));
        }
    }
}

/// The same claim once more, whose answer may have been lost, is granted again and changes nothing:
/// of a start, of a restart, and also when the run has ended since.
pub async fn a_claim_may_be_repeated(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let mut run = node.run().await;
    node.appends([run.event(started())]).await;
    let again = |claim| node.claim(&run.task, run.epoch, claim);
    assert_eq!(again(node.to_start()).await, Ok(run.epoch));
    assert_eq!(page(&node, &run.topic()).await.head.get(), 1);
    node.appends([run.event(complete())]).await;
    let again = node.claim(&run.task, run.epoch, node.to_start()).await;
    assert_eq!(again, Ok(run.epoch));

    let mut next = Run::new(&run.task, generation());
    for _ in 0..2 {
        let claim = node.claim(&next.task, next.epoch, node.to_restart()).await;
        assert_eq!(claim, Ok(next.epoch));
    }
    node.appends([next.event(started())]).await;
    let claim = node.claim(&next.task, next.epoch, node.to_restart()).await;
    assert_eq!(claim, Ok(next.epoch));
    assert_eq!(seqs_of(&page(&node, &next.topic()).await), [1]);
}

/// A restart is refused while the run is live.
pub async fn a_restart_is_refused_while_the_run_is_live(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let run = node.run().await;
    let claim = node.claim(&run.task, generation(), node.to_restart()).await;
    assert_eq!(claim, already_exists(run.epoch));
}

/// A restart of a task that has ended begins an empty run, of whatever node.
pub async fn a_restart_follows_a_run_that_has_ended(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let mut run = node.run().await;
    node.appends([run.event(started()), run.event(complete())])
        .await;
    let epoch = generation();
    let claim = other.claim(&run.task, epoch, other.to_restart()).await;
    assert_eq!(claim, Ok(epoch));
    let page = page(&node, &run.topic()).await;
    assert_eq!((page.epoch, page.head.get()), (epoch, 0));
    assert_eq!(page.owner, Owner::Node(other.id.clone()));
    assert!(page.records.is_empty() && page.ended_run.is_empty());
}

/// A restart of a task that is not known is its first run.
pub async fn a_restart_of_an_unknown_task_is_its_first_run(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let (task, epoch) = (TaskId::random(), generation());
    let claim = node.claim(&task, epoch, node.to_restart()).await;
    assert_eq!(claim, Ok(epoch));
}

/// Generations of a task rise: a restart under one that is not above the run before's is refused.
pub async fn a_restart_below_the_run_before_is_refused(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let below = generation();
    let mut run = node.run().await;
    node.appends([run.event(started()), run.event(complete())])
        .await;
    for epoch in [below, run.epoch] {
        let claim = other.claim(&run.task, epoch, other.to_restart()).await;
        assert_eq!(claim, Err(ClaimError::Superseded { by: run.epoch }));
    }
}

/// A shared claim of a live shared task is answered with the generation that it has, and changes
/// nothing of it.
pub async fn a_shared_task_is_joined_while_it_is_live(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let (task, epoch) = node.share().await;
    let topic = Topic::Task(task.clone());
    node.submits(&topic, [draft(started())]).await;
    for (joining, claim) in [
        (&other, to_share(None)),
        (&node, to_share(None)),
        (&other, to_share_again()),
    ] {
        let claim = joining.claim(&task, generation(), claim).await;
        assert_eq!(claim, Ok(epoch));
    }
    let page = page(&other, &topic).await;
    assert_eq!((page.owner.clone(), page.head.get()), (Owner::Shared, 1));
}

/// A task is never both: a shared claim is refused while it has an owner.
pub async fn a_shared_claim_is_refused_while_the_task_has_an_owner(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let run = node.run().await;
    for claim in [to_share(None), to_share_again()] {
        let claim = other.claim(&run.task, generation(), claim).await;
        assert_eq!(claim, already_exists(run.epoch));
    }
}

/// A task is never both: a start and a restart are refused while it is shared.
pub async fn a_start_is_refused_while_the_task_is_shared(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let (task, epoch) = node.share().await;
    for claim in [node.to_start(), node.to_restart()] {
        let claim = node.claim(&task, generation(), claim).await;
        assert_eq!(claim, already_exists(epoch));
    }
}

/// After an end a shared claim is refused, unless it says that it may begin a new run: that one's
/// generation is above the run before's, whatever was proposed.
pub async fn a_shared_run_follows_one_that_has_ended_only_if_it_may(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let below = generation();
    let mut run = node.run().await;
    node.appends([run.event(started()), run.event(complete())])
        .await;
    let refused = node.claim(&run.task, generation(), to_share(None)).await;
    assert_eq!(refused, already_exists(run.epoch));
    let claim = node.claim(&run.task, below, to_share_again()).await;
    let epoch = claim.expect("the run has ended");
    assert!(epoch > run.epoch);
    let page = page(&node, &run.topic()).await;
    assert_eq!((page.epoch, page.head.get()), (epoch, 0));
    assert_eq!(page.owner, Owner::Shared);
}
