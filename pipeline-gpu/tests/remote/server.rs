//! A renderer that does as it is told, answer by answer.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Request, StatusCode},
    response::Response,
};
use futures_util::stream::{self, StreamExt as _};
use pipeline_gpu::remote::{ApiKey, Media, RenderRequest, Renderer, RendererBuilder};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle, time::timeout};

/// What to do with one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers with JSON, or with anything else.
    Json(u16, String),
    /// Answers with a status and a header.
    Header(u16, &'static str, &'static str),
    /// Answers with JSON, and asks to be left alone for so many seconds.
    Later(&'static str, String),
    /// Answers with JSON once it is told to.
    When(Arc<Notify>, String),
    /// Never answers.
    Silence,
    /// Sends a body of these bytes.
    Bytes(Vec<u8>),
    /// Sends these bytes and no end.
    Stall(Vec<u8>),
    /// Says that there are so many bytes, sends these, and closes the connection.
    Cut(usize, Vec<u8>),
    /// Sends a body without saying how long it is, and never stops.
    Endless,
}

impl Reply {
    pub(crate) fn json(value: &Value) -> Self {
        Self::Json(200, value.to_string())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Json(status, "{}".to_owned())
    }

    async fn respond(self) -> Response {
        let response = Response::builder();
        let made = match self {
            Self::Json(status, text) => response.status(status).body(Body::from(text)),
            Self::Header(status, name, value) => response
                .status(status)
                .header(name, value)
                .body(Body::from("{}")),
            Self::Later(seconds, text) => response
                .header("retry-after", seconds)
                .body(Body::from(text)),
            Self::When(told, text) => {
                told.notified().await;
                response.body(Body::from(text))
            }
            Self::Silence => pending().await,
            Self::Bytes(bytes) => response.body(Body::from(bytes)),
            Self::Stall(bytes) => {
                let first = stream::iter([Ok::<_, Infallible>(Bytes::from(bytes))]);
                response.body(Body::from_stream(first.chain(stream::pending())))
            }
            Self::Cut(length, bytes) => {
                let first = stream::iter([Ok(Bytes::from(bytes))]);
                // While it waits for more, what there is goes out.
                let cut = stream::once(async {
                    tokio::task::yield_now().await;
                    Err("cut")
                });
                response
                    .header("content-length", length)
                    .body(Body::from_stream(first.chain(cut)))
            }
            Self::Endless => {
                let chunk = Ok::<_, Infallible>(Bytes::from(vec![7; 1024]));
                response.body(Body::from_stream(stream::repeat(chunk)))
            }
        };
        made.unwrap()
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) what: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
struct Script {
    replies: HashMap<String, VecDeque<Reply>>,
    heard: Vec<Heard>,
}

/// A server that is gone with its test.
pub(crate) struct Server {
    script: Arc<Mutex<Script>>,
    address: String,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let script = Arc::<Mutex<Script>>::default();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            script,
            address,
            task,
        }
    }

    /// What `method path` is answered with, in turn; the last answer is given again.
    pub(crate) fn replies(&self, what: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        self.script().replies.insert(what.to_owned(), replies);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub(crate) fn heard(&self, what: &str) -> Vec<Heard> {
        let heard = &self.script().heard;
        heard
            .iter()
            .filter(|heard| heard.what == what)
            .cloned()
            .collect()
    }

    /// Waits until such a request has come.
    pub(crate) async fn hears(&self, what: &str) {
        let heard = async {
            while self.heard(what).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(30);
        timeout(limit, heard).await.expect(what);
    }

    /// A patient client in a hurry.
    pub(crate) fn builder(&self) -> RendererBuilder {
        let ms = Duration::from_millis;
        Renderer::builder(&self.address, ApiKey::basic("user", "secret").unwrap())
            .delays(ms(1), ms(5))
            .polls(ms(1), ms(5))
    }

    pub(crate) fn renderer(&self) -> Renderer {
        self.builder().build().unwrap()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 10 << 20).await.unwrap();
    let what = format!("{} {}", parts.method, parts.uri.path());
    let reply = {
        let mut script = script.lock().unwrap();
        script.heard.push(Heard {
            what: what.clone(),
            headers: parts.headers,
            body: body.to_vec(),
        });
        match script.replies.get_mut(&what) {
            Some(replies) if replies.len() > 1 => replies.pop_front().unwrap(),
            Some(replies) => replies[0].clone(),
            // That something is deleted needs no script.
            None if parts.method == Method::DELETE => Reply::status(200),
            None => Reply::status(StatusCode::NOT_FOUND.as_u16()),
        }
    };
    reply.respond().await
}

/// A request for what lies on the web, which needs no upload.
pub(crate) fn request() -> RenderRequest {
    let image = Media::url("https://example.com/face.png");
    RenderRequest::new(image, Media::url("https://example.com/voice.mp3"))
}
