//! A watcher on a WebSocket, that checks the order of all that it is told.

use std::{collections::HashMap, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::PATIENCE;

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The epoch and the newest number of each task.
    at: HashMap<String, (String, u64)>,
    /// What was said at the close.
    pub(crate) closed: Option<(u16, String)>,
}

impl Client {
    /// Watches a task from its beginning.
    pub(crate) async fn watch(node: &str, task: &str) -> Self {
        Self::connect(&format!("{node}/ws/progress/{task}")).await
    }

    /// Comes back with a position.
    pub(crate) async fn resume(node: &str, task: &str, position: &str) -> Self {
        let mut client =
            Self::connect(&format!("{node}/ws/progress/{task}?after={position}")).await;
        let (epoch, seq) = position.split_once(':').unwrap();
        let at = (epoch.to_owned(), seq.parse().unwrap());
        client.at.insert(task.to_owned(), at);
        client
    }

    pub(crate) async fn connect(url: &str) -> Self {
        let (socket, _) = connect_async(url.replacen("http", "ws", 1)).await.unwrap();
        Self {
            socket,
            at: HashMap::new(),
            closed: None,
        }
    }

    pub(crate) async fn say(&mut self, command: &Value) {
        let command = Message::text(command.to_string());
        self.socket.send(command).await.unwrap();
    }

    /// The next message; none when the connection was closed.
    ///
    /// # Panics
    ///
    /// If an event does not continue what was told before: a hole that nobody declared.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await;
            match message.expect("a message comes")? {
                Ok(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    self.check(&frame);
                    return Some(frame);
                }
                Ok(Message::Close(close)) => {
                    self.closed = close.map(|close| (close.code.into(), close.reason.to_string()));
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// The next message of one type; the others are passed over.
    pub(crate) async fn next_of(&mut self, event_type: &str) -> Value {
        loop {
            let frame = self.next().await;
            let frame =
                frame.unwrap_or_else(|| panic!("closed before {event_type}: {:?}", self.closed));
            if frame["event_type"] == event_type {
                return frame;
            }
        }
    }

    /// All messages up to and with the next of a type.
    pub(crate) async fn up_to(&mut self, event_type: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            let frame = frame.unwrap_or_else(|| panic!("closed before {event_type}: {frames:#?}"));
            let is_last = frame["event_type"] == event_type;
            frames.push(frame);
            if is_last {
                return frames;
            }
        }
    }

    /// Where it is in a task, to come back to.
    pub(crate) fn position(&self, task: &str) -> String {
        let (epoch, seq) = &self.at[task];
        format!("{epoch}:{seq}")
    }

    /// Reads no more, and so answers nothing.
    pub(crate) async fn freeze(mut self) -> Frozen {
        self.next().await.unwrap();
        Frozen(self)
    }

    fn check(&mut self, frame: &Value) {
        let Some(task) = frame["task_id"].as_str() else {
            return;
        };
        if frame["event_type"] == "reset" {
            let data = &frame["data"];
            let epoch = data["epoch"].as_str().unwrap().to_owned();
            self.at.insert(task.to_owned(), (epoch, 0));
        }
        let (Some(epoch), Some(seq)) = (frame["epoch"].as_str(), frame["seq"].as_u64()) else {
            return;
        };
        let fresh = || (epoch.to_owned(), 0);
        let (known, last) = self.at.entry(task.to_owned()).or_insert_with(fresh);
        assert_eq!(known, epoch, "another run, without a reset: {frame}");
        let from = frame["from"].as_u64().unwrap_or(seq);
        assert!(
            from == *last + 1 && from <= seq,
            "{frame} does not follow {last}"
        );
        *last = seq;
    }
}

/// A client that is there and does nothing.
pub(crate) struct Frozen(Client);

impl Frozen {
    /// What the server said when it had enough.
    pub(crate) async fn closed_by_server(self) -> (u16, String) {
        let mut client = self.0;
        tokio::time::sleep(FROZEN_FOR).await;
        while client.next().await.is_some() {}
        client.closed.expect("a close frame")
    }
}

/// Longer than the tests' heartbeats let anybody be silent.
const FROZEN_FOR: Duration = Duration::from_secs(4);

/// The types of messages, in order.
pub(crate) fn types(frames: &[Value]) -> Vec<&str> {
    let types = frames.iter().map(|frame| frame["event_type"].as_str());
    types.map(Option::unwrap).collect()
}

/// The messages of one type.
pub(crate) fn of<'a>(frames: &'a [Value], event_type: &str) -> Vec<&'a Value> {
    let found = frames
        .iter()
        .filter(|frame| frame["event_type"] == event_type);
    found.collect()
}
