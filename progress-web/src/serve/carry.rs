//! One connection, from its first request to its last.

use std::{
    convert::Infallible, error::Error, future::Future, net::SocketAddr, pin::pin, sync::Arc,
    time::Duration,
};

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use super::{
    connections::Connection,
    head::{Answer, Head},
    options::Options,
};

/// How much of the server is still to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Leaving {
    /// All of it.
    Not,
    /// Connections get one more answer, and none where they are idle.
    Soon,
    /// Only what is under way.
    Now,
}

/// How connections are carried; one clone for each.
#[derive(Debug, Clone)]
pub(super) struct Carrier {
    builder: http1::Builder,
    head_timeout: Duration,
    leaving: watch::Receiver<Leaving>,
}

impl Carrier {
    pub(super) fn new(options: &Options, leaving: watch::Receiver<Leaving>) -> Self {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(options.idle_timeout)
            .max_buf_size(options.head)
            .max_headers(options.headers);
        Self {
            builder,
            head_timeout: options.head_timeout,
            leaving,
        }
    }

    /// Answers what comes over a connection, until either side ends it or it is upgraded.
    pub(super) async fn carry<S, F, B>(
        self,
        connection: Connection,
        head: Arc<Head>,
        peer: SocketAddr,
        service: S,
    ) where
        S: Fn(Request<Incoming>) -> F,
        F: Future<Output = Response<B>>,
        B: http_body::Body + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let leaving = &self.leaving;
        let answer = service_fn(|mut request: Request<Incoming>| {
            let answering = head.on_request();
            request.extensions_mut().insert(peer);
            let response = service(request);
            async move {
                let mut response = response.await;
                // Not of an upgrade, whose connection is the client's for as long as it likes.
                let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                if *leaving.borrow() != Leaving::Not && !is_upgrade {
                    let headers = response.headers_mut();
                    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| Answer::new(body, answering)))
            }
        });
        let io = TokioIo::new(connection);
        let carried = self.builder.serve_connection(io, answer).with_upgrades();
        let mut carried = pin!(carried);
        let mut overdue = pin!(head.overdue(self.head_timeout));
        let mut ends = pin!(self.ends(&head));
        let mut is_ending = false;
        loop {
            tokio::select! {
                biased;
                result = carried.as_mut() => {
                    if let Err(error) = result {
                        // A client that goes away is no fault of the service.
                        tracing::debug!(%error, "a connection has failed");
                    }
                    return;
                }
                () = overdue.as_mut() => {
                    tracing::debug!("the head of a request took too long");
                    return;
                }
                () = ends.as_mut(), if !is_ending => {
                    is_ending = true;
                    carried.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// Waits until a connection is to end with what it is at: while clients are sent away, when it is
    /// idle; then in any case.
    async fn ends(&self, head: &Head) {
        let mut leaving = self.leaving.clone();
        // It fails with the server, which takes its connections along.
        drop(leaving.wait_for(|leaving| *leaving != Leaving::Not).await);
        let now = async {
            drop(leaving.wait_for(|leaving| *leaving == Leaving::Now).await);
        };
        tokio::select! {
            biased;
            () = now => {}
            () = head.idle() => {}
        }
    }
}
