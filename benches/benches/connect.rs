//! What it costs to know who connects, and to count them: a request for an event stream to the head
//! of its answer, and an event to a hundred such streams, without a socket.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use http::{Request, Response, request};
use http_body_util::BodyExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use progress_benches::PhotoApproved;
use progress_core::{ProgressTracker, Task};
use progress_web::{
    Body, ForwardedHeader, Gateway, GatewayBuilder, Open, Secret,
    jwt::{Jwt, Key},
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

const STREAMS: usize = 100;

fn connect(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = c.benchmark_group("connect");
    for (name, scene, asks) in [
        ("open", Scene::open(&runtime, |gateway| gateway), ask()),
        (
            "limits",
            Scene::open(&runtime, counting),
            ask().extension(peer("203.0.113.7")),
        ),
        (
            "limits_behind_proxy",
            Scene::open(&runtime, |gateway| {
                counting(gateway).trusted_proxies(
                    ["10.0.0.0/8".parse().unwrap()],
                    ForwardedHeader::XForwardedFor,
                )
            }),
            ask()
                .extension(peer("10.0.0.2"))
                .header("x-forwarded-for", "198.51.100.1, 203.0.113.7, 10.0.0.9"),
        ),
        bearer(&runtime, "hs256", &Issuer::hs256()),
        bearer(&runtime, "es256", &Issuer::es256()),
        bearer(&runtime, "rs256", &Issuer::rs256()),
        (
            "cookie_es256",
            Scene::of(&runtime, &Issuer::es256(), |gateway| gateway),
            ask().header(
                "cookie",
                format!("theme=dark; progress_token={}", Issuer::es256().token()),
            ),
        ),
    ] {
        let asks = asks.body(String::new()).unwrap();
        group.bench_function(name, |b| {
            b.iter_custom(|iters| {
                runtime.block_on(async {
                    let began = Instant::now();
                    for _ in 0..iters {
                        scene.stream(asks.clone()).await;
                    }
                    began.elapsed()
                })
            });
        });
    }
    let scene = Scene::of(&runtime, &Issuer::es256(), |gateway| {
        gateway.secret(Secret::new(SECRET).unwrap())
    });
    let grant = scene.gateway.grant(&TASK.parse().unwrap(), HOUR);
    let asks = Request::get(format!("{PATH}?grant={}", grant.as_str()));
    let asks = asks.body(String::new()).unwrap();
    group.bench_function("grant", |b| {
        b.iter_custom(|iters| {
            runtime.block_on(async {
                let began = Instant::now();
                for _ in 0..iters {
                    scene.stream(asks.clone()).await;
                }
                began.elapsed()
            })
        });
    });
    // Two requests: the ticket is issued, by header, and taken.
    let scene = Scene::of(&runtime, &Issuer::es256(), |gateway| {
        gateway.tickets(usize::MAX)
    });
    let issue = Request::post("/tickets")
        .header(
            "authorization",
            format!("Bearer {}", Issuer::es256().token()),
        )
        .body(json!({"task_id": TASK}).to_string())
        .unwrap();
    group.bench_function("ticket_issued_and_taken", |b| {
        b.iter_custom(|iters| {
            runtime.block_on(async {
                let began = Instant::now();
                for _ in 0..iters {
                    let issued = scene.ask(issue.clone()).await;
                    assert_eq!(issued.status(), 201);
                    let issued = issued.into_body().into_bytes().unwrap();
                    let issued: Value = serde_json::from_slice(&issued).unwrap();
                    let ticket = issued["ticket"].as_str().unwrap();
                    let asks = Request::get(format!("{PATH}?ticket={ticket}"));
                    scene.stream(asks.body(String::new()).unwrap()).await;
                }
                began.elapsed()
            })
        });
    });
}

fn delivery(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = c.benchmark_group("delivery");
    group.throughput(Throughput::Elements(STREAMS as u64));
    let unlimited = |gateway: GatewayBuilder| at_once(gateway).unlimited_requests();
    let limited = |gateway: GatewayBuilder| at_once(counting(gateway));
    let issuer = Issuer::es256();
    for (name, scene, asks) in [
        ("open", Scene::open(&runtime, unlimited), ask()),
        (
            "es256_and_limits",
            Scene::of(&runtime, &issuer, limited),
            ask()
                .extension(peer("203.0.113.7"))
                .header("authorization", format!("Bearer {}", issuer.token())),
        ),
    ] {
        let asks = asks.body(String::new()).unwrap();
        group.bench_function(name, |b| {
            let mut streams = runtime.block_on(scene.streams(&asks));
            b.iter_custom(|iters| {
                runtime.block_on(async {
                    let began = Instant::now();
                    for _ in 0..iters {
                        scene.task.emit(PhotoApproved { photo: 9 }).unwrap();
                        for stream in &mut streams {
                            let frame = stream.frame().await.unwrap().unwrap();
                            debug_assert!(is_news(frame.data_ref().unwrap()));
                        }
                    }
                    began.elapsed()
                })
            });
        });
    }
}

/// A gateway and a task that is watched.
struct Scene {
    gateway: Gateway,
    task: Task,
}

impl Scene {
    fn open(runtime: &Runtime, set: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        Self::new(runtime, |gateway| {
            set(gateway.authorizer(Open::new().named_ids()))
        })
    }

    /// Where those are let in whose tokens somebody has signed.
    fn of(
        runtime: &Runtime,
        issuer: &Issuer,
        set: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Self {
        let jwt = Jwt::builder().key(issuer.public.clone()).build().unwrap();
        Self::new(runtime, |gateway| set(gateway.authorizer(jwt)))
    }

    fn new(runtime: &Runtime, set: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let _in_runtime = runtime.enter();
        let tracker = ProgressTracker::new();
        let task = tracker.task(TASK).start().unwrap();
        Self {
            gateway: set(Gateway::builder(tracker)).build(),
            task,
        }
    }

    async fn ask(&self, request: Request<String>) -> Response<Body> {
        let found = self.gateway.find(request.uri().path()).unwrap();
        let answer = self.gateway.respond(found.path, &found.parameter, request);
        answer.await
    }

    async fn stream(&self, request: Request<String>) -> Body {
        let answer = self.ask(request).await;
        assert_eq!(answer.status(), 200);
        answer.into_body()
    }

    /// Streams that have been told all there is so far.
    async fn streams(&self, request: &Request<String>) -> Vec<Body> {
        let mut streams = Vec::with_capacity(STREAMS);
        for _ in 0..STREAMS {
            let mut stream = self.stream(request.clone()).await;
            while stream.frame().now_or_never().is_some() {}
            streams.push(stream);
        }
        streams
    }
}

/// Whoever signs tokens.
struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    public: Key,
}

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../../progress-web/tests/jwt/keys/", $name, ".pem"))
    };
}

impl Issuer {
    fn hs256() -> Self {
        Self {
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(SECRET),
            public: Key::hs256(SECRET).unwrap(),
        }
    }

    fn es256() -> Self {
        Self {
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_pem(pem!("ec.private")).unwrap(),
            public: Key::es256(pem!("ec.public")).unwrap(),
        }
    }

    fn rs256() -> Self {
        Self {
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_pem(pem!("rsa.private")).unwrap(),
            public: Key::rs256(pem!("rsa.public")).unwrap(),
        }
    }

    fn token(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let claims = json!({
            "sub": "ada",
            "iat": now.as_secs(),
            "exp": (now + HOUR).as_secs(),
            "roles": ["viewer"],
        });
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims, &self.key).unwrap()
    }
}

fn bearer(
    runtime: &Runtime,
    name: &'static str,
    issuer: &Issuer,
) -> (&'static str, Scene, request::Builder) {
    let asks = ask().header("authorization", format!("Bearer {}", issuer.token()));
    (name, Scene::of(runtime, issuer, |gateway| gateway), asks)
}

fn ask() -> request::Builder {
    Request::get(PATH)
}

fn peer(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 40_000)
}

/// With limits that count and that nobody here comes to.
fn counting(gateway: GatewayBuilder) -> GatewayBuilder {
    gateway.request_rate(u32::MAX, u32::MAX)
}

/// Without waiting for more, and without other frames than events.
fn at_once(gateway: GatewayBuilder) -> GatewayBuilder {
    gateway.linger(Duration::ZERO).heartbeat(HOUR)
}

fn is_news(text: &[u8]) -> bool {
    let name = b"photo_approved";
    text.windows(name.len()).any(|part| part == name)
}

const TASK: &str = "bench";
const PATH: &str = "/sse/progress/bench";
const SECRET: &[u8] = b"a secret of the bench, of no use";
const HOUR: Duration = Duration::from_secs(3_600);

criterion_group! {
    name = benches;
    config = progress_benches::criterion();
    targets = connect, delivery
}
criterion_main!(benches);
