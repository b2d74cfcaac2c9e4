//! What is on its way out: frames gathered for one write.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::AsyncWrite,
    time::{Instant, Sleep, sleep_until},
};
use tungstenite::protocol::frame::{FrameHeader, coding::OpCode};

/// Frames that wait to be written. It holds no memory while there are none: most connections are
/// idle most of the time.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    /// So many of them are written.
    written: usize,
    /// Whether the connection holds bytes back that it was given.
    unflushed: bool,
    /// Whether it had to be waited for since [`was_busy`](Self::was_busy) was asked.
    busy: bool,
    /// Runs while it takes nothing.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.unflushed
    }

    /// Whether enough is gathered.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= GATHERED
    }

    /// Makes room for so many bytes, and not for more, but not for more than are gathered.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes.min(GATHERED));
    }

    /// Adds a frame, unmasked as a server's are.
    pub(super) fn push(&mut self, opcode: OpCode, payload: &[u8]) {
        let header = FrameHeader {
            opcode,
            ..FrameHeader::default()
        };
        header
            .format(payload.len() as u64, &mut self.bytes)
            .expect("a Vec takes all bytes");
        self.bytes.extend_from_slice(payload);
    }

    /// Adds frames that are encoded already.
    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Tells once after it whether the connection did not take all at once.
    pub(super) fn was_busy(&mut self) -> bool {
        std::mem::take(&mut self.busy)
    }

    /// Writes everything; false if the connection has taken no byte for `patience`, and as long
    /// again for each further 64 KiB that wait: what takes large writes only has time for them.
    pub(super) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
        patience: Duration,
    ) -> Poll<io::Result<bool>> {
        match self.poll_all(io, cx) {
            Poll::Ready(result) => {
                self.patience = None;
                Poll::Ready(result.map(|()| true))
            }
            Poll::Pending => {
                self.busy = true;
                let waiting = self.bytes.len() - self.written;
                let timer = self.patience.get_or_insert_with(|| {
                    let allowed = patience.saturating_mul(1 + (waiting / GATHERED) as u32);
                    Box::pin(sleep_until(Instant::now() + allowed))
                });
                ready!(timer.as_mut().poll(cx));
                self.patience = None;
                Poll::Ready(Ok(false))
            }
        }
    }

    fn poll_all<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let count = ready!(Pin::new(&mut *io).poll_write(cx, &self.bytes[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.unflushed = true;
            self.patience = None;
        }
        self.bytes = Vec::new();
        self.written = 0;
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Bytes that go out in one write: more would not make it cheaper, only larger for a connection
/// that is stuck.
const GATHERED: usize = 64 * 1024;
