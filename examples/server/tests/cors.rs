//! A service whose pages are of another origin, as `docs/security.md` shows it.

use std::{error::Error, time::Duration};

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, header},
};
use progress_axum::{Gateway, Open, ProgressTracker, router_with};
use tokio::net::TcpListener;
use tower_http::cors::CorsLayer;

const APP: &str = "https://app.example.org";

fn app(tracker: ProgressTracker) -> Result<Router, Box<dyn Error>> {
    let gateway = Gateway::builder(tracker)
        .authorizer(Open::new())
        .origin(APP.parse()?)
        .build();
    let cors = CorsLayer::new()
        .allow_origin([HeaderValue::from_static(APP)])
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER])
        .allow_credentials(true)
        .max_age(Duration::from_secs(3_600));
    Ok(router_with(gateway).layer(cors))
}

#[tokio::test]
async fn pages_of_the_app_may_read_and_others_may_not() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("5f0c6d5e-3a44-4c5b-9f7e-1d2c3b4a5968");
    let task = task.start().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let url = format!("http://{at}/tasks/{}", task.id());
    let app = app(tracker).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let http = reqwest::Client::new();
    for (origin, allowed) in [(APP, Some(APP)), ("https://evil.example", None)] {
        // As a browser asks whether the page may.
        let ask = http.request(Method::OPTIONS, &url);
        let ask = ask
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header(
                "access-control-request-headers",
                "authorization,last-event-id",
            );
        let answers = [ask, http.get(&url).header("origin", origin)];
        for answer in answers {
            let answer = answer.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let said = answer.headers().get("access-control-allow-origin");
            assert_eq!(said.map(|said| said.to_str().unwrap()), allowed);
        }
    }
}
