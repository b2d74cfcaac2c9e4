//! A server that is served as an adapter serves it, and told to stop.

use std::{future::Future, io, ops::Deref};

use progress_core::ProgressTracker;
use progress_web::{Gateway, GatewayBuilder, Serve, Served};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{Adapter, Server, within};

/// Whose `serve` is tested.
pub trait Serves: Adapter {
    /// Serves the routes of a gateway until it is told to stop.
    fn until_stopped(
        listener: TcpListener,
        gateway: Gateway,
        serve: Serve,
    ) -> impl Future<Output = io::Result<Served>> + Send + 'static;
}

/// A server that can be told to stop.
pub struct Running<A> {
    server: Server<A>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<io::Result<Served>>,
}

impl<A: Serves> Running<A> {
    pub async fn over(
        tracker: ProgressTracker,
        build: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
        set: impl FnOnce(Serve) -> Serve,
    ) -> Self {
        let gateway = crate::server::gateway(&tracker, build);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serve = set(Serve::new(gateway.clone())).stop_on(async {
            let _stopped = stopped.await;
        });
        let served = tokio::spawn(A::until_stopped(listener, gateway.clone(), serve));
        Self {
            server: Server::at(address, tracker, gateway),
            stop: Some(stop),
            served,
        }
    }

    pub async fn start(set: impl FnOnce(Serve) -> Serve) -> Self {
        Self::over(ProgressTracker::new(), |gateway| gateway, set).await
    }

    pub fn stop(&mut self) {
        let stop = self.stop.take().expect("it is told once");
        stop.send(()).expect("it still runs");
    }

    /// What it says when it has come to its stop.
    pub async fn served(self) -> Served {
        let served = within("the server to stop", self.served).await;
        served.unwrap().unwrap()
    }
}

impl<A: Serves> Running<A> {
    /// Stops polling it.
    pub async fn dropped(self) -> Server<A> {
        self.served.abort();
        let ended = within("the future to be dropped", self.served).await;
        assert!(ended.unwrap_err().is_cancelled());
        self.server
    }
}

impl<A> Deref for Running<A> {
    type Target = Server<A>;

    fn deref(&self) -> &Server<A> {
        &self.server
    }
}
