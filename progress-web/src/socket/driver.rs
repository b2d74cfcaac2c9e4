//! Drives a connection: a session's output out, what the client says in.
//!
//! tungstenite reads: frames, masks, fragments, limits, pings, the closing handshake. What goes out
//! is framed in [`Outgoing`], so that all that is ready is one write and nothing is kept after it.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tungstenite::{
    Error, Message, Utf8Bytes,
    error::ProtocolError,
    protocol::{
        CloseFrame, Role, WebSocketConfig, WebSocketContext,
        frame::coding::{CloseCode, Control, Data, OpCode},
    },
};

use super::{
    outgoing::Outgoing,
    wire::{Unread, Wire},
};
use crate::{
    error::Code,
    session::{Output, Session},
};

#[derive(Debug)]
pub(super) struct Driver {
    session: Session,
    context: WebSocketContext,
    out: Outgoing,
    /// What the session yielded and is not framed yet, the next one last.
    outputs: Vec<Output>,
    phase: Phase,
    /// What arrived broke the protocol or a limit: no frame can be made out any more.
    deaf: bool,
    patience: Duration,
    largest: usize,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// Our close frame is among what goes out.
    Closing,
    /// It is written, or the client's has come: the closing handshake is seen through.
    Farewell(Grace),
    /// What is gathered still goes out, if it does so soon.
    Leaving(Grace),
}

/// How long a farewell may take.
type Grace = Pin<Box<Sleep>>;

impl Driver {
    pub(super) fn new(session: Session, patience: Duration, largest: usize) -> Self {
        // A message somewhat too large is answered and the connection closed by the session; one
        // far too large is not even read.
        let unread = largest.saturating_mul(4);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(unread))
            .max_frame_size(Some(unread));
        Self {
            session,
            context: WebSocketContext::new(Role::Server, Some(config)),
            out: Outgoing::default(),
            outputs: Vec::new(),
            phase: Phase::Open,
            deaf: false,
            patience,
            largest,
        }
    }

    /// Runs until the connection is over.
    pub(super) fn poll<T>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<()>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let result = ready!(self.try_poll(io, cx));
        if let Err(error) = result {
            // A client that goes away is no fault of the service.
            tracing::debug!(%error, "the socket is gone");
        }
        Poll::Ready(())
    }

    fn try_poll<T>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<Result<(), Error>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            match &mut self.phase {
                Phase::Open | Phase::Closing => {
                    // First all that is gathered, so that a connection that takes nothing stops
                    // everything else here.
                    if !ready!(self.out.poll_write(io, cx, self.patience))? {
                        self.give_up()?;
                        continue;
                    }
                    self.session.was_written();
                    if self.out.was_busy() {
                        self.session.socket_was_busy();
                    }
                    if !self.outputs.is_empty() {
                        self.gather()?;
                        continue;
                    }
                    if matches!(self.phase, Phase::Closing) {
                        self.phase = Phase::Farewell(grace());
                        continue;
                    }
                    ready!(self.poll_both(io, cx))?;
                }
                Phase::Farewell(grace) => {
                    if grace.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    ready!(self.out.poll_write(io, cx, GRACE))?;
                    ready!(self.poll_farewell(io, cx))?;
                }
                Phase::Leaving(grace) => {
                    if grace.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    ready!(self.out.poll_write(io, cx, GRACE))?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// One message in and what is ready out, in turn: neither side starves the other. Ready if
    /// anything came of it.
    fn poll_both<T>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<Result<(), Error>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let mut idle = true;
        if !self.deaf {
            match self.poll_read(io, cx) {
                Poll::Ready(Ok(message)) => {
                    idle = false;
                    self.on_message(message);
                }
                Poll::Ready(Err(error)) => {
                    idle = false;
                    self.on_error(error)?;
                }
                Poll::Pending => {}
            }
        }
        // The session may have more right after a batch: what is ready now is one write.
        while matches!(self.phase, Phase::Open)
            && self.outputs.is_empty()
            && !self.out.is_full()
            && self.session.poll_batch(cx, &mut self.outputs).is_ready()
        {
            idle = false;
            if self.outputs.is_empty() {
                // It had been closed, and everything is said.
                self.phase = Phase::Closing;
            }
            self.outputs.reverse();
            self.gather()?;
        }
        // Reading may have queued a pong.
        if idle && self.out.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Text(text) if text.len() > self.largest => {
                self.session.on_too_large(self.largest);
            }
            Message::Binary(bytes) if bytes.len() > self.largest => {
                self.session.on_too_large(self.largest);
            }
            Message::Text(text) => self.session.on_text(&text),
            Message::Binary(bytes) => self.session.on_binary(&bytes),
            Message::Close(_) => self.phase = Phase::Farewell(grace()),
            _ => self.session.on_life(),
        }
    }

    fn on_error(&mut self, error: Error) -> Result<(), Error> {
        let code = match error {
            Error::Capacity(_) => {
                self.deaf = true;
                self.session.on_too_large(self.largest);
                return Ok(());
            }
            // It went away without a word.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Err(error),
            Error::Protocol(_) => CloseCode::Protocol,
            Error::Utf8(_) => CloseCode::Invalid,
            error => return Err(error),
        };
        tracing::debug!(%error, "the client does not speak WebSocket");
        self.deaf = true;
        self.session.was_closed(code.into());
        self.close(code, "")
    }

    /// Frames outputs, until there are no more or enough for one write.
    fn gather(&mut self) -> Result<(), Error> {
        let bytes = self.outputs.iter().map(|output| match output {
            Output::Frame { text: bytes, .. } | Output::Binary(bytes) => bytes.len() + HEADER,
            _ => HEADER,
        });
        self.out.reserve(bytes.sum());
        while !self.out.is_full()
            && let Some(output) = self.outputs.pop()
        {
            match output {
                Output::Frame { text, .. } => self.out.push(OpCode::Data(Data::Text), &text),
                Output::Binary(bytes) => self.out.push(OpCode::Data(Data::Binary), &bytes),
                Output::Ping => self.out.push(OpCode::Control(Control::Ping), b""),
                Output::Close(close) => self.close(close.code.into(), close.reason)?,
            }
        }
        if self.outputs.is_empty() {
            self.outputs = Vec::new();
        }
        Ok(())
    }

    /// Says goodbye; nothing follows.
    fn close(&mut self, code: CloseCode, reason: &'static str) -> Result<(), Error> {
        let close = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        self.outputs = Vec::new();
        self.phase = Phase::Closing;
        self.context.close(&mut Unread(&mut self.out), Some(close))
    }

    /// It takes no byte, so it would not take the close frame either: tells it as far as that
    /// goes, and lets go.
    fn give_up(&mut self) -> Result<(), Error> {
        let code = Code::TooSlow;
        if matches!(self.phase, Phase::Open) {
            self.session.was_closed(code.close_code());
            self.close(code.close_code().into(), code.as_str())?;
        }
        self.phase = Phase::Leaving(grace());
        Ok(())
    }

    fn poll_read<T>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<Result<Message, Error>>
    where
        T: AsyncRead + Unpin,
    {
        let out = &mut self.out;
        match self.context.read(&mut Wire { io, cx, out }) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    /// Reads on until the client has closed too. Ready if something is to be written before.
    fn poll_farewell<T>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<Result<(), Error>>
    where
        T: AsyncRead + Unpin,
    {
        while !self.deaf {
            match self.poll_read(io, cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => {
                    // Its close frame, or its end; the answer to it may still have to go out.
                    self.phase = Phase::Leaving(grace());
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending if self.out.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
        // What is left unread when a connection is dropped resets it, and the close frame with it.
        let mut scratch = [0; 512];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                self.phase = Phase::Leaving(grace());
                return Poll::Ready(Ok(()));
            }
        }
    }
}

fn grace() -> Grace {
    Box::pin(sleep_until(Instant::now() + GRACE))
}

/// For the farewell.
const GRACE: Duration = Duration::from_secs(1);
/// Made for each connection at once and kept, so as small as what clients say: longer messages are
/// read into more, for as long as it takes.
const READ_BUFFER: usize = 1024;
/// The longest header of a frame that a server sends.
const HEADER: usize = 10;
