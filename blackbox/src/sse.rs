//! An event stream, read block by block.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::{
    Client, StatusCode,
    header::{HeaderMap, HeaderValue},
};
use serde_json::Value;

use crate::within;

pub struct Sse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// What an `EventSource` would come back with.
    pub last_id: Option<String>,
    body: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    buffer: String,
}

/// What stands between two empty lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub id: Option<String>,
    pub retry: Option<String>,
    pub data: Option<Value>,
}

impl Block {
    /// Parses the lines of a block; fails on a field that this protocol does not send.
    pub fn parse(text: &str) -> Self {
        let mut block = Self {
            id: None,
            retry: None,
            data: None,
        };
        let mut data: Option<String> = None;
        for line in text.split('\n') {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("id", id) => assert_eq!(block.id.replace(id.to_owned()), None),
                ("retry", retry) => assert_eq!(block.retry.replace(retry.to_owned()), None),
                ("data", line) => match &mut data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(line);
                    }
                    None => data = Some(line.to_owned()),
                },
                (field, _) => panic!("unexpected field {field:?} in {text:?}"),
            }
        }
        block.data = data.map(|data| serde_json::from_str(&data).unwrap());
        block
    }
}

impl Sse {
    pub async fn open(client: &Client, url: &str, last_event_id: Option<&str>) -> Self {
        let mut request = client.get(url).header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            // Not by way of str, which could not hold what a browser may send.
            let id = HeaderValue::from_bytes(id.as_bytes()).unwrap();
            request = request.header("last-event-id", id);
        }
        let response = within("the stream's head", request.send()).await.unwrap();
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            last_id: last_event_id.map(str::to_owned),
            body: Box::pin(response.bytes_stream()),
            buffer: String::new(),
        }
    }

    /// The next block; none at the end of the stream.
    pub async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some((text, rest)) = self.buffer.split_once("\n\n") {
                let block = Block::parse(text);
                self.buffer = rest.to_owned();
                if let Some(id) = &block.id {
                    self.last_id = Some(id.clone());
                }
                return Some(block);
            }
            let chunk = within("a block", self.body.next()).await?;
            let chunk = chunk.expect("the server does not break off");
            // Chunks end where blocks do.
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next block that has data; fails at the end of the stream.
    pub async fn data(&mut self) -> Block {
        loop {
            let block = self.block().await.expect("the stream goes on");
            if block.data.is_some() {
                return block;
            }
        }
    }

    /// The data of the next block that has some; fails at the end of the stream.
    pub async fn frame(&mut self) -> Value {
        self.data().await.data.unwrap()
    }

    /// Everything up to the end of the stream.
    pub async fn blocks(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        while let Some(block) = self.block().await {
            blocks.push(block);
        }
        blocks
    }

    /// The data of everything up to the end of the stream.
    pub async fn frames(&mut self) -> Vec<Value> {
        let blocks = self.blocks().await;
        blocks.into_iter().filter_map(|block| block.data).collect()
    }
}
