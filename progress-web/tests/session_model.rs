//! Random work, commands, times and readers: what a session says always holds together.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::StreamExt;
use http::request::Parts;
use progress_core::{ProgressTracker, Task};
use progress_web::{Action, Authorizer, Gateway, Principal, Refusal, Session};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use tokio::time::{advance, sleep, timeout};

use self::support::{Mark, Said, Tile, next_batch, request};

/// Takes its time, and refuses some.
#[derive(Debug)]
struct Moody;

#[progress_web::async_trait]
impl Authorizer for Moody {
    async fn authorize(&self, _: &Parts, action: &Action) -> Result<Principal, Refusal> {
        let name = match action {
            Action::Watch(id) | Action::Cancel(id) => id.as_str(),
            Action::Channel(name) => name,
            _ => "",
        };
        match name {
            "t1" | "c1" => sleep(Duration::from_secs(3)).await,
            "t2" => return Err(Refusal::Unauthenticated),
            _ => {}
        }
        Ok(Principal::anonymous())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Start(usize),
    Mark(usize),
    Tile(usize),
    Finish(usize),
    Emit(usize),
    Subscribe(Vec<Topic>),
    Unsubscribe(Vec<Topic>),
    Cancel(usize),
    Auth(bool),
    Ping,
    Garbage(String),
    Live,
    Busy,
    Pass(u64),
    Read,
}

#[derive(Debug, Clone, Copy)]
enum Topic {
    Task(usize),
    Channel(usize),
    NoName,
    Nothing,
}

impl Topic {
    fn json(self) -> Value {
        match self {
            Self::Task(n) => json!({"task_id": format!("t{n}")}),
            Self::Channel(n) => json!({"channel": format!("c{n}")}),
            Self::NoName => json!({"task_id": "no name"}),
            Self::Nothing => json!(null),
        }
    }
}

fn topic() -> impl Strategy<Value = Topic> {
    prop_oneof![
        6 => (0..TASKS).prop_map(Topic::Task),
        4 => (0..CHANNELS).prop_map(Topic::Channel),
        1 => Just(Topic::NoName),
        1 => Just(Topic::Nothing),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..TASKS).prop_map(Step::Start),
        8 => (0..TASKS).prop_map(Step::Mark),
        8 => (0..TASKS).prop_map(Step::Tile),
        2 => (0..TASKS).prop_map(Step::Finish),
        6 => (0..CHANNELS).prop_map(Step::Emit),
        8 => vec(topic(), 0..5).prop_map(Step::Subscribe),
        4 => vec(topic(), 1..3).prop_map(Step::Unsubscribe),
        2 => (0..TASKS).prop_map(Step::Cancel),
        2 => any::<bool>().prop_map(Step::Auth),
        2 => Just(Step::Ping),
        1 => ".{0,20}".prop_map(Step::Garbage),
        4 => Just(Step::Live),
        2 => Just(Step::Busy),
        6 => prop_oneof![0..20u64, 0..40_000u64].prop_map(Step::Pass),
        8 => Just(Step::Read),
    ]
}

const TASKS: usize = 4;
const CHANNELS: usize = 3;

/// The work, and one client that goes by the protocol's rules.
struct World {
    gateway: Gateway,
    tasks: [Option<Task>; TASKS],
    session: Session,
    /// Answers that each command still gets.
    due: BTreeMap<u64, usize>,
    commands: u64,
    pings: usize,
    /// Where the client stands in what it watches: the newest number of a topic, if there is one.
    watched: BTreeMap<String, Option<u64>>,
    closed: bool,
    published: u64,
}

impl World {
    async fn new() -> Self {
        let gateway = Gateway::builder(ProgressTracker::new())
            .authorizer(Moody)
            .message_rate(60, 60)
            .build();
        let session = gateway.web_sockets(&request("/ws")).await;
        Self {
            gateway,
            tasks: Default::default(),
            session,
            due: BTreeMap::new(),
            commands: 0,
            pings: 0,
            watched: BTreeMap::new(),
            closed: false,
            published: 0,
        }
    }

    async fn take(&mut self, step: Step) {
        self.published += 1;
        let n = self.published;
        match step {
            Step::Start(index) => {
                let id = format!("t{index}");
                let slot = &mut self.tasks[index];
                if slot.is_none() {
                    *slot = self
                        .gateway
                        .tracker()
                        .task(id.as_str())
                        .channel("c0")
                        .start()
                        .ok();
                }
            }
            Step::Mark(index) => {
                if let Some(task) = &self.tasks[index] {
                    task.emit(Mark { n }).unwrap();
                }
            }
            Step::Tile(index) => {
                if let Some(task) = &self.tasks[index] {
                    task.emit(Tile { n }).unwrap();
                }
            }
            Step::Finish(index) => {
                if let Some(task) = self.tasks[index].take() {
                    task.complete(()).unwrap();
                }
            }
            Step::Emit(index) => {
                let channel = self.gateway.tracker().channel(&*format!("c{index}"));
                channel.emit(Mark { n }).unwrap();
            }
            Step::Subscribe(topics) => self.command("subscribe", &topics),
            Step::Unsubscribe(topics) => {
                // So that what was said before is not taken for what came after.
                self.read().await;
                self.command("unsubscribe", &topics);
                self.read().await;
                for topic in topics {
                    self.watched.remove(&key(&topic.json()));
                }
            }
            Step::Cancel(index) => {
                // By text, so that its answer is not taken for that of a subscription.
                let id = format!("t{index}");
                let command = json!({"type": "cancel", "request_id": "c", "task_id": id});
                self.session.on_text(&command.to_string());
            }
            Step::Auth(well) => {
                let token = if well { "x" } else { "" };
                let command = json!({"type": "auth", "token": token});
                self.session.on_text(&command.to_string());
            }
            Step::Ping => {
                self.session.on_text(r#"{"type":"ping"}"#);
                self.pings += 1;
            }
            Step::Garbage(text) => self.session.on_text(&text),
            Step::Live => self.session.on_life(),
            Step::Busy => self.session.socket_was_busy(),
            Step::Pass(millis) => advance(Duration::from_millis(millis)).await,
            Step::Read => self.read().await,
        }
    }

    fn command(&mut self, kind: &str, topics: &[Topic]) {
        self.commands += 1;
        let id = self.commands;
        let list: Vec<_> = topics.iter().map(|topic| topic.json()).collect();
        let command = json!({"type": kind, "request_id": id, "topics": list});
        self.session.on_text(&command.to_string());
        if kind == "subscribe" {
            // A command without topics is refused as a whole.
            self.due.insert(id, topics.len().max(1));
        }
    }

    /// Reads until nothing comes for longer than it lingers.
    async fn read(&mut self) {
        let patience = Duration::from_millis(6);
        while let Ok(said) = timeout(patience, next_batch(&mut self.session)).await {
            assert!(!self.closed || said.is_empty(), "nothing follows: {said:?}");
            if said.is_empty() {
                assert!(self.closed, "only what is closed has no more to say");
                return;
            }
            for said in said {
                assert!(!self.closed, "nothing follows the close: {said:?}");
                match said {
                    Said::Frame(frame) => self.on_frame(&frame),
                    Said::Ping => {}
                    Said::Close(close) => {
                        assert!([4012, 4029].contains(&close.code), "{close:?}");
                        self.closed = true;
                    }
                }
            }
        }
    }

    fn on_frame(&mut self, frame: &Value) {
        let about = key(frame);
        let data = &frame["data"];
        match frame["event_type"].as_str() {
            Some("connected" | "heartbeat") => {}
            Some("pong") => {
                self.pings = self.pings.checked_sub(1).expect("one pong for each ping");
            }
            Some("subscribed") => {
                self.answered(data);
                let before = self.watched.insert(about, None);
                assert_eq!(before, None, "one verdict: {frame}");
                if data["resume"] == "ended" {
                    self.watched.remove(&key(frame));
                }
            }
            Some("rejected") => {
                match &data["request_id"] {
                    Value::Number(_) => self.answered(data),
                    Value::Null => {
                        // What was watched is no more: it did not come, or may not be watched.
                        let code = data["code"].as_str().unwrap();
                        if ["TASK_NOT_FOUND", "UNAUTHENTICATED"].contains(&code) {
                            self.watched.remove(&about);
                        }
                    }
                    _ => {}
                }
            }
            Some("reset") => {
                let watched = self.watched.get_mut(&about);
                *watched.expect("it is watched") = None;
            }
            Some("gap" | "draining") => panic!("nothing was lost: {frame}"),
            _ => {
                let (seq, from) = match frame.get("channel_seq") {
                    Some(seq) => (seq, &frame["channel_from"]),
                    None => (&frame["seq"], &frame["from"]),
                };
                let seq = seq.as_u64().unwrap();
                let from = from.as_u64().unwrap_or(seq);
                let watched = self.watched.get_mut(&about);
                let last = watched.unwrap_or_else(|| panic!("it is not watched: {frame}"));
                assert!(from <= seq, "{frame}");
                assert_eq!(from, last.unwrap_or(0) + 1, "{frame}");
                *last = Some(seq);
                if frame["event_type"] == "complete" {
                    self.watched.remove(&about);
                }
            }
        }
    }

    fn answered(&mut self, data: &Value) {
        let id = data["request_id"].as_u64().unwrap();
        if let Some(due) = self.due.get_mut(&id) {
            *due = due.checked_sub(1).expect("one answer for each topic");
        }
    }
}

fn key(frame: &Value) -> String {
    match (&frame["task_id"], &frame["channel"]) {
        (Value::String(id), _) => format!("task {id}"),
        (_, Value::String(name)) => format!("channel {name}"),
        _ => String::new(),
    }
}

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(future);
}

/// The parts of the ids of an event stream.
fn ids(chunk: &str) -> Vec<Vec<String>> {
    let ids = chunk.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.map(|id| id.split(',').map(str::to_owned).collect())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_topic_gets_one_answer_and_its_events_without_a_hole(steps in vec(step(), 1..60)) {
        run(async move {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
            }
            // All that is under way comes to an end, unless the client was sent away.
            for _ in 0..8 {
                world.session.on_life();
                advance(Duration::from_secs(5)).await;
                world.read().await;
            }
            if !world.closed {
                world.due.retain(|_, due| *due > 0);
                assert_eq!(world.due, BTreeMap::new(), "answers are due");
                assert_eq!(world.pings, 0);
            }
            // It is closed for good, whatever happens then.
            world.session.close(progress_web::Code::Draining);
            let mut rest = Vec::new();
            while world.session.next_batch(&mut rest).await {}
            world.session.on_text(r#"{"type":"ping"}"#);
            advance(Duration::from_secs(100)).await;
            rest.clear();
            assert!(!world.session.next_batch(&mut rest).await);
            assert_eq!(rest, []);
        });
    }

    #[test]
    fn ids_of_an_event_stream_never_go_back(steps in vec(step(), 1..60)) {
        run(async move {
            let gateway = Gateway::builder(ProgressTracker::new()).authorizer(Moody).build();
            let mut world = World::new().await;
            world.gateway = gateway.clone();
            let opened = gateway.event_streams(&request("/sse?ids=t0,t1,t3&channels=c0,c2")).await;
            let mut stream = opened.unwrap().into_body();
            let mut last: BTreeMap<(usize, String), u64> = BTreeMap::new();
            let mut ended = BTreeSet::new();
            for step in steps {
                let work = matches!(
                    step,
                    Step::Start(_) | Step::Mark(_) | Step::Tile(_) | Step::Finish(_) | Step::Emit(_)
                        | Step::Pass(_)
                );
                if work {
                    world.take(step).await;
                }
                let patience = Duration::from_millis(6);
                while let Ok(Some(chunk)) = timeout(patience, stream.next()).await {
                    let chunk = std::str::from_utf8(&chunk).unwrap();
                    for id in ids(chunk) {
                        assert_eq!(id.len(), 5);
                        for (index, part) in id.into_iter().enumerate() {
                            if part == "end" {
                                ended.insert(index);
                                continue;
                            }
                            assert!(!ended.contains(&index), "nothing follows the end");
                            let Some((epoch, seq)) = part.split_once(':') else {
                                assert_eq!(part, "-");
                                continue;
                            };
                            let seq = seq.parse().unwrap();
                            let before = last.insert((index, epoch.to_owned()), seq);
                            assert!(before.is_none_or(|before| before <= seq));
                        }
                    }
                }
            }
        });
    }
}
