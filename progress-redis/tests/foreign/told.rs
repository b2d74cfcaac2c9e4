//! What is done with records that cannot be read.

use progress_core::Frame;

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
