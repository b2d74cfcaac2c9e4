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
    connections::{Connections, Full},
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
        let key = self.gateway.limits().peer_key(peer);
        let connection = match self.connections.admit(stream, key, Arc::clone(&head)) {
            Ok(connection) => connection,
            Err(full) => return self.refused(full, peer),
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
            connections: Arc::new(Connections::new(
                options.connections,
                options.connections_per_address,
            )),
            carrier: Carrier::new(&options, is_leaving),
            options,
            service,
            leaving,
            tasks: JoinSet::new(),
            served: Served::default(),
            warned: None,
        }
    }

    fn refused(&mut self, full: Full, peer: SocketAddr) {
        self.served.refused += 1;
        if full == Full::Address {
            self.gateway.counts().limited("tcp_connections_of_address");
            return tracing::debug!(%peer, "a peer has as many connections as it can have");
        }
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

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use progress_core::ProgressTracker;
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::{ForwardedHeader, GatewayBuilder};

    const PUBLIC: &str = "203.0.113.7:40000";

    type Answer = fn(Request<Incoming>) -> Ready<Response<String>>;

    /// A server whose connections come from wherever the test says.
    struct Pretending {
        listener: TcpListener,
        server: Server<Answer>,
    }

    impl Pretending {
        async fn start(set: impl FnOnce(Serve) -> Serve, gateway: GatewayBuilder) -> Self {
            let serve = set(Serve::new(gateway.build()));
            let answer: Answer = |_| ready(Response::new(String::new()));
            Self {
                listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
                server: Server::new(serve.gateway, serve.options, answer),
            }
        }

        /// The client's end of a connection, unless that is closed as one too many.
        async fn connect(&mut self, peer: &str) -> Option<TcpStream> {
            let address = self.listener.local_addr().unwrap();
            let (client, accepted) =
                tokio::join!(TcpStream::connect(address), self.listener.accept());
            let refused = self.server.served.refused;
            self.server.take(accepted.unwrap().0, peer.parse().unwrap());
            let mut client = client.unwrap();
            if self.server.served.refused == refused {
                return Some(client);
            }
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "it is closed");
            None
        }

        /// Those that are let in of so many.
        async fn let_in(&mut self, peer: &str, of: usize) -> Vec<TcpStream> {
            let mut open = Vec::new();
            for _ in 0..of {
                open.extend(self.connect(peer).await);
            }
            open
        }
    }

    fn builder() -> GatewayBuilder {
        Gateway::builder(ProgressTracker::new())
    }

    #[tokio::test]
    async fn one_address_has_so_many_connections_and_others_have_theirs() {
        let mut server =
            Pretending::start(|serve| serve.connections_per_address(3), builder()).await;
        let mut open = server.let_in(PUBLIC, 5).await;
        assert_eq!((open.len(), server.server.served.refused), (3, 2));
        let counted = |server: &Pretending| {
            let gateway = &server.server.gateway;
            let text = gateway.counts().render(gateway.tracker());
            text.contains(r#"{limit="tcp_connections_of_address"} 2"#)
        };
        assert!(counted(&server));
        // Another port, or another address of the same network, is the same client.
        assert!(server.connect("203.0.113.7:1").await.is_none());
        assert!(server.connect("[::ffff:203.0.113.7]:1").await.is_none());
        assert_eq!(server.let_in("[2001:db8::1]:1", 3).await.len(), 3);
        assert!(server.connect("203.0.113.8:1").await.is_some());
        // What may be a proxy that nobody told of.
        for private in ["127.0.0.1:1", "10.0.0.2:1", "[fd00::1]:1"] {
            assert_eq!(server.let_in(private, 5).await.len(), 5, "{private}");
        }
        open.pop();
        let room = async {
            while server.connect(PUBLIC).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), room)
            .await
            .expect("room, once one has gone");
    }

    #[tokio::test]
    async fn an_address_has_twice_the_connections_that_the_gateway_lets_in() {
        let gateway = builder().sessions_per_address(2);
        let mut server = Pretending::start(|serve| serve, gateway).await;
        assert_eq!(server.let_in(PUBLIC, 6).await.len(), 4);
    }

    #[tokio::test]
    async fn a_trusted_proxy_has_as_many_as_it_needs_and_who_comes_past_it_has_not() {
        let networks = ["10.0.0.0/8".parse().unwrap()];
        let gateway = builder().trusted_proxies(networks, ForwardedHeader::XForwardedFor);
        let mut server = Pretending::start(|serve| serve.connections_per_address(2), gateway).await;
        assert_eq!(server.let_in("10.0.0.2:1", 5).await.len(), 5);
        for direct in [PUBLIC, "192.168.0.7:1"] {
            assert_eq!(server.let_in(direct, 5).await.len(), 2, "{direct}");
        }
    }

    #[tokio::test]
    async fn what_was_cut_off_counts_no_longer() {
        let mut server =
            Pretending::start(|serve| serve.connections_per_address(2), builder()).await;
        for _ in 0..3 {
            let open = server.let_in(PUBLIC, 3).await;
            assert_eq!(open.len(), 2);
            assert_eq!(server.server.connections.cut(), 2);
        }
    }
}
