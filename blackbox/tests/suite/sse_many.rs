//! `/sse?ids=a,b,c`: one stream for many tasks, its ids vectors of positions.

use std::{collections::BTreeMap, time::Duration};

use blackbox::{Block, Mark, Reader, Sse, fields, kind, mark, position};
use http::request::Parts;
use progress_core::{Task, TaskId};
use progress_web::{Action, Authorizer, Principal, Refusal};
use serde_json::{Value, json};

use crate::Server;

/// Keeps one id from everybody.
#[derive(Debug)]
struct Secretive;

#[progress_web::async_trait]
impl Authorizer for Secretive {
    async fn authorize(&self, _: &Parts, action: &Action) -> Result<Principal, Refusal> {
        match action {
            Action::Watch(id) if id.as_str() == "secret" => {
                Err(Refusal::Forbidden { solution: None })
            }
            _ => Ok(Principal::anonymous()),
        }
    }
}

/// The blocks up to the end of the stream, after a look at how it begins.
async fn until_end(mut sse: Sse) -> Vec<Block> {
    begin(&mut sse).await;
    sse.blocks().await
}

async fn begin(sse: &mut Sse) {
    assert_eq!(sse.status, 200);
    let bare = sse.block().await.unwrap();
    assert_eq!((bare.id, bare.retry.as_deref()), (None, Some("1000")));
    let bare = bare.data.unwrap();
    assert_eq!(fields(&bare), ["data", "event_type", "timestamp"]);
    assert_eq!(kind(&bare), "connected");
    let data = ["heartbeat_ms", "node", "protocol"];
    assert_eq!(fields(&bare["data"]), data);
}

/// The frames of one task, in order.
fn of_task<'a>(blocks: &'a [Block], id: &str) -> Vec<&'a Value> {
    let frames = blocks.iter().filter_map(|block| block.data.as_ref());
    frames.filter(|frame| frame["task_id"] == id).collect()
}

fn start(server: &Server, ids: &[&str]) -> Vec<Task> {
    ids.iter()
        .map(|id| server.tracker.task(*id).start().unwrap())
        .collect()
}

#[tokio::test]
async fn bad_topics_are_rejected_and_the_others_stand() {
    let wait = Duration::from_millis(30);
    let server = Server::with(|gateway| gateway.authorizer(Secretive).unknown_wait(wait)).await;
    let tasks = start(&server, &["good", "secret"]);
    let path = "/sse?ids=no%20id,good,secret,missing";
    let mut sse = server.sse(path).await;
    begin(&mut sse).await;
    let mut blocks = Vec::new();
    // All verdicts are given before anything ends.
    while of_task(&blocks, "missing").len() < 2 || of_task(&blocks, "good").len() < 2 {
        blocks.push(sse.data().await);
    }
    let ends: Vec<_> = tasks
        .into_iter()
        .map(|task| task.complete(()).unwrap())
        .collect();
    blocks.extend(sse.blocks().await);

    let only = |id: &str, code: &str| {
        let frames = of_task(&blocks, id);
        let last = frames.last().unwrap();
        assert_eq!(kind(last), "rejected", "{id}");
        assert_eq!(last["data"]["code"], code);
        frames.len()
    };
    assert_eq!(only("no id", "INVALID_TASK_ID"), 1);
    assert_eq!(only("secret", "FORBIDDEN"), 1);
    assert_eq!(only("missing", "TASK_NOT_FOUND"), 2);
    let missing = of_task(&blocks, "missing")[0];
    assert_eq!(kind(missing), "subscribed");
    assert_eq!(missing["data"]["resume"], "unknown");
    let good = of_task(&blocks, "good");
    let kinds: Vec<_> = good.iter().map(|frame| kind(frame)).collect();
    assert_eq!(kinds, ["subscribed", "started", "complete"]);
    assert_eq!(good[0]["data"]["resume"], "fresh");
    assert_eq!(good[0]["data"]["snapshot"]["task_id"], "good");

    // What was refused is not asked for again: the whole has ended.
    let id = sse.last_id.unwrap();
    assert_eq!(id, format!("end,{},end,end", ends[0]));
    assert_eq!(server.sse_after(path, &id).await.status, 204);
}

#[tokio::test]
async fn stream_of_bad_topics_alone_ends_and_is_not_asked_for_again() {
    let server = Server::with(|gateway| gateway.authorizer(Secretive)).await;
    let path = "/sse?ids=no%20id,secret";
    let mut sse = server.sse(path).await;
    begin(&mut sse).await;
    let frames = sse.frames().await;
    assert_eq!(blackbox::kinds(&frames), ["rejected", "rejected"]);
    let id = sse.last_id.unwrap();
    assert_eq!(id, "end,end");
    assert_eq!(server.sse_after(path, &id).await.status, 204);
}

#[tokio::test]
async fn where_all_topics_are_refused_alike_the_whole_request_is() {
    let server = Server::with(|gateway| gateway.authorizer(Secretive)).await;
    let _tasks = start(&server, &["good", "secret"]);
    let path = "/sse?ids=secret";
    server.get(path).await.error(403, "FORBIDDEN");
    let path = "/sse?ids=no%20id,nor%20this";
    server.get(path).await.error(400, "INVALID_TASK_ID");
    // Not so if there is another reason, or one that may be watched.
    for path in ["/sse?ids=secret,no%20id", "/sse?ids=secret&channels=good"] {
        assert_eq!(server.sse(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn refused_topics_stay_refused_beside_live_ones() {
    let server = Server::with(|gateway| gateway.authorizer(Secretive)).await;
    let _tasks = start(&server, &["good", "secret"]);
    let path = "/sse?ids=no%20id,good,secret";
    let mut sse = server.sse_after(path, "end,-,end").await;
    begin(&mut sse).await;
    let mut codes = BTreeMap::new();
    while codes.len() < 3 {
        let frame = sse.frame().await;
        let id = frame["task_id"].as_str().unwrap().to_owned();
        codes.insert(id, frame["data"]["code"].clone());
    }
    assert_eq!(codes["no id"], "INVALID_TASK_ID");
    assert_eq!(codes["secret"], "FORBIDDEN");
    assert_eq!(codes["good"], Value::Null);
}

#[tokio::test]
async fn ids_are_vectors_in_the_order_of_the_url() {
    let server = Server::start().await;
    let tasks = start(&server, &["a", "b"]);
    let epochs: Vec<_> = tasks
        .iter()
        .map(|task| task.head().epoch().to_string())
        .collect();
    for task in &tasks {
        mark(task, 3);
    }
    let path = "/sse?ids=b,a";
    let sse = server.sse(path).await;
    let ends: Vec<_> = tasks
        .into_iter()
        .map(|task| task.complete(()).unwrap().to_string())
        .collect();
    let blocks = until_end(sse).await;

    let control = |frame: &Value| frame.get("seq").is_none();
    let mut events = Vec::new();
    for block in &blocks {
        let frame = block.data.as_ref().expect("every block holds a frame");
        if control(frame) {
            assert_eq!(block.id, None);
        } else {
            events.push((block, position(frame)));
        }
        let Some(id) = &block.id else { continue };
        let parts: Vec<_> = id.split(',').collect();
        assert_eq!(parts.len(), 2);
        for (part, epoch) in parts.iter().zip([&epochs[1], &epochs[0]]) {
            assert!(*part == "-" || part.starts_with(&format!("{epoch}:")));
        }
        assert!(parts.contains(&position(frame).as_str()), "it is no older");
    }
    for id in ["a", "b"] {
        let of_topic = |(block, _): &&(&Block, String)| {
            let frame = block.data.as_ref().unwrap();
            frame["task_id"] == id
        };
        let mut events = events.iter().filter(of_topic);
        assert!(events.next().unwrap().0.id.is_some(), "the first has one");
        let next = events.next().unwrap();
        assert_eq!(next.0.id, None, "the next comes within a second");
    }
    let last = events.last().unwrap().0.id.clone().unwrap();
    assert_eq!(last, format!("{},{}", ends[1], ends[0]));
    assert_eq!(server.sse_after(path, &last).await.status, 204);
}

#[tokio::test]
async fn reconnect_with_the_vector_loses_nothing() {
    let server = Server::start().await;
    let tasks = start(&server, &["a", "b"]);
    let path = "/sse?ids=a,b";
    let mut readers = BTreeMap::from([("a", Reader::default()), ("b", Reader::default())]);
    let mut take = |frame: Value| {
        if let Some(id) = frame["task_id"].as_str() {
            readers.get_mut(id).unwrap().take(&frame);
        }
    };
    for task in &tasks {
        mark(task, 5);
    }
    let mut sse = server.sse(path).await;
    for _ in 0..8 {
        take(sse.frame().await);
    }
    let id = sse.last_id.take().unwrap();
    drop(sse);
    for task in tasks {
        mark(&task, 5);
        task.complete(()).unwrap();
    }
    let mut sse = server.sse_after(path, &id).await;
    for frame in sse.frames().await {
        take(frame);
    }
    for reader in readers.values() {
        assert!(reader.ended);
        assert_eq!(blackbox::seqs(&reader.news), (1..=12).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn topic_at_its_end_is_told_so_while_others_go_on() {
    let server = Server::start().await;
    let [a, b]: [Task; 2] = start(&server, &["a", "b"]).try_into().unwrap();
    let end = a.complete(()).unwrap();
    let live = b.head();
    let path = "/sse?ids=a,b";
    let mut sse = server.sse_after(path, &format!("{end},{live}")).await;
    begin(&mut sse).await;
    let ended = sse.frame().await;
    assert_eq!(kind(&ended), "subscribed");
    assert_eq!(ended["task_id"], "a");
    assert_eq!(ended["data"]["resume"], "ended");
    assert_eq!(ended["data"]["snapshot"]["state"], "completed");
    let resumed = sse.frame().await;
    assert_eq!(resumed["data"]["resume"], "resumed");
    b.emit(Mark { n: 1 }).unwrap();
    let next = sse.data().await;
    assert_eq!(kind(next.data.as_ref().unwrap()), "mark");
    assert_eq!(next.id, Some(format!("{end},{}:2", live.epoch())));
    let end_b = b.complete(()).unwrap();
    let blocks = sse.blocks().await;
    assert_eq!(blocks.len(), 1, "{blocks:?}");
    assert_eq!(sse.last_id, Some(format!("{end},{end_b}")));
}

#[tokio::test]
async fn client_that_has_everything_is_told_204() {
    let server = Server::start().await;
    let ends: Vec<_> = start(&server, &["a", "b"])
        .into_iter()
        .map(|task| task.complete(()).unwrap().to_string())
        .collect();
    let path = "/sse?ids=a,b";
    let vector = ends.join(",");
    for id in [vector.as_str(), "end", &format!("{},end", ends[0])] {
        assert_eq!(server.sse_after(path, id).await.status, 204, "{id}");
    }
    let answer = server.get(&format!("{path}&after={vector}")).await;
    assert_eq!(answer.status, 204);
    // The other way round they are positions of other runs.
    let blocks = until_end(server.sse("/sse?ids=b,a").await).await;
    assert_eq!(of_task(&blocks, "a").len(), 3);
    let swapped = server.sse_after("/sse?ids=b,a", &vector).await;
    let blocks = until_end(swapped).await;
    for id in ["a", "b"] {
        assert_eq!(of_task(&blocks, id)[0]["data"]["resume"], "reset");
        assert_eq!(of_task(&blocks, id).len(), 3);
    }
}

#[tokio::test]
async fn malformed_vector_is_reset_for_every_topic() {
    let server = Server::start().await;
    let ends: Vec<_> = start(&server, &["a", "b"])
        .into_iter()
        .map(|task| task.complete(()).unwrap().to_string())
        .collect();
    let path = "/sse?ids=a,b";
    let three = format!("{},{},-", ends[0], ends[1]);
    for id in [&ends[0], &three, "nonsense", ","] {
        let blocks = until_end(server.sse_after(path, id).await).await;
        for topic in ["a", "b"] {
            let frames = of_task(&blocks, topic);
            assert_eq!(frames[0]["data"]["resume"], "reset", "{id}");
            assert_eq!(frames.len(), 3, "verdict and every event");
        }
        let answer = server.get(&format!("{path}&after={id}")).await;
        answer.error(400, "INVALID_POSITION");
    }
}

#[tokio::test]
async fn number_of_topics_is_bounded() {
    let server = Server::start().await;
    let ids: Vec<_> = (0..64).map(|n| format!("t{n}")).collect();
    for id in &ids {
        server.tracker.task(id.as_str()).start().unwrap();
    }
    let path = format!("/sse?ids={}", ids.join(","));
    let blocks = until_end(server.sse(&path).await).await;
    for id in &ids {
        // The handles were dropped.
        let end = of_task(&blocks, id)[2];
        assert_eq!(end["data"]["status"], "abandoned");
    }
    let answer = server.get(&format!("{path},one-more")).await;
    let error = answer.error(400, "TOO_MANY_TOPICS");
    assert_eq!(error["details"]["field"], "ids");
    for path in ["/sse", "/sse?ids=", "/sse?ids=,&x=y"] {
        let error = server.get(path).await.error(400, "INVALID_QUERY");
        assert_eq!(error["details"]["field"], "ids");
    }
}

#[tokio::test]
async fn g8_every_topic_begins_with_verdict_and_state() {
    let beat = Duration::from_millis(20);
    let server = Server::with(|gateway| gateway.heartbeat(beat)).await;
    let [a, b]: [Task; 2] = start(&server, &["a", "b"]).try_into().unwrap();
    a.progress(12.5);
    b.message("waiting");
    let id = format!("1:1,{}", b.head());
    let mut sse = server.sse_after("/sse?ids=a,b", &id).await;
    begin(&mut sse).await;
    let mut first = BTreeMap::new();
    while first.len() < 2 {
        let frame = sse.frame().await;
        let id = frame["task_id"].as_str().unwrap().to_owned();
        first.entry(id).or_insert(frame);
    }
    let snapshot = |id: &str| &first[id]["data"]["snapshot"];
    assert_eq!(kind(&first["a"]), "subscribed");
    assert_eq!(first["a"]["data"]["resume"], "reset");
    assert_eq!(snapshot("a")["progress"], 12.5);
    assert_eq!(first["b"]["data"]["resume"], "resumed");
    assert_eq!(first["b"]["data"]["seq"], b.head().seq().get());
    assert_eq!(snapshot("b")["message"], "waiting");
    loop {
        let frame = sse.frame().await;
        if kind(&frame) == "heartbeat" {
            let heads = json!({"a": a.head().to_string(), "b": b.head().to_string()});
            assert_eq!(frame["data"]["heads"], heads);
            break;
        }
    }
}

#[tokio::test]
async fn awaited_topic_is_reset_to_a_vector() {
    let server = Server::start().await;
    let [a]: [Task; 1] = start(&server, &["a"]).try_into().unwrap();
    let mut sse = server.sse("/sse?ids=a,b").await;
    begin(&mut sse).await;
    // Verdicts of both, and what there is of one.
    for _ in 0..3 {
        sse.frame().await;
    }
    let b = server.tracker.task("b").start().unwrap();
    let reset = sse.data().await;
    assert_eq!(kind(reset.data.as_ref().unwrap()), "reset");
    let epoch = b.head().epoch();
    assert_eq!(reset.id, Some(format!("{},{epoch}:0", a.head())));
}

#[tokio::test]
async fn one_sse_for_all_files() {
    let server = Server::start().await;
    let ids: Vec<_> = (0..20).map(|_| TaskId::random().to_string()).collect();
    let path = format!("/sse?ids={}", ids.join(","));
    let mut sse = server.sse(&path).await;
    begin(&mut sse).await;
    assert_eq!(server.gateway.sessions(), 1, "whatever the browser's limit");
    let tracker = server.tracker.clone();
    let files = ids.clone();
    // The files come and go while the stream is open, many at a time.
    let work = tokio::spawn(async move {
        for batch in files.chunks(5) {
            let tasks: Vec<_> = batch
                .iter()
                .map(|id| tracker.task(id.as_str()).start().unwrap())
                .collect();
            for task in tasks {
                task.progress(50.0);
                tokio::task::yield_now().await;
                task.complete(()).unwrap();
            }
        }
    });
    let mut readers: BTreeMap<_, _> = ids
        .iter()
        .map(|id| (id.as_str(), Reader::default()))
        .collect();
    for frame in sse.frames().await {
        if let Some(id) = frame["task_id"].as_str() {
            readers.get_mut(id).unwrap().take(&frame);
        }
    }
    work.await.unwrap();
    for reader in readers.values() {
        assert!(reader.ended);
        assert_eq!(blackbox::seqs(&reader.news), [1, 2, 3]);
    }
}
