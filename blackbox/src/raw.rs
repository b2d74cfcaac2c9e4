//! HTTP/1.1 by hand, where it matters what happens to the connection.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::within;

/// Asks for something short and returns the answer, head and body; the connection stays open.
pub async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(stream).await
}

/// The next answer, head and body.
pub async fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("an answer", stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    within("a body", stream.read_exact(&mut body))
        .await
        .unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

/// All that still comes until the server closes the connection, however it does.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    // What was read before a reset counts.
    let _reset = within("the end of a connection", stream.read_to_end(&mut rest)).await;
    String::from_utf8(rest).unwrap()
}
