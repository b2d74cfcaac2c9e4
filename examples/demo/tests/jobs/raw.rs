//! A client that does not play by the rules.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// An upload sent by hand, chunk by chunk.
pub(crate) struct RawUpload {
    socket: TcpStream,
}

impl RawUpload {
    pub(crate) async fn start(url: &str, path: &str) -> Self {
        let address = url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ntransfer-encoding: chunked\r\n\
             content-type: multipart/form-data; boundary=frontier\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        Self { socket }
    }

    pub(crate) async fn begin_file(&mut self, name: &str) {
        let head = format!(
            "--frontier\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n"
        );
        self.send(head.as_bytes()).await;
    }

    /// A whole field.
    pub(crate) async fn field(&mut self, name: &str, text: &str) {
        let field = format!(
            "--frontier\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
        );
        self.send(field.as_bytes()).await;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let size = format!("{:x}\r\n", bytes.len());
        // The server may have answered and closed already, which is then what the test is about.
        let _gone = self.socket.write_all(size.as_bytes()).await;
        let _gone = self.socket.write_all(bytes).await;
        let _gone = self.socket.write_all(b"\r\n").await;
    }

    pub(crate) async fn finish(mut self) -> (u16, Value) {
        self.send(b"\r\n--frontier--\r\n").await;
        self.end_here().await
    }

    /// Ends the body, complete or not, and reads the answer.
    pub(crate) async fn end_here(mut self) -> (u16, Value) {
        self.socket.write_all(b"0\r\n\r\n").await.unwrap();
        let mut text = String::new();
        let mut buffer = [0; 4096];
        loop {
            let read = timeout(PATIENCE, self.socket.read(&mut buffer))
                .await
                .expect("an answer")
                .unwrap();
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
            if let Some(Ok(body)) = body.map(serde_json::from_str) {
                return (text[9..12].parse().unwrap(), body);
            }
            assert_ne!(read, 0, "the answer is cut short: {text}");
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
