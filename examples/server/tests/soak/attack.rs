//! Who comes to do harm, over and over, and is refused each time.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use jsonwebtoken::EncodingKey;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    client::connect_socket,
    people::{Badge, FORWARDED_FOR, Issuer, claims, sign},
    support::PATIENCE,
};

#[derive(Debug, Clone, Copy)]
pub(super) enum Attack {
    /// Tokens of another key, of another audience, over, unsigned.
    WrongTokens,
    /// More messages than a client may send.
    Flood,
    /// Messages of a MiB.
    LargeMessages,
    /// A ticket more than once.
    ReplayedTickets,
    /// More connections than an address may have.
    Crowd,
}

pub(super) struct Attacker {
    pub(super) attack: Attack,
    pub(super) host: String,
    pub(super) issuer: Arc<Issuer>,
    /// A task that is there, so that it would be shown.
    pub(super) task: String,
}

impl Attack {
    pub(super) const ALL: [Self; 5] = [
        Self::WrongTokens,
        Self::Flood,
        Self::LargeMessages,
        Self::ReplayedTickets,
        Self::Crowd,
    ];
}

impl Attacker {
    /// Goes on until it is over; how often it was refused.
    pub(super) async fn run(self, mut over: watch::Receiver<bool>) -> u64 {
        let mut refused = 0;
        while !*over.borrow_and_update() {
            refused += match self.attack {
                Attack::WrongTokens => self.wrong_tokens().await,
                Attack::Flood => self.flood().await,
                Attack::LargeMessages => self.large_message().await,
                Attack::ReplayedTickets => self.replayed_ticket().await,
                Attack::Crowd => self.crowd().await,
            };
            drop(timeout(PAUSE, over.changed()).await);
        }
        refused
    }

    async fn wrong_tokens(&self) -> u64 {
        let (algorithm, key) = &self.issuer.keys[0];
        let good = claims("mallory", "admin", LONG);
        let mut other_audience = good.clone();
        other_audience["aud"] = "another service".into();
        let mut over = good.clone();
        over["exp"] = 1_000_000_000.into();
        let mut unsigned = sign(*algorithm, key, &good);
        unsigned.truncate(unsigned.rfind('.').unwrap() + 1);
        let another = EncodingKey::from_secret(b"a key that nobody has been told of");
        let tokens = [
            sign(*algorithm, &another, &good),
            sign(*algorithm, key, &other_audience),
            sign(*algorithm, key, &over),
            unsigned,
        ];
        for token in &tokens {
            let badge = self.badge(token);
            let (_stream, status) = self.ask(&self.sse_path(), &badge).await;
            assert_eq!(status, 401, "{token}");
            let close = self.closed(&badge, []).await;
            assert_eq!(close, (4401, "UNAUTHENTICATED".to_owned()), "{token}");
        }
        2 * tokens.len() as u64
    }

    async fn flood(&self) -> u64 {
        let ping = Message::text(r#"{"type":"ping"}"#);
        let close = self.closed(&self.welcome(), vec![ping; 2 * BURST]).await;
        assert_eq!(close, (4029, "RATE_LIMITED".to_owned()));
        1
    }

    async fn large_message(&self) -> u64 {
        let large = Message::text("x".repeat(1024 * 1024));
        let close = self.closed(&self.welcome(), [large]).await;
        assert_eq!(close, (4409, "PAYLOAD_TOO_LARGE".to_owned()));
        1
    }

    async fn replayed_ticket(&self) -> u64 {
        let token = self.issuer.token(0, "viewer", LONG);
        let ticket = self
            .issuer
            .ticket(&self.host, self.address(), &self.task, &token)
            .await;
        let path = format!("{}?ticket={ticket}", self.sse_path());
        let stranger = Badge {
            headers: vec![(FORWARDED_FOR, self.address().to_owned())],
            ..Badge::default()
        };
        let (_first, status) = self.ask(&path, &stranger).await;
        assert_eq!(status, 200);
        let (_again, status) = self.ask(&path, &stranger).await;
        assert_eq!(status, 401, "a ticket was good twice");
        1
    }

    /// All at once; those who are let in go away again.
    async fn crowd(&self) -> u64 {
        let (badge, path) = (self.welcome(), self.sse_path());
        let answers = join_all((0..CROWD).map(|_| self.ask(&path, &badge))).await;
        let of = |wanted| {
            answers
                .iter()
                .filter(|(_, status)| *status == wanted)
                .count()
        };
        // Too many connections, or asked for too fast.
        let (let_in, refused) = (of(200), of(503) + of(429));
        assert_eq!(let_in + refused, CROWD);
        assert!(let_in <= PER_ADDRESS, "{let_in} of one address");
        refused as u64
    }

    /// How the server ends a WebSocket on which all of this is said.
    async fn closed(
        &self,
        badge: &Badge,
        messages: impl IntoIterator<Item = Message>,
    ) -> (u16, String) {
        let path = format!("/ws/progress/{}", self.task);
        let socket = connect_socket(&self.host, &path, badge).await.unwrap();
        let (mut says, mut hears) = socket.split();
        let saying = async {
            for message in messages {
                // It may be cut off before it has said all.
                if says.send(message).await.is_err() {
                    break;
                }
            }
        };
        let hearing = async {
            while let Some(Ok(message)) = hears.next().await {
                match message {
                    Message::Close(close) => return close,
                    Message::Text(text) => {
                        let frame: Value = serde_json::from_str(&text).unwrap();
                        assert!(frame.is_object());
                    }
                    _ => {}
                }
            }
            None
        };
        let ((), close) = timeout(PATIENCE, async { tokio::join!(saying, hearing) })
            .await
            .unwrap_or_else(|_| panic!("{:?} is not stopped", self.attack));
        let close = close.unwrap_or_else(|| panic!("{:?} is not told why", self.attack));
        (close.code.into(), close.reason.to_string())
    }

    /// Asks over HTTP; the connection with its answer, and the answer's status.
    async fn ask(&self, path: &str, badge: &Badge) -> (TcpStream, u16) {
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        let (host, lines) = (&self.host, badge.lines());
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; "HTTP/1.1 200".len()];
        let answered = timeout(PATIENCE, stream.read_exact(&mut head)).await;
        answered.expect("it is answered").unwrap();
        let status = str::from_utf8(&head[9..]).unwrap().parse().unwrap();
        (stream, status)
    }

    fn badge(&self, token: &str) -> Badge {
        let mut badge = Badge::default();
        badge
            .headers
            .push((FORWARDED_FOR, self.address().to_owned()));
        badge.bearer(token);
        badge
    }

    /// Of somebody who may watch.
    fn welcome(&self) -> Badge {
        self.badge(&self.issuer.token(self.attack as usize, "viewer", LONG))
    }

    fn sse_path(&self) -> String {
        format!("/sse/progress/{}", self.task)
    }

    /// Each its own, so that each is refused for what it does.
    fn address(&self) -> &'static str {
        [
            "198.19.0.1",
            "198.19.0.2",
            "198.19.0.3",
            "198.19.0.4",
            "198.19.0.5",
        ][self.attack as usize]
    }
}

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// For longer than an attack takes.
const LONG: Duration = Duration::from_secs(600);
/// Messages that a client may send at once.
const BURST: usize = 200;
/// Connections that one address may have, and tries to have.
const PER_ADDRESS: usize = 100;
const CROWD: usize = 150;
