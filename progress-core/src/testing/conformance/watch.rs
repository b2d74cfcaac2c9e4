//! What is published to a node.

use super::{
    Bench,
    node::{Node, Run, complete, draft, mark, page, some_channel, started, within},
};
use crate::transport::{Topic, TransportEvent};

async fn watched(node: &Node, topic: &Topic) {
    node.watch(topic).await.expect("nothing is wrong");
}

/// What is written after `watch` has returned is published to the node, or it is told that records
/// may have been lost.
pub async fn nothing_is_lost_once_watch_has_returned(bench: &dyn Bench) {
    let (owner, mut node) = (Node::new(bench).await, Node::new(bench).await);
    let mut run = owner.run().await;
    owner.appends([run.event(started())]).await;
    watched(&node, &run.topic()).await;
    for _ in 0..10 {
        owner.appends(run.marks(10)).await;
    }
    owner.appends([run.event(complete())]).await;
    node.gets(&run.topic(), 2..=102).await;

    let topic = Topic::Task(owner.share().await.0);
    watched(&node, &topic).await;
    owner.submits(&topic, (0..50).map(|n| draft(mark(n)))).await;
    node.gets(&topic, 1..=50).await;
}

/// Writes precede publishes: a record that has arrived is on the page.
pub async fn what_was_published_can_be_read(bench: &dyn Bench) {
    let (owner, mut node) = (Node::new(bench).await, Node::new(bench).await);
    let mut run = owner.run().await;
    let topic = run.topic();
    watched(&node, &topic).await;
    let writing = async {
        for _ in 0..20 {
            owner.appends(run.marks(3)).await;
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        let mut newest = 0;
        while newest < 60 {
            let page = match node.event().await {
                TransportEvent::Record(record) => {
                    let page = page(&node, &topic).await;
                    assert!(page.head >= record.position().seq(), "{record:?}");
                    page
                }
                // It may have been the last.
                _ => page(&node, &topic).await,
            };
            newest = page.head.get();
        }
    };
    within("all is written and read", async {
        futures_util::future::join(writing, reading).await
    })
    .await;
}

/// A node that watches what it writes gets that too.
pub async fn a_node_gets_what_it_writes_itself(bench: &dyn Bench) {
    let mut node = Node::new(bench).await;
    let topic = Topic::Task(node.share().await.0);
    watched(&node, &topic).await;
    node.submits(&topic, [draft(started()), draft(mark(0))])
        .await;
    node.gets(&topic, 1..=2).await;
}

/// A node gets nothing of topics that it does not watch, or no longer watches.
pub async fn only_what_is_watched_is_published(bench: &dyn Bench) {
    let (owner, mut node) = (Node::new(bench).await, Node::new(bench).await);
    let (mut never, mut before, mut run) =
        (owner.run().await, owner.run().await, owner.run().await);
    watched(&node, &before.topic()).await;
    watched(&node, &run.topic()).await;
    node.unwatch(&before.topic())
        .await
        .expect("nothing is wrong");
    owner.appends([never.event(started())]).await;
    owner.appends([before.event(started())]).await;
    owner.appends([run.event(started())]).await;
    loop {
        if let TransportEvent::Record(record) = node.event().await {
            // Of the others something would have come before.
            assert_eq!(record.topic(), run.topic());
            return;
        }
    }
}

/// A tracker watches a topic once for all its readers: however often a transport was asked, one
/// `unwatch` ends it.
pub async fn a_topic_is_watched_once_however_often_it_was_asked_for(bench: &dyn Bench) {
    let (owner, mut node) = (Node::new(bench).await, Node::new(bench).await);
    let (mut twice, mut run) = (owner.run().await, owner.run().await);
    watched(&node, &twice.topic()).await;
    watched(&node, &twice.topic()).await;
    watched(&node, &run.topic()).await;
    owner.appends([twice.event(started())]).await;
    node.gets(&twice.topic(), [1]).await;
    node.unwatch(&twice.topic())
        .await
        .expect("nothing is wrong");
    owner.appends([twice.event(mark(0))]).await;
    owner.appends([run.event(started())]).await;
    loop {
        if let TransportEvent::Record(record) = node.event().await
            && record.position().seq().get() == if record.topic() == run.topic() { 1 } else { 2 }
        {
            assert_eq!(record.topic(), run.topic());
            return;
        }
    }
}

/// Who watches a task gets the events of the run that follows the one it knows, an end included.
pub async fn the_end_of_a_dead_nodes_run_is_published(bench: &dyn Bench) {
    let (owner, mut node) = (Node::new(bench).await, Node::new(bench).await);
    owner.lives(bench).await;
    let mut run = owner.run().await;
    owner.appends([run.event(started())]).await;
    watched(&node, &run.topic()).await;
    bench.pass(bench.moment() * 2).await;
    let ender = Node::new(bench).await;
    let epoch = ender.end(&run).await.expect("its owner is dead");
    let mut end = Run::new(&run.task, epoch);
    ender.appends([end.event(complete())]).await;
    node.gets(&run.topic(), [1]).await;
    let held = page(&node, &run.topic()).await;
    assert_eq!((held.epoch, held.head.get()), (epoch, 1));
}

/// A channel is published as a task is, also one that nobody has written to before.
pub async fn a_channel_is_published_to_who_watches_it(bench: &dyn Bench) {
    let (owner, mut node) = (Node::new(bench).await, Node::new(bench).await);
    let topic = some_channel();
    watched(&node, &topic).await;
    owner.submits(&topic, (0..20).map(|n| draft(mark(n)))).await;
    node.gets(&topic, 1..=20).await;
}
