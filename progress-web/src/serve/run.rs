//! From the first connection to the last.

use std::{error::Error, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{
    accept::Acceptor,
    carry::{Carrier, Leaving},
    connections::Connections,
    head::Head,
    options::{Options, Serve},
};
use crate::gateway::Gateway;

/// How a server has come to its stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Served {
    /// How many clients were sent away.
    pub clients: usize,
    /// How many connections were cut off: none, unless the deadline had come or it was told twice.
    pub cut: usize,
    /// How many connections were closed as one too many, all the time.
    pub refused: u64,
    /// Whether the broker has had all that was published here; always without a transport.
    pub flushed: bool,
}

impl Serve {
    /// Serves until it is told to stop; see [`Serve`]. It is what adapters build their `serve` on:
    /// `service` answers requests, whose extensions hold what hyper left there and the peer's
    /// `SocketAddr`.
    ///
    /// It is to be awaited within a tokio runtime with I/O and time. The handlers of its signals
    /// stay: a process that goes on afterwards is no longer ended by them.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot listen to signals. Whatever happens later does not end it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener and cuts off every connection.
    pub async fn run<S, F, B>(self, listener: TcpListener, service: S) -> io::Result<Served>
    where
        S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self {
            gateway,
            options,
            stop,
        } = self;
        let mut stop = stop.listen()?;
        let mut acceptor = Acceptor::new(listener, options.frozen_after);
        let mut server = Server::new(gateway, options, service);
        server.accept_until(&mut acceptor, stop.told()).await;
        tokio::select! {
            biased;
            () = stop.told() => {}
            () = server.leave(acceptor) => {}
        }
        server.cut();
        Ok(server.served)
    }
}

struct Server<S> {
    gateway: Gateway,
    options: Options,
    service: S,
    connections: Arc<Connections>,
    carrier: Carrier,
    leaving: watch::Sender<Leaving>,
    tasks: JoinSet<()>,
    served: Served,
    warned: Option<Instant>,
}

impl<S, F, B> Server<S>
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Takes connections until the future is ready.
    async fn accept_until<T>(
        &mut self,
        acceptor: &mut Acceptor,
        end: impl Future<Output = T>,
    ) -> T {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                biased;
                ended = end.as_mut() => return ended,
                // So that what is over takes no room; a panic has been told by its hook.
                Some(_) = self.tasks.join_next() => {}
                (stream, peer) = acceptor.accept() => self.take(stream, peer),
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let head = Arc::new(Head::first());
        let Some(connection) = self.connections.admit(stream, Arc::clone(&head)) else {
            return self.refused();
        };
        let (carrier, service) = (self.carrier.clone(), self.service.clone());
        self.tasks
            .spawn(carrier.carry(connection, head, peer, service));
    }

    /// Comes to a stop.
    async fn leave(&mut self, mut acceptor: Acceptor) {
        let gateway = self.gateway.clone();
        gateway.withdraw();
        let unready = sleep(self.options.unready_for);
        self.accept_until(&mut acceptor, unready).await;
        if !self.options.work_ends_in.is_zero() {
            let work = gateway.tracker().drain(self.options.work_ends_in);
            self.accept_until(&mut acceptor, work).await;
        }
        let deadline = Instant::now() + self.options.deadline;
        let within = self.options.drain.min(self.options.deadline);
        self.served.clients = gateway.drain(within);
        self.leaving.send_replace(Leaving::Soon);
        let drained = timeout_at(deadline, gateway.drained());
        // Up to the deadline there may be some left: it is over for them too.
        let _in_time = self.accept_until(&mut acceptor, drained).await;
        drop(acceptor);
        self.leaving.send_replace(Leaving::Now);
        // While requests are answered, for there may be much to tell.
        let flushed = gateway.tracker().flush(deadline);
        let gone = timeout_at(deadline, self.connections.emptied());
        let _in_time = join(flushed, gone).await;
        self.cut();
        // The last requests may have published.
        let deadline = deadline.max(Instant::now() + LAST_WORDS);
        let flushed = gateway.tracker().flush(deadline).await;
        if let Err(error) = &flushed {
            tracing::warn!(%error, "the broker has not had all that was published");
        }
        self.served.flushed = flushed.is_ok();
    }
}

impl<S> Server<S> {
    fn new(gateway: Gateway, options: Options, service: S) -> Self {
        let (leaving, is_leaving) = watch::channel(Leaving::Not);
        Self {
            gateway,
            connections: Arc::new(Connections::new(options.connections)),
            carrier: Carrier::new(&options, is_leaving),
            options,
            service,
            leaving,
            tasks: JoinSet::new(),
            served: Served::default(),
            warned: None,
        }
    }

    fn refused(&mut self) {
        self.served.refused += 1;
        self.gateway.counts().limited("tcp_connections");
        let now = Instant::now();
        if self.warned.is_none_or(|warned| now >= warned + WARNS_EVERY) {
            self.warned = Some(now);
            let limit = self.options.connections;
            tracing::warn!(limit, "there are as many connections as there can be");
        }
    }

    /// Ends everything that is still under way.
    fn cut(&mut self) {
        self.served.cut += self.connections.cut();
        self.tasks.abort_all();
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.cut();
    }
}

/// For what is published in the last moment.
const LAST_WORDS: Duration = Duration::from_secs(1);
const WARNS_EVERY: Duration = Duration::from_secs(1);
