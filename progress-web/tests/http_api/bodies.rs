//! When the body of a request is read, and what one that does not come to its end is answered.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use progress_web::{Gateway, Open};

use crate::support::{builder, gateway, refusal};

/// Breaks off, and counts how often it was asked.
#[derive(Clone, Default)]
struct Broken(Arc<AtomicUsize>);

impl Broken {
    fn asked(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())))
    }
}

/// Status, code and field of what a request with a length is answered.
async fn post(
    gateway: &Gateway,
    path: &str,
    length: usize,
    body: &Broken,
) -> (u16, String, String) {
    let request = Request::post(path).header("content-length", length);
    let found = gateway.find(path).unwrap();
    let request = request.body(body.clone()).unwrap();
    let response = gateway.respond(found.path, &found.parameter, request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (status, code, field, _) = refusal(&Response::from_parts(parts, body));
    (status, code, field.as_str().unwrap_or_default().to_owned())
}

/// Every route whose body is read after the authorizer was asked.
const ROUTES: [&str; 4] = [
    "/tasks/t/events",
    "/tasks/t/cancel",
    "/channels/jobs/events",
    "/broadcast",
];

#[tokio::test]
async fn the_body_of_who_may_not_ask_is_not_read() {
    let gateway = builder().authorizer(Open::new()).build();
    for path in ROUTES {
        // Nor is it judged by its length.
        for length in [10, 100 * 1024 * 1024] {
            let body = Broken::default();
            let (status, code, _) = post(&gateway, path, length, &body).await;
            assert_eq!((status, &*code), (403, "FORBIDDEN"), "{path}");
            assert_eq!(body.asked(), 0, "{path}");
        }
    }
}

#[tokio::test]
async fn a_malformed_id_is_told_before_the_body_is_read() {
    let body = Broken::default();
    for (path, code) in [
        ("/tasks/a%20b/events", "INVALID_TASK_ID"),
        ("/tasks/a%20b/cancel", "INVALID_TASK_ID"),
        ("/channels/a%20b/events", "INVALID_CHANNEL"),
    ] {
        let (status, told, _) = post(&gateway(), path, 10, &body).await;
        assert_eq!((status, &*told), (400, code), "{path}");
    }
    assert_eq!(body.asked(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_as_such() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    for path in ROUTES.into_iter().chain(["/tasks"]) {
        let body = Broken::default();
        let told = post(&gateway, path, 10, &body).await;
        let invalid = (400, "INVALID_BODY".to_owned(), "body".to_owned());
        assert_eq!(told, invalid, "{path}");
        assert_eq!(body.asked(), 1, "{path}");
        let body = Broken::default();
        let (status, code, _) = post(&gateway, path, 9 * 1024 * 1024, &body).await;
        assert_eq!((status, &*code), (413, "PAYLOAD_TOO_LARGE"), "{path}");
        assert_eq!(body.asked(), 0, "{path}");
    }
}
