//! One connection, of one sort or another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
    sync::{Barrier, watch},
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message, client::IntoClientRequest as _, http::HeaderValue, protocol::WebSocketConfig,
    },
};

use super::{
    follow::Follower,
    people::{Badge, Issuer, Person},
};

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
    issuer: Arc<Issuer>,
    person: Person,
    wire: Wire,
    task: String,
    chance: fastrand::Rng,
}

impl Client {
    pub(super) fn new(
        host: &str,
        issuer: &Arc<Issuer>,
        wire: Wire,
        task: &str,
        number: usize,
    ) -> Self {
        Self {
            host: host.to_owned(),
            issuer: Arc::clone(issuer),
            person: Person::new(number, wire),
            wire,
            task: task.to_owned(),
            chance: fastrand::Rng::with_seed(number as u64),
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
                // Each time that its credentials end it comes back with others.
                let mut ready = Some(ready);
                while !follower.ended {
                    self.follow(&mut follower, None, ready.take()).await;
                }
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

    /// Reads until the end, or for so long, or until its credentials end: never less.
    async fn follow(
        &mut self,
        follower: &mut Follower,
        stay: Option<Duration>,
        ready: Option<Arc<Barrier>>,
    ) {
        let lasts = Duration::from_secs(self.chance.u64(LASTS));
        let begun = Instant::now();
        let badge = self.badge(lasts).await;
        let reading = async {
            match self.wire {
                Wire::WebSocket => self.read_socket(follower, &badge, ready).await,
                Wire::EventStream => self.read_stream(follower, &badge, ready).await,
            }
            if !follower.ended {
                // Times in credentials are in whole seconds.
                let least = lasts - Duration::from_secs(1);
                assert!(begun.elapsed() >= least, "it was cut off: {follower:?}");
                follower.expired += 1;
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

    /// What it presents, good for so long.
    async fn badge(&self, lasts: Duration) -> Badge {
        let person = &self.person;
        person
            .badge(&self.issuer, &self.host, &self.task, lasts)
            .await
    }

    async fn read_socket(
        &self,
        follower: &mut Follower,
        badge: &Badge,
        ready: Option<Arc<Barrier>>,
    ) {
        let path = self.path("/ws/progress", badge, follower.position.as_deref());
        let mut socket = connect_socket(&self.host, &path, badge).await.unwrap();
        if let Some(ready) = ready {
            ready.wait().await;
        }
        let mut end = None;
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) => follower.on_frame(&text),
                Message::Close(close) => end = close.map(|close| u16::from(close.code)),
                _ => {}
            }
        }
        match end {
            Some(1000) => assert!(follower.ended, "{follower:?}"),
            Some(4013) => {}
            other => panic!("closed with {other:?}: {follower:?}"),
        }
    }

    async fn read_stream(
        &self,
        follower: &mut Follower,
        badge: &Badge,
        ready: Option<Arc<Barrier>>,
    ) {
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        self.ask(&mut stream, follower, badge).await;
        let mut lines = BufReader::with_capacity(4096, stream).lines();
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
            // The connection stays open for the next request; the last chunk is the stream's end.
            if follower.ended || line == "0" {
                return;
            }
        }
        panic!("it breaks off: {follower:?}");
    }

    /// Asks, and leaves the answer where it is.
    async fn stuck(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        // Whose credentials end is sent away, which is not to help it out.
        let badge = self.badge(LONG).await;
        let mut stream = socket.connect(self.host.parse().unwrap()).await.unwrap();
        match self.wire {
            Wire::EventStream => self.ask(&mut stream, &Follower::default(), &badge).await,
            Wire::WebSocket => {
                let request = format!(
                    "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
                    self.path("/ws/progress", &badge, None),
                    self.host,
                    badge.lines(),
                );
                stream.write_all(request.as_bytes()).await.unwrap();
                if let Some(said) = &badge.first_message {
                    stream.write_all(&masked(said)).await.unwrap();
                }
            }
        }
        stream
    }

    async fn ask(&self, stream: &mut TcpStream, follower: &Follower, badge: &Badge) {
        let id = follower
            .position
            .as_ref()
            .map(|at| format!("Last-Event-ID: {at}\r\n"));
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n{}{}\r\n",
            self.path("/sse/progress", badge, None),
            self.host,
            badge.lines(),
            id.unwrap_or_default()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// The path of the task with what stands in the query.
    fn path(&self, route: &str, badge: &Badge, after: Option<&str>) -> String {
        let after = after.map(|at| format!("after={at}"));
        let query: Vec<_> = after.into_iter().chain(badge.parameter.clone()).collect();
        format!("{route}/{}?{}", self.task, query.join("&"))
    }

    async fn garbage(&mut self) {
        let mut bytes: Vec<u8> = (0..self.chance.usize(1..2_000))
            .map(|_| self.chance.u8(..))
            .collect();
        let badge = self.badge(LONG).await;
        match self.wire {
            Wire::EventStream => {
                let mut stream = TcpStream::connect(&self.host).await.unwrap();
                if self.chance.bool() {
                    let path = self.path("/sse/progress", &badge, None);
                    let head = format!("GET {path} HTTP/1.1\r\n{}", badge.lines());
                    bytes.splice(..0, head.into_bytes());
                }
                drop(stream.write_all(&bytes).await);
            }
            Wire::WebSocket => {
                let path = match &badge.parameter {
                    Some(parameter) => format!("/ws?{parameter}"),
                    None => "/ws".to_owned(),
                };
                let Ok(mut socket) = connect_socket(&self.host, &path, &badge).await else {
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

/// Opens a WebSocket, and says what is to be said first.
pub(super) async fn connect_socket(
    host: &str,
    path: &str,
    badge: &Badge,
) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
    let mut request = format!("ws://{host}{path}").into_client_request()?;
    for (name, value) in &badge.headers {
        let value = HeaderValue::try_from(value).unwrap();
        request.headers_mut().insert(*name, value);
    }
    let stream = TcpStream::connect(host).await?;
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let (mut socket, _) = client_async_with_config(request, stream, Some(config)).await?;
    if let Some(said) = &badge.first_message {
        socket.send(Message::text(said)).await?;
    }
    Ok(socket)
}

/// A text as a client's frame has it that masks with zeros.
fn masked(text: &str) -> Vec<u8> {
    let size = u16::try_from(text.len()).unwrap();
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&size.to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Seconds that credentials are good for, of those who read.
const LASTS: std::ops::Range<u64> = 5..15;
/// For longer than a round.
const LONG: Duration = Duration::from_secs(600);
