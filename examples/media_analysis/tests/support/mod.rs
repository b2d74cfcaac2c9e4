//! A server of the test's own, and what to send to it.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use demo::analysis::{Analysis, AnalysisError, Limits, Observer, Source, look};
use image::{ImageFormat, Rgb, RgbImage};
use media_analysis::{
    server::{self, Settings},
    studio::see,
};
use progress_core::{Data, Event, ProgressTracker, Snapshot};
use reqwest::{
    Client, RequestBuilder, Response,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tokio::time::timeout;

pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) tracker: ProgressTracker,
    pub(crate) client: Client,
    folder: PathBuf,
}

impl Host {
    pub(crate) async fn start(settings: Settings) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let server = server::bind(settings.listen(address)).await.unwrap();
        let host = Self {
            url: server.url(),
            tracker: server.tracker(),
            client: Client::new(),
            folder: server.uploads_folder().to_owned(),
        };
        tokio::spawn(server.run());
        host
    }

    /// Sends files in one request; gives the answer.
    pub(crate) async fn analyse(&self, files: &[(&str, Vec<u8>)]) -> Value {
        let form = files.iter().fold(Form::new(), |form, (name, bytes)| {
            form.part(
                "files",
                Part::bytes(bytes.clone()).file_name((*name).to_owned()),
            )
        });
        let answer = self.post("/api/agent/analyze-media").multipart(form);
        expect(answer, 202).await
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.client.put(format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let asked = self.client.get(format!("{}{path}", self.url)).send();
        asked.await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    /// The task once it has ended.
    pub(crate) async fn ended(&self, id: &Value) -> Snapshot {
        self.events(id).await;
        self.tracker.snapshot(text(id)).await.unwrap()
    }

    /// All events of a task, once it has ended.
    pub(crate) async fn events(&self, id: &Value) -> Vec<Arc<Event>> {
        let mut frames = self.tracker.subscribe(text(id));
        let mut events = Vec::new();
        let whole = async {
            while let Some(frame) = frames.next().await {
                events.extend(frame.event().cloned());
            }
        };
        let ended = timeout(PATIENCE, whole).await;
        ended.unwrap_or_else(|_| panic!("task {id} has not ended"));
        events
    }

    /// The waits before each retry of a task, in milliseconds.
    pub(crate) async fn waits(&self, id: &Value) -> Vec<u64> {
        let events = self.events(id).await;
        let errors = events.iter().filter_map(|event| match event.data() {
            Data::Error(error) => error.retry_after_ms(),
            _ => None,
        });
        errors.collect()
    }

    /// Waits until every task has ended and nothing of them is on disk.
    pub(crate) async fn nothing_is_left(&self) {
        until("nothing is left", async || {
            let stats = self.tracker.stats();
            let files = std::fs::read_dir(&self.folder).unwrap().count();
            stats.tasks == stats.ended && files == 0
        })
        .await;
    }

    pub(crate) fn files_on_disk(&self) -> usize {
        std::fs::read_dir(&self.folder).unwrap().count()
    }
}

pub(crate) async fn expect(request: RequestBuilder, status: u16) -> Value {
    let answer = request.send().await.unwrap();
    let found = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(found, status, "{body}");
    body
}

pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let met = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let met = timeout(PATIENCE, met).await;
    met.unwrap_or_else(|_| panic!("in vain: {what}"));
}

pub(crate) fn text(id: &Value) -> &str {
    id.as_str().expect("an id")
}

/// A picture that differs with the seed.
pub(crate) fn png(seed: u8) -> Vec<u8> {
    let picture = RgbImage::from_fn(64, 48, |x, y| Rgb([x as u8 * 3, y as u8 * 5, seed]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// What an analysis says of a file that cannot be read just now, which may be tried again.
pub(crate) fn unreadable(file: Analysis) -> AnalysisError {
    let nowhere = Source::new("/does/not/exist", "photo.png");
    look(&nowhere, file, &Limits::default(), &mut ()).unwrap_err()
}

/// Analyses that wait at a gate.
pub(crate) fn gated(gate: &Arc<Gate>) -> Settings {
    let gate = Arc::clone(gate);
    Settings::default().analyser(
        move |source: &Source, file: Analysis, observer: &mut dyn Observer| {
            gate.pass(|| observer.is_cancelled());
            see(source, file, observer)
        },
    )
}

/// A gate in the way of analyses: who is at it, and whether it is open.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<Queue>,
    moved: Condvar,
}

#[derive(Default)]
struct Queue {
    at: usize,
    most: usize,
    passed: usize,
    open: bool,
}

impl Gate {
    /// Waits until it is open, or until `stop` says that nobody waits for this any more.
    pub(crate) fn pass(&self, stop: impl Fn() -> bool) {
        let mut queue = self.state.lock().unwrap();
        queue.at += 1;
        queue.most = queue.most.max(queue.at);
        while !queue.open && !stop() {
            let wait = Duration::from_millis(5);
            queue = self.moved.wait_timeout(queue, wait).unwrap().0;
        }
        queue.at -= 1;
        queue.passed += 1;
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.moved.notify_all();
    }

    pub(crate) fn at(&self) -> usize {
        self.state.lock().unwrap().at
    }

    pub(crate) fn most(&self) -> usize {
        self.state.lock().unwrap().most
    }

    pub(crate) fn passed(&self) -> usize {
        self.state.lock().unwrap().passed
    }
}

/// The frames of an event stream, to its end.
pub(crate) async fn frames(answer: Response) -> Vec<Value> {
    assert_eq!(answer.status(), 200);
    let text = timeout(PATIENCE, answer.text()).await.expect("it ends");
    let data = text.unwrap();
    let data = data.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).unwrap())
        .collect()
}

/// The codes of an error object.
pub(crate) fn code(body: &Value) -> &Value {
    let error = &body["error"];
    assert!(error["message"].is_string(), "{body}");
    &error["code"]
}

pub(crate) fn manifest(files: &[(&str, usize, &str)]) -> String {
    let entry =
        |(name, size, id): &(&str, usize, &str)| json!({"name": name, "size": size, "id": id});
    json!(files.iter().map(entry).collect::<Vec<_>>()).to_string()
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
