//! WebSocket clients: one that behaves, and one that does only what it is told.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{kind, within};

/// A client that behaves: it answers pings whenever it is read from.
pub struct Ws {
    pub socket: WebSocketStream<TcpStream>,
    pub headers: HeaderMap,
}

impl Ws {
    pub async fn open(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::over(stream, path, &[]).await
    }

    /// One whose kernel takes little before its client reads.
    pub async fn narrow(address: SocketAddr, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(address).await.unwrap();
        Self::over(stream, path, &[]).await
    }

    pub async fn over(stream: TcpStream, path: &str, headers: &[(&str, &str)]) -> Self {
        let url = format!("ws://{}{path}", stream.peer_addr().unwrap());
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(name, value);
        }
        let (socket, response) = within("the handshake", client_async(request, stream))
            .await
            .unwrap();
        Self {
            socket,
            headers: response.headers().clone(),
        }
    }

    /// The next frame, or how the server closes.
    pub async fn next(&mut self) -> Result<Value, (u16, String)> {
        loop {
            match within("a message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(text.as_str()).unwrap());
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Err((close.code.into(), close.reason.as_str().to_owned()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("neither a frame nor a close frame: {other:?}"),
            }
        }
    }

    /// The next frame; fails if the server closes.
    pub async fn frame(&mut self) -> Value {
        self.next().await.expect("the connection goes on")
    }

    /// The next frame of a type, whatever comes before.
    pub async fn frame_of(&mut self, event_type: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if kind(&frame) == event_type {
                return frame;
            }
        }
    }

    /// Everything until the server closes, and how it does.
    pub async fn until_close(&mut self) -> (Vec<Value>, (u16, String)) {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Ok(frame) => frames.push(frame),
                Err(close) => return (frames, close),
            }
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn send(&mut self, message: Message) {
        within("the server to read", self.socket.send(message))
            .await
            .unwrap();
    }
}

/// A client that reads, but sends nothing by itself, no pong either.
pub struct RawWs {
    stream: TcpStream,
}

/// A message as [`RawWs`] sees it: opcode and payload.
pub type RawMessage = (u8, Vec<u8>);

impl RawWs {
    pub const TEXT: u8 = 1;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;

    pub async fn open(mut stream: TcpStream, path: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the handshake", stream.read_u8()).await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        Self { stream }
    }

    pub async fn next(&mut self) -> RawMessage {
        within("a message", async {
            let opcode = self.stream.read_u8().await.unwrap() & 0x0f;
            let len = match self.stream.read_u8().await.unwrap() {
                126 => usize::from(self.stream.read_u16().await.unwrap()),
                127 => usize::try_from(self.stream.read_u64().await.unwrap()).unwrap(),
                len => usize::from(len),
            };
            let mut payload = vec![0; len];
            self.stream.read_exact(&mut payload).await.unwrap();
            (opcode, payload)
        })
        .await
    }

    pub async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let len = u8::try_from(payload.len()).unwrap();
        assert!(len < 126, "short messages only");
        // Masked, as clients must, with a mask that changes nothing.
        let mut frame = vec![0x80 | opcode, 0x80 | len, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).await.unwrap();
    }
}
