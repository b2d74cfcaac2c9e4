//! A snapshot is the fold of what watchers see, however much each of them skips.

use std::collections::BTreeMap;

use progress_core::{
    Data, Frame, Level, Snapshot, Status, SubscribeOptions, Subscription, Task, TaskError,
    TaskState, log::LogLimits,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::common::{Gauge, TICK, ready, tracker_with, verdict};

/// A fold of a client that knows only the events, by the words of the protocol.
#[derive(Debug, Default, PartialEq)]
struct Client {
    seq: u64,
    state: Option<TaskState>,
    progress: f64,
    stage: Option<String>,
    message: Option<String>,
    metadata: BTreeMap<String, Value>,
    /// By path: percent, current, total. Those above it are there with the first below.
    stages: BTreeMap<String, (f64, Option<u64>, Option<u64>)>,
    custom: BTreeMap<String, Value>,
    last_error: Option<TaskError>,
    result: Option<Value>,
}

impl Client {
    fn apply(&mut self, frame: &Frame) {
        let Some(event) = frame.event() else { return };
        self.seq = event.seq().get();
        match event.data() {
            Data::Queued(_) => self.state = Some(TaskState::Queued),
            Data::Started(about) => {
                self.state = Some(TaskState::Running);
                for stage in &about.stages {
                    self.stages
                        .insert(stage.path.to_string(), (0.0, None, None));
                }
            }
            Data::StageChange(change) => {
                self.stage = Some(change.current_stage.to_string());
                self.progress = change.progress;
            }
            Data::ProgressUpdate(update) => {
                self.progress = update.progress;
                if let Some(message) = &update.message {
                    self.message = Some(message.to_string());
                }
                for (name, value) in update.metadata.iter() {
                    self.metadata.insert(name.to_owned(), value.clone());
                }
                if let Some(path) = &update.stage {
                    for (at, _) in path.match_indices('/') {
                        self.stages.entry(path[..at].to_owned()).or_default();
                    }
                    let stage = self.stages.entry(path.to_string()).or_default();
                    *stage = (
                        update.stage_progress.unwrap_or_default(),
                        update.current,
                        update.total,
                    );
                }
            }
            Data::Error(error) => self.last_error = Some(error.clone()),
            Data::Custom(custom) => {
                if let Some(key) = &custom.key {
                    self.custom
                        .insert(key.to_string(), custom.data.decode().unwrap());
                }
            }
            Data::Complete(end) => {
                self.state = Some(match end.status {
                    Status::Completed => TaskState::Completed,
                    Status::Failed => TaskState::Failed,
                    Status::Cancelled => TaskState::Cancelled,
                    Status::Abandoned => TaskState::Abandoned,
                });
                self.progress = end.progress;
                self.result = end.result.as_ref().map(|result| result.decode().unwrap());
            }
            _ => {}
        }
    }

    fn of(snapshot: &Snapshot) -> Self {
        Self {
            seq: snapshot.seq.get(),
            state: Some(snapshot.state),
            progress: snapshot.progress,
            stage: snapshot.stage.as_deref().map(str::to_owned),
            message: snapshot.message.as_deref().map(str::to_owned),
            metadata: snapshot
                .metadata
                .iter()
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
            stages: snapshot
                .stages
                .iter()
                .map(|s| (s.path.to_string(), (s.progress, s.current, s.total)))
                .collect(),
            custom: snapshot
                .custom
                .iter()
                .map(|(key, data)| (key.to_string(), data.decode().unwrap()))
                .collect(),
            last_error: snapshot.last_error.clone(),
            result: snapshot
                .result
                .as_ref()
                .map(|result| result.decode().unwrap()),
        }
    }
}

async fn work(task: &Task, round: u64) {
    let (a, b) = (task.stage("a").total(100), task.stage("b"));
    for n in 0..20 {
        a.inc(1);
        b.progress(n as f64 * 5.0);
        b.metadata("shared", json!({"round": round, "n": n}));
        task.stage(&format!("c/{}/{}", n % 2, n % 3)).inc(1);
        task.stage("d/x").progress(n as f64 * 5.0);
        a.metadata(if n % 2 == 0 { "shared" } else { "even" }, n);
        task.emit(Gauge::new(format!("k{}", n % 3), n)).unwrap();
        task.log(Level::INFO, "line");
        if n % 7 == round {
            task.error(TaskError::new("ODD", format!("{n}"))).unwrap();
            task.message(format!("round {round}, {n}"));
            task.stage(&format!("new{round}")).inc(1);
        }
        sleep(TICK / 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_equals_the_fold_of_what_a_watcher_saw() {
    // However much each of them skips.
    let tracker = tracker_with(LogLimits::default().window(32));
    let task = tracker
        .task("t")
        .stage("a", 2.0)
        .stage("b", 1.0)
        .stage("d/x", 1.0)
        .stage("d/y", 1.0)
        .queue()
        .unwrap();
    let watch = |options| (tracker.subscribe_with("t", options), Client::default());
    let mut watchers: Vec<(Subscription, Client)> = vec![
        watch(SubscribeOptions::new()),
        watch(SubscribeOptions::new()),
        watch(SubscribeOptions::new()),
        watch(SubscribeOptions::new().buffer(3)),
    ];
    task.begin().unwrap();
    for round in 0..6 {
        work(&task, round).await;
        for (n, (watcher, client)) in watchers.iter_mut().enumerate() {
            // The first reads always, the second now and then, the third not before the end.
            if n == 0 || n == 3 || (n == 1 && round % 2 == 0) {
                ready(watcher).iter().for_each(|frame| client.apply(frame));
                assert_eq!(*client, Client::of(&task.snapshot()), "watcher {n}");
            }
        }
        let mut late = Client::default();
        let frames = ready(&mut tracker.subscribe("t"));
        frames.iter().for_each(|frame| late.apply(frame));
        assert_eq!(late, Client::of(verdict(&frames).1.unwrap()));
    }
    task.complete(json!({"url": "/v.mp4"})).unwrap();
    let end = Client::of(&tracker.snapshot("t").await.unwrap());
    for (mut watcher, mut client) in watchers {
        ready(&mut watcher)
            .iter()
            .for_each(|frame| client.apply(frame));
        assert_eq!(client, end);
    }
}
