//! A server of the test's own, on the real models, which `cargo xtask models` fetches; without them these tests fail.

pub(crate) mod held;
pub(crate) mod socket;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use pipeline_gpu::{onnx::Device, remote::Renderer};
use progress_core::{Reporter, TaskId};
use reqwest::{
    Client, RequestBuilder, Response,
    multipart::{Form, Part},
};
use serde_json::Value;
use talking_video::{
    models::ModelFiles,
    server::{self, Rendering, Settings},
    stand_in::{Key, StandIn},
    users::Users,
};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

use self::socket::Socket;

/// What takes this long has hung, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const SECRET: &[u8] = b"a secret of the tests, which is long enough";

pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) users: Users,
    /// Where videos are.
    pub(crate) folder: PathBuf,
    server: JoinHandle<()>,
}

/// The stand-in, in this process.
pub(crate) async fn stand_in() -> Rendering {
    let key = Key::random();
    let stand_in = StandIn::bind(([127, 0, 0, 1], 0).into(), key.clone())
        .await
        .unwrap();
    let renderer = Renderer::builder(stand_in.url(), key.api_key().unwrap());
    let renderer = renderer.polls(Duration::from_millis(20), Duration::from_millis(200));
    tokio::spawn(stand_in.run());
    Rendering {
        renderer: renderer.build().unwrap(),
        is_stand_in: true,
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(is_so: impl AsyncFn() -> bool) {
    let so = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, so).await.expect("it becomes so");
}

/// Lets time pass at once, by tokio's clock: that of the server, and of whoever talks with it.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

impl Host {
    /// With tokens, and the stand-in.
    pub(crate) async fn start() -> Self {
        let rendering = stand_in().await;
        Self::with(Self::tokens(), rendering, |settings| settings).await
    }

    pub(crate) fn tokens() -> Users {
        Users::with_secret(SECRET).unwrap()
    }

    pub(crate) async fn with(
        users: Users,
        rendering: Rendering,
        set: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        Self::on(ModelFiles::default(), users, rendering, set).await
    }

    pub(crate) async fn on(
        models: ModelFiles,
        users: Users,
        rendering: Rendering,
        set: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let models = models.device(Device::Cpu);
        let models = models.load(&Reporter::noop()).await.unwrap();
        let settings = Settings::new(users.clone(), rendering);
        let settings = set(settings.listen(([127, 0, 0, 1], 0).into()));
        let server = server::bind(settings, &models).await.unwrap();
        Self {
            url: server.url(),
            client: Client::new(),
            users,
            folder: server.videos_folder().to_owned(),
            server: tokio::spawn(async { server.run().await.unwrap() }),
        }
    }

    /// Asks for a video; gives the answer.
    pub(crate) async fn post(&self, form: Form) -> Response {
        let url = format!("{}/api/video-generation/generate", self.url);
        let sent = self.client.post(url).multipart(form).send();
        timeout(PATIENCE, sent)
            .await
            .expect("it is answered")
            .unwrap()
    }

    /// Asks for a video of the portrait and of a sentence; gives what is answered at once.
    pub(crate) async fn generate(&self) -> Accepted {
        let response = self
            .post(form(portrait(), spoken("Hello, I am a picture.")))
            .await;
        assert_eq!(response.status(), 202);
        Accepted(response.json().await.unwrap())
    }

    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> RequestBuilder {
        let request = self.client.get(format!("{}{path}", self.url));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The task once it has ended, by polling.
    pub(crate) async fn end(&self, task: &Accepted) -> Value {
        let path = format!("{}?wait=25s", task.text("polling_url"));
        let ended = async {
            loop {
                let snapshot = self.get(&path, task.token()).send().await.unwrap();
                assert_eq!(snapshot.status(), 200);
                let snapshot: Value = snapshot.json().await.unwrap();
                let state = snapshot["state"].as_str().unwrap_or_default();
                if ["completed", "failed", "cancelled", "abandoned"].contains(&state) {
                    return snapshot;
                }
            }
        };
        timeout(PATIENCE, ended).await.expect("it ends")
    }

    /// The event stream of a task to its end; gives the events.
    pub(crate) async fn stream(&self, task: &Accepted) -> Vec<Value> {
        let sent = self.get(task.text("sse_url"), task.token()).send();
        let text = async { sent.await.unwrap().text().await.unwrap() };
        let text = timeout(PATIENCE, text).await.expect("the stream ends");
        let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
        events
            .map(|event| serde_json::from_str(event).unwrap())
            .collect()
    }

    /// Watches a path over a WebSocket.
    pub(crate) async fn socket(&self, path: &str, token: Option<&str>) -> Socket {
        let address = self.url["http://".len()..].parse().unwrap();
        Socket::open(address, &format!("{}{path}", self.url), token).await
    }

    /// Waits until something asked for is so.
    pub(crate) async fn until(
        &self,
        path: &str,
        token: Option<&str>,
        is_so: impl Fn(&Value) -> bool,
    ) {
        eventually(async || {
            let answer = self.get(path, token).send().await.unwrap();
            is_so(&answer.json().await.unwrap_or_default())
        })
        .await;
    }

    /// Waits until there is a watcher of that transport, and no other.
    pub(crate) async fn watched_by(&self, transport: &str) {
        let is_so = |page: &Value| {
            let clients = page["clients"].as_array();
            let is_it = |client: &Value| client["transport"] == transport;
            clients.is_some_and(|clients| !clients.is_empty() && clients.iter().all(is_it))
        };
        let operator = self.operator();
        self.until("/api/clients", operator.as_deref(), is_so).await;
    }

    pub(crate) fn operator(&self) -> Option<String> {
        self.users.of_operator(PATIENCE).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What is answered at once.
#[derive(Debug)]
pub(crate) struct Accepted(pub(crate) Value);

impl Accepted {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} of {}", self.0))
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.0["token"].as_str()
    }

    pub(crate) fn id(&self) -> TaskId {
        self.text("task_id").parse().unwrap()
    }
}

/// The form that is sent.
pub(crate) fn form(image: Vec<u8>, audio: Vec<u8>) -> Form {
    Form::new()
        .part("image", Part::bytes(image).file_name("portrait.jpg"))
        .part("audio", Part::bytes(audio).file_name("voice.wav"))
}

/// Somebody, who is portrayed.
pub(crate) fn portrait() -> Vec<u8> {
    std::fs::read(portrait_file()).unwrap()
}

pub(crate) fn portrait_file() -> PathBuf {
    let fixtures = "../../pipeline-gpu/tests/fixtures/portrait.jpg";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(fixtures);
    // Browsers take no other.
    file.canonicalize().unwrap()
}

/// A picture that nobody is in.
pub(crate) fn meadow() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(200, 150, |x, y| {
        let is_barn = (60..120).contains(&x) && (50..120).contains(&y);
        image::Rgb(if is_barn {
            [180, 30, 30]
        } else {
            [60, 160, 70]
        })
    });
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

/// Text as a voice that is made by rule speaks it.
pub(crate) fn spoken(text: &str) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("spoken.wav");
    speak(text, &file);
    std::fs::read(file).unwrap()
}

pub(crate) fn speak(text: &str, file: &Path) {
    let program = std::env::var("ESPEAK_NG").unwrap_or_else(|_| "espeak-ng".to_owned());
    let status = Command::new(program)
        .args(["-v", "en", "-w"])
        .arg(file)
        .arg(text)
        .status();
    assert!(
        status
            .expect("espeak-ng is needed; run: cargo xtask test")
            .success()
    );
}
