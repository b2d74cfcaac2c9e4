//! What the broker's clock decides: leases, silences, single use.

use std::time::Instant;

use super::{
    Bench,
    node::{EXPIRED, Node, complete, draft, generation, mark, not_shown, note, started, to_share},
};
use crate::{
    event::Data,
    id::TaskId,
    position::Epoch,
    transport::{ExpiredCause, Topic},
};

/// What a task lacks, if it is expired.
async fn cause(node: &Node, task: &TaskId) -> Option<(Epoch, ExpiredCause)> {
    let expired = node.expired(EXPIRED).await.expect("nothing is wrong");
    let mut found = expired.into_iter().filter(|expired| expired.task == *task);
    let cause = found.next().map(|expired| (expired.epoch, expired.cause));
    assert!(found.next().is_none(), "each is told once");
    cause
}

/// A task is expired when its owner's lease is over, and not before; whoever asks is told.
pub async fn a_node_that_stops_renewing_expires(bench: &dyn Bench) {
    let (owner, node) = (Node::new(bench).await, Node::new(bench).await);
    let (mut run, other) = (owner.run().await, node.run().await);
    owner.appends([run.event(started())]).await;
    let lease = bench.moment() * 3;
    owner
        .renew(&owner.id, lease)
        .await
        .expect("nothing is wrong");
    assert_eq!(cause(&node, &run.task).await, None);
    bench.pass(bench.moment() * 4).await;
    node.renew(&node.id, lease).await.expect("nothing is wrong");
    let lacks = Some((run.epoch, ExpiredCause::Lease));
    assert_eq!(cause(&node, &run.task).await, lacks);
    assert_eq!(cause(&owner, &run.task).await, lacks);
    assert_eq!(cause(&node, &other.task).await, None);
}

/// A node need not have renewed before its first claim: a claim comes with a lease, also when the one
/// that the node had is over.
pub async fn a_claim_gives_its_node_a_lease(bench: &dyn Bench) {
    let (owner, node) = (Node::new(bench).await, Node::new(bench).await);
    let run = owner.run().await;
    assert_eq!(cause(&node, &run.task).await, None);
    owner.lives(bench).await;
    bench.pass(bench.moment() * 2).await;
    let next = owner.run().await;
    assert_eq!(cause(&node, &next.task).await, None);
}

/// A renewal prolongs the lease of a node, and one that comes late but before anybody has ended its
/// tasks brings them back.
pub async fn a_node_that_renews_again_in_time_lives_on(bench: &dyn Bench) {
    let (owner, node) = (Node::new(bench).await, Node::new(bench).await);
    let run = owner.run().await;
    let lease = bench.moment() * 3;
    for _ in 0..4 {
        let renewed = Instant::now();
        owner
            .renew(&owner.id, lease)
            .await
            .expect("nothing is wrong");
        bench.pass(bench.moment()).await;
        let cause = cause(&node, &run.task).await;
        // Of a machine that stood still meanwhile, the lease may be over.
        if renewed.elapsed() < lease {
            assert_eq!(cause, None);
        }
    }
    bench.pass(lease).await;
    assert!(node.is_expired(&run.task).await);
    owner
        .renew(&owner.id, lease)
        .await
        .expect("nothing is wrong");
    assert_eq!(cause(&node, &run.task).await, None);
}

/// What has ended needs nobody to take care of it.
pub async fn a_task_that_has_ended_does_not_expire(bench: &dyn Bench) {
    let (owner, node) = (Node::new(bench).await, Node::new(bench).await);
    owner.lives(bench).await;
    let mut run = owner.run().await;
    owner
        .appends([run.event(started()), run.event(complete())])
        .await;
    bench.pass(bench.moment() * 2).await;
    assert_eq!(cause(&node, &run.task).await, None);
}

/// No more expired tasks are told than were asked for.
pub async fn expired_tasks_are_told_to_a_limit(bench: &dyn Bench) {
    let (owner, node) = (Node::new(bench).await, Node::new(bench).await);
    owner.lives(bench).await;
    for _ in 0..5 {
        owner.run().await;
    }
    bench.pass(bench.moment() * 2).await;
    for limit in [1, 3] {
        let expired = node.expired(limit).await.expect("nothing is wrong");
        assert_eq!(expired.len(), limit);
    }
}

/// A shared task that has been silent for as long as its claim says is told as quiet, until `stalled`
/// is appended; what is published ends a silence, and the next one counts from there.
pub async fn a_silent_shared_task_is_quiet_until_it_is_stalled(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let task = TaskId::random();
    let topic = Topic::Task(task.clone());
    let silence = bench.moment() * 3;
    let epoch = node
        .claim(&task, generation(), to_share(Some(silence)))
        .await;
    let quiet = Some((epoch.expect("the id is new"), ExpiredCause::Quiet));
    node.submits(&topic, [draft(started())]).await;
    assert_eq!(cause(&node, &task).await, None);
    for _ in 0..2 {
        bench.pass(bench.moment() * 4).await;
        assert_eq!(cause(&node, &task).await, quiet);
        assert_eq!(cause(&node, &task).await, quiet);
        node.submits(&topic, [draft(Data::Stalled(note()))]).await;
        assert_eq!(cause(&node, &task).await, None);
        bench.pass(bench.moment() * 4).await;
        assert_eq!(cause(&node, &task).await, None);
        node.submits(&topic, [draft(Data::Recovered(note()))]).await;
        assert_eq!(cause(&node, &task).await, None);
    }
}

/// A request to stop is no sign of life: it does not end a silence.
pub async fn a_request_to_stop_does_not_end_a_silence(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let task = TaskId::random();
    let topic = Topic::Task(task.clone());
    let silence = bench.moment() * 3;
    let epoch = node
        .claim(&task, generation(), to_share(Some(silence)))
        .await;
    let quiet = Some((epoch.expect("the id is new"), ExpiredCause::Quiet));
    node.submits(&topic, [draft(started())]).await;
    bench.pass(bench.moment() * 2).await;
    node.submits(&topic, [draft(Data::CancelRequested(note()))])
        .await;
    bench.pass(bench.moment() * 2).await;
    assert_eq!(cause(&node, &task).await, quiet);
    node.submits(&topic, [draft(Data::Stalled(note()))]).await;
    node.submits(&topic, [draft(Data::CancelRequested(note()))])
        .await;
    assert_eq!(cause(&node, &task).await, None);
}

/// A shared task that has been silent for as long as the broker has it is to be ended, stalled or
/// not, until it is.
pub async fn a_shared_task_that_is_silent_for_long_is_to_be_ended(bench: &dyn Bench) {
    let Some(abandoned_after) = bench.abandoned_after() else {
        return not_shown("a_shared_task_that_is_silent_for_long_is_to_be_ended");
    };
    let node = Node::new(bench).await;
    let (task, epoch) = node.share().await;
    let topic = Topic::Task(task.clone());
    node.submits(&topic, [draft(started()), draft(Data::Stalled(note()))])
        .await;
    bench.pass(abandoned_after / 2).await;
    node.submits(&topic, [draft(mark(0)), draft(Data::Stalled(note()))])
        .await;
    bench.pass(abandoned_after / 2 + bench.moment()).await;
    assert_eq!(cause(&node, &task).await, None);
    bench.pass(abandoned_after / 2).await;
    let silent = Some((epoch, ExpiredCause::Silent));
    assert_eq!(cause(&node, &task).await, silent);
    node.submits(&topic, [draft(complete())]).await;
    assert_eq!(cause(&node, &task).await, None);
}

fn some_key() -> String {
    format!("key-{}", uuid::Uuid::new_v4().simple())
}

/// A key is used once, whichever node asks.
pub async fn a_key_is_used_once_on_all_nodes(bench: &dyn Bench) {
    let (node, other) = (Node::new(bench).await, Node::new(bench).await);
    let (key, ttl) = (some_key(), bench.moment() * 100);
    assert_eq!(node.once(&key, ttl).await, Ok(true));
    assert_eq!(other.once(&key, ttl).await, Ok(false));
    assert_eq!(node.once(&key, ttl).await, Ok(false));
    assert_eq!(node.once(&some_key(), ttl).await, Ok(true));
}

/// A key can be used again when its time is over, counted from its use: to be refused is no use.
pub async fn a_key_that_is_over_may_be_used_again(bench: &dyn Bench) {
    let node = Node::new(bench).await;
    let (key, ttl) = (some_key(), bench.moment() * 4);
    assert_eq!(node.once(&key, ttl).await, Ok(true));
    bench.pass(bench.moment() * 2).await;
    assert_eq!(node.once(&key, ttl).await, Ok(false));
    bench.pass(bench.moment() * 3).await;
    assert_eq!(node.once(&key, ttl).await, Ok(true));
}
