//! A way to the hub that can be cut, while the hub goes on.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Hands on what comes, unless it is cut.
pub(crate) struct Relay {
    pub(crate) url: String,
    is_cut: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Relay {
    /// A way to the hub at a URL.
    pub(crate) async fn start(hub: &str) -> Self {
        let hub: SocketAddr = hub.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (is_cut, cut) = watch::channel(false);
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(hand_on(connection, hub, cut.clone()));
            }
        });
        Self {
            url,
            is_cut,
            running,
        }
    }

    /// Ends all connections, and each new one at once.
    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn hand_on(mut one: TcpStream, hub: SocketAddr, mut cut: watch::Receiver<bool>) {
    let copied = async {
        let mut other = TcpStream::connect(hub).await?;
        copy_bidirectional(&mut one, &mut other).await
    };
    tokio::select! {
        _cut = cut.wait_for(|is_cut| *is_cut) => {}
        _ended = copied => {}
    }
}
