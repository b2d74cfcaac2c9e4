//! The WebSocket, whatever the framework: [`handshake()`] checks the request and answers 101,
//! [`driver`] carries a session over the connection once it is upgraded.

mod driver;
mod handshake;
mod outgoing;
mod wire;

use std::{
    fmt,
    future::{Future, poll_fn},
};

use bytes::Bytes;
use http::{Response, request::Parts};
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::handshake::{is_upgrade, upgrade_required};
use self::{driver::Driver, handshake::Handshake};
use crate::{body::Body, gateway::Gateway, session::Session};

/// A WebSocket whose handshake is answered: what is to be [served](Self::serve) once the connection
/// is upgraded. Dropped before, it opens nothing.
#[must_use = "nothing is carried until it is served"]
pub struct WebSocket {
    // Boxed, so that the tasks that wait for the upgrade and serve it stay small.
    driver: Box<Driver>,
}

impl WebSocket {
    fn new(gateway: &Gateway, session: Session) -> Self {
        let driver = Driver::new(session, gateway.stuck_after(), gateway.largest_message());
        Self {
            driver: Box::new(driver),
        }
    }

    /// Carries frames out and what the client says in, until either side closes. `io` is the
    /// upgraded connection, in the runtime of the caller's task.
    ///
    /// All frames that are ready go out in one write, to 64 KiB at a time. While the connection
    /// takes nothing, nothing is read from the logs for it, and where it has taken no byte for
    /// [`stuck_after`](crate::GatewayBuilder::stuck_after) it is given up. Whether small writes go
    /// out at once is the server's affair: set `TCP_NODELAY` on what it accepts.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future breaks the connection off; the client comes back with its position.
    pub fn serve<T>(mut self, mut io: T) -> impl Future<Output = ()> + use<T>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        poll_fn(move |cx| self.driver.poll(&mut io, cx))
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}

/// Answers `GET /ws/progress/{task_id}`.
pub(crate) async fn one(gateway: &Gateway, request: &Parts, task: &str) -> Response<Body> {
    match handshake(gateway, request) {
        Ok(handshake) => {
            let session = gateway.web_socket(request, task).await;
            handshake.accept(WebSocket::new(gateway, session))
        }
        Err(refused) => refused.map(Body::from),
    }
}

/// Answers `GET /ws`.
pub(crate) async fn many(gateway: &Gateway, request: &Parts) -> Response<Body> {
    match handshake(gateway, request) {
        Ok(handshake) => {
            let session = gateway.web_sockets(request).await;
            handshake.accept(WebSocket::new(gateway, session))
        }
        Err(refused) => refused.map(Body::from),
    }
}

/// A handshake that is one, of a page that may.
fn handshake(gateway: &Gateway, request: &Parts) -> Result<Handshake, Box<Response<Bytes>>> {
    let handshake = Handshake::of(request)?;
    // A page of elsewhere gets no connection that it could learn anything from.
    let origin = gateway.settings().ladder.origins.check(request);
    origin.map_err(|error| {
        gateway.counts().connection_refused(error.code());
        Box::new(error.to_response())
    })?;
    Ok(handshake)
}
