//! What nodes tell of what workers say: in channels, and of records that cannot be read.

use std::collections::BTreeSet;

use progress_core::{ChannelFrame, ChannelSubscription, Frame, SubscribeOptions};

use crate::{Client, next, server::RedisServer, within};

#[tokio::test]
async fn a_record_that_cannot_be_read_is_counted_and_declared() {
    let server = RedisServer::start();
    let (mut worker, node) = Client::served(&server).await;
    let mut frames = node.subscribe("t");
    worker
        .publish("t", &["w", "1", "note", r#"{"n":1}"#])
        .await
        .expect("it is new");
    assert_eq!(next(&mut frames).await.event_type(), "started");
    assert_eq!(next(&mut frames).await.event_type(), "note");
    // As a later version might write it, or somebody by hand.
    let run = match worker.ask(&["HGET", "pgs:t:{t}:m", "g"]).await {
        redis::Value::BulkString(run) => String::from_utf8(run).expect("a number"),
        other => panic!("{other:?}"),
    };
    let stream = format!("pgs:t:{{t}}:b{run}:s");
    let record = format!(r#"{run}-3 2 0 e{{"event_type":"complete"}}"#);
    let words = ["XADD", &stream, &format!("{run}-3"), "r", &record];
    worker.ask(&words).await;
    worker
        .ask(&["HSET", "pgs:t:{t}:m", "h", "3", "p", "3"])
        .await;
    worker
        .ask(&["PUBLISH", "pgs:t:{t}", &format!("r{record}")])
        .await;
    worker
        .publish("t", &["w", "2", "note", r#"{"n":2}"#])
        .await
        .expect("it goes on");
    let gap = within("it is declared", async {
        loop {
            if let Some(Frame::Gap(gap)) = frames.next().await {
                return gap;
            }
        }
    })
    .await;
    assert_eq!((gap.from.get(), gap.to.get()), (3, 3));
    assert_eq!(next(&mut frames).await.seq().get(), 4);
    assert!(node.stats().unreadable > 0);
    let list = node.tasks(progress_core::TaskFilter::new()).await;
    assert_eq!(list.expect("it is listed all the same").tasks.len(), 1);
    drop(worker);
}

#[tokio::test]
async fn the_live_list_and_the_channels_of_the_task_tell_of_it() {
    let server = RedisServer::start();
    let (mut worker, node) = Client::served(&server).await;
    let other = crate::node(&server);
    node.task("mine")
        .channel("jobs")
        .share()
        .await
        .expect("the id is free");
    let mut list = other.subscribe_channel("_tasks", SubscribeOptions::new());
    let mut jobs = other.subscribe_channel("jobs", SubscribeOptions::new());
    for (task, n, event_type, data) in [
        ("t", "1", "progress_update", r#"{"progress":4}"#),
        ("t", "2", "log", r#"{"message":"m"}"#),
        ("t", "3", "complete", r#"{"status":"completed"}"#),
        ("mine", "1", "log", r#"{"message":"m"}"#),
        ("mine", "2", "complete", r#"{"status":"failed"}"#),
    ] {
        let words = ["w", n, event_type, data];
        worker.publish(task, &words).await.expect("it goes on");
    }
    let mut told = BTreeSet::new();
    while told.len() < 4 {
        told.insert(next_of(&mut list).await);
    }
    let expected = ["mine complete", "mine started", "t complete", "t started"];
    assert_eq!(
        told.iter().map(|told| &**told).collect::<Vec<_>>(),
        expected
    );
    let mut told = BTreeSet::new();
    while told.len() < 3 {
        told.insert(next_of(&mut jobs).await);
    }
    let expected = ["mine complete", "mine log", "mine started"];
    assert_eq!(
        told.iter().map(|told| &**told).collect::<Vec<_>>(),
        expected
    );
    let left = worker.ask(&["EXISTS", "pgs:i:untold"]).await;
    assert_eq!(left, redis::Value::Int(0));
}

/// The next event of a task in a channel; State comes and goes.
async fn next_of(frames: &mut ChannelSubscription) -> String {
    within("something is told", async {
        loop {
            if let Some(ChannelFrame::Event(delivered)) = frames.next().await
                && let Some(event) = delivered.event.event()
                && event.event_type() != "progress_update"
            {
                return format!("{} {}", event.task_id(), event.event_type());
            }
        }
    })
    .await
}
