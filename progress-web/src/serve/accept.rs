//! Where connections come from.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};

use crate::time::millis;

/// A listener that goes on whatever happens.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    frozen_after: Duration,
    /// How long it waits after the next failure, and until when after the last.
    wait: Duration,
    until: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, frozen_after: Duration) -> Self {
        Self {
            listener,
            frozen_after,
            wait: SHORTEST_WAIT,
            until: None,
        }
    }

    /// Waits for the next connection. Dropping the future loses none.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Some(until) = self.until {
                sleep_until(until).await;
                self.until = None;
            }
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.wait = SHORTEST_WAIT;
                    if let Err(error) = self.prepare(&stream) {
                        // Of a peer that has gone already, or a system without the option.
                        tracing::debug!(%error, "a connection goes without its options");
                    }
                    return (stream, peer);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // No files or no memory: asked again at once, the system says the same.
                    let wait_ms = millis(self.wait);
                    tracing::warn!(%error, wait_ms, "no connection can be accepted");
                    self.until = Some(Instant::now() + self.wait);
                    self.wait = (self.wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        // A frame goes out at once, and does not wait for the one before to be acknowledged.
        stream.set_nodelay(true)?;
        let options = SockRef::from(stream);
        // Finds peers that are gone where nothing is sent, ...
        options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        // ... and where it is: those who acknowledge nothing, and those whose window stays closed.
        #[cfg(target_os = "linux")]
        options.set_tcp_user_timeout(Some(self.frozen_after))?;
        #[cfg(not(target_os = "linux"))]
        let _no_such_option = self.frozen_after;
        Ok(())
    }
}

/// Whether the failure is that of a connection which is gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

const KEEPALIVE: Duration = Duration::from_secs(30);
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_has_its_options() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(listener, Duration::from_secs(50));
        let (peer, (accepted, from)) = tokio::join!(TcpStream::connect(address), acceptor.accept());
        assert_eq!(from, peer.unwrap().local_addr().unwrap());
        let options = SockRef::from(&accepted);
        let user_timeout = options.tcp_user_timeout().unwrap();
        assert_eq!(user_timeout, Some(Duration::from_secs(50)));
        assert!(options.tcp_nodelay().unwrap());
        assert!(options.keepalive().unwrap());
        assert_eq!(options.tcp_keepalive_time().unwrap(), KEEPALIVE);
    }
}
