//! What Redis itself refuses, and what it is left with.

mod server;

use std::{sync::Arc, time::Duration};

use progress_core::{
    Data, Epoch, Event, Position, Seq, TaskId, Timestamp,
    transport::{AppendError, Claim, NodeId, Topic, Transport},
};
use progress_redis::RedisTransport;

use self::server::RedisServer;

fn connect(server: &RedisServer) -> RedisTransport {
    let transport = RedisTransport::builder(server.url()).retention(Duration::from_millis(300));
    transport.build().expect("its URL is one")
}

fn event(task: &TaskId, run: u64, seq: u64, prev: u64, data: Data) -> Arc<Event> {
    let position = Position::new(Epoch::new(run), Seq::new(seq));
    let now = Timestamp::now();
    Arc::new(Event::numbered(
        task.clone(),
        position,
        Seq::new(prev),
        now,
        data,
    ))
}

/// What such an event says.
fn says(event_type: &str, rest: &str, data: &str) -> Data {
    let json = format!(
        r#"{{"task_id":"t","epoch":"1","seq":1,"event_type":"{event_type}"{rest},
        "timestamp":"2026-01-01T00:00:00.000Z","data":{data}}}"#
    );
    let event = Event::from_json(json.as_bytes()).expect("it is one");
    event.data().clone()
}

fn custom(key: Option<&str>, n: u64) -> Data {
    let key = key.map(|key| format!(r#","key":"{key}""#));
    says(
        "measured",
        &key.unwrap_or_default(),
        &format!(r#"{{"n":{n}}}"#),
    )
}

fn complete() -> Data {
    let data = r#"{"status":"completed","progress":100.0,"duration_ms":0}"#;
    says("complete", "", data)
}

async fn start(node: &RedisTransport, id: &NodeId, task: &TaskId, run: u64) {
    let claim = Claim::Start {
        node: id.clone(),
        channels: Vec::new(),
    };
    let claimed = node.claim(task, Epoch::new(run), claim).await;
    assert_eq!(claimed, Ok(Epoch::new(run)));
}

async fn kept(node: &RedisTransport, task: &TaskId) -> Vec<u64> {
    let page = node.read(&Topic::Task(task.clone()), None).await;
    let page = page.expect("it is there").expect("it is known");
    let records = page.records.iter();
    records
        .map(|record| record.position().seq().get())
        .collect()
}

fn keys(server: &RedisServer, pattern: &str) -> String {
    server.ask(&format!("KEYS {pattern}")).expect("it runs")
}

#[tokio::test]
async fn a_fenced_owner_writes_nothing_whatever_it_sends() {
    let server = RedisServer::start();
    let (owner, other) = (connect(&server), connect(&server));
    let (one, two) = (NodeId::new("one"), NodeId::new("two"));
    let task: TaskId = "t".parse().expect("an id");
    start(&owner, &one, &task, 100).await;
    owner
        .append(vec![event(&task, 100, 1, 0, custom(Some("a"), 1))])
        .await;
    owner
        .renew(&one, Duration::from_millis(1))
        .await
        .expect("it is there");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let end = Claim::End {
        node: two.clone(),
        of: Epoch::new(100),
    };
    let claimed = other.claim(&task, Epoch::new(101), end).await;
    assert_eq!(claimed, Ok(Epoch::new(101)));

    let late = [
        event(&task, 100, 2, 0, custom(Some("a"), 2)),
        event(&task, 100, 3, 0, custom(None, 3)),
        event(&task, 100, 4, 3, complete()),
    ];
    for event in late {
        let superseded = AppendError::Superseded {
            by: Epoch::new(101),
        };
        assert_eq!(owner.append(vec![event]).await, [Err(superseded)]);
    }
    let page = other.read(&Topic::Task(task.clone()), None).await;
    let page = page.expect("it is there").expect("it is known");
    assert_eq!((page.epoch, page.head), (Epoch::new(101), Seq::ZERO));
    // As it was when it was ended.
    assert_eq!(page.ended_run.len(), 1);
    assert_eq!(page.ended_run[0].seq(), Seq::new(1));
    assert!(!keys(&server, "pgs:t:*:o100:s").contains("o100"));
    let fence = server.ask("TYPE pgs:t:{t}:o100:v").expect("it runs");
    assert_eq!(fence, "+string\r\n");
}

#[tokio::test]
async fn state_of_a_run_that_redis_forgot_leaves_no_key() {
    let server = RedisServer::start();
    let owner = connect(&server);
    let task: TaskId = "t".parse().expect("an id");
    start(&owner, &NodeId::new("one"), &task, 100).await;
    server.ask("FLUSHALL").expect("it runs");
    let state = vec![event(&task, 100, 1, 0, custom(Some("a"), 1))];
    assert_eq!(
        owner.append(state.clone()).await,
        [Err(AppendError::Unknown)]
    );
    assert_eq!(keys(&server, "pgs:t:*"), "*0\r\n");
    start(&owner, &NodeId::new("one"), &task, 100).await;
    assert_eq!(owner.append(state).await, [Ok(())]);
    assert_eq!(kept(&owner, &task).await, [1]);
}

#[tokio::test]
async fn evicted_streams_are_made_anew_by_the_owners_claim() {
    let server = RedisServer::start();
    let owner = connect(&server);
    let task: TaskId = "t".parse().expect("an id");
    start(&owner, &NodeId::new("one"), &task, 100).await;
    let first = event(&task, 100, 1, 0, custom(None, 1));
    assert_eq!(owner.append(vec![first.clone()]).await, [Ok(())]);
    server.ask("DEL pgs:t:{t}:o100:s").expect("it runs");
    let second = event(&task, 100, 2, 1, custom(None, 2));
    let lost = owner.append(vec![second.clone()]).await;
    assert_eq!(lost, [Err(AppendError::Unknown)]);
    start(&owner, &NodeId::new("one"), &task, 100).await;
    assert_eq!(owner.append(vec![first, second]).await, [Ok(()), Ok(())]);
    assert_eq!(kept(&owner, &task).await, [1, 2]);
}

#[tokio::test]
async fn state_that_was_evicted_is_not_made_anew_with_a_part_of_it() {
    let server = RedisServer::start();
    let owner = connect(&server);
    let task: TaskId = "t".parse().expect("an id");
    start(&owner, &NodeId::new("one"), &task, 100).await;
    let first = event(&task, 100, 1, 0, custom(Some("a"), 1));
    let second = event(&task, 100, 2, 0, custom(Some("b"), 2));
    assert_eq!(owner.append(vec![first.clone()]).await, [Ok(())]);
    server.ask("DEL pgs:t:{t}:o100:v").expect("it runs");
    let lost = owner.append(vec![second.clone()]).await;
    assert_eq!(lost, [Err(AppendError::Unknown)]);
    // Whoever reads meanwhile is not shown the one without the other.
    let page = owner.read(&Topic::Task(task.clone()), None).await;
    assert!(page.expect("it is there").is_none());
    start(&owner, &NodeId::new("one"), &task, 100).await;
    assert_eq!(owner.append(vec![first, second]).await, [Ok(()), Ok(())]);
    assert_eq!(kept(&owner, &task).await, [1, 2]);
}

#[tokio::test]
async fn an_end_is_told_with_all_that_was_evicted_before_it() {
    let server = RedisServer::start();
    let owner = connect(&server);
    for part in ["s", "l", "v"] {
        let task: TaskId = part.parse().expect("an id");
        start(&owner, &NodeId::new("one"), &task, 100).await;
        let events = vec![
            event(&task, 100, 1, 0, custom(Some("a"), 1)),
            event(&task, 100, 2, 0, custom(None, 1)),
            event(&task, 100, 3, 2, complete()),
        ];
        let before = owner.append(events[..2].to_vec()).await;
        assert_eq!(before, [Ok(()), Ok(())]);
        let dropped = format!("DEL pgs:t:{{{part}}}:o100:{part}");
        assert_eq!(server.ask(&dropped).expect("it runs"), ":1\r\n");
        let lost = owner.append(events[2..].to_vec()).await;
        assert_eq!(lost, [Err(AppendError::Unknown)], "{part}");
        start(&owner, &NodeId::new("one"), &task, 100).await;
        assert_eq!(owner.append(events).await, [Ok(()), Ok(()), Ok(())]);
        assert_eq!(kept(&owner, &task).await, [1, 2, 3], "{part}");
    }
}

#[tokio::test]
async fn functions_that_were_flushed_are_loaded_again() {
    let server = RedisServer::start();
    let owner = connect(&server);
    let task: TaskId = "t".parse().expect("an id");
    start(&owner, &NodeId::new("one"), &task, 100).await;
    server.ask("FUNCTION FLUSH").expect("it runs");
    let events = vec![
        event(&task, 100, 1, 0, custom(Some("a"), 1)),
        event(&task, 100, 2, 0, custom(None, 1)),
        // The end is a function's.
        event(&task, 100, 3, 2, complete()),
    ];
    assert_eq!(owner.append(events).await, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(kept(&owner, &task).await, [1, 2, 3]);
}

#[tokio::test]
async fn without_memory_a_batch_is_written_whole_or_not_at_all() {
    let server = RedisServer::start();
    let owner = connect(&server);
    let task: TaskId = "t".parse().expect("an id");
    start(&owner, &NodeId::new("one"), &task, 100).await;
    server.ask("CONFIG SET maxmemory 1").expect("it runs");
    let events: Vec<_> = (1..=10)
        .map(|seq| event(&task, 100, seq, seq - 1, custom(None, seq)))
        .collect();
    for answer in owner.append(events.clone()).await {
        // To be sent again, and not to be left out.
        assert!(
            matches!(answer, Err(AppendError::Unavailable(_))),
            "{answer:?}"
        );
    }
    assert_eq!(kept(&owner, &task).await, [0_u64; 0]);
    server.ask("CONFIG SET maxmemory 0").expect("it runs");
    assert!(owner.append(events).await.iter().all(Result::is_ok));
    assert!(kept(&owner, &task).await.into_iter().eq(1..=10));
}

#[tokio::test]
async fn a_task_whose_time_is_over_leaves_nothing() {
    let server = RedisServer::start();
    let owner = connect(&server);
    let node = NodeId::new("one");
    for name in ["a", "b", "c"] {
        let task: TaskId = name.parse().expect("an id");
        start(&owner, &node, &task, 100).await;
        let events = vec![
            event(&task, 100, 1, 0, custom(Some("a"), 1)),
            event(&task, 100, 2, 0, complete()),
        ];
        assert_eq!(owner.append(events).await, [Ok(()), Ok(())]);
    }
    assert_eq!(keys(&server, "pgs:i:own:*"), "*0\r\n");
    let over = async {
        while keys(&server, "pgs:t:*") != "*0\r\n" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let patience = Duration::from_secs(10);
    tokio::time::timeout(patience, over).await.expect("it ends");
    owner.renew(&node, patience).await.expect("it is there");
    for index in ["list", "ended", "silent"] {
        let left = server
            .ask(&format!("ZCARD pgs:i:{index}"))
            .expect("it runs");
        assert_eq!(left, ":0\r\n", "{index}");
    }
}
