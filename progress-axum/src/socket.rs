//! A WebSocket: carries a session's output out and what the client says in.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    time::Duration,
};

use axum::{
    Error,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    response::Response,
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use progress_web::{Code, Gateway, Output, Session};
use tokio::time::timeout;

pub(crate) fn upgrade(upgrade: WebSocketUpgrade, gateway: &Gateway, session: Session) -> Response {
    let (patience, largest) = (gateway.stuck_after(), gateway.largest_message());
    upgrade
        // A message somewhat too large is answered; one far too large is not even read.
        .max_message_size(largest.saturating_mul(4))
        .max_frame_size(largest.saturating_mul(4))
        .write_buffer_size(WRITE_BUFFER)
        .protocols([JSON])
        .on_upgrade(move |socket| async move {
            let (sink, stream) = socket.split();
            if let Err(error) = drive(sink, stream, session, patience, largest).await {
                // A client that goes away is no fault of the service.
                tracing::debug!(%error, "the socket is gone");
            }
        })
}

async fn drive(
    mut sink: SplitSink<WebSocket, Message>,
    mut stream: SplitStream<WebSocket>,
    mut session: Session,
    patience: Duration,
    largest: usize,
) -> Result<(), Error> {
    let mut outputs = Vec::new();
    loop {
        let open = tokio::select! {
            open = session.next_batch(&mut outputs) => open,
            received = stream.next() => {
                match received {
                    Some(Ok(Message::Text(text))) if text.len() > largest => {
                        session.close(Code::PayloadTooLarge);
                    }
                    Some(Ok(Message::Binary(bytes))) if bytes.len() > largest => {
                        session.close(Code::PayloadTooLarge);
                    }
                    Some(Ok(Message::Text(text))) => session.on_text(&text),
                    // The answer to it is written while waiting for what cannot come any more.
                    Some(Ok(Message::Close(_))) => {
                        farewell(&mut stream).await;
                        return Ok(());
                    }
                    None => return Ok(()),
                    Some(Ok(_)) => session.on_life(),
                    Some(Err(error)) => return Err(error),
                }
                continue;
            }
        };
        let closes = outputs
            .iter()
            .any(|output| matches!(output, Output::Close(_)));
        match watched(send(&mut sink, outputs.drain(..), patience)).await {
            (Ok(()), false) => {}
            (Ok(()), true) => session.socket_was_busy(),
            (Err(Failed::Gone(error)), _) => return Err(error),
            (Err(Failed::Stuck), _) => {
                // It takes no byte, so it would not take the close frame either: tell it as far
                // as that goes, and let go.
                let close = close_frame(Code::TooSlow.close_code(), Code::TooSlow.as_str());
                let _late = timeout(GRACE, sink.send(close)).await;
                return Ok(());
            }
        }
        if closes || !open {
            farewell(&mut stream).await;
            return Ok(());
        }
    }
}

/// Sees the closing handshake through: it ends the connection cleanly, but does not get for ever.
async fn farewell(stream: &mut SplitStream<WebSocket>) {
    let _done = timeout(GRACE, async {
        while let Some(Ok(_)) = stream.next().await {}
    })
    .await;
}

enum Failed {
    /// The connection is broken.
    Gone(Error),
    /// The connection has taken nothing for too long.
    Stuck,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Gone(error)
    }
}

/// Writes all that is ready in as few writes as the buffer allows. Each message has its own
/// patience: a slow socket that makes progress is not stuck.
async fn send(
    sink: &mut SplitSink<WebSocket, Message>,
    outputs: impl Iterator<Item = Output>,
    patience: Duration,
) -> Result<(), Failed> {
    for output in outputs {
        let mut patience = patience;
        let message = match output {
            Output::Frame { json, .. } => {
                // A message is written as one; a large one has time for its size.
                patience = patience.saturating_mul(1 + (json.len() / SLOWEST) as u32);
                Message::Text(Utf8Bytes::try_from(json).map_err(Error::new)?)
            }
            Output::Ping => Message::Ping(axum::body::Bytes::new()),
            Output::Close(close) => close_frame(close.code, close.reason),
            // A kind of output that this adapter does not know is not for its clients.
            _ => continue,
        };
        timeout(patience, sink.feed(message))
            .await
            .map_err(|_| Failed::Stuck)??;
    }
    timeout(patience, sink.flush())
        .await
        .map_err(|_| Failed::Stuck)??;
    Ok(())
}

/// Tells beside its output whether a future had to wait.
async fn watched<F: Future>(future: F) -> (F::Output, bool) {
    let mut future = pin!(future);
    let mut waited = false;
    let output = poll_fn(|cx| {
        let poll = future.as_mut().poll(cx);
        waited |= poll.is_pending();
        poll
    })
    .await;
    (output, waited)
}

fn close_frame(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    }))
}

/// The subprotocol; it is also spoken when none is asked for.
const JSON: &str = "progress.v1.json";
/// Frames gathered before a write is forced: the default of 128 KiB for each connection would be
/// the largest part of an idle connection's memory.
const WRITE_BUFFER: usize = 8 * 1024;
/// For the farewell.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes that a socket has to take within its patience.
const SLOWEST: usize = 64 * 1024;
