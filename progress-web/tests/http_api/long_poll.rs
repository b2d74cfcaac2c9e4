//! `GET /tasks/{task_id}?wait=` on a clock that stands still unless it is waited for.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::future::join;
use http::{Method, Response, header};
use progress_web::Gateway;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{builder, gateway, get, refusal, request, told};

/// Asks, and tells how long the answer took.
async fn ask(gateway: &Gateway, path: &str, known: Option<&str>) -> (Response<Bytes>, Duration) {
    let headers: Vec<_> = known
        .map(|tag| ("if-none-match", tag))
        .into_iter()
        .collect();
    let began = Instant::now();
    let response = gateway
        .task(&request(Method::GET, path, &headers), "t")
        .await;
    (response, began.elapsed())
}

async fn tag(gateway: &Gateway) -> String {
    let response = gateway.task(&get("/"), "t").await;
    response.headers()[header::ETAG]
        .to_str()
        .unwrap()
        .to_owned()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn it_is_held_until_the_next_event() {
    let gateway = gateway();
    let task = gateway.tracker().task("t").start().unwrap();
    let known = tag(&gateway).await;
    for known in [None, Some(&*known)] {
        let head = gateway.tracker().snapshot("t").await.unwrap().seq.get();
        let later = async {
            sleep(3 * SECOND).await;
            task.emit(Note).unwrap();
        };
        let ((response, took), ()) = join(ask(&gateway, "/?wait=25s", known), later).await;
        let (status, body) = told(&response);
        if known.is_none() {
            assert_eq!(took, 3 * SECOND);
            assert_eq!(body["seq"], head + 1);
        } else {
            // What it knew was over already.
            assert_eq!(took, Duration::ZERO);
        }
        assert_eq!(status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_knows_the_present_waits_for_another() {
    let gateway = gateway();
    let task = gateway.tracker().task("t").start().unwrap();
    let known = tag(&gateway).await;
    let later = async {
        sleep(3 * SECOND).await;
        task.emit(Note).unwrap();
    };
    let ((response, took), ()) = join(ask(&gateway, "/?wait=25s", Some(&known)), later).await;
    assert_eq!((response.status().as_u16(), took), (200, 3 * SECOND));
    assert_eq!(
        response.headers()[header::ETAG].to_str().unwrap(),
        tag(&gateway).await
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_up_it_is_told_how_things_stand() {
    let gateway = gateway();
    let _task = gateway.tracker().task("t").start().unwrap();
    let known = tag(&gateway).await;
    for (path, time) in [
        ("/?wait=25s", 25 * SECOND),
        ("/?wait=25", 25 * SECOND),
        ("/?wait=500ms", SECOND / 2),
        ("/?wait=0", Duration::ZERO),
        ("/?wait=3600s", 60 * SECOND),
        ("/?wait=18446744073709551615s", 60 * SECOND),
    ] {
        let (response, took) = ask(&gateway, path, Some(&known)).await;
        assert_eq!(response.status(), 304, "{path}");
        assert!(response.body().is_empty());
        assert!(
            took >= time && took < time + Duration::from_millis(2),
            "{path} {took:?}"
        );
        let (response, _) = ask(&gateway, path, None).await;
        assert_eq!(told(&response).1["state"], "running", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ended_task_is_answered_at_once() {
    let gateway = gateway();
    let task = gateway.tracker().task("t").start().unwrap();
    task.complete(()).unwrap();
    let known = tag(&gateway).await;
    for (known, status) in [(None, 200), (Some(&*known), 304)] {
        let (response, took) = ask(&gateway, "/?wait=25s", known).await;
        assert_eq!((response.status().as_u16(), took), (status, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_ends_the_wait() {
    let gateway = gateway();
    let task = gateway.tracker().task("t").start().unwrap();
    let known = tag(&gateway).await;
    let later = async {
        sleep(SECOND).await;
        task.complete(()).unwrap();
    };
    let ((response, took), ()) = join(ask(&gateway, "/?wait=25s", Some(&known)), later).await;
    assert_eq!(took, SECOND);
    assert_eq!(told(&response).1["state"], "completed");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_task_is_waited_for() {
    let gateway = gateway();
    let (response, took) = ask(&gateway, "/?wait=25s", None).await;
    let (status, code, ..) = refusal(&response);
    assert_eq!((status, &*code), (404, "TASK_NOT_FOUND"));
    assert_eq!(took.as_secs(), 25);
    let later = async {
        sleep(SECOND).await;
        gateway.tracker().task("t").start().unwrap()
    };
    let ((response, took), _task) = join(ask(&gateway, "/?wait=25s", None), later).await;
    assert_eq!((response.status().as_u16(), took), (200, SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_frees_what_it_waits_with() {
    let gateway = builder().sessions(1).build();
    let task = gateway.tracker().task("t").start().unwrap();
    {
        let mut held = pin!(ask(&gateway, "/?wait=25s", None));
        assert!(futures_util::poll!(held.as_mut()).is_pending());
        assert_eq!(gateway.tracker().stats().subscriptions, 1);
        assert_eq!(gateway.sessions(), 1);
        // It is a connection, and there can be one.
        let (status, code, ..) = refusal(&ask(&gateway, "/?wait=1s", None).await.0);
        assert_eq!((status, &*code), (503, "CONNECTION_LIMIT"));
        assert!(futures_util::poll!(held.as_mut()).is_pending());
    }
    assert_eq!(gateway.tracker().stats().subscriptions, 0);
    assert_eq!(gateway.sessions(), 0);
    drop(task);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_none_is_refused() {
    let gateway = gateway();
    let _task = gateway.tracker().task("t").start().unwrap();
    for bad in ["soon", "-1", "%2B5", "1m", "s", "1.5s", "5%20s"] {
        let (response, _) = ask(&gateway, &format!("/?wait={bad}"), None).await;
        let (status, code, field, _) = refusal(&response);
        assert_eq!(
            (status, &*code, field),
            (400, "INVALID_QUERY", json!("wait")),
            "{bad}"
        );
    }
    let (response, took) = ask(&gateway, "/?wait=", None).await;
    assert_eq!((response.status().as_u16(), took), (200, Duration::ZERO));
}

#[derive(serde::Serialize)]
struct Note;

impl progress_core::EventPayload for Note {
    const EVENT_TYPE: &'static str = "note";
}
