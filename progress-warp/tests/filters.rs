//! How the routes stand among other filters of warp. What they answer is the suite's, in `blackbox`.

use std::{net::SocketAddr, sync::Mutex};

use progress_warp::{Gateway, Open, ProgressTracker, routes, routes_with};
use progress_web::{Action, Authorizer, Principal, Refusal};
use warp::{Filter, filters::BoxedFilter, reply::Response, test::request};

fn open() -> BoxedFilter<(Response,)> {
    let tracker = ProgressTracker::new();
    tracker.task("a").start().unwrap().complete(()).unwrap();
    let open = Open::new().named_ids().listing();
    routes_with(Gateway::builder(tracker).authorizer(open).build())
}

#[tokio::test]
async fn foreign_paths_are_left_to_other_filters() {
    let app = open()
        .or(warp::path!("tasks" / String / "photo").map(|id| format!("photo of {id}")))
        .or(warp::path!("tasksandmore").map(|| "more"));
    for (path, body) in [("/tasks/a/photo", "photo of a"), ("/tasksandmore", "more")] {
        let answer = request().path(path).reply(&app).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, body.as_bytes())
        );
    }
    assert_eq!(request().path("/tasks/a").reply(&app).await.status(), 200);
    let foreign = request().path("/elsewhere").filter(&open()).await;
    assert!(foreign.unwrap_err().is_not_found());
}

#[tokio::test]
async fn own_paths_are_never_rejected() {
    // Were they, this would answer.
    let app = open().or(warp::any().map(|| "somebody else"));
    for (method, path, status, code) in [
        ("POST", "/tasks/a/history", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/tasks/b", 404, "TASK_NOT_FOUND"),
        ("GET", "/tasks/no%20id", 400, "INVALID_TASK_ID"),
        ("GET", "/tasks?limit=0", 400, "INVALID_QUERY"),
        ("GET", "/ws/progress/a", 426, "UPGRADE_REQUIRED"),
    ] {
        let answer = request().method(method).path(path).reply(&app).await;
        let body = String::from_utf8_lossy(answer.body());
        assert_eq!(answer.status(), status, "{path}: {body}");
        assert!(
            body.starts_with(r#"{"error":{"#) && body.contains(code),
            "{body}"
        );
    }
}

#[tokio::test]
async fn upgrade_of_what_cannot_be_upgraded_is_refused() {
    // There is no connection behind a test's request.
    let answer = request()
        .path("/ws/progress/a")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .reply(&open())
        .await;
    assert_eq!(answer.status(), 426);
}

#[tokio::test]
async fn routes_stand_behind_any_prefix() {
    let tenants = warp::path("tenants").and(warp::path::param::<u64>());
    let app = tenants
        .and(open())
        .map(|tenant: u64, answer: Response| warp::reply::with_header(answer, "x-tenant", tenant));
    let answer = request().path("/tenants/7/tasks/a").reply(&app).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-tenant"], "7");
    assert_eq!(request().path("/tenants/7").reply(&app).await.status(), 404);
    assert_eq!(request().path("/tasks/a").reply(&app).await.status(), 404);
}

/// Remembers what it saw.
#[derive(Debug, Default)]
struct Curious(Mutex<Vec<String>>);

#[progress_web::async_trait]
impl Authorizer for &'static Curious {
    async fn authorize(
        &self,
        request: &http::request::Parts,
        _: &Action,
    ) -> Result<Principal, Refusal> {
        let from = request.extensions.get::<SocketAddr>();
        let seen = format!("{} {} {:?}", request.method, request.uri, from);
        self.0.lock().unwrap().push(seen);
        Ok(Principal::anonymous())
    }
}

#[tokio::test]
async fn authorizers_see_the_whole_request() {
    let curious: &'static Curious = Box::leak(Box::default());
    let gateway = Gateway::builder(ProgressTracker::new()).authorizer(curious);
    let app = warp::path("api").and(routes_with(gateway.build()));
    let from: SocketAddr = "192.0.2.1:99".parse().unwrap();
    let asked = request().path("/api/tasks?limit=1&x=%20").remote_addr(from);
    assert_eq!(asked.reply(&app).await.status(), 200);
    let seen = curious.0.lock().unwrap().concat();
    assert_eq!(
        seen,
        format!("GET /api/tasks?limit=1&x=%20 {:?}", Some(from))
    );
}

/// As of a server of HTTP/2, whose requests have the name in their URI and no `Host`.
#[tokio::test]
async fn the_name_in_the_uri_counts_like_a_host() {
    let open = Open::new().named_ids().listing();
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(open)
        .host("jobs.example");
    let app = routes_with(gateway.build());
    let asked = async |uri: &str, headers: &[(&str, &str)]| {
        let mut asked = request().path(uri);
        for (name, value) in headers {
            asked = asked.header(*name, *value);
        }
        asked.reply(&app).await.status().as_u16()
    };
    assert_eq!(asked("http://jobs.example/tasks", &[]).await, 200);
    assert_eq!(asked("http://evil.example/tasks", &[]).await, 421);
    // Where both are there, or one is none, `Host` is judged.
    for (host, status) in [("jobs.example", 200), ("evil.example", 421), ("a b", 421)] {
        let host = [("host", host)];
        assert_eq!(asked("/tasks", &host).await, status, "{host:?}");
        let both = asked("http://jobs.example/tasks", &host).await;
        assert_eq!(both, status, "{host:?}");
    }
    // Our own page is known by it: what is missing here is a connection to upgrade.
    for (origin, status) in [("http://jobs.example", 426), ("http://evil.example", 403)] {
        let handshake = [
            ("origin", origin),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let answer = asked("http://jobs.example/ws", &handshake).await;
        assert_eq!(answer, status, "{origin}");
    }
}

#[tokio::test]
async fn defaults_are_closed() {
    let app = routes(ProgressTracker::new());
    assert_eq!(request().path("/tasks").reply(&app).await.status(), 403);
    assert_eq!(request().path("/health").reply(&app).await.status(), 200);
}
