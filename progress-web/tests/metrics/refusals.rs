//! Who is not let in.

use http::{Request, request::Parts};
use progress_core::ProgressTracker;
use progress_web::{Action, Authorizer, Gateway, Principal, Refusal};

use super::{scrape, value};

/// Lets those who name themselves do anything but list.
#[derive(Debug)]
struct Named;

#[progress_web::async_trait]
impl Authorizer for Named {
    async fn authorize(&self, request: &Parts, action: &Action) -> Result<Principal, Refusal> {
        match (action, request.headers.get("x-user")) {
            (Action::Manage, _) => Ok(Principal::anonymous()),
            (_, None) => Err(Refusal::Unauthenticated),
            (Action::List, _) => Err(Refusal::Forbidden { solution: None }),
            (Action::Watch(task), _) if task.as_str() == "private" => {
                Err(Refusal::Forbidden { solution: None })
            }
            _ => Ok(Principal::anonymous()),
        }
    }
}

async fn get(gateway: &Gateway, path: &str, user: Option<&str>) -> u16 {
    let mut request = Request::get(path)
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    if path.starts_with("/ws") {
        request = request.header("upgrade", "websocket");
    }
    request = match user {
        Some(user) => request.header("x-user", user),
        // With nothing at all a WebSocket would be asked who it is.
        None => request.header("authorization", "Bearer of nothing"),
    };
    let found = gateway.find(path).unwrap();
    let request = request.body(String::new()).unwrap();
    let response = gateway.respond(found.path, &found.parameter, request).await;
    response.status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_not_let_in_are_counted_by_reason() {
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(Named)
        .sessions(1)
        .build();
    let refused = async |reason: &str| {
        let series = format!("progress_connections_refused_total{{reason=\"{reason}\"}}");
        value(&scrape(&gateway).await, &series)
    };
    for reason in [
        "limit",
        "draining",
        "unauthenticated",
        "forbidden",
        "origin",
    ] {
        assert_eq!(refused(reason).await, 0.0, "there before it happens");
    }
    let _task = gateway.tracker().task("t").start().unwrap();
    assert_eq!(get(&gateway, "/sse/progress/t", None).await, 401);
    assert_eq!(get(&gateway, "/ws/progress/t", None).await, 101);
    assert_eq!(refused("unauthenticated").await, 2.0);
    assert_eq!(get(&gateway, "/sse/progress/private", Some("u")).await, 403);
    assert_eq!(get(&gateway, "/ws/progress/private", Some("u")).await, 101);
    assert_eq!(refused("forbidden").await, 2.0);

    let request = Request::get("/").header("x-user", "u").body(()).unwrap();
    let request = request.into_parts().0;
    let held = gateway.web_socket(&request, "t").await;
    assert_eq!(get(&gateway, "/sse/progress/t", Some("u")).await, 503);
    assert_eq!(get(&gateway, "/ws/progress/t", Some("u")).await, 101);
    assert_eq!(refused("limit").await, 2.0, "each is counted once");
    drop(held);
    gateway.drain(std::time::Duration::ZERO);
    assert_eq!(get(&gateway, "/sse/progress/t", Some("u")).await, 503);
    assert_eq!(refused("draining").await, 1.0);
    assert_eq!(
        (refused("unauthenticated").await, refused("forbidden").await),
        (2.0, 2.0)
    );
}

#[tokio::test]
async fn what_the_authorizer_refuses_is_counted_by_action_and_reason() {
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(Named)
        .build();
    assert_eq!(get(&gateway, "/tasks", None).await, 401);
    assert_eq!(get(&gateway, "/tasks", Some("u")).await, 403);
    assert_eq!(get(&gateway, "/tasks/t", None).await, 401);
    assert_eq!(get(&gateway, "/tasks/t/history", None).await, 401);
    let text = scrape(&gateway).await;
    for (action, reason, count) in [
        ("list", "unauthenticated", 1.0),
        ("list", "forbidden", 1.0),
        ("watch", "unauthenticated", 2.0),
    ] {
        let series = format!(
            "progress_authorizer_refusals_total{{action=\"{action}\",reason=\"{reason}\"}}"
        );
        assert_eq!(value(&text, &series), count, "{series}");
    }
    assert!(!text.contains("\"t\""), "no label tells a task");
}

#[tokio::test]
async fn durations_of_answers_are_told_by_route() {
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(Named)
        .build();
    for task in ["a", "b", "c"] {
        get(&gateway, &format!("/tasks/{task}"), Some("u")).await;
    }
    let text = scrape(&gateway).await;
    let count = "progress_http_request_duration_seconds_count{route=\"/tasks/{task_id}\"}";
    assert_eq!(value(&text, count), 3.0);
    let all =
        "progress_http_request_duration_seconds_bucket{route=\"/tasks/{task_id}\",le=\"+Inf\"}";
    assert_eq!(value(&text, all), 3.0);
}
