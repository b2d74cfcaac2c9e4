//! A server on a port of its own, and plain HTTP to it.

use std::net::SocketAddr;

use axum::Router;
use progress_axum::{Gateway, Open, ProgressTracker, router_with};
use progress_web::GatewayBuilder;
use reqwest::{
    Client, Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::{Sse, Ws};

pub(crate) struct Server {
    pub(crate) tracker: ProgressTracker,
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    client: Client,
}

/// What came back over plain HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Server {
    /// With named ids and listing allowed, and all else at its default.
    pub(crate) async fn start() -> Self {
        Self::with(|gateway| gateway).await
    }

    pub(crate) async fn with(build: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        Self::over(ProgressTracker::new(), build).await
    }

    pub(crate) async fn over(
        tracker: ProgressTracker,
        build: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Self {
        Self::routed(tracker, build, router_with).await
    }

    pub(crate) async fn routed(
        tracker: ProgressTracker,
        build: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
        route: impl FnOnce(Gateway) -> Router,
    ) -> Self {
        let open = Open::new().named_ids().listing();
        let gateway = build(Gateway::builder(tracker.clone()).authorizer(open)).build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = route(gateway.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            tracker,
            gateway,
            address,
            client: Client::new(),
        }
    }

    pub(crate) async fn ws(&self, path: &str) -> Ws {
        Ws::open(self.address, path).await
    }

    pub(crate) async fn sse(&self, path: &str) -> Sse {
        Sse::open(&self.client, &self.url(path), None).await
    }

    /// As an `EventSource` that comes back.
    pub(crate) async fn sse_after(&self, path: &str, last_event_id: &str) -> Sse {
        Sse::open(&self.client, &self.url(path), Some(last_event_id)).await
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_str(value).unwrap());
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The error object of an answer that is one, after a look at its shape.
    pub(crate) fn error(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/json");
        let body = self.json();
        assert_eq!(super::fields(&body), ["error"]);
        let error = &body["error"];
        assert_eq!(error["code"], code);
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(error["is_retryable"].is_boolean());
        for field in super::fields(error) {
            assert!(
                ERROR_OBJECT.contains(&field),
                "{field} is none of its fields"
            );
        }
        error.clone()
    }
}

/// Every field that an error object can have.
const ERROR_OBJECT: [&str; 11] = [
    "code",
    "message",
    "is_retryable",
    "stage",
    "retry_count",
    "max_retries",
    "retry_after_ms",
    "details",
    "solutions",
    "trace_id",
    "timestamp",
];
