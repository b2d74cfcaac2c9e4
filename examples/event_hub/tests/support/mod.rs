//! The hub as its clients meet it.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod relay;

use std::{collections::BTreeMap, io::Cursor, time::Duration};

use event_hub::{
    bounds::Bounds,
    hub::Hub,
    server::{self, Settings},
    users::{Role, Users, mint},
};
use futures_util::{SinkExt as _, StreamExt as _};
use image::{ImageFormat, Rgb, RgbImage};
use progress_web::jwt::{Jwt, Key};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

/// For what must come, but not for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SECRET: &str = "a-secret-of-the-tests-of-32-bytes";
pub(crate) const CHANNELS: [&str; 7] = [
    "jobs", "photos", "sessions", "system", "queue", "approval", "export",
];

pub(crate) fn token(role: Role) -> String {
    let hour = Duration::from_secs(3_600);
    mint(SECRET.as_bytes(), role, role.as_str(), hour).unwrap()
}

pub(crate) fn users() -> Users {
    let key = Key::hs256(SECRET).unwrap();
    Users::with_tokens(Jwt::builder().key(key).build().unwrap())
}

/// A server within the test; it ends with it.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) hub: Hub,
    running: JoinHandle<()>,
    http: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of what was not refused.
    pub(crate) fn ok(self) -> Value {
        assert!(self.status < 300, "{self:?}");
        self.body
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Settings::new(users())).await
    }

    pub(crate) async fn start_within(bounds: Bounds) -> Self {
        Self::start_with(Settings::new(users()).bounds(bounds)).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        let settings = settings.listen(([127, 0, 0, 1], 0).into());
        let server = server::bind(settings).await.unwrap();
        Self {
            url: server.url(),
            hub: server.hub(),
            running: tokio::spawn(async move { server.run().await.unwrap() }),
            http: reqwest::Client::new(),
        }
    }

    pub(crate) async fn ask(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = request.bearer_auth(token);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        Self::send(request).await
    }

    async fn send(request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        Answer {
            status: answer.status().as_u16(),
            body: answer.json().await.unwrap_or_default(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let operator = token(Role::Operator);
        self.ask(&operator, Method::GET, path, None).await.ok()
    }

    /// As an operator.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        let operator = token(Role::Operator);
        self.ask(&operator, Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        let operator = token(Role::Operator);
        self.ask(&operator, Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let request = self.http.get(format!("{}{path}", self.url));
        let answer = request.bearer_auth(token(Role::Operator)).send().await;
        answer.unwrap().bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn session(&self, name: &str) -> String {
        let session = self.post("/api/sessions", json!({"name": name})).await.ok();
        text(&session["session_id"])
    }

    /// Has pictures imported, as an operator.
    pub(crate) async fn import(&self, session: &str, files: Vec<(&str, Vec<u8>)>) -> Answer {
        let mut form = Form::new().text("session_id", session.to_owned());
        for (name, bytes) in files {
            form = form.part("files", Part::bytes(bytes).file_name(name.to_owned()));
        }
        self.upload(form).await
    }

    pub(crate) async fn upload(&self, form: Form) -> Answer {
        let request = self.http.post(format!("{}/api/jobs", self.url));
        Self::send(request.bearer_auth(token(Role::Operator)).multipart(form)).await
    }

    /// Imports pictures and waits until they can be judged; gives their ids, the newest first.
    pub(crate) async fn photos(&self, session: &str, files: Vec<(&str, Vec<u8>)>) -> Vec<String> {
        let job = self.import(session, files).await.ok();
        until("the job is done", async || {
            let jobs = self.get("/api/jobs").await;
            let jobs = jobs["jobs"].as_array().unwrap();
            let job = jobs.iter().find(|known| known["job_id"] == job["job_id"]);
            job.unwrap()["state"] == "completed"
        })
        .await;
        let photos = self.get(&format!("/api/photos?session_id={session}")).await;
        let photos = photos["photos"].as_array().unwrap();
        photos
            .iter()
            .map(|photo| text(&photo["photo_id"]))
            .collect()
    }

    /// A client in a role, that has subscribed to these.
    pub(crate) async fn watch(&self, role: Role, channels: &[&str]) -> Watcher {
        let mut watcher = self.connect(role, "progress.v1.json").await;
        watcher.subscribe(channels).await;
        watcher
    }

    pub(crate) async fn connect(&self, role: Role, protocol: &str) -> Watcher {
        self.connect_to("/ws", role, Some(protocol)).await
    }

    pub(crate) async fn connect_to(
        &self,
        path: &str,
        role: Role,
        protocol: Option<&str>,
    ) -> Watcher {
        let url = format!("{}{path}", self.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        let (name, value) = match protocol {
            // As a page has to, which sets no headers.
            Some(protocol) => {
                let both = format!("{protocol}, bearer.{}", token(role));
                ("sec-websocket-protocol", both)
            }
            None => ("authorization", format!("Bearer {}", token(role))),
        };
        headers.insert(name, value.parse().unwrap());
        let (socket, _) = connect_async(request).await.unwrap();
        Watcher {
            socket,
            positions: BTreeMap::new(),
        }
    }
}

/// A WebSocket, and where it stands in each channel.
pub(crate) struct Watcher {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) positions: BTreeMap<String, String>,
}

impl Watcher {
    pub(crate) async fn say(&mut self, command: Value) {
        let message = Message::text(command.to_string());
        self.socket.send(message).await.unwrap();
    }

    pub(crate) async fn say_packed(&mut self, command: Value) {
        let message = Message::binary(rmp_serde::to_vec_named(&command).unwrap());
        self.socket.send(message).await.unwrap();
    }

    /// Subscribes, and waits for the verdicts.
    pub(crate) async fn subscribe(&mut self, channels: &[&str]) {
        let topics: Vec<_> = channels
            .iter()
            .map(|channel| json!({"channel": channel}))
            .collect();
        self.say(json!({"type": "subscribe", "topics": topics}))
            .await;
        for _ in channels {
            self.until(|frame| frame["event_type"] == "subscribed")
                .await;
        }
    }

    pub(crate) async fn frame(&mut self) -> Value {
        let next = async {
            loop {
                match self.socket.next().await.expect("it is open").unwrap() {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Binary(bytes) => return rmp_serde::from_slice(&bytes).unwrap(),
                    Message::Close(close) => panic!("closed: {close:?}"),
                    _ => {}
                }
            }
        };
        let frame: Value = timeout(PATIENCE, next).await.expect("it says nothing");
        if let Some(channel) = frame["channel"]
            .as_str()
            .filter(|_| frame["event"].is_object())
        {
            let epoch = frame["channel_epoch"].as_str().unwrap();
            let position = format!("{epoch}:{}", frame["channel_seq"]);
            self.positions.insert(channel.to_owned(), position);
        }
        frame
    }

    /// The first frame of which this is so.
    pub(crate) async fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let frame = self.frame().await;
                if is_it(&frame) {
                    return frame;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("it never comes")
    }

    /// The data of the first event of each of these types, which may come in any order.
    pub(crate) async fn events<const N: usize>(&mut self, types: [&str; N]) -> [Value; N] {
        let mut found = [const { Value::Null }; N];
        while found.contains(&Value::Null) {
            let frame = self
                .until(|frame| types.contains(&frame["event"]["event_type"].as_str().unwrap_or("")))
                .await;
            let is_it = |name: &&str| frame["event"]["event_type"] == **name;
            let at = types.iter().position(is_it).unwrap();
            if found[at].is_null() {
                found[at] = frame["event"]["data"].clone();
            }
        }
        found
    }

    /// The data of the next event of a type.
    pub(crate) async fn event(&mut self, event_type: &str) -> Value {
        let frame = self
            .until(|frame| frame["event"]["event_type"] == event_type)
            .await;
        frame["event"]["data"].clone()
    }
}

/// Asks again and again, for what nobody tells.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(PATIENCE, asked).await;
    assert!(waited.is_ok(), "in vain: {what}");
}

pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// A picture, made on the spot.
pub(crate) fn picture(hue: u8) -> Vec<u8> {
    let picture = RgbImage::from_fn(180, 120, |x, y| {
        let light = u8::try_from(x * 255 / 180).unwrap();
        let stripe = if (x / 12 + y / 12).is_multiple_of(2) {
            30
        } else {
            0
        };
        Rgb([hue, light.saturating_sub(stripe), 255 - hue / 2])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A picture of which the end is missing.
pub(crate) fn torn() -> Vec<u8> {
    let mut bytes = picture(90);
    bytes.truncate(120);
    bytes
}
