//! One connection, of one sort or another.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
    sync::{Barrier, watch},
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    Message, client::IntoClientRequest as _, protocol::WebSocketConfig,
};

use super::follow::Follower;

#[derive(Debug, Clone, Copy)]
pub(super) enum Wire {
    WebSocket,
    EventStream,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Reads everything.
    Healthy,
    /// Connects, with little room for what comes, and never reads.
    Stuck,
    /// Goes away and comes back with its position.
    Restless,
    /// Says what nobody understands.
    Garbage,
}

pub(super) struct Client {
    host: String,
    wire: Wire,
    task: String,
    chance: fastrand::Rng,
}

impl Client {
    pub(super) fn new(url: &str, wire: Wire, task: &str, seed: u64) -> Self {
        Self {
            host: url.strip_prefix("http://").unwrap().to_owned(),
            wire,
            task: task.to_owned(),
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    /// Runs to its end; what it has seen, which is nothing if it does not read.
    pub(super) async fn run(
        mut self,
        kind: Kind,
        ready: Arc<Barrier>,
        mut over: watch::Receiver<bool>,
    ) -> Follower {
        let mut follower = Follower::default();
        match kind {
            Kind::Healthy => {
                self.follow(&mut follower, None, Some(ready)).await;
                assert!(follower.ended, "it was cut off: {follower:?}");
                return follower;
            }
            Kind::Restless => {
                ready.wait().await;
                while !follower.ended {
                    let stay = Duration::from_millis(self.chance.u64(50..3_000));
                    self.follow(&mut follower, Some(stay), None).await;
                }
                return follower;
            }
            Kind::Stuck => {
                let stuck = self.stuck().await;
                ready.wait().await;
                drop(over.wait_for(|over| *over).await);
                drop(stuck);
            }
            Kind::Garbage => {
                ready.wait().await;
                while !*over.borrow_and_update() {
                    self.garbage().await;
                    let pause = Duration::from_millis(self.chance.u64(100..1_000));
                    drop(timeout(pause, over.changed()).await);
                }
            }
        }
        follower
    }

    /// Reads until the end, or for so long.
    async fn follow(
        &mut self,
        follower: &mut Follower,
        stay: Option<Duration>,
        ready: Option<Arc<Barrier>>,
    ) {
        let reading = async {
            match self.wire {
                Wire::WebSocket => self.read_socket(follower, ready).await,
                Wire::EventStream => self.read_stream(follower, ready).await,
            }
        };
        match stay {
            None => reading.await,
            Some(stay) => tokio::select! {
                () = reading => {}
                () = sleep(stay) => {}
            },
        }
    }

    async fn read_socket(&self, follower: &mut Follower, ready: Option<Arc<Barrier>>) {
        let after = follower.position.as_ref().map(|at| format!("?after={at}"));
        let after = after.unwrap_or_default();
        let url = format!("ws://{}/ws/progress/{}{after}", self.host, self.task);
        let stream = TcpStream::connect(&self.host).await.unwrap();
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let request = url.into_client_request().unwrap();
        let connected = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (mut socket, _) = connected.await.unwrap();
        if let Some(ready) = ready {
            ready.wait().await;
        }
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) => follower.on_frame(&text),
                Message::Close(close) => {
                    let code = close.map(|close| u16::from(close.code));
                    assert_eq!(code, Some(1000), "{follower:?}");
                }
                _ => {}
            }
        }
    }

    async fn read_stream(&self, follower: &mut Follower, ready: Option<Arc<Barrier>>) {
        let mut lines = BufReader::with_capacity(4096, self.request(follower).await).lines();
        let head = lines.next_line().await.unwrap().unwrap();
        if let Some(ready) = ready {
            ready.wait().await;
        }
        if head.contains(" 204 ") {
            follower.ended = true;
            return;
        }
        assert!(head.contains(" 200 "), "{head}");
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(data) = line.strip_prefix("data: ") {
                follower.on_frame(data);
            }
            // The connection stays open for the next request.
            if follower.ended {
                return;
            }
        }
    }

    /// Asks, and leaves the answer where it is.
    async fn stuck(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut stream = socket.connect(self.host.parse().unwrap()).await.unwrap();
        match self.wire {
            Wire::EventStream => self.ask(&mut stream, &Follower::default()).await,
            Wire::WebSocket => {
                let request = format!(
                    "GET /ws/progress/{} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                    self.task, self.host,
                );
                stream.write_all(request.as_bytes()).await.unwrap();
            }
        }
        stream
    }

    /// Asks for an event stream.
    async fn request(&self, follower: &Follower) -> TcpStream {
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        self.ask(&mut stream, follower).await;
        stream
    }

    async fn ask(&self, stream: &mut TcpStream, follower: &Follower) {
        let id = follower
            .position
            .as_ref()
            .map(|at| format!("Last-Event-ID: {at}\r\n"));
        let request = format!(
            "GET /sse/progress/{} HTTP/1.1\r\nHost: {}\r\n{}\r\n",
            self.task,
            self.host,
            id.unwrap_or_default()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
    }

    async fn garbage(&mut self) {
        let mut bytes: Vec<u8> = (0..self.chance.usize(1..2_000))
            .map(|_| self.chance.u8(..))
            .collect();
        match self.wire {
            Wire::EventStream => {
                let mut stream = TcpStream::connect(&self.host).await.unwrap();
                if self.chance.bool() {
                    bytes.splice(
                        ..0,
                        format!("GET /sse/progress/{} HTTP/1.1\r\n", self.task).into_bytes(),
                    );
                }
                drop(stream.write_all(&bytes).await);
            }
            Wire::WebSocket => {
                let url = format!("ws://{}/ws", self.host);
                let stream = TcpStream::connect(&self.host).await.unwrap();
                let Ok((mut socket, _)) = tokio_tungstenite::client_async(url, stream).await else {
                    return;
                };
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let message = match self.chance.u8(..3) {
                    0 => Message::binary(bytes),
                    1 => Message::text(text),
                    _ => Message::text(format!(
                        r#"{{"type":"subscribe","topics":[{{"task_id":{text:?}}}]}}"#
                    )),
                };
                drop(socket.send(message).await);
                // It is answered, and goes on.
                drop(timeout(Duration::from_millis(200), socket.next()).await);
            }
        }
    }
}
