//! A WebSocket that watches.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::header},
};

use super::PATIENCE;

/// Pings are answered while it is read from.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens one at this address, whatever the URL's host is.
    pub(crate) async fn open(address: SocketAddr, url: &str, token: Option<&str>) -> Self {
        let url = url.replacen("http", "ws", 1);
        let mut request = url.into_client_request().unwrap();
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let opening = timeout(PATIENCE, client_async(request, stream)).await;
        Self(opening.expect("it is answered").unwrap().0)
    }

    pub(crate) async fn say(&mut self, command: &Value) {
        let sent = self.0.send(Message::text(command.to_string()));
        timeout(PATIENCE, sent).await.expect("it is read").unwrap();
    }

    /// The next frame of this type, whatever comes before.
    pub(crate) async fn until(&mut self, event_type: &str) -> Value {
        loop {
            let frame = self.next().await.expect("the connection goes on");
            if frame["event_type"] == event_type {
                return frame;
            }
        }
    }

    /// The next frame, or the code that the server closes with; as in browsers 1006, if it is gone without one.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await;
            match message.expect("something comes, or the end") {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(text.as_str()).unwrap());
                }
                Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("neither a frame nor a close frame: {other:?}"),
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }
}
