//! A server on a port of its own, and plain HTTP to it.

use std::{future::Future, marker::PhantomData, net::SocketAddr};

use progress_core::ProgressTracker;
use progress_web::{Gateway, GatewayBuilder, Open};
use reqwest::{
    Client, Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::{Sse, Ws};

/// Whose routes are tested.
pub trait Adapter {
    /// Serves the routes of a gateway, nested under a prefix such as `/api/v1` unless it is empty.
    fn serve(
        listener: TcpListener,
        gateway: Gateway,
        prefix: &'static str,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// A server on a port of its own.
pub struct Server<A> {
    pub tracker: ProgressTracker,
    pub gateway: Gateway,
    pub address: SocketAddr,
    client: Client,
    _adapter: PhantomData<A>,
}

/// What came back over plain HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl<A: Adapter> Server<A> {
    /// With named ids and listing allowed, and all else at its default.
    pub async fn start() -> Self {
        Self::with(|gateway| gateway).await
    }

    pub async fn with(build: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        Self::over(ProgressTracker::new(), build).await
    }

    pub async fn over(
        tracker: ProgressTracker,
        build: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Self {
        Self::under("", tracker, build).await
    }

    /// Nested under a prefix, which the gateway is told only by `build`.
    pub async fn under(
        prefix: &'static str,
        tracker: ProgressTracker,
        build: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Self {
        let gateway = gateway(&tracker, build);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(A::serve(listener, gateway.clone(), prefix));
        Self::at(address, tracker, gateway)
    }

    pub async fn ws(&self, path: &str) -> Ws {
        Ws::open(self.address, path).await
    }

    pub async fn sse(&self, path: &str) -> Sse {
        Sse::open(&self.client, &self.url(path), None).await
    }

    /// As an `EventSource` that comes back.
    pub async fn sse_after(&self, path: &str, last_event_id: &str) -> Sse {
        Sse::open(&self.client, &self.url(path), Some(last_event_id)).await
    }

    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    pub async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(method, path, headers, None).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_str(value).unwrap());
        }
        if let Some(body) = body {
            request = request.body(body.to_owned());
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

impl<A> Server<A> {
    /// One that is served already.
    pub(crate) fn at(address: SocketAddr, tracker: ProgressTracker, gateway: Gateway) -> Self {
        Self {
            tracker,
            gateway,
            address,
            client: Client::new(),
            _adapter: PhantomData,
        }
    }
}

/// With named ids and listing allowed, and what `build` makes of it.
pub(crate) fn gateway(
    tracker: &ProgressTracker,
    build: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
) -> Gateway {
    let open = Open::new().named_ids().listing();
    build(Gateway::builder(tracker.clone()).authorizer(open)).build()
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The error object of an answer that is one, after a look at its shape.
    pub fn error(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/json");
        let body = self.json();
        assert_eq!(crate::fields(&body), ["error"]);
        let error = &body["error"];
        assert_eq!(error["code"], code);
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(error["is_retryable"].is_boolean());
        for field in crate::fields(error) {
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
