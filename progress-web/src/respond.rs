//! From a request to its answer.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use tokio::time::Instant;

use crate::{
    access,
    body::{Body, RequestBody},
    error::{ApiError, Code},
    gateway::Gateway,
    http_api::is_described,
    routes::{Endpoint, Path},
    socket,
    sse::EventStream,
    trace::TraceId,
};

impl Gateway {
    /// Answers a request to a path of the protocol. `parameter` is what stands for the path's
    /// parameter, decoded, be it an id or not; empty where the path has none.
    ///
    /// The limits of its client come first; it is known by the peer's address, a `SocketAddr` among
    /// the request's extensions. Whatever is wrong with the request is said in the answer, a method
    /// that the path does not take included; `HEAD` is answered as `GET` without its body. A body is read once it is known
    /// that its sender may ask, to [`body`](crate::GatewayBuilder::body) bytes.
    ///
    /// An answer with status 101 opens a WebSocket: [take](Body::take_web_socket) it out of the
    /// body, and [serve](crate::WebSocket::serve) it once the connection is upgraded. Where that
    /// cannot be, the answer is [`upgrade_required`](Self::upgrade_required) instead.
    ///
    /// The trace that the request's `traceparent` names is the `trace_id` of every error in the
    /// answer, of what is rejected on a connection that it opens, of a task that it makes and of
    /// `error` events that it publishes. The answer is counted, and told by an event of `tracing` of
    /// target `progress::access`: what went well at DEBUG, 4xx at INFO, 5xx at WARN. It never has the
    /// request's query, nor a path that is not known.
    ///
    /// ```
    /// use http::Request;
    /// use progress_web::Gateway;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let tracker = progress_core::ProgressTracker::new();
    /// let gateway = Gateway::new(tracker);
    /// let request = Request::get("/health").body(String::new()).unwrap();
    /// let found = gateway.find(request.uri().path()).expect("a path of the protocol");
    /// let response = gateway.respond(found.path, &found.parameter, request).await;
    /// assert_eq!(response.status(), 200);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As of what is asked for: reading loses nothing, and what is dropped opens nothing.
    pub async fn respond<B>(
        &self,
        path: Path,
        parameter: &str,
        request: Request<B>,
    ) -> Response<Body>
    where
        B: http_body::Body + Send + 'static,
        B::Error: fmt::Display,
    {
        let (mut request, body) = request.into_parts();
        let trace = TraceId::of(&request.headers);
        let answer = async {
            let began = Instant::now();
            let admitted = self.admit(path, &mut request);
            let response = match admitted.map(|()| path.endpoint(&mut request)) {
                Err(refused) => refused.to_response().map(Body::from),
                Ok(None) => {
                    let mut response = self.method_not_allowed();
                    response.headers_mut().insert(header::ALLOW, allow(path));
                    response.map(Body::from)
                }
                Ok(Some(endpoint)) => {
                    self.settings().ladder.prepare(&mut request);
                    let body = RequestBody::new(body);
                    let response = self.answer(endpoint, &request, parameter, body).await;
                    debug_assert!(
                        is_described(endpoint, &response),
                        "{endpoint:?} is not described as answering {} {:?}",
                        response.status(),
                        response.extensions().get::<Code>()
                    );
                    response
                }
            };
            let (status, took) = (response.status(), began.elapsed());
            let client = self.client_address(&request);
            access::answered(path.as_str(), &request, client, status, took);
            self.counts()
                .answered(path.as_str(), &request.method, status, took);
            response
        };
        let response = access::answering(trace, answer).await;
        if request.method == Method::HEAD {
            return without_body(response);
        }
        response
    }

    /// Answers a path that is no route of the protocol, for a service's own fallback.
    #[must_use]
    pub fn not_found(&self) -> Response<Bytes> {
        ApiError::new(Code::NotFound, "there is nothing here").to_response()
    }

    /// Answers a method that a route of the service's own does not take.
    #[must_use]
    pub fn method_not_allowed(&self) -> Response<Bytes> {
        ApiError::new(
            Code::MethodNotAllowed,
            "this route does not take that method",
        )
        .to_response()
    }

    /// Answers a WebSocket's handshake where the connection cannot be upgraded: 426.
    #[must_use]
    pub fn upgrade_required(&self) -> Response<Bytes> {
        socket::upgrade_required(http::Version::HTTP_11)
    }

    /// Dispatches: an endpoint of the table is an arm here.
    async fn answer(
        &self,
        endpoint: Endpoint,
        request: &Parts,
        parameter: &str,
        body: RequestBody,
    ) -> Response<Body> {
        match endpoint {
            Endpoint::WebSocket => socket::one(self, request, parameter).await,
            Endpoint::WebSockets => socket::many(self, request).await,
            Endpoint::EventStream => self.streams(self.event_stream(request, parameter).await),
            Endpoint::EventStreams => self.streams(self.event_streams(request).await),
            Endpoint::Tasks => self.tasks(request).await.map(Body::from),
            Endpoint::CreateTask => self.create_task(request, body).await.map(Body::from),
            Endpoint::Task => self.task(request, parameter).await.map(Body::from),
            Endpoint::DeleteTask => self.delete_task(request, parameter).await.map(Body::from),
            Endpoint::History => self.history(request, parameter).await.map(Body::from),
            Endpoint::Publish => self.publish(request, parameter, body).await.map(Body::from),
            Endpoint::Cancel => {
                let answer = self.cancel_task(request, parameter, body).await;
                answer.map(Body::from)
            }
            Endpoint::PublishToChannel => {
                let answer = self.publish_to_channel(request, parameter, body).await;
                answer.map(Body::from)
            }
            Endpoint::Ticket => self.issue_ticket(request, body).await.map(Body::from),
            Endpoint::Clients => self.clients(request).await.map(Body::from),
            Endpoint::Disconnect => self.disconnect(request, parameter).await.map(Body::from),
            Endpoint::Broadcast => self.broadcast(request, body).await.map(Body::from),
            Endpoint::Health => self.health().map(Body::from),
            Endpoint::Live => self.health_live().map(Body::from),
            Endpoint::Ready => self.health_ready().map(Body::from),
            Endpoint::Metrics => self.metrics(request).await.map(Body::from),
            Endpoint::OpenApi => self.openapi().map(Body::from),
            Endpoint::Dashboard => self.dashboard(request).map(Body::from),
            Endpoint::DashboardFile => self.dashboard_file(request, parameter).map(Body::from),
        }
    }

    fn streams(&self, opened: Result<Response<EventStream>, Response<Bytes>>) -> Response<Body> {
        match opened {
            Ok(response) => response.map(Body::from),
            Err(response) => {
                match response.status() {
                    StatusCode::UNAUTHORIZED => {
                        self.counts().connection_refused(Code::Unauthenticated);
                    }
                    StatusCode::FORBIDDEN => self.counts().connection_refused(Code::Forbidden),
                    // Others are counted where they come from, or say nothing of who asks.
                    _ => {}
                }
                response.map(Body::from)
            }
        }
    }
}

fn allow(path: Path) -> HeaderValue {
    HeaderValue::try_from(path.allow()).expect("methods are fit for a header")
}

/// The answer to `HEAD`: it tells the length of what it does not hold, if it has one.
fn without_body(response: Response<Body>) -> Response<Body> {
    let exact = http_body::Body::size_hint(response.body()).exact();
    let mut response = response.map(|_| Body::empty());
    if let Some(length) = exact.filter(|_| !response.status().is_informational()) {
        let length = HeaderValue::from(length);
        response
            .headers_mut()
            .entry(header::CONTENT_LENGTH)
            .or_insert(length);
    }
    response
}
