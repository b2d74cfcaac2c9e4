//! What serving can be set to.

use std::{fmt, future::Future, time::Duration};

use super::stop::Stop;
use crate::{gateway::Gateway, sse::TCP_USER_TIMEOUT};

/// Serves routes over TCP until the process is told to stop, and then comes to a stop that clients
/// are told of. What an adapter's `serve` takes: a [`Gateway`] for the defaults, or this.
///
/// **While it serves** it speaks HTTP/1.1 with upgrades, sets what sockets need (`TCP_NODELAY`,
/// keepalive, on Linux `TCP_USER_TIMEOUT`), bounds how many connections there are, in all and of an
/// address, and how long and how large the head of a request may be, and puts the peer's
/// `SocketAddr` among the extensions of each request. Where the system has no more files or memory
/// it waits, up to 1 s at a time, and goes on.
///
/// **When it is told to stop**, by SIGTERM or Ctrl-C unless set otherwise, it
///
/// 1. has `/health` say `down`, and serves on for [`unready_for`](Self::unready_for);
/// 2. takes no new tasks and waits for those of this process, if
///    [`work_ends_in`](Self::work_ends_in) is set;
/// 3. sends the clients away, spread over [`drain`](Self::drain). Connections that are idle are
///    closed; it still takes others, and answers one request on each;
/// 4. closes the listener when the last client has gone, waits for the requests that are under way,
///    and for the transport to take what was published;
/// 5. cuts off what is left at the [`deadline`](Self::deadline), and is done.
///
/// Told a second time, it cuts off everything at once. So it takes no longer than `unready_for`,
/// `work_ends_in` and `deadline` together, and a second for the transport, whatever clients do.
#[must_use = "nothing is served until it is given to an adapter, or run"]
pub struct Serve {
    pub(super) gateway: Gateway,
    pub(super) options: Options,
    pub(super) stop: Stop,
}

#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) connections: usize,
    pub(super) connections_per_address: usize,
    pub(super) frozen_after: Duration,
    pub(super) head_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) head: usize,
    pub(super) headers: usize,
    pub(super) unready_for: Duration,
    pub(super) work_ends_in: Duration,
    pub(super) drain: Duration,
    pub(super) deadline: Duration,
}

impl Serve {
    /// With the defaults.
    pub fn new(gateway: Gateway) -> Self {
        let per_address = gateway.settings().limits.per_address();
        Self {
            gateway,
            options: Options {
                connections: 20_000,
                connections_per_address: per_address.saturating_mul(2),
                frozen_after: TCP_USER_TIMEOUT,
                head_timeout: Duration::from_secs(10),
                idle_timeout: Duration::from_secs(75),
                head: SMALLEST_HEAD * 8,
                headers: 100,
                unready_for: Duration::ZERO,
                work_ends_in: Duration::ZERO,
                drain: Duration::from_secs(6),
                deadline: Duration::from_secs(15),
            },
            stop: Stop::Signals,
        }
    }

    /// Sets how many TCP connections there can be at a time (default 20 000, twice what a gateway
    /// lets in): those that were upgraded, those that watch and those that are idle. One more is
    /// closed as soon as it is accepted. It gets no answer: an `EventSource` comes back after a
    /// connection that was closed, and never after an error.
    pub fn connections(mut self, connections: usize) -> Self {
        self.options.connections = connections;
        self
    }

    /// Sets how many TCP connections one address can have at a time (default twice what the gateway
    /// [lets in](crate::GatewayBuilder::sessions_per_address), 200), so that none takes the places
    /// of all. One more is closed as soon as it is accepted.
    ///
    /// The address is the peer's; of IPv6 its network of 64 bits. One of loopback, of a private
    /// network or link-local is not counted unless there are
    /// [trusted proxies](crate::GatewayBuilder::trusted_proxies); then all are but these.
    pub fn connections_per_address(mut self, connections: usize) -> Self {
        self.options.connections_per_address = connections;
        self
    }

    /// Sets how long a peer may acknowledge nothing, or have no room for more, before its connection
    /// is given up; on Linux (default [`TCP_USER_TIMEOUT`]).
    pub fn frozen_after(mut self, silence: Duration) -> Self {
        self.options.frozen_after = silence;
        self
    }

    /// Sets how long the head of a request may take, from its first byte or, of the first on a
    /// connection, from when that was accepted (default 10 s). A connection whose head takes longer
    /// is closed.
    pub fn head_timeout(mut self, patience: Duration) -> Self {
        self.options.head_timeout = patience.min(LONGEST);
        self
    }

    /// Sets how long a connection may be idle between two requests (default 75 s): longer than the
    /// proxy before it keeps one, or requests are lost that it sends while the connection is closed.
    pub fn idle_timeout(mut self, patience: Duration) -> Self {
        self.options.idle_timeout = patience.min(LONGEST);
        self
    }

    /// Sets how large the head of a request can be, in bytes (default 64 KiB, at least 8 KiB). A
    /// larger one is answered 431.
    pub fn head(mut self, bytes: usize) -> Self {
        self.options.head = bytes.max(SMALLEST_HEAD);
        self
    }

    /// Sets how many headers a request can have (default 100). One with more is answered 431.
    pub fn headers(mut self, headers: usize) -> Self {
        self.options.headers = headers;
        self
    }

    /// Sets for how long it serves on as if nothing were when it is told to stop, but for `/health`
    /// (default not at all): as long as balancers take to send clients elsewhere. Kubernetes wants
    /// some 5 s, for it tells the process and the balancers at the same time.
    pub fn unready_for(mut self, time: Duration) -> Self {
        self.options.unready_for = time.min(LONGEST);
        self
    }

    /// Sets how long it waits for the tasks of this process to end before it sends the clients away,
    /// and takes no new ones meanwhile; see [`ProgressTracker::drain`] (default not at all: tasks
    /// are the service's to end, and their watchers may as well be on another node).
    ///
    /// [`ProgressTracker::drain`]: progress_core::ProgressTracker::drain
    pub fn work_ends_in(mut self, time: Duration) -> Self {
        self.options.work_ends_in = time.min(LONGEST);
        self
    }

    /// Sets over how long the clients are spread that are [sent away](Gateway::drain) (default 6 s;
    /// no longer than to the deadline).
    pub fn drain(mut self, within: Duration) -> Self {
        self.options.drain = within;
        self
    }

    /// Sets how long after the drain began everything is cut off that is still open (default 15 s).
    pub fn deadline(mut self, after: Duration) -> Self {
        self.options.deadline = after.min(LONGEST);
        self
    }

    /// Sets what tells it to stop, in place of SIGTERM and Ctrl-C. There is no second time then: to
    /// stop at once, drop the future.
    pub fn stop_on(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop = Stop::Given(Box::pin(stop));
        self
    }
}

impl From<Gateway> for Serve {
    fn from(gateway: Gateway) -> Self {
        Self::new(gateway)
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("gateway", &self.gateway)
            .field("options", &self.options)
            .field("stop", &self.stop)
            .finish()
    }
}

/// The least that hyper can be told.
const SMALLEST_HEAD: usize = 8 * 1024;
/// As good as for ever, and a clock can still count to it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
