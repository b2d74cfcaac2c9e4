//! Sockets, and what carries the routes over them.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use axum::Router;
use progress_web::Gateway;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
    time::sleep,
};

use crate::{
    bench,
    settings::{Adapter, Settings},
};

/// Listens, with options that all accepted connections inherit, whichever adapter accepts them. They
/// are set first: also the first connection has them.
///
/// A frame goes out at once, and a peer that is gone is noticed, also where only the server sends:
/// what an event stream writes, a heartbeat at the least, has to be taken in time.
///
/// # Errors
///
/// What the system says if the address cannot be had, or does not know an option.
pub(crate) fn listen(address: SocketAddr, frozen_after: Duration) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    let options = SockRef::from(&socket);
    options.set_tcp_nodelay(true)?;
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(30)))?;
    // Counts for a peer that acknowledges nothing, and for one whose window stays closed.
    #[cfg(target_os = "linux")]
    options.set_tcp_user_timeout(Some(frozen_after))?;
    #[cfg(not(target_os = "linux"))]
    let _no_such_option = frozen_after;
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until it is to stop; then the clients are told to come back, and get 5 s to go.
///
/// # Errors
///
/// If the listener fails.
pub(crate) async fn run(
    listener: TcpListener,
    gateway: Gateway,
    settings: &Settings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let (told, is_told) = oneshot::channel::<()>();
    let leaving = gateway.clone();
    let leave = async move {
        stop.await;
        leaving.drain(COME_BACK_WITHIN);
        drop(told);
    };
    let too_long = async {
        let _told = is_told.await;
        sleep(CLIENTS_GO_IN).await;
    };
    let gone = async {
        serve(listener, gateway.clone(), settings, leave).await?;
        // WebSockets are no longer the server's to wait for.
        while gateway.sessions() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    tokio::select! {
        gone = gone => gone,
        () = too_long => Ok(()),
    }
}

async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    settings: &Settings,
    leave: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    match settings.adapter {
        Adapter::Axum => {
            let mut routes = Router::new();
            if settings.bench {
                routes = routes.merge(bench::routes(gateway.tracker().clone()));
            }
            let routes = routes.merge(progress_axum::router_with(gateway));
            // A router would be copied for every connection.
            let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, routes)
                .with_graceful_shutdown(leave)
                .await?;
        }
        Adapter::Warp => {
            let routes = progress_warp::routes_with(gateway);
            let server = warp::serve(routes).incoming(listener);
            server.graceful(leave).run().await;
        }
    }
    Ok(())
}

const CLIENTS_GO_IN: Duration = Duration::from_secs(5);
/// Over which the clients are spread that come back, to the next server if there is one.
const COME_BACK_WITHIN: Duration = Duration::from_secs(2);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_has_the_options_of_its_listener() {
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = listen(any, Duration::from_secs(50)).unwrap();
        let address = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (accepted, _) = accepted.unwrap();
        let options = SockRef::from(&accepted);
        assert_eq!(
            options.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(50))
        );
        assert!(options.tcp_nodelay().unwrap());
        assert!(options.keepalive().unwrap());
        assert_eq!(
            options.tcp_keepalive_time().unwrap(),
            Duration::from_secs(30)
        );
        drop(peer);
    }
}
